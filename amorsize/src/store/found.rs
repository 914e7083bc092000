//! The contents of a directory of results, found by reading it: by a run with a lock, or without
//! one.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::done::{Done, Frame};
use super::encode::{decode, decode_some};
use super::frame::Spot;
use super::manifest;
use super::scan::{Scan, content};
use super::segment::{self, FORMAT};
use super::shape::Shape;
use crate::error::stored::storage;
use crate::error::{Changed, Error, ErrorKind};

/// The items that are done, and the places of their results.
#[derive(Debug)]
pub(crate) struct Found {
    pub(super) directory: PathBuf,
    begun: Arc<str>,
    frames: Vec<Frame>,
    /// By index in the input. No two of them have an item in common.
    pub(crate) done: Vec<Done>,
    /// The shape of each segment that has one, with the place of its first frame, unless that frame
    /// is known to be damaged.
    shapes: Vec<(Spot, Arc<Shape>)>,
    pub(crate) damaged: usize,
    /// The damaged frames that no frame names as such.
    pub(super) unnoted: Vec<Spot>,
    /// True if all damage is noted, and a run came to its end after that.
    pub(crate) is_mended: bool,
    pub(crate) bytes: u64,
    pub(crate) end: Option<u64>,
    pub(super) place: Option<u64>,
}

/// The reason why results could not be read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) error: Error,
    /// The damaged frame, if that is the reason.
    pub(super) damaged: Option<Spot>,
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self { error, damaged: None }
    }
}

impl Found {
    /// Finds the results of a checkpoint without its lock. A run may be using it; results that it
    /// has not written yet are not found.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let segments = segments(directory).map_err(|error| match error.kind() {
            ErrorKind::Storage { kind: io::ErrorKind::NotFound, .. } => {
                let cause = "there is no such directory; open that of a checkpoint";
                storage(directory, "opened", &io::Error::new(io::ErrorKind::NotFound, cause), None, None)
            }
            _ => error,
        })?;
        let begun = manifest::begun_with_results(directory, !segments.is_empty())?;
        Self::scan(directory, &segments, begun)
    }

    /// Reads the heads of frames, and all bytes of segments that no frame closes.
    pub(super) fn scan(directory: &Path, segments: &[u32], begun: String) -> Result<Self, Error> {
        let mut scan = Scan::default();
        for (at, &number) in segments.iter().enumerate() {
            // Segments are numbered without gaps.
            let expected = at.checked_sub(1).map_or(1, |before| segments[before].saturating_add(1));
            if number != expected {
                scan.lost(Spot { segment: expected, offset: 0 });
            }
            let path = directory.join(segment::name(number));
            let format = scan.segment(&path, number).map_err(|error| storage(&path, "read", &error, None, None))?;
            if format != FORMAT {
                return Err(Error::new(ErrorKind::CheckpointChanged {
                    directory: directory.to_owned(),
                    what: Changed::Format,
                    was: format.to_string(),
                    is: FORMAT.to_string(),
                    begun,
                    same_version: None,
                }));
            }
        }
        let Scan { mut log, mut shapes, damaged: mut unnoted, bytes } = scan;
        shapes.retain(|(first, _)| !log.void.contains(first));
        unnoted.retain(|spot| !log.void.contains(spot));
        log.void.sort_unstable();
        log.void.dedup();
        Ok(Self {
            directory: directory.to_owned(),
            begun: begun.into(),
            done: log.done(),
            end: log.end(),
            place: log.place(),
            damaged: unnoted.len() + log.void.len(),
            is_mended: log.is_mended && unnoted.is_empty(),
            unnoted,
            frames: log.frames,
            shapes,
            bytes,
        })
    }

    /// The first of the done items that end behind this index.
    pub(crate) fn next_done(&self, index: u64) -> Option<&Done> {
        self.done.get(self.done.partition_point(|done| done.end() <= index))
    }

    /// See [`Store::check_results`](super::Store::check_results).
    pub(crate) fn check_results<R>(&self, contents: &mut Contents) -> Result<(), Unread>
    where
        R: Serialize + DeserializeOwned,
    {
        for (spot, was) in &self.shapes {
            let Ok(frame) = self.frames.binary_search_by_key(spot, |frame| frame.spot) else { continue };
            let content = self.content(frame as u32, contents)?;
            was.check::<R>(&content).map_err(|is| self.origin(Some(Arc::clone(was))).changed(is))?;
        }
        Ok(())
    }

    /// The results of items that are done, not yet decoded.
    pub(crate) fn read(&self, done: &Done, contents: &mut Contents) -> Result<Restored, Unread> {
        let content = self.content(done.frame, contents)?;
        contents.pass(done.frame);
        let shape = self.frames.get(done.frame as usize).and_then(|frame| {
            let segment = |at: &&(Spot, Arc<Shape>)| at.0.segment == frame.spot.segment;
            self.shapes.iter().find(segment).map(|(_, shape)| Arc::clone(shape))
        });
        let origin = self.origin(shape);
        let range = done.start as usize..(done.start + done.bytes) as usize;
        Ok(Restored { content, range, items: done.items, origin })
    }

    fn origin(&self, was: Option<Arc<Shape>>) -> Origin {
        Origin { directory: self.directory.clone(), begun: Arc::clone(&self.begun), was }
    }

    fn content(&self, number: u32, contents: &mut Contents) -> Result<Arc<Vec<u8>>, Unread> {
        if let Some(content) = contents.get(number) {
            return Ok(content);
        }
        let frame = &self.frames[number as usize];
        let path = self.directory.join(segment::name(frame.spot.segment));
        let cause = match contents.read(&path, frame) {
            Ok(Ok(content)) => return Ok(contents.keep(number, frame.runs, content)),
            Ok(Err(cause)) => cause.to_owned(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
            Err(error) => return Err(storage(&path, "read", &error, None, None).into()),
        };
        let error = Error::new(ErrorKind::Damaged { path, offset: frame.spot.offset, cause });
        Err(Unread { error, damaged: Some(frame.spot) })
    }
}

