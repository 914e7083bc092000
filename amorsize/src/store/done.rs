//! Finds the items that are done, and the place of their results, from frames in the order in which
//! they were written.

use super::frame::{END, Head, PLACE, Spot, VOID, number};

/// Consecutive items that are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// The index in the input of the first item.
    pub(crate) first: u64,
    pub(crate) items: u32,
    /// The [`ItemsHash`](super::identity::ItemsHash) that the items must have.
    pub(crate) hash: u64,
    /// The frame that has the results, and their place in it.
    pub(super) frame: u32,
    pub(super) start: u64,
    pub(crate) bytes: u64,
}

impl Done {
    /// Items that are done, with results outside of a store. They are not compared.
    #[cfg(feature = "array")]
    pub(crate) fn elsewhere(first: u64, items: u32) -> Self {
        Self { first, items, hash: 0, frame: 0, start: 0, bytes: 0 }
    }

    /// The index of the item behind the last one.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.items)
    }
}

/// A frame that was found, without its runs.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) spot: Spot,
    /// The place in the file at which its content begins.
    pub(super) content: u64,
    pub(super) head: Head,
    pub(super) runs: usize,
}

/// Collects the contents of frames.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) frames: Vec<Frame>,
    done: Vec<Done>,
    /// The places of frames that are of no use.
    pub(super) void: Vec<Spot>,
    /// The number of items of the input, if a run came to its end.
    pub(super) end: Option<u64>,
    /// True if a run came to its end after all of `void` was noted, and so computed it anew.
    pub(super) is_mended: bool,
    /// The places of the sink, each with the length of `done` when it was told.
    places: Vec<(u64, usize)>,
    /// The length of `done` before the first place: a sink without places had these.
    unplaced: usize,
    /// True after damage in a journal with places. The sink then goes back to the place before the
    /// damage, and loses what was done behind that place.
    broken: bool,
    /// True if any frame told a place, even one that does not count.
    has_places: bool,
    /// True after a segment that no frame closes: a power cut may have taken any frame of it.
    may_lack_any: bool,
}

impl Log {
    /// Takes a frame. The note is the content of a frame without results.
    pub(super) fn frame(&mut self, spot: Spot, mut head: Head, note: &[u8]) -> Result<(), &'static str> {
        if head.is(VOID) {
            self.void.push(Spot::from_bytes(note).ok_or("a void frame names no frame")?);
            self.is_mended = false;
            return Ok(());
        }
        if head.is(END) {
            let end = one_number(note).ok_or("the end of the input has no number")?;
            self.end = Some(end.max(self.end.unwrap_or(0)));
            self.is_mended = true;
            return Ok(());
        }
        let may_begin = !self.has_places && !self.broken && !self.may_lack_any;
        self.has_places |= head.is(PLACE);
        let content = spot.offset + head.bytes();
        let runs = std::mem::take(&mut head.runs);
        let place = if head.is(PLACE) { Some(one_number(note).ok_or("a place has no number")?) } else { None };
        if let Some(place) = place {
            if runs.is_empty() {
                self.go_on_from(place, may_begin);
                return Ok(());
            }
            if self.broken {
                return Ok(());
            }
        }
        if place.is_some() && self.places.is_empty() {
            self.unplaced = self.done.len();
        }
        let frame = self.frames.len() as u32;
        let (mut start, count) = (0, runs.len());
        for run in runs {
            self.done.push(Done { first: run.first, items: run.items, hash: run.hash, frame, start, bytes: run.bytes });
            start += run.bytes;
        }
        self.frames.push(Frame { spot, content, head, runs: count });
        self.places.extend(place.map(|place| (place, self.done.len())));
        Ok(())
    }

    /// Notes that at least one frame is missing here.
    pub(super) fn damage(&mut self) {
        self.broken = true;
    }

    /// Notes that no frame closes a segment, after its frames.
    pub(super) fn not_closed(&mut self) {
        self.may_lack_any = true;
    }

    /// Notes that a run went on from this place of its sink, or that a sink with places began
    /// there, if `may_begin`.
    fn go_on_from(&mut self, place: u64, may_begin: bool) {
        // The sink was there before, so if no frame tells this place, some are lost.
        if place > 0 && !may_begin && !self.places.iter().any(|&(known, _)| known == place) {
            self.broken = true;
            return;
        }
        self.broken = false;
        if self.places.is_empty() {
            self.unplaced = self.done.len();
        }
        while self.places.last().is_some_and(|&(known, _)| known > place) {
            self.places.pop();
        }
        let done = self.places.last().map_or(self.unplaced, |&(_, done)| done);
        self.done.truncate(done);
        self.places.push((place, done));
    }

    /// The place of the sink when the last frame that counts was written. A sink that has places
    /// begins anew if none of them counts.
    pub(super) fn place(&self) -> Option<u64> {
        self.places.last().map(|&(place, _)| place).or(self.has_places.then_some(0))
    }

    /// All items that are done, by index. Items that are done twice, because damage went away
    /// later, count once.
    pub(super) fn done(&mut self) -> Vec<Done> {
        let mut done = std::mem::take(&mut self.done);
        done.retain(|done| !self.void.contains(&self.frames[done.frame as usize].spot));
        done.sort_by_key(|done| (done.first, done.frame));
        let mut end = 0;
        done.retain(|done| {
            let is_free = done.first >= end;
            end = if is_free { done.end() } else { end };
            is_free
        });
        done.shrink_to_fit();
        done
    }
}

/// The number that fills a content.
fn one_number(content: &[u8]) -> Option<u64> {
    (content.len() == 8).then(|| number(content))
}
