//! Reads all frames of a segment, also of one with damage.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::contents::{Buffers, read_at};
use super::done::Log;
use super::frame::{BLOCK, CLOSING, END, HEAD, Head, MAGIC, PLACE, Spot, VOID};
use super::segment::{FORMAT, Header};
use super::shape::Shape;

/// The contents of a directory's segments, read one after another.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) log: Log,
    /// The shape of each segment that has one, with the place where its first frame should be.
    pub(super) shapes: Vec<(Spot, Arc<Shape>)>,
    /// The places at which frames should be.
    pub(super) damaged: Vec<Spot>,
    pub(super) bytes: u64,
}

impl Scan {
    /// Adds a segment, and gives its format. A segment of another format is not read.
    pub(super) fn segment(&mut self, path: &Path, number: u32) -> io::Result<u32> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        self.bytes += len;
        let mut start = 0;
        if let Some(header) = Header::read(&mut file, number, len)? {
            if header.format != FORMAT {
                return Ok(header.format);
            }
            start = header.bytes();
            if !header.shape.is_empty() {
                let spot = Spot { segment: number, offset: start };
                self.shapes.push((spot, Arc::new(Shape::from_json(header.shape))));
            }
        }
        let mut reader = Reader { file: &mut file, number, len, verify: false };
        let mut found = reader.frames(start)?;
        let is_closed = is_closed(&found);
        if !is_closed {
            reader.verify = true;
            found = reader.frames(start)?;
        }
        for found in found {
            let damaged = match found {
                Found::Frame(_, head, _) if head.is(CLOSING) => None,
                Found::Frame(spot, head, note) => self.log.frame(spot, head, &note).err().map(|_| spot),
                Found::Damage(spot) => Some(spot),
                Found::Torn => {
                    self.log.damage();
                    None
                }
            };
            if let Some(spot) = damaged {
                self.lost(spot);
            }
        }
        if !is_closed {
            self.log.not_closed();
        }
        Ok(FORMAT)
    }

    /// Notes that at least one frame is missing here.
    pub(super) fn lost(&mut self, spot: Spot) {
        self.damaged.push(spot);
        self.log.damage();
    }
}

enum Found {
    /// A complete frame, with its content if that is a note.
    Frame(Spot, Head, Vec<u8>),
    /// At least one damaged frame, with others behind it.
    Damage(Spot),
    /// The beginning of a frame that a process was writing when it was killed.
    Torn,
}

/// True if all frames were synced: the last says so, and none is damaged.
fn is_closed(found: &[Found]) -> bool {
    let is_frame = |found: &Found| matches!(found, Found::Frame(..));
    matches!(found.last(), Some(Found::Frame(_, head, _)) if head.is(CLOSING)) && found.iter().all(is_frame)
}

struct Reader<'a> {
    file: &'a mut File,
    number: u32,
    len: u64,
    /// True if contents are checked, and not only the heads and the notes.
    verify: bool,
}

impl Reader<'_> {
    fn frames(&mut self, mut at: u64) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        while at < self.len {
            let spot = self.spot(at);
            let Some(head) = Head::read(self.file, spot, self.len)? else {
                let next = self.next_head(at + 1)?;
                found.push(if next.is_some() { Found::Damage(spot) } else { Found::Torn });
                at = next.unwrap_or(self.len);
                continue;
            };
            // The head's hash is right, so its numbers are. A damaged content therefore costs no
            // other frame, whatever bytes it has.
            let (start, end) = (at + head.bytes(), at + head.total());
            at = end;
            if end > self.len {
                found.push(Found::Torn);
                continue;
            }
            let note = if head.is(END | PLACE | VOID) {
                Buffers::default().read_undamaged(self.file, start, &head)?.map(<[u8]>::to_vec)
            } else {
                let is_whole = !self.verify || head.hash == hash(self.file, start, head.stored)?;
                is_whole.then(Vec::new)
            };
            found.push(note.map_or(Found::Damage(spot), |note| Found::Frame(spot, head, note)));
        }
        Ok(found)
    }

    fn spot(&self, offset: u64) -> Spot {
        Spot { segment: self.number, offset }
    }

    /// The place of the next complete head.
    fn next_head(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        let mut part = vec![0; BLOCK];
        while at + HEAD as u64 <= self.len {
            let part = &mut part[..(self.len - at).min(BLOCK as u64) as usize];
            self.file.seek(SeekFrom::Start(at))?;
            self.file.read_exact(part)?;
            for (from, _) in part.windows(MAGIC.len()).enumerate().filter(|(_, bytes)| *bytes == MAGIC) {
                let here = at + from as u64;
                if Head::read(self.file, self.spot(here), self.len)?.is_some() {
                    return Ok(Some(here));
                }
            }
            // The next part begins with the last bytes of this one, which may begin a head.
            at += (part.len() - (MAGIC.len() - 1)) as u64;
        }
        Ok(None)
    }
}

/// The hash of `bytes` bytes of a file. They are not read at once, as one frame may be as large as
/// a result.
pub(crate) fn hash(file: &File, mut at: u64, bytes: u64) -> io::Result<u64> {
    let mut hasher = XxHash3_64::new();
    let mut part = vec![0; bytes.min(BLOCK as u64) as usize];
    let end = at + bytes;
    while at < end {
        let part = &mut part[..(end - at).min(BLOCK as u64) as usize];
        read_at(file, part, at)?;
        hasher.write(part);
        at += part.len() as u64;
    }
    Ok(hasher.finish())
}
