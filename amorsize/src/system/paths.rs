//! Paths that stay the same when the program changes its current directory.

use std::path::PathBuf;

/// The path from the root of the file system. A path that a run keeps must be that: the current
/// directory is the process's, and user code may change it between two uses of the path.
///
/// The path stays as it is if it is empty, or if the current directory can't be read.
pub(crate) fn absolute(path: impl Into<PathBuf>) -> PathBuf {
    let path = path.into();
    std::path::absolute(&path).unwrap_or(path)
}