/// The numbers of a directory's segments, in order.
pub(super) fn segments(directory: &Path) -> Result<Vec<u32>, Error> {
    let listed = fs::read_dir(directory).and_then(|entries| {
        let names = entries.map(|entry| entry.map(|entry| segment::of_name(&entry.file_name())));
        names.filter_map(io::Result::transpose).collect::<io::Result<Vec<u32>>>()
    });
    let mut segments = listed.map_err(|error| storage(directory, "listed", &error, None, None))?;
    segments.sort_unstable();
    Ok(segments)
}

/// Contents that were read and may be needed again: calls end in any order, so the results of
/// neighbours are in several frames.
#[derive(Debug)]
pub(crate) struct Contents {
    /// In order of use, the latest last.
    kept: Vec<Kept>,
    /// The content of which the last run is being read.
    last: Option<Arc<Vec<u8>>>,
    bytes: usize,
    pub(super) most: usize,
    file: Option<(u32, File)>,
    /// The stored bytes that were read last.
    stored: Vec<u8>,
    /// The memory of a content that is no longer kept. The system takes longer to give new memory
    /// than it takes to fill this one.
    spare: Vec<u8>,
}

#[derive(Debug)]
struct Kept {
    frame: u32,
    /// The number of its runs that were not read.
    runs: usize,
    content: Arc<Vec<u8>>,
}

impl Default for Contents {
    fn default() -> Self {
        /// Room for the frames that the results of neighbours are usually spread over.
        const MOST: usize = 4 << 20;
        let (stored, spare) = (Vec::new(), Vec::new());
        Self { kept: Vec::new(), last: None, bytes: 0, most: MOST, file: None, stored, spare }
    }
}

impl Contents {
    fn get(&mut self, frame: u32) -> Option<Arc<Vec<u8>>> {
        let at = self.kept.iter().position(|kept| kept.frame == frame)?;
        let found = self.kept.remove(at);
        let content = Arc::clone(&found.content);
        self.kept.push(found);
        Some(content)
    }

    fn keep(&mut self, frame: u32, runs: usize, content: Vec<u8>) -> Arc<Vec<u8>> {
        self.bytes += content.len();
        let content = Arc::new(content);
        self.kept.push(Kept { frame, runs, content: Arc::clone(&content) });
        content
    }

