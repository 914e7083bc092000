//! The hand-over of items from stage to stage of a pipeline, and the counts kept there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffer::RawChunk;
use crate::sample::TIMED_ALONE;
use crate::stage::{StageCounts, Tally};

/// Stages that are too short to be timed well have one item in this many timed.
const TIMED_ONE_IN: u32 = 16;

/// Tells a pipeline that is a stage of another one how its item is timed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Clock {
    /// The pipeline is no stage, and reads the clock itself.
    #[default]
    Own,
    /// This item is not timed.
    Untimed,
    /// The clock was just read. The item stands for this many items.
    At(Instant, u64),
}

/// Chooses the items that are timed.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Items left to skip before the next one is timed.
    left_out: u32,
    /// True if items are being skipped.
    leaves_out: bool,
}

impl Pace {
    /// The number of items that the next one stands for, if it is timed.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.left_out > 0 {
            self.left_out -= 1;
            return None;
        }
        Some(if self.leaves_out { TIMED_ONE_IN.into() } else { 1 })
    }

    /// Learns the time that a timed item took in `stages` stages.
    #[inline]
    pub(crate) fn learn(&mut self, took: Duration, stages: u32) {
        self.leaves_out = took < TIMED_ALONE * stages;
        self.left_out = if self.leaves_out { TIMED_ONE_IN - 1 } else { 0 };
    }
}

/// A part of a pipeline: the part before the last `then`, which can have stages of its own, or the
/// stage given to that `then`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Before,
    Next,
}

/// The buffers and counts with which a worker runs a pipeline's items one after the other. Each
/// part has a chunk of one item, which is empty between two items.
///
/// It stays with the chunk that is run, so that no item needs an allocation. A call that panics
/// loses it, with its contents.
pub(crate) struct Scratch {
    pub(crate) before: Box<RawChunk>,
    pub(crate) next: Box<RawChunk>,
    pub(crate) pace: Pace,
    /// The part that runs an item now, if any does.
    pub(crate) at: Option<Part>,
    pub(crate) tallies: [Tally; 2],
    /// Where the tallies go. A part that is itself a pipeline has none: its stages have them.
    counts: [Option<Arc<StageCounts>>; 2],
}

impl Scratch {
    pub(crate) fn new(parts: [Box<RawChunk>; 2], counts: [Option<Arc<StageCounts>>; 2]) -> Box<Self> {
        let [before, next] = parts;
        Box::new(Self { before, next, pace: Pace::default(), at: None, tallies: Default::default(), counts })
    }

    pub(crate) fn tally(&mut self, part: Part) -> &mut Tally {
        &mut self.tallies[part as usize]
    }

    /// Adds the counts of all stages to those of the run.
    pub(crate) fn add_up(&mut self) {
        self.add_own();
        for part in [&mut self.before, &mut self.next] {
            if let Some(scratch) = &mut part.scratch {
                scratch.add_up();
            }
        }
    }

    fn add_own(&mut self) {
        for (tally, counts) in self.tallies.iter_mut().zip(&self.counts) {
            if let Some(counts) = counts {
                tally.add_to(counts);
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A drop within a call means that the call panicked.
        if let Some(part) = self.at {
            self.tally(part).failed += 1;
        }
        self.add_own();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_items_are_all_timed_and_of_fast_ones_each_stands_for_those_before_it() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            assert_eq!(pace.next(), Some(1));
            pace.learn(Duration::from_micros(2), 2);
        }
        assert_eq!(pace.next(), Some(1));
        pace.learn(Duration::from_nanos(1999), 2);
        for _ in 0..3 {
            assert_eq!((0..15).find_map(|_| pace.next()), None);
            assert_eq!(pace.next(), Some(16));
            pace.learn(Duration::ZERO, 2);
        }
        assert_eq!((0..15).find_map(|_| pace.next()), None);
        assert_eq!(pace.next(), Some(16));
        pace.learn(Duration::from_secs(1), 2);
        assert_eq!(pace.next(), Some(1));
    }
}
