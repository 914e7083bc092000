//! Errors: those of a run, [`Error`], and those of its function, as [`TryError`], [`Failure`] and
//! [`Outcome`]. The guide's page [`when_things_go_wrong`](crate::guide::when_things_go_wrong) says
//! which of them comes when.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::units::ByteSize;
use crate::units::counted::Counted;
use crate::units::measured_by::MeasuredBy;
use crate::units::seconds::Seconds;

mod changed;
pub(crate) mod failure;
mod of_text;
pub(crate) mod outcome;
#[cfg(feature = "durable")]
pub(crate) mod stored;
pub(crate) mod try_error;

pub use changed::Changed;
pub use failure::{Cause, Failure, Panicked};
pub use outcome::Outcome;
pub use try_error::TryError;

/// The reason why a run could not be started or finished.
///
/// [`kind`](Error::kind) gives the case with its numbers; the text says the same to a person, with
/// the ways out. A panic of the function is no error: it reaches the caller as a panic, as with
/// rayon.
///
/// # Examples
///
/// ```
/// use amorsize::{ErrorKind, process_in_batches};
///
/// let error = process_in_batches(|x: u32| x + 1, 0..10).max_memory(1.5).collect::<Vec<_>>().unwrap_err();
/// assert!(matches!(error.kind(), ErrorKind::InvalidOption { option: "max_memory", .. }));
/// assert_eq!(
///     error.to_string(),
///     "`max_memory` can't be 1.5: use a fraction above 0 and up to 1 of the available memory, or bytes such as \"512MiB\""
/// );
/// ```
pub struct Error {
    // Boxed, so that a `Result` of this crate is no larger than its value needs.
    kind: Box<ErrorKind>,
}

/// The cases of an [`Error`], with their numbers.
///
/// # Examples
///
/// ```
/// use amorsize::{ByteSize, ErrorKind, batched};
///
/// #[batched(max_memory = "4MiB")]
/// fn page(i: u8) -> Vec<u8> {
///     vec![i; 1 << 20]
/// }
///
/// let error = page_batched(0..100).collect::<Vec<_>>().unwrap_err();
/// match error.kind() {
///     ErrorKind::OverBudget { item, held, budget, .. } => {
///         assert_eq!((*item, *budget), (3, ByteSize::mib(4)));
///         assert!(*held > ByteSize::mib(3));
///     }
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option was given a value that it does not take, and no item was run; or a text is not a
    /// number of bytes.
    #[non_exhaustive]
    InvalidOption {
        /// The option's name; `"bytes"` for a text that was parsed as a [`ByteSize`].
        option: &'static str,
        /// The refused value as text.
        value: String,
        /// The values that the option takes.
        expected: &'static str,
    },
    /// The results to collect do not fit the budget.
    #[non_exhaustive]
    OverBudget {
        /// Index in the input of the first item that could not be started or kept.
        item: usize,
        /// The number of items with results that were held when the run gave up.
        items_done: usize,
        /// Bytes that these results held.
        held: ByteSize,
        /// Bytes that the next item was expected to need.
        needed: ByteSize,
        /// The budget of the run.
        budget: ByteSize,
        /// The part of the budget that could be used when the run gave up: less than the budget if
        /// memory was taken elsewhere.
        allowed: ByteSize,
        /// Expected bytes of all results, if the input's length is known.
        expected: Option<ByteSize>,
        /// The means by which bytes were measured; by resident memory they are an estimate.
        measured_by: MeasuredBy,
    },
    /// An item is expected to need more than the whole budget, and by the option `oversize` this is
    /// an error. Everything before it was handed over.
    #[non_exhaustive]
    Oversize {
        /// Index in the input of the item, which was not started.
        item: usize,
        /// Bytes that it was expected to need.
        needed: ByteSize,
        /// The budget of the run.
        budget: ByteSize,
        /// The means by which bytes were measured; by resident memory they are an estimate.
        measured_by: MeasuredBy,
    },
    /// The run's token was cancelled. Every finished result was handed over, or goes to the next
    /// terminal.
    #[non_exhaustive]
    Cancelled {
        /// The number of items that the run had computed, in all its parts. Fewer may have been
        /// handed over: a result behind a missing item waits for it.
        items_done: usize,
    },
    /// The run's deadline passed. Every finished result was handed over, or goes to the next
    /// terminal.
    #[non_exhaustive]
    TimedOut {
        /// The number of items that the run had computed, in all its parts; fewer may have been
        /// handed over.
        items_done: usize,
        /// Seconds from the start of the run.
        seconds: f64,
    },
    /// The function panicked, and the panic was collected. Such an error is made from a
    /// [`Failure`].
    #[non_exhaustive]
    Panicked {
        /// Index of the item in the input.
        item: usize,
        /// The panic's message, if it has one.
        message: Option<String>,
    },
    /// No pool with the wanted number of threads could be started.
    #[non_exhaustive]
    Threads {
        /// The number of threads asked for.
        threads: usize,
        /// The message of the operating system or of rayon.
        cause: String,
    },
    /// Another run uses the directory, in this process or another one. No item was run.
    #[non_exhaustive]
    CheckpointBusy {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory has the finished items of another run. No item was run.
    #[non_exhaustive]
    CheckpointChanged {
        /// The directory.
        directory: PathBuf,
        /// The difference from that run.
        what: Changed,
        /// The value for the run that began the directory.
        was: String,
        /// The value for this run.
        is: String,
        /// The time when the directory was begun, and the versions of amorsize and of the compiler
        /// that began it.
        begun: String,
        /// The `version` that states that results are still the same, if the function's code has
        /// changed, or has its first version.
        same_version: Option<String>,
    },
    /// The input is not the one that the finished items came from. Everything before the difference
    /// was handed over.
    #[non_exhaustive]
    InputChanged {
        /// The directory.
        directory: PathBuf,
        /// Index of the first item that may differ; the number of items, if the input ended too
        /// early.
        item: usize,
        /// The number of items from that index on: at least one of them differs, or all are
        /// missing.
        items: usize,
        /// True if the input ended before some of the finished items.
        ended: bool,
    },
    /// The system refused to read or write the files that a run keeps, or a sink's file. What was
    /// written before is still there, and the same call goes on from it; with a sink, if it has a
    /// journal.
    #[non_exhaustive]
    Storage {
        /// The file or directory.
        path: PathBuf,
        /// The failed operation, as a participle: `"written"`, `"synced"`.
        operation: &'static str,
        /// The kind of the system's error.
        kind: io::ErrorKind,
        /// The text of the system's error.
        cause: String,
        /// The number of bytes to be written, if there was no room for them.
        needed: Option<ByteSize>,
        /// Free bytes of the file system, if there was no room and it tells them.
        free: Option<ByteSize>,
    },
    /// A file of results is not as it was written.
    #[non_exhaustive]
    Damaged {
        /// The file; for one of `spill`, which has no name, its directory.
        path: PathBuf,
        /// The place in the file, in bytes from its start.
        offset: u64,
        /// The damage found there.
        cause: String,
    },
    /// A result, or its type, can't be written in the format of a file.
    #[non_exhaustive]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Index in the input of the item that gave the result; `None` if the type can't be
        /// written.
        item: Option<usize>,
        /// The column of a table, as the path of a field: `"camera.lens"`.
        column: Option<String>,
        /// The reason, and the way out.
        cause: String,
    },
}

