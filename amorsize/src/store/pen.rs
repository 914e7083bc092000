//! Makes frames of finished items, and segments of frames.

use std::io;
use std::path::Path;

use super::encoded::Encoded;
use super::frame::{DONE, END, FRAME, Head, LZ4, PLACE, Press, RUN, Run, Spot, VOID};
use super::identity::ItemsHash;
use super::segment::{Header, Segment, Supply};
use super::shape::{LOOKED_AT, Shape};
use crate::error::Error;
use crate::error::stored::{over_max_disk, storage};

/// A frame closes at this number of runs, which then take as many bytes as its results.
pub(super) const RUNS: usize = FRAME / RUN;

/// An entry in the order of writing.
pub(super) enum Entry<H> {
    /// Results, with a guard of the bytes that they take in memory.
    Results(Encoded, H),
    /// A sink has these, and may have told its place after them. They are in one frame.
    Done(Vec<Run>, Option<u64>),
    /// The sink went back to this place. It has a guard as results do.
    GoOnFrom(u64, H),
    /// The number of items of the input.
    End(u64),
}

/// Writes to new segments.
pub(super) struct Pen<H> {
    supply: Box<dyn Supply>,
    segment: Option<Segment>,
    /// True if the name of a segment is not synced yet.
    is_new: bool,
    segment_bytes: u64,
    max_disk: Option<u64>,
    /// The bytes of all closed segments, with those of earlier runs.
    used: u64,
    /// Damaged frames of earlier runs, to be noted when all of their items are done.
    damaged: Vec<Spot>,
    results: Vec<(Encoded, H)>,
    done: Vec<Run>,
    place: Option<u64>,
    /// The last place that is written.
    told: Option<u64>,
    press: Press,
}

impl<H> Pen<H> {
    pub(super) fn new(
        supply: Box<dyn Supply>,
        segment_bytes: u64,
        max_disk: Option<u64>,
        used: u64,
        damaged: Vec<Spot>,
    ) -> Self {
        Self {
            supply,
            segment: None,
            is_new: false,
            segment_bytes,
            max_disk,
            used,
            damaged,
            results: Vec::new(),
            done: Vec::new(),
            place: None,
            told: None,
            press: Press::default(),
        }
    }

