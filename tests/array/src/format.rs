//! The files of results, read and made up by the page `format` of the guide alone.

use std::ops::Range;
use std::path::Path;

use twox_hash::XxHash3_64;

/// The bytes of a header without its shape, of a head without its runs, and of a run.
const HEADER: usize = 24;
const HEAD: usize = 44;
const RUN: usize = 28;

/// A frame of a file.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its bytes in the file.
    pub bytes: Range<usize>,
    /// Its content, at the end of these bytes.
    pub content: Range<usize>,
    /// The flags, added up.
    pub flags: u32,
    /// The items of each run.
    pub runs: Vec<Range<u64>>,
}

impl Frame {
    /// True if it has results.
    #[must_use]
    pub fn has_results(&self) -> bool {
        self.flags <= 1
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("there are eight"))
}

fn small(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("there are four")) as usize
}

/// The frames of a file up to the first one that is not complete. Checksums are not compared.
#[must_use]
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let Some(mut at) = bytes.get(12..16).map(|shape| HEADER + small(shape, 0)) else { return frames };
    while let Some(frame) = bytes.get(at..).and_then(|left| frame(left, at)) {
        at = frame.bytes.end;
        frames.push(frame);
    }
    frames
}

/// The frame at the beginning of these bytes, which begin at `at` in the file.
fn frame(bytes: &[u8], at: usize) -> Option<Frame> {
    if bytes.len() < HEAD || &bytes[..4] != b"amf\x01" {
        return None;
    }
    let content = HEAD.checked_add(RUN.checked_mul(small(bytes, 4))?)?;
    let end = content.checked_add(usize::try_from(number(bytes, 20)).ok()?)?;
    let runs = bytes.get(..end)?[HEAD..content].chunks_exact(RUN);
    let items = |run: &[u8]| number(run, 0)..number(run, 0).saturating_add(small(run, 8) as u64);
    let runs = runs.map(items).collect();
    Some(Frame { bytes: at..at + end, content: at + content..at + end, flags: small(bytes, 8) as u32, runs })
}

/// The number that stands for a file in its checksums, if its name is that of a file of results.
#[must_use]
pub fn number_of(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    match path.extension()?.to_str()? {
        "amz" => name.strip_suffix(".amz")?.parse().ok(),
        "part" => u32::from_str_radix(name.get(..8)?, 16).ok(),
        _ => None,
    }
}

/// Makes all checksums of a file agree with its bytes.
pub fn seal(path: &Path, bytes: &mut [u8]) {
    let Some(number) = number_of(path) else { return seal_text(bytes) };
    if let Some(shape) = bytes.get(12..16).map(|shape| small(shape, 0))
        && bytes.len() - 16 >= shape.saturating_add(8)
    {
        let hash = XxHash3_64::oneshot_with_seed(number.into(), &bytes[..16 + shape]);
        bytes[16 + shape..][..8].copy_from_slice(&hash.to_le_bytes());
    }
    for Frame { bytes: frame, content, .. } in frames(bytes) {
        let hash = XxHash3_64::oneshot(&bytes[content.clone()]);
        bytes[frame.start + 28..][..8].copy_from_slice(&hash.to_le_bytes());
        bytes[frame.start + 36..][..8].fill(0);
        let seed = (u64::from(number) << 42) ^ frame.start as u64;
        let hash = XxHash3_64::oneshot_with_seed(seed, &bytes[frame.start..content.start]);
        bytes[frame.start + 36..][..8].copy_from_slice(&hash.to_le_bytes());
    }
}

/// The same for `array.json` and `done`, with a checksum of all before it.
fn seal_text(bytes: &mut [u8]) {
    const SEAL: &[u8] = b",\n  \"checksum\": \"";

    let Some(at) = bytes.windows(SEAL.len()).rposition(|part| part == SEAL) else { return };
    let hash = format!("{:016x}", XxHash3_64::oneshot(&bytes[..at]));
    if let Some(place) = bytes[at + SEAL.len()..].first_chunk_mut::<16>() {
        place.copy_from_slice(hash.as_bytes());
    }
}
