//! The parts that the attempts of a task have written. One attempt alone writes each part, in
//! frames of the store.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::ArrayError;
use super::directory::{PART, is_part, names, random_name};
use crate::error::Error;
use crate::store::{
    Buffers, CLOSING, Created, Done, FORMAT, Head, Header, LZ4, Run, Settings, Shape, Spot, Supply, Writer, free, hash,
};
use crate::system::paths::sync_directory;

/// Consecutive items, with consecutive results in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The part, by its place in the list of parts.
    pub(super) part: usize,
    /// The offset of the frame in the part.
    pub(super) offset: u64,
    /// The index in the whole input of the first item.
    pub(super) first: u64,
    pub(super) items: u32,
}

impl Piece {
    pub(super) fn end(&self) -> u64 {
        self.first + u64::from(self.items)
    }
}

/// Checks that a part's first results have the type that is read now. `Err` has the shape of this
/// type.
pub(super) type CheckType = fn(&Shape, &[u8]) -> Result<(), String>;

/// The parts of a task that earlier attempts have written, and the directory for new ones.
#[derive(Debug)]
pub(crate) struct Attempts {
    pub(crate) directory: PathBuf,
    pub(super) parts: Vec<String>,
    pub(super) pieces: Vec<Piece>,
    /// The bytes of the parts of earlier attempts.
    pub(crate) bytes: u64,
    supply: NewParts,
}

impl Attempts {
    /// Reads what earlier attempts have written of the items from `first` to `end`: each part up to
    /// its first damaged frame.
    pub(super) fn read(directory: PathBuf, share: (u64, u64), check: CheckType) -> Result<Self, ArrayError> {
        let supply = NewParts { directory: directory.clone(), made: Arc::default() };
        let mut attempts = Self { directory, parts: Vec::new(), pieces: Vec::new(), bytes: 0, supply };
        for name in names(&attempts.directory)?.into_iter().filter(|name| number_of(name).is_some()) {
            attempts.add(name, share, Some(check))?;
        }
        attempts.sort();
        Ok(attempts)
    }

    /// Adds what this attempt has written, and gives the parts and pieces of the task's results.
    pub(super) fn finish(mut self, share: (u64, u64)) -> Result<(Vec<String>, Vec<Piece>), ArrayError> {
        // Writes of an earlier attempt may not be on the disk yet.
        for name in &self.parts {
            let path = self.directory.join(name);
            // Windows syncs no file that is open for reading alone.
            File::options()
                .read(true)
                .write(cfg!(windows))
                .open(&path)
                .and_then(|file| file.sync_all())
                .map_err(|error| ArrayError::io(&path, "synced", error))?;
        }
        let made = std::mem::take(&mut *self.supply.made.lock().unwrap_or_else(PoisonError::into_inner));
        for name in made {
            self.add(name, share, None)?;
        }
        self.sort();
        self.drop_unused();
        Ok((self.parts, self.pieces))
    }

    /// Adds the frames of a part. There is no `check` for a part that this process has just
    /// written. Such a part is refused unless it is whole: otherwise the task would be done for
    /// good without some of its results, while the next attempt computes them.
    fn add(&mut self, name: String, share: (u64, u64), check: Option<CheckType>) -> Result<(), ArrayError> {
        let path = self.directory.join(&name);
        let failed = |error| ArrayError::io(&path, "read", error);
        let mut part = match Part::open(&path) {
            Ok(Some(part)) => part,
            Ok(None) if check.is_none() => return Err(failed(not_as_written())),
            Ok(None) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        if let Some(check) = check {
            part.check(check).map_err(failed)?.map_err(|is| other_type(&path, &part.shape, &is))?;
        }
        let number = self.parts.len();
        let (mut pieces, mut is_whole) = (Vec::new(), false);
        while let Some((offset, head)) = part.next_frame(check.is_some()).map_err(failed)? {
            is_whole = head.is(CLOSING) && part.next == part.bytes;
            if head.flags & !LZ4 != 0 {
                continue;
            }
            if head.runs.iter().any(|run| run.first < share.0 || run.end() > share.1) {
                break;
            }
            let piece = |run: &Run| Piece { part: number, offset, first: run.first, items: run.items };
            pieces.extend(head.runs.iter().map(piece));
        }
        if check.is_none() && !is_whole {
            return Err(failed(not_as_written()));
        }
        if !pieces.is_empty() {
            self.pieces.append(&mut pieces);
            self.bytes += part.bytes;
            self.parts.push(name);
        }
        Ok(())
    }

    /// Sorts the pieces. Of two with a common item, one stays.
    fn sort(&mut self) {
        self.pieces.sort_by_key(|piece| (piece.first, piece.part));
        let mut end = 0;
        self.pieces.retain(|piece| {
            let is_free = piece.first >= end;
            end = if is_free { piece.end() } else { end };
            is_free
        });
    }

    /// Drops the parts that no piece is from: another attempt has the same results.
    fn drop_unused(&mut self) {
        let (mut used, mut places) = (Vec::new(), vec![None; self.parts.len()]);
        for piece in &mut self.pieces {
            let name = &mut self.parts[piece.part];
            piece.part = *places[piece.part].get_or_insert_with(|| {
                used.push(std::mem::take(name));
                used.len() - 1
            });
        }
        self.parts = used;
    }

    /// The first of the done items that end behind this index.
    pub(crate) fn next_done(&self, index: u64) -> Option<Done> {
        let piece = self.pieces.get(self.pieces.partition_point(|piece| piece.end() <= index))?;
        Some(Done::elsewhere(piece.first, piece.items))
    }

    /// Begins to write to new parts.
    pub(crate) fn writer(&self, settings: Settings) -> Result<Writer, Error> {
        Writer::start(Box::new(self.supply.clone()), settings, self.bytes, Vec::new())
    }
}

fn not_as_written() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not as it was written")
}

