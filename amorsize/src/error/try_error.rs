//! The error of a run with a function that fails: the function's own error, or the run's.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::io;

use super::failure::Panicked;
use super::{Error, ErrorKind};

/// The reason why [`try_collect`](crate::Batched::try_collect) gave no collection: the function's
/// own first error by input order, or an error of the run.
///
/// Its text ends with the text of the function's error, and [`source`](StdError::source) gives
/// `None`. [`Item`](Self::Item) has the function's error, and [`run_error`](Self::run_error) gives
/// the run's.
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
#[derive(Debug)]
#[non_exhaustive]
pub enum TryError<E> {
    /// The function returned an error.
    #[non_exhaustive]
    Item {
        /// Index of the item in the input.
        item: usize,
        /// The error that the function returned.
        error: E,
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
            TryError::Item { error, .. } => match error {},
        }
    }
}

impl<E: fmt::Display> fmt::Display for TryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item { item, error } => write!(f, "item {item} failed: {error}"),
            Self::Panic { item, panic } => write!(f, "item {item} {panic}"),
            Self::Run(error) => error.fmt(f),
        }
    }
}

// For every error that can be shown, so that a function may also fail with a `String` and its
// caller can still use `?`. The text already has the cause's text, in place of a source, which only
// some of these types could be.
impl<E: fmt::Debug + fmt::Display> StdError for TryError<E> {}

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
        match error {
            TryError::Item { error, .. } => error,
            TryError::Run(error) => error.into(),
            other => io::Error::other(other.to_string()),
        }
    }
}

impl From<TryError<String>> for String {
    fn from(error: TryError<String>) -> Self {
        error.to_string()
    }
}