impl Error {
    /// The name in `option` for a text that was parsed as bytes and was no option's value.
    pub(crate) const TEXT_OF_BYTES: &str = "bytes";

    #[cold]
    #[inline(never)]
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self { kind: Box::new(kind) }
    }

    /// The error of an option that does not take a value.
    #[cold]
    pub(crate) fn invalid_option(option: &'static str, value: impl Into<String>, expected: &'static str) -> Self {
        Self::new(ErrorKind::InvalidOption { option, value: value.into(), expected })
    }

    /// The case and its numbers.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{CancelToken, ErrorKind, process_in_batches};
    /// let token = CancelToken::new();
    /// token.cancel();
    /// let error = process_in_batches(|x: u32| x + 1, 0..9).cancel_token(&token).collect::<Vec<_>>().unwrap_err();
    /// assert!(matches!(error.kind(), ErrorKind::Cancelled { items_done: 0, .. }));
    /// ```
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// True if an option had a value that it does not take.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let error = process_in_batches(|x: u32| x + 1, 0..9).batch_size(0).collect::<Vec<_>>().unwrap_err();
    /// assert!(error.is_invalid_option());
    /// assert!(error.to_string().starts_with("`batch_size` can't be 0: use 1 or more"));
    /// ```
    #[must_use]
    pub fn is_invalid_option(&self) -> bool {
        matches!(*self.kind, ErrorKind::InvalidOption { .. })
    }

    /// True if the results, or a single one, did not fit the budget.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..1_000_000).max_memory("1MiB");
    /// assert!(run.collect::<Vec<_>>().unwrap_err().is_over_budget());
    /// ```
    #[must_use]
    pub fn is_over_budget(&self) -> bool {
        matches!(*self.kind, ErrorKind::OverBudget { .. } | ErrorKind::Oversize { .. })
    }

    /// True if the run's token was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{CancelToken, process_in_batches};
    /// let token = CancelToken::new();
    /// token.cancel();
    /// let error = process_in_batches(|x: u32| x + 1, 0..9).cancel_token(&token).collect::<Vec<_>>().unwrap_err();
    /// assert!(error.is_cancelled());
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.kind, ErrorKind::Cancelled { .. })
    }

    /// True if the run's deadline passed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..).timeout(Duration::from_millis(5));
    /// assert!(run.for_each_batch(|_| ()).unwrap_err().is_timed_out());
    /// ```
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        matches!(*self.kind, ErrorKind::TimedOut { .. })
    }

    /// True if another run uses the directory.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let error = process_in_batches(|x: u32| x + 1, 0..9).threads(0).collect::<Vec<_>>().unwrap_err();
    /// assert!(!error.is_busy());
    /// ```
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(*self.kind, ErrorKind::CheckpointBusy { .. })
    }

    /// True if the directory's contents belong to another run, or to another input.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let error = process_in_batches(|x: u32| x + 1, 0..9).threads(0).collect::<Vec<_>>().unwrap_err();
    /// assert!(!error.is_changed());
    /// ```
    #[must_use]
    pub fn is_changed(&self) -> bool {
        matches!(*self.kind, ErrorKind::CheckpointChanged { .. } | ErrorKind::InputChanged { .. })
    }

    /// True if a file could not be read or written, or is damaged.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let error = process_in_batches(|x: u32| x + 1, 0..9).threads(0).collect::<Vec<_>>().unwrap_err();
    /// assert!(!error.is_storage());
    /// ```
    #[must_use]
    pub fn is_storage(&self) -> bool {
        matches!(*self.kind, ErrorKind::Storage { .. } | ErrorKind::Damaged { .. })
    }

    /// True if a result, or its type, can't be written in the format of a file.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "durable")] {
    /// # use std::collections::HashMap;
    /// # use amorsize::{process_in_batches, sink::JsonLines};
    /// # let directory = std::env::temp_dir().join(format!("amorsize-unwritable-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).unwrap();
    /// # let path = directory.join("maps.jsonl");
    /// // Keys of JSON are texts.
    /// let mut run = process_in_batches(|x: u32| HashMap::from([((x, x), x)]), 0..9);
    /// assert!(run.write_to(JsonLines::new(path)).unwrap_err().is_unwritable());
    /// # std::fs::remove_dir_all(directory).unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn is_unwritable(&self) -> bool {
        matches!(*self.kind, ErrorKind::Unwritable { .. })
    }

    /// Index in the input of the item that the error is about, if it is about one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::batched;
    /// #[batched(max_memory = "4MiB")]
    /// fn page(i: u8) -> Vec<u8> {
    ///     vec![i; 1 << 20]
    /// }
    ///
    /// // Three pages are held, and there is no room for the fourth.
    /// assert_eq!(page_batched(0..100).collect::<Vec<_>>().unwrap_err().item(), Some(3));
    /// ```
    #[must_use]
    pub fn item(&self) -> Option<usize> {
        match *self.kind {
            ErrorKind::Panicked { item, .. } => Some(item),
            ErrorKind::OverBudget { item, .. } | ErrorKind::Oversize { item, .. } => Some(item),
            ErrorKind::InputChanged { item, .. } => Some(item),
            ErrorKind::Unwritable { item, .. } => item,
            _ => None,
        }
    }
}

