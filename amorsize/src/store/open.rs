//! Opening a directory: what is done, and reading it.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::done::{Done, Frame};
use super::encode::{decode, decode_some};
use super::frame::{Head, Spot, VOID};
use super::identity::{Identity, ItemsHash};
use super::lock::Lock;
use super::manifest;
use super::scan::{Scan, content};
use super::segment::{self, Directory, FORMAT, Segment, Supply};
use super::shape::Shape;
use super::writer::{Settings, Writer};
use crate::error::stored::{MANIFEST, storage};
use crate::error::{Changed, Error, ErrorKind};

/// A directory that a run uses, locked as long as this or its writer lives.
#[derive(Debug)]
pub(crate) struct Store {
    directory: PathBuf,
    begun: Arc<str>,
    supply: Directory,
    frames: Vec<Frame>,
    done: Vec<Done>,
    /// Each segment's shape, where it has one, with where its first frame stands, unless that is
    /// known to be damaged.
    shapes: Vec<(Spot, Arc<Shape>)>,
    damaged: usize,
    bytes: u64,
    end: Option<u64>,
    place: Option<u64>,
    contents: Contents,
}

impl Store {
    /// Locks a directory, which is made where it is missing, and finds what is done in it.
    ///
    /// Reads the heads of frames, and all bytes of segments that no frame closes: their process
    /// was killed, and a power cut may have taken any part of them.
    pub(crate) fn open(directory: &Path, identity: &Identity) -> Result<Self, Error> {
        let failed = |path: &Path, operation, error: &io::Error| storage(path, operation, error, None, None);
        fs::create_dir_all(directory).map_err(|error| failed(directory, "made", &error))?;
        let lock = Lock::take(directory)?;
        let segments = segments(directory)?;
        let begun = manifest::compare_or_write(directory, identity, !segments.is_empty())?;

        let next = segments.last().map_or(1, |last| last.saturating_add(1));
        let mut scan = Scan::default();
        for &number in &segments {
            let path = directory.join(segment::name(number));
            match scan.segment(&path, number).map_err(|error| failed(&path, "read", &error))? {
                FORMAT => {}
                other => {
                    return Err(Error::new(ErrorKind::CheckpointChanged {
                        directory: directory.to_owned(),
                        what: Changed::Format,
                        was: other.to_string(),
                        is: FORMAT.to_string(),
                        begun,
                        same_version: None,
                    }));
                }
            }
        }
        let Scan { mut log, mut shapes, damaged, bytes } = scan;
        shapes.retain(|(first, _)| !log.void.contains(first));
        let damaged = damaged + log.void.len();
        Ok(Self {
            directory: directory.to_owned(),
            begun: begun.into(),
            supply: Directory::new(directory, next, lock),
            done: log.done(),
            end: log.end(),
            place: log.place(),
            frames: log.frames,
            shapes,
            damaged,
            bytes,
            contents: Contents::default(),
        })
    }

    /// What is done, by index in the input. None of it has a common item.
    pub(crate) fn done(&self) -> &[Done] {
        &self.done
    }

    /// The first that is done of what ends behind this index.
    pub(crate) fn next_done(&self, index: u64) -> Option<&Done> {
        self.done.get(self.done.partition_point(|done| done.end() <= index))
    }

    /// Items that are done.
    #[cfg(test)]
    pub(crate) fn items(&self) -> u64 {
        self.done.iter().map(|done| u64::from(done.items)).sum()
    }

    /// Frames that were found damaged, by this run or by one before. What a killed process was writing
    /// is none.
    pub(crate) fn damaged(&self) -> usize {
        self.damaged
    }

    /// Bytes of the directory's segments when it was opened.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of items of the input, where a run came to its end.
    pub(crate) fn end(&self) -> Option<u64> {
        self.end
    }

    /// How far the sink had come, by the last frame that says so.
    pub(crate) fn place(&self) -> Option<u64> {
        self.place
    }

    /// Begins to write to segments of its own, with what is there counted for `max_disk`.
    pub(crate) fn writer(&self, settings: Settings) -> Result<Writer, Error> {
        Writer::start(Box::new(self.supply.clone()), settings, self.bytes)
    }

    /// Refuses an input of which these items have another hash than those that are done.
    pub(crate) fn check_items(&self, done: &Done, hash: ItemsHash) -> Result<(), Error> {
        if done.hash == hash.0 {
            return Ok(());
        }
        Err(self.input_changed(done.first, done.items.into(), false))
    }

