//! What has changed since the run that a directory of results belongs to.

use std::fmt;

/// The difference between a run and the one that a directory belongs to, in
/// [`ErrorKind::CheckpointChanged`](crate::ErrorKind::CheckpointChanged).
///
/// # Examples
///
/// ```
/// use amorsize::Changed;
///
/// assert_eq!(Changed::Shared(String::from("width")).to_string(), "shared parameter `width`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Changed {
    /// The function: its path, or the tokens of its signature and body.
    Function,
    /// The option `version`.
    Version,
    /// A shared parameter, by its name.
    Shared(String),
    /// The type of results, or the shape of a stored result.
    Result,
    /// The type of items.
    Item,
    /// The width of pointers, or the order of bytes.
    Platform,
    /// The format of the files: with results, or only with the finished items.
    Format,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function => f.write_str("function"),
            Self::Version => f.write_str("`version`"),
            Self::Shared(name) => write!(f, "shared parameter `{name}`"),
            Self::Result => f.write_str("type of results"),
            Self::Item => f.write_str("type of items"),
            Self::Platform => f.write_str("platform"),
            Self::Format => f.write_str("format"),
        }
    }
}
