//! The error of a run with a function that fails: the function's own error, or the run's.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::iter;

use super::failure::{Panicked, write_failed};
use super::{Error, ErrorKind};

/// A function's error that can be the source of another error: an [`Error`](StdError), or what
/// dereferences to one, such as `Box<dyn Error + Send + Sync>` and the errors of anyhow and eyre.
///
/// No single bound has both. `By` tells them apart, so that each type has one implementation.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the source of an error",
    label = "the function's error implements no `std::error::Error`",
    note = "leave `with_source` out: the text of a `TryError` then ends with the text of this error"
)]
pub trait ErrorSource<By> {
    #[doc(hidden)]
    fn as_source(&self) -> &(dyn StdError + 'static);
}

/// The function's error is the source itself.
#[derive(Debug)]
pub enum Itself {}

/// The function's error holds the source.
#[derive(Debug)]
pub enum Held {}

#[diagnostic::do_not_recommend]
impl<E: StdError + 'static> ErrorSource<Itself> for E {
    fn as_source(&self) -> &(dyn StdError + 'static) {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<E: AsRef<dyn StdError + Send + Sync>> ErrorSource<Held> for E {
    fn as_source(&self) -> &(dyn StdError + 'static) {
        self.as_ref()
    }
}

/// Shows the function's error as a source, if the caller has asked for that.
pub struct Shown<E>(Option<fn(&E) -> &(dyn StdError + 'static)>);

impl<E> fmt::Debug for Shown<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shown").field(&self.0.is_some()).finish()
    }
}

/// The reason why [`try_collect`](crate::Batched::try_collect) gave no collection: the function's
/// own first error by input order, or an error of the run.
///
/// Its text ends with the text of the function's error, and [`source`](StdError::source) gives
/// `None`: so a function may also fail with a `String`. [`with_source`](Self::with_source) makes
/// the function's error the source instead. [`Item`](Self::Item) has the function's error, and
/// [`run_error`](Self::run_error) gives the run's.
///
/// # Examples
///
/// ```
/// use amorsize::{batched, TryError};
///
/// #[batched]
/// fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// let error = parse_batched(["1", "2", "x", "y"]).try_collect::<Vec<_>>().unwrap_err();
/// assert_eq!(error.item(), Some(2));
/// assert_eq!(error.to_string(), "item 2 failed: invalid digit found in string");
/// match error {
///     TryError::Item { error, .. } => assert_eq!(error, "x".parse::<u32>().unwrap_err()),
///     other => panic!("{other}"),
/// }
/// ```
#[non_exhaustive]
pub enum TryError<E> {
    /// The function returned an error.
    #[non_exhaustive]
    Item {
        /// Index of the item in the input.
        item: usize,
        /// The error that the function returned.
        error: E,
        #[doc(hidden)]
        shown: Shown<E>,
    },
    /// The function panicked, and the panic was collected. Only a [`Failure`](crate::Failure)
    /// becomes this: a panic that is not collected goes on.
    #[non_exhaustive]
    Panic {
        /// Index of the item in the input.
        item: usize,
        /// The panic, with its payload.
        panic: Panicked,
    },
    /// The run itself failed.
    Run(Error),
}

impl<E> TryError<E> {
    pub(crate) fn of_item(item: usize, error: E) -> Self {
        Self::Item { item, error, shown: Shown(None) }
    }

    /// The same error with the function's own as its [`source`](StdError::source), for code that
    /// follows the chain of sources, as anyhow does.
    ///
    /// The text then names the item alone, so that no part of the chain has the text of another.
    /// `{:#}` gives the whole chain in one line.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::error::Error;
    /// use std::io;
    ///
    /// use amorsize::{TryError, batched};
    ///
    /// #[batched]
    /// fn read(path: &str) -> io::Result<String> {
    ///     std::fs::read_to_string(path)
    /// }
    ///
    /// fn read_all(paths: &[&'static str]) -> Result<Vec<String>, Box<dyn Error>> {
    ///     Ok(read_batched(paths.iter().copied()).try_collect().map_err(TryError::with_source)?)
    /// }
    /// let error = read_all(&["/no/such/file"]).unwrap_err();
    /// assert_eq!(error.to_string(), "item 0 failed");
    /// let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
    /// assert_eq!(cause.kind(), io::ErrorKind::NotFound);
    /// ```
    #[must_use]
    pub fn with_source<By>(self) -> Self
    where
        E: ErrorSource<By>,
    {
        match self {
            Self::Item { item, error, .. } => Self::Item { item, error, shown: Shown(Some(E::as_source)) },
            other => other,
        }
    }

    /// The run's own error, or `None` if the function failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let parse = || process_in_batches(str::parse::<u32>, ["1", "two"]);
    /// assert!(parse().try_collect::<Vec<_>>().unwrap_err().run_error().is_none());
    /// let refused = parse().threads(0).try_collect::<Vec<_>>().unwrap_err();
    /// assert!(refused.run_error().unwrap().is_invalid_option());
    /// ```
    #[must_use]
    pub fn run_error(&self) -> Option<&Error> {
        match self {
            Self::Run(error) => Some(error),
            _ => None,
        }
    }

