//! Removes a directory so that a kill or a failure in between leaves all of it or nothing.
//!
//! A part of its segments would be worse than nothing: the sink of a journal has more than they
//! tell. So the manifest gets another name first, and then nothing in the directory counts. The
//! next run removes what is left.

use std::fs;
use std::io;
use std::path::Path;

use super::found::segments;
use super::manifest::REMOVED;
use super::segment;
use crate::error::Error;
use crate::error::stored::{MANIFEST, storage};
use crate::system::paths::sync_directory;

/// Makes everything in a locked directory count as removed. If that fails, all of it counts as
/// before.
pub(super) fn begin(directory: &Path) -> Result<(), Error> {
    let path = directory.join(MANIFEST);
    fs::rename(&path, directory.join(REMOVED)).map_err(|error| failed(&path, &error))
}

/// Removes what no longer counts from a locked directory, except for the lock and for files that
/// are not a run's.
pub(super) fn finish(directory: &Path) -> Result<(), Error> {
    let removed = directory.join(REMOVED);
    let is_there = |path: &Path| path.try_exists().map_err(|error| failed(path, &error));
    if !is_there(&removed)? {
        return Ok(());
    }
    // After a power cut a new manifest may be there with the old one, whose segments are gone.
    if !is_there(&directory.join(MANIFEST))? {
        // Otherwise a power cut could bring the manifest's name back, without its segments.
        sync(directory)?;
        for number in segments(directory)? {
            let path = directory.join(segment::name(number));
            fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
        }
        // And here the segments, without the name that says that they don't count.
        sync(directory)?;
    }
    fs::remove_file(&removed).map_err(|error| failed(&removed, &error))
}

/// Removes a locked directory in which no run is left. If it has other files, it stays.
pub(super) fn of_directory(directory: &Path) -> Result<(), Error> {
    finish(directory)?;
    let lock = directory.join("lock");
    // The last, since another run may begin from here on.
    fs::remove_file(&lock).map_err(|error| failed(&lock, &error))?;
    match fs::remove_dir(directory) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => {
            Err(failed(directory, &error))
        }
        _ => Ok(()),
    }
}

fn sync(directory: &Path) -> Result<(), Error> {
    sync_directory(directory).map_err(|error| storage(directory, "synced", &error, None, None))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    storage(path, "removed", error, None, None)
}
