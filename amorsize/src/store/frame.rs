//! Frames: the parts of a file of results. The page `format` of the guide describes their bytes.
//!
//! A frame's head is checked by a hash that knows the segment and the offset at which the frame
//! stands. So a copy of a frame within a result, or a file under another name, is never taken for
//! a frame when reading goes on behind damage.

use std::hash::Hasher;
use std::io::{self, Read, Seek, SeekFrom};

use twox_hash::XxHash3_64;

/// Begins each frame. The last byte is the format's version.
pub(crate) const MAGIC: [u8; 4] = *b"amf\x01";
/// The bytes of a head before its runs.
pub(crate) const HEAD: usize = 44;
/// A frame closes at this number of bytes. Smaller frames make reading slower; larger ones lose
/// more by damage.
pub(crate) const FRAME: usize = 1 << 20;
/// Memory for this many frames is kept, as allocating it anew takes longer than filling it: frames
/// may be a little larger than others, and the results of neighbours are spread over some.
pub(crate) const KEPT_FRAMES: usize = 4;
/// This many bytes are read, written, decoded or tried at once: a system call takes far less time
/// than that, they stay in the processor's cache with what is made of them, and more at once is no
/// faster.
pub(crate) const BLOCK: usize = 64 << 10;
/// The bytes of a run in a head.
pub(crate) const RUN: usize = 28;
/// The place of a head's hash in the head.
const HEAD_HASH: std::ops::Range<usize> = 36..44;

/// The stored bytes are a block of lz4.
pub(crate) const LZ4: u32 = 1;
/// All frames before are synced, and the segment ends here.
pub(crate) const CLOSING: u32 = 2;
/// A frame is of no use; the content is its segment and its offset, a `u64` each.
pub(crate) const VOID: u32 = 4;
/// The input ended; the content is the number of its items, a `u64`.
pub(crate) const END: u32 = 8;
/// A sink has these runs; the content is its place after them, a `u64`.
pub(crate) const PLACE: u32 = 16;
/// A sink has these runs; there is no content.
pub(crate) const DONE: u32 = 32;

/// The place of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
}

impl Spot {
    /// The seed of a head's hash. A segment would have to reach 4 TiB before two frames of a
    /// directory had the same seed.
    fn seed(self) -> u64 {
        (u64::from(self.segment) << 42) ^ self.offset
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&u64::from(self.segment).to_le_bytes());
        bytes[8..].copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let segment = u32::try_from(number(bytes.get(..8)?)).ok()?;
        (bytes.len() == 16).then(|| Self { segment, offset: number(&bytes[8..]) })
    }
}

/// Consecutive items, with consecutive results in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The index in the input of the first item.
    pub(crate) first: u64,
    pub(crate) items: u32,
    /// The bytes of the results before compression.
    pub(crate) bytes: u64,
    /// The hash of the items, see [`ItemsHash`](super::identity::ItemsHash).
    pub(crate) hash: u64,
}

impl Run {
    /// The index of the item behind the last one.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.items)
    }
}

/// The head of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) flags: u32,
    /// The bytes of the content before compression.
    pub(crate) raw: u64,
    /// The bytes of the content in the file.
    pub(crate) stored: u64,
    /// The XXH3-64 of the bytes in the file.
    pub(crate) hash: u64,
    pub(crate) runs: Vec<Run>,
}

impl Head {
    /// The head of a frame with a content of these pieces.
    pub(crate) fn new(flags: u32, runs: Vec<Run>, raw: u64, pieces: &[&[u8]]) -> Self {
        let mut hasher = XxHash3_64::new();
        pieces.iter().for_each(|piece| hasher.write(piece));
        Self { flags, raw, stored: pieces.iter().map(|piece| piece.len() as u64).sum(), hash: hasher.finish(), runs }
    }

    /// The bytes of the head in the file.
    pub(crate) fn bytes(&self) -> u64 {
        (HEAD + RUN * self.runs.len()) as u64
    }

    /// The bytes of the frame in the file.
    pub(crate) fn total(&self) -> u64 {
        self.bytes() + self.stored
    }