/// Refuses results of another type.
pub(super) fn other_type(path: &Path, was: &Shape, is: &str) -> ArrayError {
    ArrayError::refused(format!(
        "{} has results of another type: it was `{was}` and is now {is}; go back to the type that they had, or use another directory and raise \
         `version`",
        path.display()
    ))
}

/// The number that stands for a part in the hashes of its frames, made from its name.
fn number_of(name: &str) -> Option<u32> {
    if is_part(name) { u32::from_str_radix(name.get(..8)?, 16).ok() } else { None }
}

/// Makes parts, each with a new name.
#[derive(Clone, Debug)]
struct NewParts {
    directory: PathBuf,
    made: Arc<Mutex<Vec<String>>>,
}

impl Supply for NewParts {
    fn create(&mut self) -> Result<Created, (PathBuf, io::Error)> {
        let name = random_name() + PART;
        let number = number_of(&name).unwrap_or_default();
        let path = self.directory.join(&name);
        let file = match File::options().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) => return Err((path, error)),
        };
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        Ok((number, path, Box::new(file)))
    }

    fn sync_names(&mut self) -> io::Result<()> {
        sync_directory(&self.directory)
    }

    fn free(&self) -> Option<u64> {
        free(&self.directory)
    }

    fn path(&self) -> &Path {
        &self.directory
    }
}

/// A part that is read.
pub(super) struct Part {
    pub(super) file: File,
    number: u32,
    pub(super) shape: Shape,
    bytes: u64,
    /// The offset of its first frame.
    begins_at: u64,
    next: u64,
}

impl Part {
    /// Opens a part; `None` if its beginning is damaged or has another format.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(number) = number_of(name) else { return Ok(None) };
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let Some(header) = Header::read(&mut file, number, bytes)? else { return Ok(None) };
        if header.format != FORMAT {
            return Ok(None);
        }
        let begins_at = header.bytes();
        let shape = Shape::from_json(header.shape);
        Ok(Some(Self { file, number, shape, bytes, begins_at, next: begins_at }))
    }

    /// Compares the type of its first results, unless these are damaged.
    pub(super) fn check(&mut self, check: CheckType) -> io::Result<Result<(), String>> {
        let mut buffers = Buffers::default();
        let Some(head) = self.head(self.begins_at)? else { return Ok(Ok(())) };
        let first = buffers.read_undamaged(&self.file, self.begins_at + head.bytes(), &head)?;
        Ok(first.map_or(Ok(()), |first| check(&self.shape, first)))
    }

    /// The next frame and its offset; `None` at the first frame that is not complete.
    fn next_frame(&mut self, verify: bool) -> io::Result<Option<(u64, Head)>> {
        let offset = self.next;
        let Some(head) = self.head(offset)? else { return Ok(None) };
        // Not read at once: one result may be large.
        if verify && hash(&self.file, offset + head.bytes(), head.stored)? != head.hash {
            return Ok(None);
        }
        self.next = offset + head.total();
        Ok(Some((offset, head)))
    }

    /// The head of the frame at an offset, if the file has all of the frame.
    pub(super) fn head(&mut self, offset: u64) -> io::Result<Option<Head>> {
        let spot = Spot { segment: self.number, offset };
        let head = Head::read(&mut self.file, spot, self.bytes)?;
        Ok(head.filter(|head| offset + head.total() <= self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Encoded;
    use crate::system::sync::Clock;

    #[test]
    fn a_part_of_this_attempt_that_is_not_whole_does_not_count_as_results() {
        let folder = std::env::temp_dir().join(format!("amorsize-parts-{}", random_name()));
        // The clock stands, so that all results are in one frame.
        let _entered = Clock::standing().enter();
        let attempt = |harm: &dyn Fn(Vec<u8>) -> Vec<u8>| {
            std::fs::create_dir(&folder).unwrap();
            let attempts = Attempts::read(folder.clone(), (0, 9), Shape::check::<String>).unwrap();
            let writer = attempts.writer(Settings::new(u64::MAX)).unwrap();
            for item in 0..9 {
                let mut encoded = Encoded::apart(item);
                encoded.push(0, &item.to_string()).unwrap();
                writer.put(encoded);
            }
            writer.finish().unwrap();
            let path = folder.join(&names(&folder).unwrap()[0]);
            let bytes = std::fs::read(&path).unwrap();
            let len = bytes.len();
            std::fs::write(&path, harm(bytes)).unwrap();
            let finished = attempts.finish((0, 9));
            std::fs::remove_dir_all(&folder).unwrap();
            (finished.map(|(_, pieces)| pieces.iter().map(|piece| piece.items).sum::<u32>()), path, len)
        };
        let (whole, _, len) = attempt(&|bytes| bytes);
        assert_eq!(whole.unwrap(), 9);
        let cut = |at: usize| move |bytes: Vec<u8>| bytes[..at].to_vec();
        let flip = |at: usize| {
            move |mut bytes: Vec<u8>| {
                bytes[at] ^= 1;
                bytes
            }
        };
        let longer = |bytes: Vec<u8>| [bytes, vec![0]].concat();
        let harms: [&dyn Fn(Vec<u8>) -> Vec<u8>; 8] =
            [&cut(0), &cut(10), &cut(len - 1), &cut(len - 44), &flip(0), &flip(20), &flip(len - 1), &longer];
        for (at, harm) in harms.into_iter().enumerate() {
            let (finished, path, _) = attempt(harm);
            let error = finished.unwrap_err();
            let says = format!(
                "{} could not be read: it is not as it was written; what was written is kept, run it again",
                path.display()
            );
            assert_eq!((error.code(), error.to_string()), (75, says), "{at}");
        }
    }
}
