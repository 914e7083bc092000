//! The lock of a directory. It is the kernel's, and ends with its holder's process, however that
//! ends. The file alone is no sign that a directory is in use.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::error::stored::storage;
use crate::error::{Error, ErrorKind};
use crate::system::paths::{Tries, is_at};
use crate::system::process::Maker;

/// Held while a run uses a directory.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    maker: Maker,
}

impl Lock {
    /// Locks a directory. A missing one is made.
    pub(crate) fn take(directory: &Path) -> Result<Self, Error> {
        Self::take_with(directory, || ())
    }

    /// `opened` is called between opening the file and locking it, for tests.
    pub(super) fn take_with(directory: &Path, mut opened: impl FnMut()) -> Result<Self, Error> {
        let path = directory.join("lock");
        let failed = |operation, error: &io::Error| storage(&path, operation, error, None, None);
        let mut tries = Tries::default();
        // Another directory may take this one's place between the two calls. Then the lock would be
        // that of a file which nobody else finds.
        loop {
            match fs::create_dir_all(directory) {
                Ok(()) => {}
                Err(error) if tries.is_gone(&error) => continue,
                Err(error) => return Err(storage(directory, "made", &error, None, None)),
            }
            // To open a pipe is to wait for its reader.
            if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
                let cause = "it is no regular file; move it away, or use another directory";
                return Err(failed("opened", &io::Error::new(io::ErrorKind::InvalidInput, cause)));
            }
            let file = match File::options().write(true).create(true).truncate(false).open(&path) {
                Ok(file) => file,
                Err(error) if tries.is_gone(&error) => continue,
                Err(error) => return Err(failed("opened", &with_advice(error))),
            };
            opened();
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(ErrorKind::CheckpointBusy { directory: directory.to_owned() }));
                }
                Err(TryLockError::Error(error)) => return Err(failed("locked", &error)),
            }
            if tries.is_at(&file, &path).map_err(|error| failed("locked", &error))? {
                return Ok(Self { file, maker: Maker::this_process() });
            }
        }
    }

    /// Fails if the directory under this path is no longer the one that is locked, and in a child
    /// made by `fork`.
    pub(super) fn check(&self, directory: &Path) -> io::Result<()> {
        self.maker.check()?;
        if is_at(&self.file, &directory.join("lock"))? {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "another directory has taken its place; use one that no other run has",
        ))
    }
}

/// Tells how the results can be read where nothing may be written.
fn with_advice(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            let advice =
                "allow that or use another directory; `Spilled::open` reads a checkpoint's results and writes nothing";
            io::Error::new(error.kind(), format!("{error}; a run has to write there: {advice}"))
        }
        _ => error,
    }
}

/// Unlocks at once, and doesn't leave it to the closing of the file: a child process that another
/// thread has just forked has the file open too, until it runs its program.
impl Drop for Lock {
    fn drop(&mut self) {
        // A child made by `fork` would unlock it for its parent.
        if self.maker.is_this_process() {
            // If this fails, the lock ends when the file is closed.
            self.file.unlock().ok();
        }
    }
}