/// Added to the text if its bytes are from resident memory, which other threads change too.
const IS_ESTIMATE: &str = "; the bytes are an estimate from resident memory, in which other threads of the program count \
                           too: derive `DeepSize` for the result's type, switch on amorsize's feature for its crate, or \
                           install `Tracking`";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kind {
            ErrorKind::InvalidOption { option: Self::TEXT_OF_BYTES, value, expected } => {
                write!(f, "{value} can't be a number of bytes: use {expected}")
            }
            ErrorKind::InvalidOption { option, value, expected } => {
                write!(f, "`{option}` can't be {value}: use {expected}")
            }
            ErrorKind::OverBudget { item, items_done, held, needed, budget, allowed, expected, measured_by } => {
                f.write_str("the results don't fit the memory budget: ")?;
                match expected {
                    // The text does not say how many results were collected: that number is chance.
                    Some(ByteSize::MAX) => write!(f, "the input has no end, and the budget is {budget}")?,
                    // The run was refused before an item was too much: there is not even room for
                    // the results themselves.
                    Some(expected) if *held + *needed <= *allowed && expected > budget => {
                        write!(f, "they are expected to take {expected}, and the budget is {budget}")?;
                    }
                    _ => {
                        let items = Counted(*items_done, "item holds", "items hold");
                        write!(f, "{items} {held} of {budget}")?;
                        if allowed < budget {
                            write!(f, " (others left {allowed} of it)")?;
                        }
                        write!(f, ", and item {item} needs {needed} more")?;
                        if let Some(expected) = expected {
                            write!(f, " ({expected} expected in all)")?;
                        }
                    }
                }
                f.write_str(
                    "; take them batch by batch with `for_each_batch`, one by one by iterating, or from disk with `spill` \
                     (feature `durable`)",
                )?;
                // A larger budget would free no memory that is taken elsewhere.
                f.write_str(if allowed < budget { "" } else { ", or give the run a larger `max_memory`" })?;
                f.write_str(if *measured_by == MeasuredBy::Resident { IS_ESTIMATE } else { "" })?;
                f.write_str("; the run keeps what is finished: a terminal that is called again begins with it")
            }
            ErrorKind::Oversize { item, needed, budget, measured_by } => write!(
                f,
                "item {item} was not started: it is expected to need {needed} of memory, more than the budget of {budget}; \
                 give the run a larger `max_memory`, or let such items run alone with `oversize = \"alone\"`{}",
                if *measured_by == MeasuredBy::Resident { IS_ESTIMATE } else { "" }
            ),
            ErrorKind::Cancelled { items_done } => {
                let items = Counted::items(*items_done);
                write!(
                    f,
                    "the run was cancelled after it had computed {items}; \
                     to go on, give it another token by `cancel_token` and call a terminal again"
                )
            }
            ErrorKind::TimedOut { items_done, seconds } => {
                let (seconds, items) = (Seconds(*seconds), Counted::items(*items_done));
                write!(
                    f,
                    "the run passed its deadline after {seconds}, when it had computed {items}; \
                     to go on, give it another one and call a terminal again"
                )
            }
            ErrorKind::Panicked { item, message: Some(message) } => write!(f, "item {item} panicked: {message}"),
            ErrorKind::Panicked { item, message: None } => write!(f, "item {item} panicked without a message"),
            ErrorKind::Threads { threads, cause } => {
                write!(
                    f,
                    "a pool of {} could not be started: {cause}; ask for fewer by `threads`, or leave it out to use the \
                     pool that is there",
                    Counted::threads(*threads)
                )
            }
            #[cfg(feature = "durable")]
            stored => stored::tell(stored, f),
            // Without the feature nothing makes the others.
            #[cfg(not(feature = "durable"))]
            _ => Ok(()),
        }
    }
}