    /// Counts a run that is read. When it is the last one of its frame, the memory can be used again
    /// for another frame.
    fn pass(&mut self, frame: u32) {
        let Some(kept) = self.kept.last_mut().filter(|kept| kept.frame == frame) else { return };
        kept.runs = kept.runs.saturating_sub(1);
        if kept.runs == 0
            && let Some(kept) = self.kept.pop()
        {
            self.bytes -= kept.content.len();
            self.last = Some(kept.content);
        }
    }

    /// Reads the content of a frame. The text of an error says what is wrong with it.
    fn read(&mut self, path: &Path, frame: &Frame) -> io::Result<Result<Vec<u8>, &'static str>> {
        let segment = frame.spot.segment;
        let file = match self.file.take_if(|(open, _)| *open == segment) {
            Some((_, file)) => file,
            None => File::open(path)?,
        };
        let (_, file) = self.file.insert((segment, file));
        if let Some(last) = self.last.take().and_then(Arc::into_inner) {
            self.spare = last;
        }
        content(file, frame.content, &frame.head, &mut self.stored)?;
        self.make_room(frame.head.raw);
        let mut content = std::mem::take(&mut self.spare);
        Ok(frame.head.open(&mut self.stored, &mut content).map(|()| content))
    }

    /// Forgets contents until there is room for one more, if possible. The memory of one is used
    /// again.
    fn make_room(&mut self, bytes: u64) {
        while !self.kept.is_empty() && self.bytes as u64 + bytes > self.most as u64 {
            let kept = self.kept.remove(0);
            self.bytes -= kept.content.len();
            if let Some(content) = Arc::into_inner(kept.content) {
                self.spare = content;
            }
        }
    }
}

/// The results of items that are done, in the form in which they were stored.
#[derive(Debug)]
pub(crate) struct Restored {
    content: Arc<Vec<u8>>,
    range: Range<usize>,
    items: u32,
    origin: Origin,
}

impl Restored {
    /// The bytes of the results that are not decoded.
    pub(crate) fn bytes(&self) -> usize {
        self.range.len()
    }

    /// True if all results were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Takes the next results, in the order of their items, and stops behind the one that brings it
    /// to `most` bytes. The bytes are as they were written, so if they can't be decoded, they are
    /// of another type.
    pub(crate) fn take<R: DeserializeOwned>(&mut self, most: usize) -> Result<Vec<R>, Error> {
        let bytes = &self.content[self.range.clone()];
        let (results, left) = decode_some(self.items, bytes, most).map_err(|cause| self.origin.not_read(&cause))?;
        self.range.start = self.range.end - left.len();
        self.items -= results.len() as u32;
        Ok(results)
    }

    /// The result at a place of these.
    pub(crate) fn nth<R: DeserializeOwned>(&self, place: usize) -> Result<R, Error> {
        let mut bytes = &self.content[self.range.clone()];
        let not_read = |cause: String| self.origin.not_read(&cause);
        for _ in 0..place {
            bytes = decode::<R>(bytes).map_err(not_read)?.1;
        }
        decode(bytes).map(|(result, _)| result).map_err(not_read)
    }

    /// All results.
    #[cfg(test)]
    pub(crate) fn results<R: DeserializeOwned>(mut self) -> Result<Vec<R>, Error> {
        self.take(usize::MAX)
    }
}

/// The directory and type of the results, for errors.
#[derive(Debug)]
struct Origin {
    directory: PathBuf,
    begun: Arc<str>,
    was: Option<Arc<Shape>>,
}

impl Origin {
    fn changed(&self, is: String) -> Error {
        Error::new(ErrorKind::CheckpointChanged {
            directory: self.directory.clone(),
            what: Changed::Result,
            was: self.was.as_ref().map_or_else(|| "another one".to_owned(), |shape| format!("`{shape}`")),
            is,
            begun: (*self.begun).to_owned(),
            same_version: None,
        })
    }

    fn not_read(&self, cause: &str) -> Error {
        self.changed(format!("one that can't be read from its bytes ({cause})"))
    }
}