    pub(crate) fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Appends the head of a frame for this place.
    pub(crate) fn write(&self, spot: Spot, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&(self.runs.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        for number in [self.raw, self.stored, self.hash, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for run in &self.runs {
            out.extend_from_slice(&run.first.to_le_bytes());
            out.extend_from_slice(&run.items.to_le_bytes());
            out.extend_from_slice(&run.bytes.to_le_bytes());
            out.extend_from_slice(&run.hash.to_le_bytes());
        }
        let hash = XxHash3_64::oneshot_with_seed(spot.seed(), &out[start..]);
        out[start..][HEAD_HASH].copy_from_slice(&hash.to_le_bytes());
    }

    /// Reads the head at this place of a file with `file_bytes` bytes; `None` if there is no
    /// complete one. The content may still be damaged, or end behind the file.
    pub(crate) fn read(file: &mut (impl Read + Seek), spot: Spot, file_bytes: u64) -> io::Result<Option<Self>> {
        let left = file_bytes.saturating_sub(spot.offset);
        if left < HEAD as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; HEAD];
        file.seek(SeekFrom::Start(spot.offset))?;
        file.read_exact(&mut bytes)?;
        let runs = u64::from(u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]));
        if bytes[..4] != MAGIC || runs * RUN as u64 > left - HEAD as u64 {
            return Ok(None);
        }
        bytes.resize(HEAD + RUN * runs as usize, 0);
        file.read_exact(&mut bytes[HEAD..])?;
        Ok(Self::parse(bytes, spot))
    }

    fn parse(mut bytes: Vec<u8>, spot: Spot) -> Option<Self> {
        let told = number(&bytes[HEAD_HASH]);
        bytes[HEAD_HASH].fill(0);
        if XxHash3_64::oneshot_with_seed(spot.seed(), &bytes) != told {
            return None;
        }
        let flags = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        let runs: Vec<Run> = bytes[HEAD..].chunks_exact(RUN).map(run).collect();
        let [raw, stored, hash] = [12, 20, 28].map(|at| number(&bytes[at..at + 8]));
        let head = Self { flags, raw, stored, hash, runs };
        head.makes_sense().then_some(head)
    }

    /// True if the numbers fit each other, as those that were written do. After this check readers
    /// may add them without another one.
    fn makes_sense(&self) -> bool {
        let fits = |run: &Run| run.items > 0 && run.first.checked_add(run.items.into()).is_some();
        let in_runs = self.runs.iter().try_fold(0u64, |sum, run| sum.checked_add(run.bytes));
        let has_results = self.flags & !LZ4 == 0;
        let shrunk = self.is(LZ4) && has_results && self.raw <= self.stored.saturating_mul(MOST_SHRINKING);
        self.flags < 2 * DONE
            && self.stored < u64::MAX / 2
            && (shrunk || !self.is(LZ4) && self.raw == self.stored)
            && self.runs.iter().all(fits)
            && in_runs == Some(if has_results { self.raw } else { 0 })
    }

    /// Checks and decompresses what is stored. The text of an error says what is wrong with it.
    /// Both buffers can be used again.
    pub(crate) fn open(&self, stored: &mut Vec<u8>, content: &mut Vec<u8>) -> Result<(), &'static str> {
        if stored.len() as u64 != self.stored || XxHash3_64::oneshot(stored) != self.hash {
            return Err(OTHER_CHECKSUM);
        }
        if !self.is(LZ4) {
            std::mem::swap(stored, content);
            return Ok(());
        }
        resize(content, self.raw)?;
        let raw = content.len();
        match lz4_flex::block::decompress_into(stored, content) {
            Ok(bytes) if bytes == raw => Ok(()),
            _ => Err("the results of a frame can't be decompressed"),
        }
    }
}

/// Gives the memory this length. New memory comes from the system with zeros, and is not filled
/// with them once more.
pub(super) fn resize(bytes: &mut Vec<u8>, len: u64) -> Result<(), &'static str> {
    let len = usize::try_from(len).map_err(|_| "a frame is larger than this machine's memory")?;
    if bytes.capacity() < len {
        // The next frame may be a little larger.
        *bytes = vec![0; len + len / 8];
    }
    bytes.resize(len, 0);
    Ok(())
}

const OTHER_CHECKSUM: &str = "the checksum of a frame differs";

/// A block of lz4 is at least a 255th of its content: each byte of a length stands for up to 255.
const MOST_SHRINKING: u64 = 255;

fn run(bytes: &[u8]) -> Run {
    let items = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    Run { first: number(&bytes[..8]), items, bytes: number(&bytes[12..20]), hash: number(&bytes[20..28]) }
}

/// The number in the first eight bytes.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(eight)
}

/// Compresses contents if that pays, in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Press {
    content: Vec<u8>,
    block: Vec<u8>,
}

impl Press {
    /// Longer contents are not compressed: a block is compressed at once, with as much memory
    /// again. Contents of that length are single results, mostly of numbers or pixels.
    const MOST: usize = 16 << 20;

    /// The content that consists of these pieces, as a block of lz4, if its beginning shrinks to
    /// 80 % of its bytes or less. Then reading and writing fewer bytes saves more time than the
    /// compression takes.
    pub(crate) fn shrink(&mut self, pieces: &[&[u8]]) -> Option<&[u8]> {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        if len == 0 || len > Self::MOST {
            return None;
        }
        // The results of a frame are mostly alike, and as far as lz4 looks back, it finds all that
        // it will find.
        let tried = len.min(BLOCK);
        let mut shrunk = self.compress(pieces, tried)?;
        if shrunk * 5 > tried * 4 {
            return None;
        }
        if tried < len {
            shrunk = self.compress(pieces, len)?;
        }
        (shrunk < len).then(|| &self.block[..shrunk])
    }

    /// Compresses the first bytes of the content that consists of these pieces, and gives the
    /// length of the block.
    fn compress(&mut self, pieces: &[&[u8]], bytes: usize) -> Option<usize> {
        let content = match pieces {
            [piece, ..] if piece.len() >= bytes => &piece[..bytes],
            _ => {
                self.content.clear();
                for piece in pieces {
                    let left = bytes - self.content.len();
                    self.content.extend_from_slice(&piece[..piece.len().min(left)]);
                }
                &self.content[..]
            }
        };
        let most = lz4_flex::block::get_maximum_output_size(bytes);
        if self.block.len() < most {
            self.block.resize(most, 0);
        }
        lz4_flex::block::compress_into(content, &mut self.block).ok()
    }

    /// Frees memory that only large contents need.
    pub(crate) fn rest(&mut self) {
        for bytes in [&mut self.content, &mut self.block] {
            if bytes.capacity() > KEPT_FRAMES * FRAME {
                *bytes = Vec::new();
            }
        }
    }
}
