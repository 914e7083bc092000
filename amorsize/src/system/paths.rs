//! Paths that stay the same when the program changes its current directory, and the files under
//! them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The path from the root of the file system. A path that a run keeps must be that: the current
/// directory is the process's, and user code may change it between two uses of the path.
///
/// The path stays as it is if it is empty, or if the current directory can't be read.
pub(crate) fn absolute(path: impl Into<PathBuf>) -> PathBuf {
    let path = path.into();
    std::path::absolute(&path).unwrap_or(path)
}

/// True if the path leads to this file.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (ours, there) = (file.metadata()?, std::fs::metadata(path)?);
        Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }
    // On other systems the standard library does not tell.
    #[cfg(not(unix))]
    return path.try_exists().and(file.metadata()).map(|_| true);
}

/// Counts the tries to open the file under a path, which another run may remove or replace between
/// two calls.
#[derive(Debug, Default)]
pub(crate) struct Tries(usize);

impl Tries {
    /// More than this is no chance, but a path that leads to nowhere, or a file system that never
    /// tells one file twice.
    const MOST: usize = 100;

    /// True if the path leads to this file; false if it must be opened once more.
    pub(crate) fn is_at(&mut self, file: &File, path: &Path) -> io::Result<bool> {
        match is_at(file, path) {
            Ok(false) if !self.may_go_on() => Err(io::Error::other(
                "each time that it was opened, another file was under its path; use a path on another file system",
            )),
            Err(error) if self.is_gone(&error) => Ok(false),
            outcome => outcome,
        }
    }

    /// True if something has just been removed or made, and another try may help.
    pub(crate) fn is_gone(&mut self, error: &io::Error) -> bool {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) && self.may_go_on()
    }

    fn may_go_on(&mut self) -> bool {
        self.0 += 1;
        self.0 < Self::MOST
    }
}

/// Makes sure that a power cut does not take the names of a directory's new files.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    // Other systems can't open a directory, or need no sync of it.
    if !cfg!(unix) {
        return Ok(());
    }
    // That of a file without a directory in its path is empty.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match File::open(path)?.sync_all() {
        // Some file systems can't do it.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}
