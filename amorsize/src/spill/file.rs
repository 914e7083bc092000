//! Results in unnamed files, which the system removes with the process.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::runs::Runs;
use crate::error::failure::Ended;
use crate::error::stored::{over_max_disk, storage};
use crate::error::{Error, ErrorKind};
use crate::memory::budget::Ledger;
use crate::memory::credit::Credit;
use crate::store::{
    BLOCK, Buffers, FRAME, Head, KEPT_FRAMES, decode_nth, decode_some, decode_whole, encode, free, read_back,
};
use crate::units::ByteSize;

/// A frame may have this part of the budget, as it is in memory beside the results that wait.
const PART: u64 = 64;
/// A file ends at this number of bytes. It is removed at once when all its results were taken out.
const SEGMENT: u64 = 64 << 20;
/// A file may have this part of the bytes of all files, if that is more: so a TiB is in some 200
/// files, and not in more than a process may have open.
const SEGMENTS: u64 = 32;

/// Results that were written, and those that wait until they fill a frame.
#[derive(Debug)]
pub(crate) struct SpillFile {
    directory: PathBuf,
    max_disk: Option<u64>,
    /// `None` for a segment with results that were taken out.
    segments: Vec<Option<Segment>>,
    frames: Vec<Frame>,
    len: usize,
    frame_bytes: usize,
    /// Results that are not written yet.
    pending: Vec<u8>,
    runs: Runs,
    /// The bytes of the runs of all frames, which stay in memory.
    index: usize,
    /// The credit of `pending` and of the runs.
    held: Credit,
}

#[derive(Debug)]
struct Segment {
    file: File,
    len: u64,
}

/// The place of some results, and their items.
#[derive(Debug)]
struct Frame {
    segment: usize,
    offset: u64,
    /// Its runs are in `runs`, which takes less memory.
    head: Head,
    runs: Runs,
}

impl SpillFile {
    /// Makes no file yet. Results that are not written hold credit of `ledger`.
    pub(crate) fn new(directory: PathBuf, budget: ByteSize, ledger: &Ledger) -> Self {
        // Each takes 100 bytes of memory as long as it exists, also with a small budget.
        let frame = (budget.as_u64() / PART).clamp(BLOCK as u64 / 4, FRAME as u64);
        Self {
            directory,
            max_disk: None,
            segments: Vec::new(),
            frames: Vec::new(),
            len: 0,
            frame_bytes: frame as usize,
            pending: Vec::new(),
            runs: Runs::default(),
            index: 0,
            held: Credit::take(ledger, 0),
        }
    }

    /// Sets the directory for new files, and the most bytes of all files.
    pub(crate) fn set_place(&mut self, directory: PathBuf, max_disk: Option<ByteSize>) {
        (self.directory, self.max_disk) = (directory, max_disk.map(ByteSize::as_u64));
    }

    /// The number of results that were added.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number of results from a frame on.
    pub(crate) fn left(&self, frame: usize) -> usize {
        let frames = self.frames.get(frame..).unwrap_or_default();
        frames.iter().map(|frame| frame.runs.items()).sum::<usize>() + self.runs.items()
    }