    /// Refuses an input that ended after so many items, if more are done.
    pub(crate) fn check_end(&self, items: u64) -> Result<(), Error> {
        let known = self.done.last().map_or(0, Done::end).max(self.end.unwrap_or(0));
        if items >= known {
            return Ok(());
        }
        Err(self.input_changed(items, known - items, true))
    }

    fn input_changed(&self, item: u64, items: u64, ended: bool) -> Error {
        let [item, items] = [item, items].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        Error::new(ErrorKind::InputChanged { directory: self.directory.clone(), item, items, ended })
    }

    /// Refuses a type of results that is not the one of which there are results: of each segment
    /// the first result is read as this type, and must have the shape that it had. Takes about a
    /// millisecond for each segment.
    ///
    /// Where a segment's header or its first frame is damaged, there is nothing to compare, and
    /// the other segments stand for it.
    pub(crate) fn check_results<R: Serialize + DeserializeOwned>(&mut self) -> Result<(), Error> {
        for at in 0..self.shapes.len() {
            let (spot, was) = self.shapes[at].clone();
            let Ok(frame) = self.frames.binary_search_by_key(&spot, |frame| frame.spot) else { continue };
            let content = self.content(frame as u32)?;
            let is = match decode::<R>(&content) {
                Ok((first, _)) => Shape::of(&first),
                Err(cause) => return Err(self.origin(Some(was)).not_read(&cause)),
            };
            if !was.fits(&is) {
                return Err(self.origin(Some(was)).changed(format!("`{is}`")));
            }
        }
        Ok(())
    }

