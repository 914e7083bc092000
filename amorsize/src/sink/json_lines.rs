use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use serde::Serialize;

use super::partial::{End, Partial};
use super::{FileError, Sink};
use crate::error::{Error, ErrorKind};
use crate::output::batch::Batch;

/// Writes each result as a line of JSON, in input order.
///
/// The file gets its name when the run has ended and all results are in it; until then it is
/// `path.partial`. See the [module](crate::sink) for files that exist already.
///
/// Results have to be `serde::Serialize`. A number without a text in JSON, such as NaN, becomes
/// `null`. Beside the results a sink holds 64 KiB and a line.
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
/// use amorsize::sink::JsonLines;
///
/// # let directory = std::env::temp_dir().join(format!("amorsize-json-lines-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).unwrap();
/// # let path = directory.join("words.jsonl");
/// process_in_batches(|word: &str| (word.len(), word.to_uppercase()), ["to", "be"]).write_to(JsonLines::new(&path))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "[2,\"TO\"]\n[2,\"BE\"]\n");
/// # std::fs::remove_dir_all(directory).unwrap();
/// # Ok::<(), amorsize::Error>(())
/// ```
///
/// A run that ends early goes on with the same sink:
///
/// ```
/// use amorsize::sink::JsonLines;
/// use amorsize::{on_error::Stop, process_in_batches};
///
/// # let directory = std::env::temp_dir().join(format!("amorsize-json-lines-again-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).unwrap();
/// # let path = directory.join("numbers.jsonl");
/// let mut sink = JsonLines::new(&path);
/// let mut run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Stop);
/// assert_eq!(run.write_to(&mut sink).unwrap_err().item(), Some(1));
/// assert!(!path.exists());
/// run.write_to(&mut sink).unwrap();
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n3\n");
/// # std::fs::remove_dir_all(directory).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a sink writes nothing until it is given to `write_to`"]
pub struct JsonLines {
    file: Partial,
}

impl JsonLines {
    /// A sink that writes a file. Nothing is opened yet. A relative path starts at the directory
    /// that is current now.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::sink::JsonLines;
    ///
    /// let sink = JsonLines::new("results.jsonl");
    /// # let _ = sink;
    /// ```
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { file: Partial::new(path.into()) }
    }
}

#[diagnostic::do_not_recommend]
impl<R: Serialize> Sink<R> for JsonLines {
    type Error = FileError;

    fn batch(&mut self, batch: Batch<R>) -> Result<(), FileError> {
        self.write(&batch).map_err(FileError)
    }

    fn finish(&mut self) -> Result<(), FileError> {
        self.file.finish().map_err(FileError)
    }

    fn begin(&mut self) -> Result<(), FileError> {
        self.file.begin().map_err(FileError)
    }

    fn pause(&mut self) -> Result<(), FileError> {
        self.file.pause(|_| Ok(End::default())).map_err(FileError)
    }

    fn place(&mut self) -> Option<u64> {
        // A file that can't be synced is broken, and says so from then on.
        self.file.place().ok()
    }

    fn go_back(&mut self, place: u64) -> Result<(), FileError> {
        self.file.go_back(place).map_err(FileError)
    }
}

/// Only JSON that was text before has line breaks between its values.
const BREAKS: &str = "its JSON has line breaks, and each line of the file is a result; give a `RawValue` as a \
                      `serde_json::Value`, or without line breaks";

impl JsonLines {
    fn write<R: Serialize>(&mut self, batch: &Batch<R>) -> Result<(), Error> {
        // If the disk is full, all lines wait: the run goes on behind this batch.
        let mut outcome = Ok(());
        for (at, result) in batch.iter().enumerate() {
            let lines = self.file.waiting()?;
            let start = lines.len();
            let written = catch_unwind(AssertUnwindSafe(|| serde_json::to_writer(&mut *lines, result)));
            let (cause, panic) = match written {
                Ok(Ok(())) if lines[start..].contains(&b'\n') => (Some(BREAKS.into()), None),
                Ok(Ok(())) => (None, None),
                Ok(Err(error)) => (Some(error.to_string()), None),
                Err(payload) => (Some("its `Serialize` panicked".into()), Some(payload)),
            };
            if let Some(cause) = cause {
                lines.truncate(start);
                let error = self.file.break_by(ErrorKind::Unwritable {
                    path: self.file.path().to_owned(),
                    item: batch.indices().nth(at),
                    column: None,
                    cause,
                });
                if let Some(payload) = panic {
                    // Nobody pauses a sink that panics.
                    let _ = self.file.pause(|_| Ok(End::default()));
                    resume_unwind(payload);
                }
                return Err(error);
            }
            lines.push(b'\n');
            if outcome.is_ok() {
                outcome = self.file.write_if_much();
            }
        }
        outcome.and_then(|()| self.file.write())
    }
}
