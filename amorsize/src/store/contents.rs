//! The contents of frames: read, checked, decompressed, and kept while they are needed.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::encode::{decode_nth, decode_some};
use super::frame::{FRAME, Head, KEPT_FRAMES, resize};
use crate::error::stored::storage;
use crate::error::{Error, ErrorKind};

/// The reason why a content could not be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Io(io::Error),
    /// The text says what is wrong with the frame.
    Damaged(&'static str),
}

impl Unreadable {
    /// The error for a frame at this offset.
    pub(crate) fn at(self, path: &Path, offset: u64) -> Error {
        match self {
            Self::Io(error) => storage(path, "read", &error, None, None),
            Self::Damaged(cause) => {
                Error::new(ErrorKind::Damaged { path: path.to_owned(), offset, cause: cause.to_owned() })
            }
        }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends too early"),
            _ => Self::Io(error),
        }
    }
}

/// Memory in which frames are read, to be used again: the system takes longer to give new memory
/// than it takes to fill this one.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    stored: Vec<u8>,
    content: Vec<u8>,
}

impl Buffers {
    /// Reads the content of a frame, which begins at this offset of a file and ends within it.
    pub(crate) fn read(&mut self, file: &File, offset: u64, head: &Head) -> Result<&[u8], Unreadable> {
        let Self { stored, content } = self;
        resize(stored, head.stored).map_err(Unreadable::Damaged)?;
        read_at(file, stored, offset)?;
        head.open(stored, content).map_err(Unreadable::Damaged)?;
        Ok(content)
    }

    /// Does the same; `None` if the frame is damaged.
    pub(crate) fn read_undamaged(&mut self, file: &File, offset: u64, head: &Head) -> io::Result<Option<&[u8]>> {
        match self.read(file, offset, head) {
            Ok(content) => Ok(Some(content)),
            Err(Unreadable::Damaged(_)) => Ok(None),
            Err(Unreadable::Io(error)) => Err(error),
        }
    }
}

/// Reads at an offset, without the file's own position, which all readers would share.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset);
    #[cfg(not(unix))]
    {
        use std::io::{Read, Seek, SeekFrom};
        static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file = file;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) head: Head,
    pub(crate) bytes: Vec<u8>,
}

/// Contents that were read and may be needed again: calls end in any order, so the results of
/// neighbours are in several frames. A frame is known by an `F`.
#[derive(Debug)]
pub(crate) struct Contents<F> {
    /// In order of use, the latest last.
    kept: Vec<Kept<F>>,
    /// The content while its last run is read.
    last: Option<Arc<Content>>,
    bytes: usize,
    pub(super) most: usize,
    pub(super) buffers: Buffers,
}

#[derive(Debug)]
struct Kept<F> {
    frame: F,
    /// The number of its runs that were not read.
    runs: usize,
    content: Arc<Content>,
}

impl<F> Default for Contents<F> {
    fn default() -> Self {
        Self { kept: Vec::new(), last: None, bytes: 0, most: KEPT_FRAMES * FRAME, buffers: Buffers::default() }
    }
}

impl<F: PartialEq> Contents<F> {
    /// A content that is kept.
    pub(crate) fn get(&mut self, frame: F) -> Option<Arc<Content>> {
        let at = self.kept.iter().position(|kept| kept.frame == frame)?;
        let found = self.kept.remove(at);
        let content = Arc::clone(&found.content);
        self.kept.push(found);
        Some(content)
    }

    /// Reads the content of a frame with this number of runs, which begins at this offset of a file
    /// and ends within it.
    pub(crate) fn read(
        &mut self,
        frame: F,
        file: &File,
        offset: u64,
        head: Head,
        runs: usize,
    ) -> Result<Arc<Content>, Unreadable> {
        self.make_room(head.raw);
        self.buffers.read(file, offset, &head)?;
        let content = Arc::new(Content { head, bytes: std::mem::take(&mut self.buffers.content) });
        self.bytes += content.bytes.len();
        self.kept.push(Kept { frame, runs, content: Arc::clone(&content) });
        Ok(content)
    }

    /// Counts a run that is read. When it is the last one of its frame, the memory can be used
    /// again for another frame.
    pub(crate) fn pass(&mut self, frame: F) {
        let Some(kept) = self.kept.last_mut().filter(|kept| kept.frame == frame) else { return };
        kept.runs = kept.runs.saturating_sub(1);
        if kept.runs == 0
            && let Some(kept) = self.kept.pop()
        {
            self.bytes -= kept.content.head.raw as usize;
            // The memory of a single large result is freed before the next one is read.
            self.last = Some(kept.content).filter(|content| content.bytes.len() <= KEPT_FRAMES * FRAME);
        }
    }

    /// Forgets contents until there is room for one more, if possible. The memory of one is used
    /// again.
    fn make_room(&mut self, bytes: u64) {
        let mut spare = self.last.take();
        while !self.kept.is_empty() && self.bytes as u64 + bytes > self.most as u64 {
            let kept = self.kept.remove(0);
            self.bytes -= kept.content.head.raw as usize;
            spare = Some(kept.content);
        }
        if let Some(content) = spare.and_then(Arc::into_inner) {
            self.buffers.content = content.bytes;
        }
    }
}

/// The results of consecutive items, in the form in which they were stored.
#[derive(Debug)]
pub(crate) struct Stored {
    content: Arc<Content>,
    range: Range<usize>,
    items: u32,
}

impl Stored {
    /// `bytes` of a content from `start` on.
    pub(crate) fn new(content: Arc<Content>, start: u64, bytes: u64, items: u32) -> Self {
        Self { content, range: start as usize..(start + bytes) as usize, items }
    }

    /// The bytes of the results that are not decoded.
    pub(crate) fn bytes(&self) -> usize {
        self.range.len()
    }

    /// The number of results that are not decoded.
    pub(crate) fn items(&self) -> u32 {
        self.items
    }

    /// True if all results were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Takes the next results, in the order of their items, and stops behind the one that brings it
    /// to `most` bytes, encoded or in memory; 0 is for one result. The bytes are as they were
    /// written, so if they can't be decoded, they are of another type.
    pub(crate) fn take<R: DeserializeOwned>(&mut self, most: usize) -> Result<Vec<R>, String> {
        let (results, left) = decode_some(self.items, &self.content.bytes[self.range.clone()], most)?;
        self.range.start = self.range.end - left.len();
        self.items -= results.len() as u32;
        Ok(results)
    }

    /// The result at a place of these.
    pub(crate) fn nth<R: DeserializeOwned>(&self, place: usize) -> Result<R, String> {
        decode_nth(&self.content.bytes[self.range.clone()], place)
    }
}
