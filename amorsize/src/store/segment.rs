//! Segments: the files of a directory. One process writes each, and no other writes to it later.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use twox_hash::XxHash3_64;

use super::frame::{CLOSING, HEAD, Head, Spot, number};
use super::lock::Lock;
use crate::error::stored::SEGMENT;
use crate::system::paths::sync_directory;

/// Begins each segment. The bytes that are no text, and the two kinds of line end, reveal a file
/// that was copied as text.
const MAGIC: [u8; 8] = *b"\x93AMZ\r\n\x1a\n";
/// The version of the format of segments and of `manifest.json`.
pub(crate) const FORMAT: u32 = 1;
/// The bytes of a header without its shape.
const HEADER: usize = 24;

/// The name of a segment's file.
pub(crate) fn name(segment: u32) -> String {
    format!("{segment:06}.{SEGMENT}")
}

/// The segment with this file name.
pub(crate) fn of_name(file: &OsStr) -> Option<u32> {
    let segment = Path::new(file).file_stem()?.to_str()?.parse().ok()?;
    (file == OsStr::new(&name(segment))).then_some(segment)
}

/// The header of a segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) format: u32,
    /// The shape of the first results, as JSON; empty if there are no results.
    pub(crate) shape: String,
}

impl Header {
    /// The header of a new segment.
    pub(crate) fn new(shape: String) -> Self {
        Self { format: FORMAT, shape }
    }

    pub(crate) fn bytes(&self) -> u64 {
        (HEADER + self.shape.len()) as u64
    }

    fn to_bytes(&self, segment: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.shape.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&(self.shape.len() as u32).to_le_bytes());
        bytes.extend_from_slice(self.shape.as_bytes());
        let hash = XxHash3_64::oneshot_with_seed(segment.into(), &bytes);
        bytes.extend_from_slice(&hash.to_le_bytes());
        bytes
    }

    /// Reads the header of a segment; `None` if it is not complete.
    pub(crate) fn read(file: &mut (impl Read + Seek), segment: u32, file_bytes: u64) -> io::Result<Option<Self>> {
        if file_bytes < HEADER as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; 16];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut bytes)?;
        let shape = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        if bytes[..8] != MAGIC || HEADER as u64 + u64::from(shape) > file_bytes {
            return Ok(None);
        }
        let shape = shape as usize;
        bytes.resize(HEADER + shape, 0);
        file.read_exact(&mut bytes[16..])?;
        let (told, hash) = bytes.split_at(16 + shape);
        if XxHash3_64::oneshot_with_seed(segment.into(), told) != number(hash) {
            return Ok(None);
        }
        let format = u32::from_le_bytes([told[8], told[9], told[10], told[11]]);
        Ok(String::from_utf8(told[16..].to_vec()).ok().map(|shape| Self { format, shape }))
    }
}

