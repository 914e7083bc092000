//! A file that gets its name only once it is complete.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::stored::{PARTIAL, storage};
use crate::error::{Error, ErrorKind};
use crate::store::{BLOCK, free};
use crate::system::paths::{Tries, absolute, sync_directory};

#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    partial: PathBuf,
    state: State,
    /// The reason why nothing more may be written: bytes that should be in the file are missing.
    broken: Option<ErrorKind>,
}

#[derive(Debug)]
enum State {
    New,
    /// The finished file has the bytes before this place, and stays as it is until more is written.
    Whole(u64),
    Open(Open),
    Finished,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Bytes that were written and stay.
    len: u64,
    /// Bytes that follow them. If they could not be written, they wait for the next call.
    waiting: Vec<u8>,
    /// True if there are bytes behind `len` that don't stay.
    has_end: bool,
}

/// The end that makes a file readable.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) bytes: Vec<u8>,
    /// The offset of the last part of the file.
    pub(super) last_part: Option<u64>,
}

impl Partial {
    pub(super) fn new(path: PathBuf) -> Self {
        let path = absolute(path);
        let mut partial = OsString::from(&path);
        partial.push(".");
        partial.push(PARTIAL);
        Self { path, partial: partial.into(), state: State::New, broken: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file, or writes the bytes that still wait from the last time. Refuses to begin
    /// again once the file is finished.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        match self.state {
            State::Finished => Err(finished(&self.path)),
            _ => self.go_on(),
        }
    }

    fn go_on(&mut self) -> Result<(), Error> {
        self.open_new()?;
        self.write()
    }

    /// Opens the file, empty, unless it was opened before.
    fn open_new(&mut self) -> Result<(), Error> {
        self.check()?;
        if matches!(self.state, State::New) {
            self.check_paths()?;
            let file = self.open(&self.partial, true)?;
            file.set_len(0).map_err(|error| self.failed("cleared", &error))?;
            self.state = State::Open(Open { file, len: 0, waiting: Vec::new(), has_end: false });
        }
        Ok(())
    }

