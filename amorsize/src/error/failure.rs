//! Items that gave no result, and the reasons.
//!
//! # Panics in user code
//!
//! An item is lost if it was taken from its chunk and the chunk has no result for it. Nothing else
//! counts lost items.
//!
//! | code of the user's | where it runs | what a panic there does |
//! | --- | --- | --- |
//! | the function; `Clone` of shared values; `Drop` of the item in it | any thread, in `jobs.rs` and `line.rs` | the item is lost; `on_panic` decides |
//! | `Drop` of a parameter after the function's last line | the same | the same, and what the function returned leaks: rustc drops no result of a function that panics while it cleans up |
//! | `Clone` and `Drop` of an item that is tried again, `Drop` of its error | the same | the same |
//! | `heap_size` of a result | the same, after the call | the result stays, and counts as much as the largest before it; with `on_panic` the run goes on, otherwise it ends with the panic |
//! | `heap_size` of a result between two stages | the same | the item is lost; `on_panic` decides |
//! | `heap_size` of an item | the calling thread when it is taken for a worker, with `Tracking` before its call | the item stays and is not measured again; the panic goes to the caller, or after the call it is as that of a result |
//! | `into_iter`, `next`, `size_hint` | the calling thread | it goes to the caller; items taken before it are run if the caller goes on |
//! | the sink, a progress callback at the end, `FromIterator` | the calling thread | it goes to the caller, after the calls in flight have ended |
//! | `Display` and `Drop` of an error that is skipped | the calling thread | the report tells the panic in place of the error; the run goes on |
//! | a progress callback, a [`MemorySource`](crate::MemorySource), a trim hook | any thread that looks, in `execute/control.rs` | the run ends with it, after the results that are ready |
//! | a subscriber of `tracing` | any thread | the run ends with it: on a worker `conductor.rs` catches it, around a batch `batches.rs`, which keeps a batch that the sink did not get |
//! | `Drop` of results and items that nobody took | the calling thread | it goes to the caller; the others are dropped |
//! | `Drop` of a payload | any thread, in [`discard`] | nothing |
//! | the code that cancels a [`CancelToken`](crate::CancelToken) | their own thread | nothing: the token is a flag |
//!
//! Any other panic on a worker is a bug of this crate: `Started` in `work.rs` books its chunk as
//! ended, and the run ends with the panic.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

use super::Error;
use crate::units::by_index::ByIndex;

/// The payload of a panic.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Drops a payload that nobody wants. If its own `Drop` panics too, that second payload leaks.
pub(crate) fn discard(payload: Payload) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

/// The items that panicked in a run that goes on without them. All are counted, and the first ones
/// by input order are kept.
#[derive(Debug, Default)]
pub(crate) struct Panics {
    /// The most panics that are kept; with `None` a panic ends the run.
    pub(crate) most: Option<usize>,
    pub(crate) count: usize,
    kept: ByIndex<Payload>,
}

impl Panics {
    /// True if a run goes on without the items that panicked.
    pub(crate) fn are_tolerated(&self) -> bool {
        self.most.is_some()
    }

    /// Notes the panic of an item. Gives back a payload that is not kept, for the caller to
    /// [discard](discard) at a place where its `Drop` does no harm.
    #[must_use]
    pub(crate) fn add(&mut self, item: usize, payload: Payload) -> Option<Payload> {
        self.count += 1;
        self.kept.insert(item, payload);
        if self.kept.len() > self.most.unwrap_or(0) { self.kept.pop_last().map(|(_, payload)| payload) } else { None }
    }

    /// Takes out the kept panics, in input order.
    pub(crate) fn take_kept(&mut self) -> Vec<Failure> {
        let failure = |(item, payload)| Failure::new(item, Cause::Panic(Panicked::new(payload)));
        std::mem::take(&mut self.kept).into_iter().map(failure).collect()
    }
}

/// A panic of the function, caught: its payload and its message.
///
/// # Examples
///
/// ```
/// use amorsize::{Cause, Panicked, process_in_batches};
///
/// let report = process_in_batches(|x: u32| 100 / x, [5, 0]).on_panic(amorsize::OnPanic::Collect).for_each_batch(|_| ())?;
/// let Cause::Panic(panicked) = report.panics()[0].cause() else { panic!("the function returns no `Result`") };
/// assert_eq!(Panicked::to_string(panicked), "panicked: attempt to divide by zero");
/// # Ok::<(), amorsize::Error>(())
/// ```
pub struct Panicked {
    message: Option<Box<str>>,
    /// A payload need not be `Sync`, but errors have to be.
    payload: Mutex<Payload>,
}