// `fn main() -> Result<(), amorsize::Error>` prints this; it should read well. `kind` shows the
// case, without which a program has no code to show it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {}

/// Lets a sink that writes files use `?` on errors of both types.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}

/// The error's text, for callers that return a `String` as their error.
impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_budget_names_items_bytes_and_ways_out() {
        let error = Error::new(ErrorKind::OverBudget {
            item: 41,
            items_done: 41,
            held: ByteSize::mib(250),
            needed: ByteSize::mib(7),
            budget: ByteSize::mib(256),
            allowed: ByteSize::mib(256),
            expected: Some(ByteSize::gib(2)),
            measured_by: MeasuredBy::DeepSize,
        });
        assert_eq!(
            error.to_string(),
            "the results don't fit the memory budget: 41 items hold 250 MiB of 256 MiB, and item 41 needs 7.00 MiB more \
             (2.00 GiB expected in all); take them batch by batch with `for_each_batch`, one by one by iterating, or \
             from disk with `spill` (feature `durable`), or give \
             the run a larger `max_memory`; the run keeps what is finished: a terminal that is called again begins with it"
        );
        assert_eq!(error.item(), Some(41));
    }

    #[test]
    fn over_budget_says_when_others_took_the_memory() {
        let error = Error::new(ErrorKind::OverBudget {
            item: 3,
            items_done: 3,
            held: ByteSize::mib(90),
            needed: ByteSize::mib(30),
            budget: ByteSize::mib(256),
            allowed: ByteSize::mib(100),
            expected: None,
            measured_by: MeasuredBy::DeepSize,
        });
        let text = error.to_string();
        assert!(
            text.contains("3 items hold 90.0 MiB of 256 MiB (others left 100 MiB of it), and item 3 needs"),
            "{text}"
        );
    }

    #[test]
    fn an_oversize_item_is_named_with_both_figures() {
        let (needed, budget, measured_by) = (ByteSize::gib(3), ByteSize::gib(1), MeasuredBy::Tracking);
        let error = Error::new(ErrorKind::Oversize { item: 7, needed, budget, measured_by });
        assert_eq!(
            error.to_string(),
            "item 7 was not started: it is expected to need 3.00 GiB of memory, more than the budget of 1.00 GiB; give the run \
             a larger `max_memory`, or let such items run alone with `oversize = \"alone\"`"
        );
        assert_eq!((error.item(), error.is_over_budget()), (Some(7), true));
    }

    #[test]
    fn a_result_stays_small() {
        assert!(size_of::<Result<(), Error>>() <= 8);
        assert!(size_of::<Result<u64, TryError<io::Error>>>() <= 128);
    }
}