    /// Refuses what is no regular file: the finished one would take its place, such as that of a
    /// device.
    fn check_paths(&self) -> Result<(), Error> {
        const ADVICE: &str = "a sink writes regular files only: give it the path of one, or of none yet";
        let refuse = |path: &Path, kind, what: &str| {
            Err(storage(path, "written", &io::Error::new(kind, format!("{what}; {ADVICE}")), None, None))
        };
        if self.path.as_os_str().is_empty() {
            return refuse(&self.path, io::ErrorKind::InvalidInput, "the path is empty");
        }
        for path in [&self.path, &self.partial] {
            match path.symlink_metadata() {
                Ok(found) if found.is_dir() => return refuse(path, io::ErrorKind::IsADirectory, "it is a directory"),
                Ok(found) if found.is_symlink() => {
                    return refuse(path, io::ErrorKind::InvalidInput, "it is a symbolic link");
                }
                Ok(found) if !found.is_file() => {
                    return refuse(path, io::ErrorKind::InvalidInput, "it is a device, a pipe or a socket");
                }
                // An error here comes again when the file is opened, and is told there.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Cuts the file back to its first `place` bytes; opens it if another process wrote it.
    pub(super) fn go_back(&mut self, place: u64) -> Result<(), Error> {
        self.broken = None;
        if !matches!(self.state, State::Open(_)) {
            if place == 0 {
                self.state = State::New;
                return self.begin();
            }
            self.check_paths()?;
            // The last process had already given the file its name.
            if !self.partial.try_exists().map_err(|error| self.failed("opened", &error))? {
                self.check_whole(place)?;
                self.state = State::Whole(place);
                return Ok(());
            }
            let file = self.open(&self.partial, false)?;
            self.state = State::Open(Open { file, len: place, waiting: Vec::new(), has_end: true });
        }
        let State::Open(open) = &mut self.state else { unreachable!("it was opened") };
        match open.file.metadata() {
            Ok(found) if found.len() >= place => {}
            Ok(found) => {
                let cause = too_short(found.len(), place);
                self.state = State::New;
                return Err(self.failed("continued", &cause));
            }
            Err(error) => return Err(self.failed("opened", &error)),
        }
        (open.len, open.has_end) = (place, true);
        open.waiting.clear();
        let cut = open.cut();
        cut.map_err(|error| self.failed("cut", &error))
    }

    /// Refuses a finished file that lacks bytes before `place`.
    fn check_whole(&self, place: u64) -> Result<(), Error> {
        let cause = match fs::metadata(&self.path) {
            Ok(whole) if whole.len() >= place => return Ok(()),
            Ok(whole) => too_short(whole.len(), place),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let cause = format!(
                    "it is not there, nor is `{}`, and {place} bytes were written to it before; {LOST}",
                    self.partial.display()
                );
                io::Error::new(io::ErrorKind::NotFound, cause)
            }
            Err(error) => error,
        };
        Err(refused(&self.path, "continued", &cause, None))
    }

    /// Opens a copy of the finished file, which itself stays until the copy replaces it.
    fn open_whole(&mut self) -> Result<(), Error> {
        let State::Whole(place) = self.state else { return Ok(()) };
        match self.copy_whole(place) {
            Ok(file) => {
                self.state = State::Open(Open { file, len: place, waiting: Vec::new(), has_end: true });
                Ok(())
            }
            // Nobody keeps what was to be written. The sink must not go on without it.
            Err(error) => Err(self.break_by(error.kind().clone())),
        }
    }

    fn copy_whole(&self, place: u64) -> Result<File, Error> {
        let mut new = OsString::from(&self.partial);
        new.push(".new");
        let new = PathBuf::from(new);
        let failed = |path: &Path, operation, error: &io::Error| refused(path, operation, error, Some(place));
        let mut file = self.open(&new, true)?;
        let copied = File::open(&self.path)
            .and_then(|whole| file.set_len(0).and_then(|()| io::copy(&mut whole.take(place), &mut file)))
            .map_err(|error| failed(&self.path, "copied", &error))?;
        if copied < place {
            return Err(failed(&self.path, "continued", &too_short(copied, place)));
        }
        // Only a complete copy may have the name of the partial file, even after a power cut.
        file.sync_data().map_err(|error| failed(&new, "synced", &error))?;
        if self.partial.try_exists().map_err(|error| self.failed("opened", &error))? {
            // Another sink has begun meanwhile.
            return Err(Error::new(ErrorKind::CheckpointBusy { directory: self.partial.clone() }));
        }
        fs::rename(&new, &self.partial).map_err(|error| failed(&new, "renamed", &error))?;
        Ok(file)
    }

    /// The buffer for bytes that [`write`](Self::write) will write.
    pub(super) fn waiting(&mut self) -> Result<&mut Vec<u8>, Error> {
        self.open_new()?;
        self.open_whole()?;
        match &mut self.state {
            State::Open(open) => Ok(&mut open.waiting),
            _ => Err(finished(&self.path)),
        }
    }

    /// Writes the waiting bytes, if there are many.
    pub(super) fn write_if_much(&mut self) -> Result<(), Error> {
        match &self.state {
            State::Open(open) if open.waiting.len() >= BLOCK => self.write(),
            _ => Ok(()),
        }
    }

    /// Writes all waiting bytes or none.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        self.check()?;
        self.write_waiting()
    }

    fn write_waiting(&mut self) -> Result<(), Error> {
        let State::Open(open) = &mut self.state else { return Ok(()) };
        let needed = open.waiting.len() as u64;
        open.write().map_err(|error| refused(&self.partial, "written", &error, Some(needed)))
    }

    /// Makes the file readable, even if something is missing in it: writes the waiting bytes, as
    /// far as the disk has room, and an end, which the next bytes replace.
    ///
    /// `end` gives the end for a file of a length, and the offset of its last part. If there is no
    /// room for the end, that part is taken back and waits.
    pub(super) fn pause(&mut self, mut end: impl FnMut(u64) -> Result<End, Error>) -> Result<(), Error> {
        let mut outcome = self.write_waiting();
        loop {
            let State::Open(open) = &mut self.state else { return outcome };
            let End { bytes, last_part } = end(open.len)?;
            let Err(error) = open.write_end(&bytes) else { return outcome };
            outcome = Err(refused(&self.partial, "written", &error, Some(bytes.len() as u64)));
            let Some(last_part) = last_part else { return outcome };
            if let Err(error) = open.take_back(last_part) {
                return Err(self.failed("read", &error));
            }
        }
    }

    /// Writes the waiting bytes, and waits until the disk has them; gives the length of the file.
    pub(super) fn place(&mut self) -> Result<u64, Error> {
        self.go_on()?;
        match &self.state {
            State::Open(open) => match open.file.sync_data() {
                Ok(()) => Ok(open.len),
                Err(error) => Err(self.broken_by("synced", &error)),
            },
            State::Whole(place) => Ok(*place),
            _ => fs::metadata(&self.path).map(|file| file.len()).map_err(|error| self.failed("opened", &error)),
        }
    }

    /// Gives the file its name.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.go_on()?;
        if let State::Whole(place) = self.state {
            if fs::metadata(&self.path).is_ok_and(|whole| whole.len() == place) {
                return self.sync_name();
            }
            self.open_whole()?;
        }
        let State::Open(open) = &mut self.state else { return Ok(()) };
        if let Err(error) = open.cut() {
            return Err(self.failed("cut", &error));
        }
        if let Err(error) = open.file.sync_all() {
            return Err(self.broken_by("synced", &error));
        }
        let whole = State::Whole(open.len);
        fs::rename(&self.partial, &self.path).map_err(|error| self.failed("renamed", &error))?;
        // Until its name is on the disk too, the next call tries that again.
        self.state = whole;
        self.sync_name()
    }