impl Panicked {
    pub(crate) fn new(payload: Payload) -> Self {
        let text = payload.downcast_ref::<&'static str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).map(Box::from);
        Self { message, payload: Mutex::new(payload) }
    }

    /// The panic's message, if it has one: the text given to `panic!`. A panic that was started
    /// with another payload has none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Cause, process_in_batches};
    /// let report = process_in_batches(|x: u32| 100 / x, [5, 0]).on_panic(amorsize::OnPanic::Collect).for_each_batch(|_| ())?;
    /// let Cause::Panic(panicked) = report.panics()[0].cause() else { panic!("the function returns no `Result`") };
    /// assert_eq!(panicked.message(), Some("attempt to divide by zero"));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The payload, to look into or to go on with by [`std::panic::resume_unwind`].
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{Cause, OnPanic, on_error::Collect, process_in_batches};
    ///
    /// let call = |x: u32| if x < 2 { Ok::<_, ()>(x) } else { std::panic::panic_any(404) };
    /// let mut run = process_in_batches(call, [0, 2]).on_error(Collect).on_panic(OnPanic::Collect);
    /// let (_, mut failures) = run.collect::<Vec<_>>()?.into_parts();
    /// let (1, Cause::Panic(panic)) = failures.remove(0).into_parts() else { panic!("the function panicked") };
    /// assert_eq!(panic.into_payload().downcast_ref(), Some(&404));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same message without the payload, for code that only reports the panic.
    fn told(&self) -> Self {
        Self { message: self.message.clone(), payload: Mutex::new(Box::new(())) }
    }
}

impl Failure {
    /// The same failure for code that only reports it. A function that returns no `Result` can only
    /// panic.
    pub(crate) fn told(&self) -> Self {
        let cause = match &self.cause {
            Cause::Error(never) => match *never {},
            Cause::Panic(panic) => Cause::Panic(panic.told()),
        };
        Self { index: self.index, cause }
    }

    /// The same failure, as one of a function that can also return errors.
    pub(crate) fn among_errors<E>(self) -> Failure<E> {
        let Cause::Panic(panic) = self.cause;
        Failure { index: self.index, cause: Cause::Panic(panic) }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "panicked: {message}"),
            None => f.write_str("panicked without a message"),
        }
    }
}

impl fmt::Debug for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panicked").field("message", &self.message()).finish_non_exhaustive()
    }
}

/// An item that gave no result, and the reason: the function's own error, or a panic.
///
/// `E` is the function's error type; a function that returns no `Result` can only panic. The text
/// ends with the text of the cause, and [`source`](StdError::source) gives `None`.
/// [`cause`](Self::cause), [`error`](Self::error) and [`into_parts`](Self::into_parts) give the
/// cause itself. As a [`TryError`](crate::TryError) it can have the function's error
/// [as its source](crate::TryError::with_source).
///
/// # Examples
///
/// ```
/// use amorsize::{on_error::Collect, process_in_batches};
///
/// let mut run = process_in_batches(str::parse::<u32>, ["1", "two"]).on_error(Collect);
/// let (_, failures) = run.collect::<Vec<_>>()?.into_parts();
/// assert_eq!(failures[0].to_string(), "item 1 failed: invalid digit found in string");
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Debug)]
pub struct Failure<E = Infallible> {
    index: usize,
    cause: Cause<E>,
}

/// The reason why an item gave no result.
///
/// # Examples
///
/// ```
/// use amorsize::{Cause, on_error::Collect, process_in_batches};
///
/// let invert = |x: i32| if x < 0 { Err("below zero") } else { Ok(100 / x) };
/// let mut run = process_in_batches(invert, [5, -1, 0]).on_error(Collect).on_panic(amorsize::OnPanic::Collect);
/// let mut told = Vec::new();
/// for failure in run.collect::<Vec<_>>()?.failures() {
///     told.push(match failure.cause() {
///         Cause::Error(error) => format!("{}: {error}", failure.index()),
///         Cause::Panic(panic) => format!("{}: {}", failure.index(), panic.message().unwrap_or_default()),
///     });
/// }
/// assert_eq!(told, ["1: below zero", "2: attempt to divide by zero"]);
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Debug)]
pub enum Cause<E = Infallible> {
    /// The function returned an error.
    Error(E),
    /// The function panicked.
    Panic(Panicked),
}