    /// The results of items that are done, not decoded yet.
    ///
    /// Where their frame is damaged, a frame says so to later runs, which compute them anew.
    pub(crate) fn read(&mut self, done: &Done) -> Result<Restored, Error> {
        let content = self.content(done.frame)?;
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

    fn content(&mut self, number: u32) -> Result<Arc<Vec<u8>>, Error> {
        if let Some(content) = self.contents.get(number) {
            return Ok(content);
        }
        let frame = self.frames[number as usize].clone();
        let path = self.directory.join(segment::name(frame.spot.segment));
        let cause = match self.contents.read(&path, &frame) {
            Ok(Ok(content)) => return Ok(self.contents.keep(number, content)),
            Ok(Err(cause)) => cause.to_owned(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
            Err(error) => return Err(storage(&path, "read", &error, None, None)),
        };
        self.void(frame.spot)?;
        Err(Error::new(ErrorKind::Damaged { path, offset: frame.spot.offset, cause }))
    }

    /// Lets later runs compute the items of a frame anew.
    fn void(&mut self, spot: Spot) -> Result<(), Error> {
        let failed = |(path, operation, error): (PathBuf, _, io::Error)| storage(&path, operation, &error, None, None);
        let mut segment = Segment::begin(&mut self.supply, String::new())
            .map_err(|(path, error)| failed((path, "written", error)))?;
        let note = spot.to_bytes();
        let written = segment.write(&Head::new(VOID, Vec::new(), note.len() as u64, &note), &note);
        written.map_err(|error| failed((segment.path().to_owned(), "written", error)))?;
        segment.close().map_err(failed)?;
        self.supply.sync_names().map_err(|error| failed((self.directory.clone(), "synced", error)))
    }

    /// Removes the directory, but for files that are not a run's. A kill in between leaves one that
    /// can be opened.
    pub(crate) fn remove(self) -> Result<(), Error> {
        let failed = |path: &Path, error: &io::Error| storage(path, "removed", error, None, None);
        let mut names = segments(&self.directory)?.into_iter().map(segment::name).collect::<Vec<_>>();
        // The manifest last, since segments without it are of no use.
        names.extend([MANIFEST.to_owned(), "lock".to_owned()]);
        for name in names {
            let path = self.directory.join(name);
            fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
        }
        match fs::remove_dir(&self.directory) {
            // Another run may have begun there.
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(failed(&self.directory, &error)),
            _ => Ok(()),
        }
    }

    /// Lowers how many bytes of contents are kept, at most, for runs of other items in the same
    /// frame. One content is kept however large it is.
    pub(crate) fn keep_contents(&mut self, bytes: usize) {
        self.contents.most = self.contents.most.min(bytes);
    }
}

/// The numbers of a directory's segments, in order.
fn segments(directory: &Path) -> Result<Vec<u32>, Error> {
    let listed = fs::read_dir(directory).and_then(|entries| {
        let names = entries.map(|entry| entry.map(|entry| segment::of_name(&entry.file_name())));
        names.filter_map(io::Result::transpose).collect::<io::Result<Vec<u32>>>()
    });
    let mut segments = listed.map_err(|error| storage(directory, "listed", &error, None, None))?;
    segments.sort_unstable();
    Ok(segments)
}

/// Contents that were read, and may be needed again: calls that end in any order leave the results
/// of neighbours in several frames.
#[derive(Debug)]
struct Contents {
    /// The last one that was used is the last.
    kept: Vec<(u32, Arc<Vec<u8>>)>,
    bytes: usize,
    most: usize,
    file: Option<(u32, File)>,
    /// What was read last, as it was stored.
    stored: Vec<u8>,
    /// The memory of a content that is no longer kept. The system takes longer to give new memory
    /// than it takes to fill it.
    spare: Vec<u8>,
}

impl Default for Contents {
    fn default() -> Self {
        /// As many frames as results of neighbours are usually spread over.
        const MOST: usize = 4 << 20;
        Self { kept: Vec::new(), bytes: 0, most: MOST, file: None, stored: Vec::new(), spare: Vec::new() }
    }
}

impl Contents {
    fn get(&mut self, frame: u32) -> Option<Arc<Vec<u8>>> {
        let at = self.kept.iter().position(|(number, _)| *number == frame)?;
        let found = self.kept.remove(at);
        let content = Arc::clone(&found.1);
        self.kept.push(found);
        Some(content)
    }

    fn keep(&mut self, frame: u32, content: Vec<u8>) -> Arc<Vec<u8>> {
        self.bytes += content.len();
        let content = Arc::new(content);
        self.kept.push((frame, Arc::clone(&content)));
        content
    }

    /// Reads the content of a frame. The text says what is wrong with it.
    fn read(&mut self, path: &Path, frame: &Frame) -> io::Result<Result<Vec<u8>, &'static str>> {
        let segment = frame.spot.segment;
        let file = match self.file.take_if(|(open, _)| *open == segment) {
            Some((_, file)) => file,
            None => File::open(path)?,
        };
        let (_, file) = self.file.insert((segment, file));
        content(file, frame.content, &frame.head, &mut self.stored)?;
        self.make_room(frame.head.raw);
        let mut content = std::mem::take(&mut self.spare);
        Ok(frame.head.open(&mut self.stored, &mut content).map(|()| content))
    }

    /// Forgets contents until there is room for one more, if that can be. The memory of one is used
    /// again.
    fn make_room(&mut self, bytes: u64) {
        while !self.kept.is_empty() && self.bytes as u64 + bytes > self.most as u64 {
            let (_, content) = self.kept.remove(0);
            self.bytes -= content.len();
            if let Some(content) = Arc::into_inner(content) {
                self.spare = content;
            }
        }
    }
}

/// The results of items that are done, as they were stored.
#[derive(Debug)]
pub(crate) struct Restored {
    content: Arc<Vec<u8>>,
    range: Range<usize>,
    items: u32,
    origin: Origin,
}

impl Restored {
    /// Bytes of the results, not decoded.
    pub(crate) fn bytes(&self) -> usize {
        self.range.len()
    }

    /// True if all results were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Takes the next results, in the order of their items: as many as `most` bytes have, and one at
    /// least. Their bytes are as they were written, so that bytes that are no such results are those
    /// of another type.
    pub(crate) fn take<R: DeserializeOwned>(&mut self, most: usize) -> Result<Vec<R>, Error> {
        let bytes = &self.content[self.range.clone()];
        let (results, left) = decode_some(self.items, bytes, most).map_err(|cause| self.origin.not_read(&cause))?;
        self.range.start = self.range.end - left.len();
        self.items -= results.len() as u32;
        Ok(results)
    }

    /// All results.
    #[cfg(test)]
    pub(crate) fn results<R: DeserializeOwned>(mut self) -> Result<Vec<R>, Error> {
        self.take(usize::MAX)
    }
}

/// For errors: what the results are of.
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
