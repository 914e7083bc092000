//! The places where a pipeline's items pass from stage to stage, and what is counted there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffer::RawChunk;
use crate::sample::TIMED_ALONE;
use crate::stage::{StageCounts, Tally};

/// Of stages that take less than it takes to time them well, one item in so many is timed.
const TIMED_ONE_IN: u32 = 16;

/// What a pipeline that is a stage of another one is told of the time, and what it tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Clock {
    /// It is no stage, and reads the clock itself.
    #[default]
    Own,
    /// This item is not timed.
    Untimed,
    /// The clock was read just before, and this item stands for so many.
    At(Instant, u64),
}

/// Says which items are timed.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// So many more are not timed.
    left_out: u32,
    /// Whether items are left out now.
    leaves_out: bool,
}

impl Pace {
    /// For how many the next item stands, where it is timed.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.left_out > 0 {
            self.left_out -= 1;
            return None;
        }
        Some(if self.leaves_out { TIMED_ONE_IN.into() } else { 1 })
    }

    /// Learns how long an item took that was timed, in so many stages.
    #[inline]
    pub(crate) fn learn(&mut self, took: Duration, stages: u32) {
        self.leaves_out = took < TIMED_ALONE * stages;
        self.left_out = if self.leaves_out { TIMED_ONE_IN - 1 } else { 0 };
    }
}

/// A part of a pipeline: the part before the last `then`, which can have stages of its own, or the one that was given to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Before,
    Next,
}

/// What a worker needs to run a pipeline's items one after the other: a chunk of one item for each part, which is empty between
/// two items, and what it counts.
///
/// It stays with the chunk whose items are run, so that no item needs an allocation. A call that panics loses it, with what is in
/// it.
pub(crate) struct Scratch {
    pub(crate) before: Box<RawChunk>,
    pub(crate) next: Box<RawChunk>,
    pub(crate) pace: Pace,
    /// Where an item is now, if it is in a call.
    pub(crate) at: Option<Part>,
    pub(crate) tallies: [Tally; 2],
    /// Where the tallies go. A part that is a pipeline itself has none: its stages have.
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

    /// Adds what was counted in all stages to what the run has counted.
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
        // It is dropped while an item is in a call only where that panics.
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
