use std::fmt;
use std::io;
use std::ops::Deref;

use crate::error::{Error, TryError};

/// The reason why a sink could not write its file: an [`Error`].
///
/// [`write_to`](crate::Batched::write_to) gives it as an error of the run, which is an [`Error`]
/// or, with [`Stop`](crate::on_error::Stop), a [`TryError`]. It has a type of its own so that it
/// can become either.
///
/// # Examples
///
/// ```
/// use amorsize::sink::{JsonLines, Sink};
///
/// let mut sink = JsonLines::new("/no/such/directory/results.jsonl");
/// let error = Sink::<u32>::begin(&mut sink).unwrap_err();
/// assert!(error.is_storage());
/// assert!(matches!(error.kind(), amorsize::ErrorKind::Storage { operation: "opened", .. }));
/// ```
pub struct FileError(pub(super) Error);

impl Deref for FileError {
    type Target = Error;

    fn deref(&self) -> &Error {
        &self.0
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for FileError {}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        error.0
    }
}

impl<E> From<FileError> for TryError<E> {
    fn from(error: FileError) -> Self {
        error.0.into()
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        error.0.into()
    }
}
