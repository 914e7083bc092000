//! The directory for spilled results.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::error::stored::storage;
use crate::system::paths::absolute;

/// The stated directory, or the one for large temporary files: `$TMPDIR`, else `/var/tmp`. The
/// latter need not be cleared at a restart of the system, and so is on a disk. A directory in
/// memory is refused unless it was stated: results spilled to it take the memory that the spill
/// should free.
pub(crate) fn directory(stated: Option<&Path>) -> Result<PathBuf, Error> {
    let directory = match stated {
        Some(stated) => stated.to_owned(),
        None => absolute(by_default()),
    };
    if stated.is_none() && is_memory(&directory) {
        return Err(Error::invalid_option(
            "spill_dir",
            format!("`{}`, which is memory (tmpfs or ramfs)", directory.display()),
            "a directory on a disk, or set the environment variable `TMPDIR` to one",
        ));
    }
    // Checked now rather than when memory is full.
    let cause = match directory.metadata() {
        Ok(found) if found.is_dir() => return Ok(directory),
        Ok(_) => io::ErrorKind::NotADirectory.into(),
        Err(error) => error,
    };
    let told = if stated.is_none() && of_environment().is_some() {
        format!("{cause}, by the environment variable `TMPDIR`; set that to another directory, or state `spill_dir`")
    } else {
        format!("{cause}; state another directory by `spill_dir`")
    };
    let cause = io::Error::new(cause.kind(), told);
    Err(storage(&directory, "used", &cause, None, None))
}

fn of_environment() -> Option<OsString> {
    std::env::var_os("TMPDIR").filter(|directory| !directory.is_empty())
}

fn by_default() -> PathBuf {
    match of_environment() {
        Some(directory) => PathBuf::from(directory),
        None if cfg!(unix) && Path::new("/var/tmp").is_dir() => PathBuf::from("/var/tmp"),
        None => std::env::temp_dir(),
    }
}

/// True if the directory is on a file system in memory.
#[cfg(target_os = "linux")]
pub(crate) fn is_memory(directory: &Path) -> bool {
    /// From linux/magic.h: tmpfs, and ramfs, which is not even limited.
    const KINDS: [i128; 2] = [0x0102_1994, 0x8584_58f6];
    // The field has a different type on each architecture; the kernel's constants have 32 bits.
    rustix::fs::statfs(directory).is_ok_and(|told| KINDS.contains(&(i128::from(told.f_type) & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_memory(_: &Path) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_disks() {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let is_tmpfs = |directory: &str| mounts.contains(&format!(" {directory} tmpfs "));
        if is_tmpfs("/dev/shm") {
            assert!(is_memory(Path::new("/dev/shm")));
            assert_eq!(directory(Some(Path::new("/dev/shm"))).unwrap(), Path::new("/dev/shm"));
        }
        assert!(!is_memory(Path::new("/proc")));
        assert!(!is_memory(Path::new("/no/such/directory")));
    }
}