    /// Finishes the file once the disk has its name.
    fn sync_name(&mut self) -> Result<(), Error> {
        let synced = self.path.parent().map_or(Ok(()), sync_directory);
        synced.map_err(|error| refused(&self.path, "renamed and synced", &error, None))?;
        self.state = State::Finished;
        Ok(())
    }

    /// Refuses everything from now on, because bytes that should be in the file are missing.
    pub(super) fn break_by(&mut self, kind: ErrorKind) -> Error {
        self.broken = Some(kind.clone());
        Error::new(kind)
    }

    fn check(&self) -> Result<(), Error> {
        self.broken.clone().map_or(Ok(()), |kind| Err(Error::new(kind)))
    }

    fn failed(&self, operation: &'static str, error: &io::Error) -> Error {
        refused(&self.partial, operation, error, None)
    }

    /// Refuses everything after a failed sync. It may have dropped bytes, and the next sync would
    /// succeed all the same.
    fn broken_by(&mut self, operation: &'static str, error: &io::Error) -> Error {
        let kind = self.failed(operation, error).kind().clone();
        self.break_by(kind)
    }

    /// Opens a file and locks it, without a change.
    fn open(&self, path: &Path, create: bool) -> Result<File, Error> {
        let failed = |error: &io::Error| refused(path, "opened", error, None);
        let mut tries = Tries::default();
        // Between the two calls another run may finish: then the file has another name.
        loop {
            let file = File::options().read(true).write(true).create(create).truncate(false).open(path);
            let file = file.map_err(|error| failed(&error))?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(ErrorKind::CheckpointBusy { directory: self.partial.clone() }));
                }
                // If the file system has no locks, nobody can be asked.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            if tries.is_at(&file, path).map_err(|error| failed(&error))? {
                return Ok(file);
            }
        }
    }
}

/// An error of the system about a sink's file.
fn refused(path: &Path, operation: &'static str, error: &io::Error, needed: Option<u64>) -> Error {
    storage(path, operation, error, needed, path.parent().and_then(free))
}

fn finished(path: &Path) -> Error {
    let cause = io::Error::new(io::ErrorKind::InvalidInput, "it is finished; make another sink for another run");
    storage(path, "written", &cause, None, None)
}

/// The end of an error about a file that lacks what an earlier process wrote.
const LOST: &str = "a run with a journal goes on from what was in it: give the sink the path that it had, put the file back, or \
                    remove the journal's directory to begin anew";

fn too_short(bytes: u64, place: u64) -> io::Error {
    let cause = format!("it has {bytes} bytes, and {place} were written to it before; {LOST}");
    io::Error::new(io::ErrorKind::UnexpectedEof, cause)
}

impl Open {
    fn write(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.cut()?;
        if let Err(error) = self.file.write_all(&self.waiting) {
            // Some of it may be in the file.
            self.has_end = true;
            let _ = self.cut();
            return Err(error);
        }
        self.len += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    fn write_end(&mut self, end: &[u8]) -> io::Result<()> {
        self.cut()?;
        self.has_end = !end.is_empty();
        self.file.write_all(end)
    }

    /// Takes the bytes from `start` on back, to be written later.
    fn take_back(&mut self, start: u64) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(start))?;
        (&mut self.file).take(self.len - start).read_to_end(&mut bytes)?;
        (self.len, self.has_end) = (start, true);
        bytes.append(&mut self.waiting);
        self.waiting = bytes;
        self.cut()
    }

    /// Cuts off the bytes behind those that stay.
    fn cut(&mut self) -> io::Result<()> {
        if self.has_end {
            self.file.set_len(self.len)?;
            self.file.seek(SeekFrom::Start(self.len))?;
            self.has_end = false;
        }
        Ok(())
    }
}