    /// The bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().flatten().map(|segment| segment.len).sum()
    }

    /// The number of frames. The results that are not written count as the last one.
    pub(crate) fn frames(&self) -> usize {
        self.frames.len() + usize::from(self.runs.items() > 0)
    }

    /// The bytes of a frame's results before compression.
    pub(crate) fn raw(&self, frame: usize) -> u64 {
        self.frames.get(frame).map_or(self.pending.len() as u64, |frame| frame.head.raw)
    }

    /// Adds the result of an item behind all others, without writing it. It is removed again if it
    /// can't be encoded, because of an error or a panic of its own.
    pub(crate) fn add<R>(&mut self, item: usize, result: &R) -> Result<(), Ended>
    where
        R: Serialize + DeserializeOwned,
    {
        let before = self.pending.len();
        let (is_first, is_first_of_all) = (self.runs.items() == 0, self.len == 0);
        let pending = &mut self.pending;
        let encoded = catch_unwind(AssertUnwindSafe(|| {
            encode(result, pending)?;
            // A type that can't be read back, such as an `untagged` enum, never can. The first
            // result of a frame may fill it, and reading takes longer than writing.
            let is_read = is_first_of_all || is_first && pending.len() <= BLOCK;
            if is_read { decode_whole::<R>(pending).map(drop) } else { Ok(()) }
        }));
        if let Err(ended) = self.unless_refused(item, encoded) {
            self.pending.truncate(before);
            return Err(ended);
        }
        self.runs.push(item);
        self.len += 1;
        self.hold();
        Ok(())
    }

    /// Refuses the result of an item that could not be read back, without adding it.
    pub(crate) fn check<R>(&self, item: usize, result: &R) -> Result<(), Ended>
    where
        R: Serialize + DeserializeOwned,
    {
        self.unless_refused(item, catch_unwind(AssertUnwindSafe(|| read_back(result))))
    }

    fn unless_refused(&self, item: usize, outcome: thread::Result<Result<(), String>>) -> Result<(), Ended> {
        outcome.map_err(Ended::Panic)?.map_err(|cause| {
            let path = self.directory.clone();
            Error::new(ErrorKind::Unwritable { path, item: Some(item), column: None, cause }).into()
        })
    }

    #[inline]
    fn hold(&mut self) {
        let bytes = self.pending.capacity() + self.index + self.runs.bytes();
        if self.held.bytes() != bytes as u64 {
            self.held.resize(bytes as u64);
        }
    }

    /// Writes the added results if they fill a frame. Decoded, each has `size` bytes, beside those
    /// that it owns.
    #[inline]
    pub(crate) fn write_if_full(&mut self, size: usize) -> Result<(), Error> {
        let bytes = self.pending.len() + self.runs.bytes();
        let read = size.max(1).saturating_mul(self.runs.items());
        if bytes.max(read) >= self.frame_bytes { self.write() } else { Ok(()) }
    }

    /// Writes the added results. If that fails they stay, and can be written later.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        if self.runs.items() == 0 {
            return Ok(());
        }
        let (directory, needed) = (&self.directory, self.pending.len() as u64);
        let failed = |operation, error: &io::Error, free| storage(directory, operation, error, Some(needed), free);
        let used = self.bytes();
        if let Some(most) = self.max_disk.filter(|most| needed > most.saturating_sub(used)) {
            return Err(over_max_disk(directory, most, needed, most.saturating_sub(used)));
        }
        let most = segment_bytes(used);
        let written = write(&mut self.segments, directory, &self.pending, most);
        let (segment, offset) = written.map_err(|(operation, error)| failed(operation, &error, free(directory)))?;
        // Compression would take longer than writing what it saves.
        let head = Head::new(0, Vec::new(), needed, &[&self.pending]);
        let runs = std::mem::take(&mut self.runs).shrunk();
        self.index += runs.bytes() + size_of::<Frame>();
        self.frames.push(Frame { segment, offset, head, runs });
        self.pending.clear();
        self.pending.shrink_to(KEPT_FRAMES * self.frame_bytes);
        self.hold();
        Ok(())
    }

    /// Ends writing, and frees the memory for it.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.write()?;
        self.pending = Vec::new();
        self.hold();
        Ok(())
    }

    /// Consecutive items of a frame: the first item, and the number of items.
    pub(crate) fn runs(&self, frame: usize) -> impl Iterator<Item = (usize, usize)> {
        self.frames.get(frame).map_or(&self.runs, |frame| &frame.runs).iter()
    }

    /// The results of a frame.
    pub(crate) fn read<R: DeserializeOwned>(&self, frame: usize, buffers: &mut Buffers) -> Result<Vec<R>, Error> {
        let items = self.frames.get(frame).map_or(&self.runs, |frame| &frame.runs).items();
        let read = decode_some(items as u32, self.content(frame, buffers)?, usize::MAX);
        read.map(|(results, _)| results).map_err(|cause| self.damaged(frame, cause))
    }

    /// The result of an item, if it has one.
    pub(crate) fn get<R: DeserializeOwned>(&self, item: usize) -> Option<Result<R, Error>> {
        let frame = self.frames.partition_point(|frame| frame.runs.end() <= item);
        let mut place = 0;
        for (first, items) in self.frames.get(frame)?.runs.iter() {
            if (first..first + items).contains(&item) {
                return Some(self.nth(frame, place + item - first));
            }
            place += items;
        }
        None
    }

    fn nth<R: DeserializeOwned>(&self, frame: usize, place: usize) -> Result<R, Error> {
        let mut buffers = Buffers::default();
        decode_nth(self.content(frame, &mut buffers)?, place).map_err(|cause| self.damaged(frame, cause))
    }

    fn content<'a>(&'a self, frame: usize, buffers: &'a mut Buffers) -> Result<&'a [u8], Error> {
        let Some(Frame { segment, offset, head, .. }) = self.frames.get(frame) else {
            return Ok(&self.pending);
        };
        let Some(Some(segment)) = self.segments.get(*segment) else { unreachable!("its results were taken out") };
        buffers.read(&segment.file, *offset, head).map_err(|unreadable| unreadable.at(&self.directory, *offset))
    }

    /// Frees the disk space before a frame.
    pub(crate) fn give_back(&mut self, frame: usize) {
        let first = self.frames.get(frame).map_or(self.segments.len(), |frame| frame.segment);
        self.segments[..first].iter_mut().for_each(|segment| *segment = None);
    }

    fn damaged(&self, frame: usize, cause: String) -> Error {
        let (path, offset) = (self.directory.clone(), self.frames.get(frame).map_or(0, |frame| frame.offset));
        Error::new(ErrorKind::Damaged { path, offset, cause })
    }

    /// The files, for tests.
    #[cfg(all(test, not(loom)))]
    pub(super) fn files(&self) -> Vec<&File> {
        self.segments.iter().flatten().map(|segment| &segment.file).collect()
    }
}

/// The most bytes of one file, if all files have `used` bytes.
pub(super) fn segment_bytes(used: u64) -> u64 {
    SEGMENT.max(used / SEGMENTS)
}

/// Writes to the last segment or to a new one, all or nothing; gives the place. A segment with
/// `most` bytes takes no more.
fn write(
    segments: &mut Vec<Option<Segment>>,
    directory: &Path,
    bytes: &[u8],
    most: u64,
) -> Result<(usize, u64), (&'static str, io::Error)> {
    let has_room = |segment: &Segment| segment.len + bytes.len() as u64 <= most;
    if !segments.last().is_some_and(|segment| segment.as_ref().is_some_and(has_room)) {
        let file = tempfile::tempfile_in(directory).map_err(|error| ("made", error))?;
        segments.push(Some(Segment { file, len: 0 }));
    }
    let number = segments.len() - 1;
    let Some(segment) = &mut segments[number] else { unreachable!("it has room") };
    if let Err(error) = write_at(&segment.file, bytes, segment.len) {
        // Some of it may be in the file, and take room that others need.
        let _ = segment.file.set_len(segment.len);
        return Err(("written", error));
    }
    let offset = segment.len;
    segment.len += bytes.len() as u64;
    Ok((number, offset))
}

fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, offset);
    #[cfg(not(unix))]
    {
        use std::io::{Seek, SeekFrom, Write};
        let mut file = file;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }
}