    /// The bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.used + self.segment.as_ref().map_or(0, Segment::bytes)
    }

    /// Writes all of these, in as few frames as they fill.
    pub(super) fn write(&mut self, entries: Vec<Entry<H>>) -> Result<(), Error> {
        let mut bytes = 0;
        for entry in entries {
            match entry {
                Entry::Results(encoded, held) => {
                    // It gets a frame of its own.
                    if encoded.bytes.len() >= FRAME {
                        self.close_results()?;
                        bytes = 0;
                    }
                    bytes += encoded.bytes.len();
                    self.results.push((encoded, held));
                    if bytes >= FRAME || self.results.len() == RUNS {
                        self.close_results()?;
                        bytes = 0;
                    }
                }
                Entry::Done(runs, place) => {
                    self.done.extend(runs);
                    self.place = place.or(self.place);
                    // The frame has all items of a batch, and may be larger for it: a reader takes
                    // a place for that of the sink behind all of them.
                    if self.done.len() >= RUNS {
                        self.close_done()?;
                    }
                }
                Entry::GoOnFrom(place, _held) => {
                    self.close_frames()?;
                    self.told = None;
                    self.frame(PLACE, Vec::new(), 8, &[&place.to_le_bytes()], String::new)?;
                    self.told = Some(place);
                }
                Entry::End(items) => {
                    self.close_frames()?;
                    for spot in std::mem::take(&mut self.damaged) {
                        let note = spot.to_bytes();
                        self.frame(VOID, Vec::new(), note.len() as u64, &[&note], String::new)?;
                    }
                    self.frame(END, Vec::new(), 8, &[&items.to_le_bytes()], String::new)?;
                }
            }
        }
        self.close_frames()
    }

    fn close_frames(&mut self) -> Result<(), Error> {
        self.close_results()?;
        self.close_done()
    }

    fn close_results(&mut self) -> Result<(), Error> {
        let mut results = std::mem::take(&mut self.results);
        // Neighbours become one run, and are found together.
        results.sort_by_key(|(encoded, _)| encoded.first);
        if results.is_empty() {
            return Ok(());
        }
        let pieces: Vec<&[u8]> = results.iter().map(|(encoded, _)| &encoded.bytes[..]).collect();
        let raw = pieces.iter().map(|piece| piece.len() as u64).sum();
        let runs = joined(results.iter().map(|(encoded, _)| (encoded.run(), encoded.is_apart)));
        let mut press = std::mem::take(&mut self.press);
        let shrunk = press.shrink(&pieces);
        let (flags, stored) = match &shrunk {
            Some(shrunk) => (LZ4, std::slice::from_ref(shrunk)),
            None => (0, &pieces[..]),
        };
        let shape = || {
            let mut before = 0;
            let looked_at = results.iter().take_while(|(encoded, _)| {
                let is_first = before < LOOKED_AT;
                before += encoded.items();
                is_first
            });
            Shape::joined(looked_at.flat_map(|(encoded, _)| encoded.shapes.iter())).json().to_owned()
        };
        let outcome = self.frame(flags, runs, raw, stored, shape);
        press.rest();
        self.press = press;
        outcome
    }

    fn close_done(&mut self) -> Result<(), Error> {
        if self.done.is_empty() {
            return Ok(());
        }
        let mut done = std::mem::take(&mut self.done);
        done.sort_by_key(|run| run.first);
        let runs = joined(done.into_iter().map(|run| (run, false)));
        match self.place.take() {
            Some(place) => {
                self.frame(PLACE, runs, 8, &[&place.to_le_bytes()], String::new)?;
                self.told = Some(place);
                Ok(())
            }
            None => self.frame(DONE, runs, 0, &[], String::new),
        }
    }

    /// Writes a frame. The shape is that of the frame's first results.
    fn frame(
        &mut self,
        flags: u32,
        runs: Vec<Run>,
        raw: u64,
        stored: &[&[u8]],
        shape: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let head = Head::new(flags, runs, raw, stored);
        let has_results = flags & !LZ4 == 0;
        let fits = |segment: &Segment| {
            segment.bytes() + head.total() <= self.segment_bytes && (segment.has_shape() || !has_results)
        };
        if !self.segment.as_ref().is_some_and(fits) {
            self.close()?;
        }
        let header = self.segment.is_none().then(|| Header::new(shape()));
        // If the segment before is lost, its place is unknown.
        let told = self.told.filter(|_| header.is_some()).map(u64::to_le_bytes);
        let again = told.as_ref().map(|place| Head::new(PLACE, Vec::new(), 8, &[place]));
        let begins = header.as_ref().map_or(0, Header::bytes) + again.as_ref().map_or(0, Head::total);
        let needed = begins + head.total() + Segment::CLOSED_BY;
        let left = self.max_disk.map(|most| most.saturating_sub(self.bytes()));
        if let Some((most, left)) = self.max_disk.zip(left).filter(|&(_, left)| left < needed) {
            return Err(over_max_disk(self.supply.path(), most, needed, left));
        }
        if let Some(header) = &header {
            let begun = Segment::begin(&mut *self.supply, header);
            self.segment = Some(begun.map_err(|(path, error)| self.failed(&path, "made", &error, needed))?);
            self.is_new = true;
        }
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let outcome = match (&again, &told) {
            (Some(again), Some(place)) => segment.write(again, &[place]),
            _ => Ok(()),
        };
        match outcome.and_then(|()| segment.write(&head, stored)) {
            Ok(()) => Ok(()),
            Err(error) => {
                let path = segment.path().to_owned();
                Err(self.failed(&path, "written", &error, needed))
            }
        }
    }

    fn failed(&self, path: &Path, operation: &'static str, error: &io::Error, needed: u64) -> Error {
        storage(path, operation, error, Some(needed), self.supply.free())
    }

    /// True if a power cut would lose something.
    pub(super) fn is_dirty(&self) -> bool {
        self.is_new || self.segment.as_ref().is_some_and(Segment::is_dirty)
    }

    pub(super) fn sync(&mut self) -> Result<(), Error> {
        if let Some(segment) = &mut self.segment {
            segment.sync().map_err(|error| storage(segment.path(), "synced", &error, None, None))?;
            let found = self.supply.find(segment.path());
            found.map_err(|error| storage(segment.path(), "found", &error, None, None))?;
        }
        if std::mem::take(&mut self.is_new) {
            let synced = self.supply.sync_names();
            synced.map_err(|error| storage(self.supply.path(), "synced", &error, None, None))?;
        }
        Ok(())
    }

    /// Syncs and ends the segment.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        self.sync()?;
        if let Some(segment) = self.segment.take() {
            let closed = segment.close();
            self.used += closed
                .map_err(|(path, operation, error)| storage(&path, operation, &error, None, self.supply.free()))?;
        }
        Ok(())
    }
}

/// The runs in order. Neighbours become one unless the latter is apart.
fn joined(runs: impl Iterator<Item = (Run, bool)>) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for (run, is_apart) in runs {
        match joined.last_mut().and_then(|last| Some((last.items.checked_add(run.items)?, last))) {
            Some((items, last)) if last.end() == run.first && !is_apart => {
                let hash = ItemsHash(last.hash).join(ItemsHash(run.hash), run.items);
                *last = Run { first: last.first, items, bytes: last.bytes + run.bytes, hash: hash.0 };
            }
            _ => joined.push(run),
        }
    }
    joined
}
