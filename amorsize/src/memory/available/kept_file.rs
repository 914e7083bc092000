//! Files of the kernel that are read again and again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::system::page_faults::PAGE;

/// A file that the first read opens and then keeps open: opening takes several times as long as
/// reading.
///
/// The kernel writes its figures anew for each read at position 0, in procfs and in cgroupfs. A
/// file under `/proc/self` stays with the process that opened it: a child made by `fork` without
/// `exec` has to open its own.
#[derive(Debug)]
pub(super) struct KeptFile {
    path: PathBuf,
    state: State,
}

#[derive(Debug)]
enum State {
    Unopened,
    Open(File),
    /// No further read tries it again.
    Missing,
}

/// A buffer for a file's text.
#[derive(Debug, Default)]
pub(super) struct Buffer(Vec<u8>);

impl KeptFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, state: State::Unopened }
    }

    /// The file's present bytes, or `None` if it doesn't exist or can't be read.
    pub(super) fn bytes<'b>(&mut self, buffer: &'b mut Buffer) -> Option<&'b [u8]> {
        if matches!(self.state, State::Unopened) {
            match File::open(&self.path) {
                Ok(file) => self.state = State::Open(file),
                // Any other error may pass, such as too many open files, and must not lose a limit
                // for good.
                Err(error) => {
                    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
                    if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) {
                        self.state = State::Missing;
                    }
                }
            }
        }
        let State::Open(file) = &self.state else { return None };
        let buffer = &mut buffer.0;
        if buffer.is_empty() {
            // The longest file, `memory.stat`, has 2 KiB. A longer one makes the buffer grow.
            buffer.resize(PAGE as usize, 0);
        }
        loop {
            // These files come in one piece, so one that leaves room in the buffer has ended.
            let length = file.read_at(buffer, 0).ok()?;
            if length < buffer.len() {
                return Some(&buffer[..length]);
            }
            buffer.resize(2 * length, 0);
        }
    }

    /// The present text of the file.
    pub(super) fn text<'b>(&mut self, buffer: &'b mut Buffer) -> Option<&'b str> {
        std::str::from_utf8(self.bytes(buffer)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("amorsize-kept-{name}-{}", std::process::id()))
    }

    #[test]
    fn each_read_sees_what_is_there_now() {
        let path = temporary("now");
        fs::write(&path, "first").unwrap();
        let (mut file, mut buffer) = (KeptFile::new(path.clone()), Buffer::default());
        assert_eq!(file.text(&mut buffer), Some("first"));
        fs::write(&path, "2nd").unwrap();
        assert_eq!(file.text(&mut buffer), Some("2nd"));
        let long = "a line\n".repeat(PAGE as usize);
        fs::write(&path, &long).unwrap();
        assert_eq!(file.text(&mut buffer), Some(&*long));
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(file.text(&mut buffer), None);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_is_no_file_is_none() {
        let mut buffer = Buffer::default();
        assert_eq!(KeptFile::new(temporary("none")).text(&mut buffer), None);
        assert_eq!(KeptFile::new(std::env::temp_dir()).text(&mut buffer), None);
    }
}
