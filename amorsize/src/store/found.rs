//! The contents of a directory of results, found by reading it: by a run with a lock, or without
//! one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::contents::{Buffers, Content, Contents, Stored, Unreadable};
use super::done::{Done, Frame};
use super::frame::{LZ4, Spot};
use super::manifest;
use super::scan::Scan;
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
    /// The frames that were found damaged, by this run or by an earlier one. A frame that a killed
    /// process was writing does not count.
    pub(crate) damaged: usize,
    /// The damaged frames that no frame names as such.
    pub(super) unnoted: Vec<Spot>,
    /// True if all damage is noted, and a run came to its end after that.
    pub(crate) is_mended: bool,
    /// The bytes of the directory's segments when it was opened.
    pub(crate) bytes: u64,
    /// The number of items of the input, if a run came to its end.
    pub(crate) end: Option<u64>,
    /// The place of the sink, by the last frame that says it.
    pub(crate) place: Option<u64>,
}

/// The segment and the contents that were read last.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(super) contents: Contents<u32>,
    file: Option<(u32, File)>,
}

impl Reading {
    /// Memory in which other frames can be read.
    pub(crate) fn buffers(&mut self) -> &mut Buffers {
        &mut self.contents.buffers
    }
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
            end: log.end,
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
    pub(crate) fn check_results<R>(&self, reading: &mut Reading) -> Result<(), Unread>
    where
        R: Serialize + DeserializeOwned,
    {
        for (spot, was) in &self.shapes {
            if let Ok(frame) = self.frames.binary_search_by_key(spot, |frame| frame.spot) {
                self.check_frame::<R>(frame, was, reading)?;
            }
        }
        Ok(())
    }

    /// Does the same for readers, who want all that is left: frames that turn out to be damaged are
    /// passed over, as if they had been found damaged before. If no segment has its first frame,
    /// later ones have to do: no result may be taken for one of another type.
    pub(crate) fn check_whole_results<R>(&mut self, reading: &mut Reading) -> Result<(), Error>
    where
        R: Serialize + DeserializeOwned,
    {
        let (mut damaged, mut is_checked) = (Vec::new(), false);
        let mut is_whole = |frame: usize, was| match self.check_frame::<R>(frame, was, reading) {
            Ok(()) => Ok(true),
            Err(Unread { damaged: Some(spot), .. }) => {
                damaged.push(spot);
                Ok(false)
            }
            Err(Unread { error, damaged: None }) => Err(error),
        };
        for (spot, was) in &self.shapes {
            if let Ok(frame) = self.frames.binary_search_by_key(spot, |frame| frame.spot) {
                is_checked |= is_whole(frame, was)?;
            }
        }
        for (spot, was) in &self.shapes {
            let later = self.frames.partition_point(|frame| frame.spot <= *spot)..self.frames.len();
            let mut of_segment = later.take_while(|&frame| self.frames[frame].spot.segment == spot.segment);
            while !is_checked && let Some(frame) = of_segment.next() {
                // Frames with results have no other flag.
                is_checked = self.frames[frame].head.flags & !LZ4 == 0 && is_whole(frame, was)?;
            }
        }
        let frames = &self.frames;
        self.done.retain(|done| !damaged.contains(&frames[done.frame as usize].spot));
        self.shapes.retain(|(first, _)| !damaged.contains(first));
        self.damaged += damaged.len();
        self.is_mended &= damaged.is_empty();
        Ok(())
    }

    /// Checks the type of the first results in a frame.
    fn check_frame<R>(&self, frame: usize, was: &Arc<Shape>, reading: &mut Reading) -> Result<(), Unread>
    where
        R: Serialize + DeserializeOwned,
    {
        let content = self.content(frame as u32, reading)?;
        Ok(was.check::<R>(&content.bytes).map_err(|is| self.origin(Some(Arc::clone(was))).changed(is))?)
    }

    /// The results of items that are done, not yet decoded.
    pub(crate) fn read(&self, done: &Done, reading: &mut Reading) -> Result<Restored, Unread> {
        let content = self.content(done.frame, reading)?;
        reading.contents.pass(done.frame);
        let shape = self.frames.get(done.frame as usize).and_then(|frame| {
            let segment = |at: &&(Spot, Arc<Shape>)| at.0.segment == frame.spot.segment;
            self.shapes.iter().find(segment).map(|(_, shape)| Arc::clone(shape))
        });
        let origin = self.origin(shape);
        Ok(Restored { stored: Stored::new(content, done.start, done.bytes, done.items), origin })
    }

    fn origin(&self, was: Option<Arc<Shape>>) -> Origin {
        Origin { directory: self.directory.clone(), begun: Arc::clone(&self.begun), was }
    }

    fn content(&self, number: u32, reading: &mut Reading) -> Result<Arc<Content>, Unread> {
        let Reading { contents, file } = reading;
        if let Some(content) = contents.get(number) {
            return Ok(content);
        }
        let Frame { spot, content, head, runs } = &self.frames[number as usize];
        let path = self.directory.join(segment::name(spot.segment));
        let mut read = || {
            let open = match file.take_if(|(segment, _)| *segment == spot.segment) {
                Some((_, file)) => file,
                None => File::open(&path)?,
            };
            let (_, file) = file.insert((spot.segment, open));
            contents.read(number, file, *content, head.clone(), *runs)
        };
        read().map_err(|unreadable| {
            let damaged = matches!(unreadable, Unreadable::Damaged(_)).then_some(*spot);
            Unread { error: unreadable.at(&path, spot.offset), damaged }
        })
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

/// The results of items that are done, not yet decoded.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) stored: Stored,
    origin: Origin,
}

impl Restored {
    /// Takes the next results, see [`Stored::take`].
    pub(crate) fn take<R: DeserializeOwned>(&mut self, most: usize) -> Result<Vec<R>, Error> {
        self.stored.take(most).map_err(|cause| self.origin.not_read(&cause))
    }

    /// The result at a place of these.
    pub(crate) fn nth<R: DeserializeOwned>(&self, place: usize) -> Result<R, Error> {
        self.stored.nth(place).map_err(|cause| self.origin.not_read(&cause))
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