/// The target to which a segment is written: a file, or what a test puts in its place.
pub(crate) trait Medium: Send {
    /// Writes pieces one after another.
    fn write(&mut self, pieces: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Returns when all that was written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Medium for File {
    fn write(&mut self, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        while !pieces.is_empty() {
            match self.write_vectored(pieces) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => IoSlice::advance_slices(&mut pieces, bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A new segment: its number, its path, and the target to write to.
pub(crate) type Created = (u32, PathBuf, Box<dyn Medium>);

/// Makes new segments.
pub(crate) trait Supply: Send {
    /// A new segment, or the path that could not be made.
    fn create(&mut self) -> Result<Created, (PathBuf, io::Error)>;

    /// Makes sure that a power cut does not take the names of the segments.
    fn sync_names(&mut self) -> io::Result<()>;

    /// Fails if a segment is no longer found under its path: anything written to it is then lost
    /// with the process.
    fn find(&self, _segment: &Path) -> io::Result<()> {
        Ok(())
    }

    /// The bytes that there is room for, if the system tells.
    fn free(&self) -> Option<u64>;

    /// The directory, for errors that are not about a single segment.
    fn path(&self) -> &Path;
}

/// Makes the segments of a directory. No two of its clones give the same number, and the directory
/// is locked as long as one of them lives.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    next: Arc<AtomicU32>,
    lock: Arc<Lock>,
}

impl Directory {
    /// Segments are numbered from `next` on.
    pub(crate) fn new(path: &Path, next: u32, lock: Lock) -> Self {
        Self { path: path.to_owned(), next: Arc::new(AtomicU32::new(next)), lock: Arc::new(lock) }
    }

    /// Fails if another directory has taken this one's place: it may belong to another run.
    pub(super) fn check(&self) -> io::Result<()> {
        self.lock.check(&self.path)
    }
}

impl Supply for Directory {
    fn create(&mut self) -> Result<Created, (PathBuf, io::Error)> {
        let segment = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(name(segment));
        // Only new ones: nothing is ever overwritten.
        match self.check().and_then(|()| File::options().write(true).create_new(true).open(&path)) {
            Ok(file) => Ok((segment, path, Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let cause = "it exists, and no run of this directory made it; move it away";
                Err((path, io::Error::new(error.kind(), cause)))
            }
            Err(error) => {
                // The next try takes the same number: a gap would count as damage.
                let next = segment.wrapping_add(1);
                let _ = self.next.compare_exchange(next, segment, Ordering::Relaxed, Ordering::Relaxed);
                Err((path, error))
            }
        }
    }

    fn sync_names(&mut self) -> io::Result<()> {
        sync_directory(&self.path)
    }

    fn find(&self, segment: &Path) -> io::Result<()> {
        self.check()?;
        segment.symlink_metadata().map(drop)
    }

    fn free(&self) -> Option<u64> {
        free(&self.path)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The bytes that an ordinary user may still write there, if the system tells.
pub(crate) fn free(path: &Path) -> Option<u64> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    return rustix::fs::statvfs(path).ok().map(|told| told.f_bavail.saturating_mul(told.f_frsize));
    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    return None::<u64>.filter(|_| path.exists());
}

/// A segment that is being written.
pub(crate) struct Segment {
    number: u32,
    path: PathBuf,
    medium: Box<dyn Medium>,
    bytes: u64,
    dirty: bool,
    has_shape: bool,
}

impl Segment {
    /// The bytes of the frame that closes a segment.
    pub(crate) const CLOSED_BY: u64 = HEAD as u64;

    /// Makes a new segment with its header.
    pub(crate) fn begin(supply: &mut dyn Supply, header: &Header) -> Result<Self, (PathBuf, io::Error)> {
        let (number, path, medium) = supply.create()?;
        let has_shape = !header.shape.is_empty();
        let bytes = header.bytes();
        let mut segment = Self { number, path, medium, bytes, dirty: true, has_shape };
        match segment.medium.write(&mut [IoSlice::new(&header.to_bytes(number))]) {
            Ok(()) => Ok(segment),
            Err(error) => Err((segment.path, error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True if results may be added: the first result of the segment has left its shape.
    pub(crate) fn has_shape(&self) -> bool {
        self.has_shape
    }

    /// True if something was written since the last sync.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The place of the next frame.
    pub(crate) fn spot(&self) -> Spot {
        Spot { segment: self.number, offset: self.bytes }
    }

    /// Appends a frame with a content of these pieces. If it is small, a kill can't part it.
    pub(crate) fn write(&mut self, head: &Head, stored: &[&[u8]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        head.write(self.spot(), &mut bytes);
        self.dirty = true;
        let mut pieces: Vec<_> = iter::once(&bytes[..]).chain(stored.iter().copied()).map(IoSlice::new).collect();
        self.medium.write(&mut pieces)?;
        self.bytes += head.total();
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            self.medium.sync()?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Syncs, and writes a frame that says so. If a power cut takes that frame, the next run reads
    /// the segment's bytes once more.
    pub(crate) fn close(mut self) -> Result<u64, (PathBuf, &'static str, io::Error)> {
        if let Err(error) = self.sync() {
            return Err((self.path, "synced", error));
        }
        match self.write(&Head::new(CLOSING, Vec::new(), 0, &[]), &[]) {
            Ok(()) => Ok(self.bytes),
            Err(error) => Err((self.path, "written", error)),
        }
    }
}