    /// True if the results, or a single one, did not fit the budget.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(|x: u64| u32::try_from(x), 0..1_000_000).max_memory("1MiB");
    /// assert!(run.try_collect::<Vec<_>>().unwrap_err().is_over_budget());
    /// ```
    #[must_use]
    pub fn is_over_budget(&self) -> bool {
        self.run_error().is_some_and(Error::is_over_budget)
    }

    /// True if the run's token was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{CancelToken, process_in_batches};
    /// let token = CancelToken::new();
    /// token.cancel();
    /// let mut run = process_in_batches(str::parse::<u32>, ["1", "2"]).cancel_token(&token);
    /// assert!(run.try_collect::<Vec<_>>().unwrap_err().is_cancelled());
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.run_error().is_some_and(Error::is_cancelled)
    }

    /// True if the run's deadline passed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(str::parse::<u32>, ["1", "2"]).timeout(Duration::ZERO);
    /// assert!(run.try_collect::<Vec<_>>().unwrap_err().is_timed_out());
    /// ```
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        self.run_error().is_some_and(Error::is_timed_out)
    }

    /// Index in the input of the item that the error is about, if it is about one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let error = process_in_batches(str::parse::<u32>, ["1", "two"]).try_collect::<Vec<_>>().unwrap_err();
    /// assert_eq!(error.item(), Some(1));
    /// ```
    #[must_use]
    pub fn item(&self) -> Option<usize> {
        match self {
            Self::Item { item, .. } | Self::Panic { item, .. } => Some(*item),
            Self::Run(error) => error.item(),
        }
    }

    /// The function's own error, or one that `of_run` makes from the run's. For callers that return
    /// the function's error type.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    ///
    /// use amorsize::batched;
    ///
    /// #[batched]
    /// fn read(path: &str) -> io::Result<String> {
    ///     std::fs::read_to_string(path)
    /// }
    ///
    /// fn read_all(paths: &[&'static str]) -> io::Result<Vec<String>> {
    ///     read_batched(paths.iter().copied()).try_collect().map_err(|error| error.into_error(io::Error::other))
    /// }
    /// assert_eq!(read_all(&["/no/such/file"]).unwrap_err().kind(), io::ErrorKind::NotFound);
    /// ```
    #[must_use]
    pub fn into_error(self, of_run: impl FnOnce(Error) -> E) -> E {
        match self {
            Self::Item { error, .. } => error,
            Self::Run(error) => of_run(error),
            Self::Panic { item, panic } => of_run(Error::of_panic(item, &panic)),
        }
    }

    /// The function's own error, or `None` if the run itself failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let error = process_in_batches(str::parse::<u32>, ["1", "two"]).try_collect::<Vec<_>>().unwrap_err();
    /// assert_eq!(error.into_item_error(), "two".parse::<u32>().err());
    /// ```
    #[must_use]
    pub fn into_item_error(self) -> Option<E> {
        match self {
            Self::Item { error, .. } => Some(error),
            Self::Panic { .. } | Self::Run(_) => None,
        }
    }
}

impl Error {
    fn of_panic(item: usize, panic: &Panicked) -> Self {
        Self::new(ErrorKind::Panicked { item, message: panic.message().map(str::to_owned) })
    }
}

/// If a function can't fail, only the run's own errors and its panics are left.
impl From<TryError<Infallible>> for Error {
    fn from(error: TryError<Infallible>) -> Self {
        match error {
            TryError::Run(error) => error,
            TryError::Panic { item, panic } => Self::of_panic(item, &panic),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for TryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item { item, error, .. } => f.debug_struct("Item").field("item", item).field("error", error).finish(),
            Self::Panic { item, panic } => f.debug_struct("Panic").field("item", item).field("panic", panic).finish(),
            Self::Run(error) => f.debug_tuple("Run").field(error).finish(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for TryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item { item, error, shown: Shown(None) } => write_failed(*item, error, f),
            Self::Item { item, error, shown: Shown(Some(as_source)) } => {
                write!(f, "item {item} failed")?;
                if f.alternate() {
                    iter::successors(Some(as_source(error)), |error| (*error).source())
                        .try_for_each(|error| write!(f, ": {error}"))?;
                }
                Ok(())
            }
            Self::Panic { item, panic } => write!(f, "item {item} {panic}"),
            Self::Run(error) => error.fmt(f),
        }
    }
}

// For every error that can be shown, so that a function may also fail with a `String` and its
// caller can still use `?`. Only some of these types can be a source: see `with_source`.
impl<E: fmt::Debug + fmt::Display> StdError for TryError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Item { error, shown: Shown(Some(as_source)), .. } => Some(as_source(error)),
            _ => None,
        }
    }
}

impl<E> From<Error> for TryError<E> {
    fn from(error: Error) -> Self {
        Self::Run(error)
    }
}

/// Compares with the function's own error.
impl<E: PartialEq> PartialEq<E> for TryError<E> {
    fn eq(&self, other: &E) -> bool {
        matches!(self, Self::Item { error, .. } if error == other)
    }
}

impl From<TryError<io::Error>> for io::Error {
    fn from(error: TryError<io::Error>) -> Self {
        error.into_error(Self::from)
    }
}

impl From<TryError<String>> for String {
    fn from(error: TryError<String>) -> Self {
        error.to_string()
    }
}
