//! The directory that the tasks share: names, and files that are written once.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use twox_hash::XxHash3_64;

use super::ArrayError;
use crate::system::paths::sync_directory;

/// The end of the names of files that are not in place yet. The process that gathers removes those
/// that are left.
const NEW: &str = ".new";
/// The end of the names of files with results.
pub(super) const PART: &str = ".part";
/// The file that says which frames are a task's results.
pub(super) const DONE: &str = "done";
/// The file with the identity of all results.
const ARRAY: &str = "array.json";

/// The directory of an array.
#[derive(Clone, Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn array(&self) -> PathBuf {
        self.0.join(ARRAY)
    }

    /// The folder of a task's results.
    pub(super) fn task(&self, task: usize) -> PathBuf {
        self.0.join(format!("{task:05}"))
    }

    pub(super) fn done(&self, task: usize) -> PathBuf {
        self.task(task).join(DONE)
    }

    /// Makes the directory of a task, so that it survives a power cut.
    pub(super) fn make_task(&self, task: usize) -> Result<PathBuf, ArrayError> {
        let path = self.task(task);
        fs::create_dir_all(&path).map_err(|error| ArrayError::io(&path, "made", error))?;
        sync_directory(&self.0).map_err(|error| ArrayError::io(&self.0, "synced", error))?;
        Ok(path)
    }

    /// True if there are results of any task. Other programs name folders by numbers, too.
    pub(super) fn has_tasks(&self) -> Result<bool, ArrayError> {
        let is_number = |name: &&String| name.len() >= 5 && name.bytes().all(|byte| byte.is_ascii_digit());
        for name in names(&self.0)?.iter().filter(is_number) {
            if names(&self.0.join(name))?.iter().any(|name| name == DONE || is_part(name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The tasks without results.
    pub(super) fn missing(&self, tasks: usize) -> Result<Vec<usize>, ArrayError> {
        let mut missing = Vec::new();
        for task in 0..tasks {
            let path = self.done(task);
            match fs::metadata(&path) {
                Ok(_) => {}
                Err(error) if is_missing(&error) => missing.push(task),
                Err(error) => return Err(ArrayError::io(&path, "read", error)),
            }
        }
        Ok(missing)
    }
}

/// True for the name of a file with results.
pub(super) fn is_part(name: &str) -> bool {
    name.strip_suffix(PART).is_some_and(is_random)
}

/// True for the name of a file that is not in place yet. Other files may have the same end.
pub(super) fn is_new(name: &str) -> bool {
    name.strip_suffix(NEW).is_some_and(is_random)
}

/// True for a text such as [`random_name`] draws.
fn is_random(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// True if a file is not there.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The names in a directory in order; none if it is missing.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, ArrayError> {
    let failed = |error| ArrayError::io(directory, "listed", error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// 128 random bits as text, which no other process on any machine draws: the standard library's
/// hash maps have keys that the system drew.
pub(super) fn random_name() -> String {
    let draw = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", draw(), draw())
}

/// Writes a file with a checksum, completely or not at all, and never replaces another one. False
/// if another file has the name already, which then stays.
pub(super) fn write_once(path: &Path, object: &Value) -> Result<bool, ArrayError> {
    let (directory, name) = (path.parent().unwrap_or(path), random_name());
    let new = directory.join(name + NEW);
    let put = File::options()
        .write(true)
        .create_new(true)
        .open(&new)
        .and_then(|mut file| file.write_all(sealed(object).as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| ArrayError::io(&new, "written", error))
        .and_then(|()| {
            put_in_place(&new, path, &|from, to| fs::hard_link(from, to))
                .map_err(|error| ArrayError::io(path, "put in place", error))
        });
    // A file that stays is a leftover.
    _ = fs::remove_file(&new);
    let was_first = put?;
    sync_directory(directory).map_err(|error| ArrayError::io(directory, "synced", error))?;
    Ok(was_first)
}

/// Gives a file its name, unless another one has it.
fn put_in_place(new: &Path, path: &Path, link: &dyn Fn(&Path, &Path) -> io::Result<()>) -> io::Result<bool> {
    let Err(error) = link(new, path) else { return Ok(true) };
    // With NFS the answer to a call that succeeded may be lost, and its repetition fails.
    if links(new) == Some(2) {
        return Ok(true);
    }
    match error.kind() {
        io::ErrorKind::AlreadyExists => Ok(false),
        // Whatever the error is: the file that was first may have had this one removed, as a
        // leftover.
        _ if fs::metadata(path).is_ok() => Ok(false),
        // Some file systems have no links. There the later one of two attempts replaces the other.
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::TooManyLinks => {
            fs::rename(new, path).map(|()| true).map_err(|_| error)
        }
        _ => Err(error),
    }
}

#[cfg(unix)]
fn links(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;

    fs::metadata(path).ok().map(|told| told.nlink())
}

#[cfg(not(unix))]
fn links(_path: &Path) -> Option<u64> {
    None
}

/// The text between the other keys of a file and its checksum.
const SEAL: &str = ",\n  \"checksum\": \"";

/// An object as JSON, one key in a line; its last key is the XXH3-64 of everything before it.
fn sealed(object: &Value) -> String {
    let keys = object.as_object().into_iter().flatten();
    let lines: Vec<_> = keys.map(|(key, value)| format!("  \"{key}\": {value}")).collect();
    let body = format!("{{\n{}", lines.join(",\n"));
    format!("{body}{SEAL}{:016x}\"\n}}\n", XxHash3_64::oneshot(body.as_bytes()))
}

/// Reads a file that [`write_once`] wrote; `None` if it is missing. A file that is not as it was
/// written is damaged.
pub(super) fn read_once(path: &Path, task: Option<usize>) -> Result<Option<Value>, ArrayError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(ArrayError::io(path, "read", error)),
    };
    let object = std::str::from_utf8(&bytes).ok().and_then(|text| {
        let (body, _) = text.rsplit_once(SEAL)?;
        let object: Value = serde_json::from_str(text).ok()?;
        let expected = format!("{body}{SEAL}{:016x}\"\n}}\n", XxHash3_64::oneshot(body.as_bytes()));
        (expected == text).then_some(object)
    });
    object.map(Some).ok_or_else(|| ArrayError::Damaged { path: path.to_owned(), offset: 0, task })
}

#[cfg(all(test, unix))]
mod tests {
    use serde_json::json;

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("amorsize-array-{}", random_name()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn the_first_of_two_stands() {
        let folder = Scratch::new();
        let path = folder.0.join("done");
        assert!(write_once(&path, &json!({"a": 1})).unwrap());
        assert!(!write_once(&path, &json!({"a": 2})).unwrap());
        assert_eq!(read_once(&path, None).unwrap().unwrap()["a"], 1);
        assert_eq!(names(&folder.0).unwrap(), ["done"]);
        assert!(read_once(&folder.0.join("other"), None).unwrap().is_none());
    }

    #[test]
    fn a_link_that_failed_may_have_been_made() {
        let folder = Scratch::new();
        let (new, path) = (folder.0.join("new"), folder.0.join("done"));
        fs::write(&new, "ours").unwrap();
        let made = put_in_place(&new, &path, &|from, to| {
            fs::hard_link(from, to).unwrap();
            Err(io::ErrorKind::AlreadyExists.into())
        });
        assert!(made.unwrap());
        // A file of another attempt is not ours.
        let other = folder.0.join("other");
        fs::write(&other, "ours, too").unwrap();
        let lost = put_in_place(&other, &path, &|_, _| Err(io::ErrorKind::AlreadyExists.into()));
        assert!(!lost.unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "ours");
    }

    #[test]
    fn an_attempt_that_lost_its_file_to_one_that_was_first_ends_well() {
        let folder = Scratch::new();
        let (new, path) = (folder.0.join("new"), folder.0.join("done"));
        fs::write(&new, "late").unwrap();
        // Another one was first, and removed the leftovers.
        let lost = put_in_place(&new, &path, &|from, to| {
            fs::write(to, "first").unwrap();
            fs::remove_file(from).unwrap();
            fs::hard_link(from, to)
        });
        assert!(!lost.unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        fs::remove_file(&path).unwrap();
        let gone = put_in_place(&new, &path, &|from, to| fs::hard_link(from, to));
        assert_eq!(gone.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn without_links_files_are_renamed_and_other_errors_are_told() {
        let folder = Scratch::new();
        let (new, path) = (folder.0.join("new"), folder.0.join("done"));
        for kind in [io::ErrorKind::Unsupported, io::ErrorKind::PermissionDenied, io::ErrorKind::TooManyLinks] {
            let refuse = |_: &Path, _: &Path| -> io::Result<()> { Err(kind.into()) };
            fs::write(&new, "first").unwrap();
            assert!(put_in_place(&new, &path, &refuse).unwrap());
            assert_eq!(fs::read_to_string(&path).unwrap(), "first");
            fs::write(&new, "second").unwrap();
            assert!(!put_in_place(&new, &path, &refuse).unwrap());
            fs::remove_file(&path).unwrap();
        }
        let full = put_in_place(&new, &path, &|_, _| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(!path.exists());
    }

    #[test]
    fn every_changed_byte_is_seen() {
        let folder = Scratch::new();
        let path = folder.0.join("done");
        write_once(&path, &json!({"a": "text", "b": [1, 2]})).unwrap();
        let whole = fs::read(&path).unwrap();
        let is_damaged = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            matches!(read_once(&path, Some(3)), Err(ArrayError::Damaged { task: Some(3), .. }))
        };
        for at in 0..whole.len() {
            for flip in [1, 0x20, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                assert!(is_damaged(&bytes), "{at} {flip}");
            }
            assert!(is_damaged(&whole[..at]), "{at}");
        }
        assert!(!is_damaged(&whole));
    }

    #[test]
    fn names_are_drawn() {
        let (one, other) = (random_name(), random_name());
        assert!(one.len() == 32 && other.len() == 32 && one != other);
    }
}