impl<E> Failure<E> {
    pub(crate) fn new(index: usize, cause: Cause<E>) -> Self {
        Self { index, cause }
    }

    /// Index of the item in the input.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{on_error::Collect, process_in_batches};
    /// let outcome = process_in_batches(str::parse::<u32>, ["1", "two"]).on_error(Collect).collect::<Vec<_>>()?;
    /// assert_eq!(outcome.failures()[0].index(), 1);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The reason why it gave no result.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Cause, on_error::Collect, process_in_batches};
    /// let outcome = process_in_batches(str::parse::<u32>, ["1", "two"]).on_error(Collect).collect::<Vec<_>>()?;
    /// assert!(matches!(outcome.failures()[0].cause(), Cause::Error(_)));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn cause(&self) -> &Cause<E> {
        &self.cause
    }

    /// The index of the item, and the reason why it gave no result.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Cause, on_error::Collect, process_in_batches};
    /// let fetch = |page: usize| if page == 3 { Err(String::from("no such page")) } else { Ok(page) };
    /// let (_, failures) = process_in_batches(fetch, 0..5).on_error(Collect).collect::<Vec<_>>()?.into_parts();
    /// for failure in failures {
    ///     let (item, Cause::Error(error)) = failure.into_parts() else { continue };
    ///     assert_eq!((item, error), (3, String::from("no such page")));
    /// }
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn into_parts(self) -> (usize, Cause<E>) {
        (self.index, self.cause)
    }

    /// The function's own error, or `None` if it panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{on_error::Collect, process_in_batches};
    /// let outcome = process_in_batches(str::parse::<u32>, ["1", "two"]).on_error(Collect).collect::<Vec<_>>()?;
    /// assert_eq!(outcome.failures()[0].error(), "two".parse::<u32>().as_ref().err());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&E> {
        match &self.cause {
            Cause::Error(error) => Some(error),
            Cause::Panic(_) => None,
        }
    }
}

/// Writes that an item failed, and its error. With `#` an error that holds others, such as
/// `anyhow::Error`, tells them too: where the text is shown, nothing else tells them.
pub(super) fn write_failed(item: usize, error: &impl fmt::Display, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "item {item} failed: {error:#}")
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Error(error) => write_failed(self.index, error, f),
            Cause::Panic(panic) => write!(f, "item {} {panic}", self.index),
        }
    }
}

// The text already has the cause's text, so that a function may also fail with a `String`.
impl<E: fmt::Debug + fmt::Display> StdError for Failure<E> {}

/// The reason why a run ended before its input did.
#[derive(Debug)]
pub(crate) enum Ended {
    Error(Error),
    /// The function panicked, or other code of the caller, such as the input.
    Panic(Payload),
}

impl Ended {
    /// The error, for callers that let a panic go on.
    pub(crate) fn error_or_panic(self) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Panic(payload) => resume_unwind(payload),
        }
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{catch_unwind, panic_any};

    fn caught(panic: impl FnOnce() + std::panic::UnwindSafe) -> Panicked {
        Panicked::new(catch_unwind(panic).unwrap_err())
    }

    #[test]
    fn a_panic_keeps_message_and_payload() {
        assert_eq!(caught(|| panic!("too dark")).message(), Some("too dark"));
        assert_eq!(caught(|| panic!("{} too dark", 3)).to_string(), "panicked: 3 too dark");
        let other = caught(|| panic_any(7u32));
        assert_eq!((other.message(), other.to_string()), (None, "panicked without a message".into()));
        assert_eq!(other.into_payload().downcast_ref(), Some(&7u32));
    }

    #[test]
    fn a_failure_says_which_item_and_why() {
        assert_eq!(Failure::new(3, Cause::Error("no such file")).to_string(), "item 3 failed: no such file");
        let failure: Failure = Failure::new(4, Cause::Panic(caught(|| panic!("too dark"))));
        assert_eq!(failure.to_string(), "item 4 panicked: too dark");
    }
}
