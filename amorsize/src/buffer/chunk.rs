//! Consecutive items, with the results of those that have run.

use super::Types;
use super::block::Kind;
use super::seq::Seq;
use crate::memory::credit::Credit;
use crate::memory::measure::Heap;
use crate::progress::stage::{Pace, StageCounts, Tally};
use std::mem::replace;
use std::sync::Arc;
use std::time::Instant;

/// The first stretches of a run grow by steps. One allocation that fits several times into a
/// first-level cache saves the allocations between them.
const AT_ONCE: usize = 8 << 10;

/// Consecutive items, and the results of those that have run.
pub(crate) struct RawChunk {
    pub(super) items: Seq,
    /// The credit of the items, from the time when they wait for a worker until they have run.
    pub(crate) input: Credit,
    pub(crate) results: Results,
    /// The mean bytes that a waiting item was seen to own, if its type can't tell them.
    pub(crate) item_heap: u64,
    /// The bytes that the items own, measured as they came. It counts items that have run, too.
    pub(crate) heap: Option<u64>,
    /// True if the code that tells an item's bytes panicked.
    pub(crate) is_unmeasurable: bool,
    /// The number of results before the first one that was to be tried again, if the run ended
    /// first. See [`take_cut`](Self::take_cut).
    pub(crate) cut_at: Option<usize>,
    /// Bytes that the results of a pipeline's last call own, and bytes that the call needed.
    pub(crate) measured: Heap,
    /// The time of the item, for a pipeline that is a stage.
    pub(crate) clock: Clock,
    /// The buffers in which a pipeline ran the last item.
    pub(crate) scratch: Option<Box<Scratch>>,
}

impl RawChunk {
    /// No items and no results, and room for `capacity` of both.
    pub(super) fn new((items, results): (Kind, Kind), capacity: usize) -> Box<Self> {
        Box::new(Self::of(Seq::new(items, capacity), Results::new(results, capacity)))
    }

    fn of(items: Seq, results: Results) -> Self {
        Self {
            items,
            input: Credit::NONE,
            results,
            item_heap: 0,
            heap: None,
            is_unmeasurable: false,
            cut_at: None,
            measured: Heap::default(),
            clock: Clock::default(),
            scratch: None,
        }
    }

    /// The number of waiting items.
    pub(crate) fn items(&self) -> usize {
        self.items.len()
    }

    /// Makes room in a chunk without items for `most` of them, or for the `upper` ones that can
    /// come. Returns the smaller number.
    pub(super) fn prepare_items(&mut self, most: usize, upper: Option<usize>) -> usize {
        self.items.rewind();
        // An iterator that knows its end needs no allocation for more items. If it is wrong, it
        // gives the rest when it is asked again.
        let most = upper.map_or(most, |upper| upper.max(1).min(most));
        if self.items.room() < most {
            let kind = self.items.kind();
            // An input that ends earlier gets only the room that it needs.
            let at_once = (AT_ONCE / kind.size().max(1)).min(upper.unwrap_or(usize::MAX));
            self.items = Seq::new(kind, most.max(at_once));
        }
        most
    }

    /// The bytes of results that were measured after the last call, with the call's working memory.
    #[inline]
    pub(crate) fn with_working(&self, heap: Option<Heap>) -> Heap {
        match heap {
            Some(heap) => Heap { working: self.measured.working, ..heap },
            // A pipeline has measured its results as they were made.
            None => self.measured,
        }
    }

    /// Takes out the number of results before the first one that was to be tried again, if the run
    /// ended first. Where that was in a stage of a pipeline, it is 0: no result is known to be
    /// whole.
    pub(crate) fn take_cut(&mut self) -> Option<usize> {
        let cut = self.cut_at.take();
        let Some(scratch) = &mut self.scratch else { return cut };
        let of_parts = [&mut scratch.before, &mut scratch.next].map(|part| part.take_cut());
        if of_parts.iter().any(Option::is_some) { Some(0) } else { cut }
    }

    /// The bytes that the items hold, if they were measured as they came.
    pub(crate) fn input_bytes(&self) -> Option<u64> {
        Some(self.heap?.saturating_add(self.items.kind().bytes(self.items.len()) as u64))
    }

    /// The bytes of the buffer for waiting items.
    pub(crate) fn item_buffer(&self) -> usize {
        self.items.bytes()
    }

    /// Leaves the first `keep` of the waiting items here, with their results, and returns the
    /// others. The chunk's credit for items is that of `all` items.
    pub(crate) fn split_off(&mut self, keep: usize, all: usize) -> Box<Self> {
        let results = self.results.split_room(keep);
        let rest = Self::of(self.items.split_off(keep), results);
        let Self { item_heap, heap, is_unmeasurable, .. } = *self;
        // Any item can be the one that owns most of what was measured. So it stays taken to the end.
        let bytes = match heap {
            Some(_) if rest.items() > 0 => self.input.bytes(),
            _ => (self.input.bytes() as f64 * rest.items() as f64 / all as f64) as u64,
        };
        let input = self.input.split(0, bytes);
        Box::new(Self { item_heap, heap, is_unmeasurable, input, ..rest })
    }
}

/// Results in the order of their items: in their own allocation, or in a region of a
/// [`Collection`](super::Collection)'s.
pub(crate) struct Results {
    pub(super) seq: Seq,
    /// The credit of the results, from the time when their chunk is booked.
    pub(crate) credit: Credit,
}

impl Results {
    /// No results, and room for `capacity` in memory of their own.
    pub(super) fn new(kind: Kind, capacity: usize) -> Self {
        Self::of(Seq::new(kind, capacity))
    }

    pub(super) fn of(seq: Seq) -> Self {
        Self { seq, credit: Credit::NONE }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.seq.len()
    }

    /// Makes room for `count` results in memory of their own. If there is room already, it only
    /// prepares that.
    #[inline]
    pub(crate) fn ensure(&mut self, count: usize) {
        self.seq.prepare(count);
        if self.seq.room() < count {
            assert!(self.len() == 0 && !self.seq.is_region(), "room is made before the first result");
            *self = Self::new(self.seq.kind(), count);
        }
    }

    /// Leaves the next `count` places of a region here and returns those behind them. Without a
    /// region there are none.
    pub(super) fn split_room(&mut self, count: usize) -> Self {
        Self::of(self.seq.split_room(self.len() + count))
    }

    /// Moves results from a collection's allocation to one of their own, and gives up the rest of
    /// their room, so that the collection can end.
    pub(crate) fn leave_collection(&mut self) {
        if self.seq.is_region() {
            let count = self.len();
            let mut own = Self::new(self.seq.kind(), count);
            own.seq.append_last(&mut self.seq, count);
            own.credit = self.credit.take_all();
            *self = own;
        }
    }

    /// Leaves the first `keep` results here and returns the others, with `bytes` of the credit.
    pub(crate) fn split_off(&mut self, keep: usize, bytes: u64) -> Self {
        if keep == 0 {
            return self.take();
        }
        let seq = self.seq.split_off(keep);
        let credit = self.credit.split(seq.len(), bytes);
        Self { seq, credit }
    }

    /// Does the same if the bytes of the parts are unknown: each has its share.
    pub(crate) fn split_share_off(&mut self, keep: usize) -> Self {
        let part = (self.len() - keep) as u128;
        let bytes = u128::from(self.credit.bytes()) * part / self.credit.results().max(1) as u128;
        self.split_off(keep, bytes as u64)
    }

    /// Takes the results out and leaves no room.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self::new(self.seq.kind(), 0);
        replace(self, empty)
    }
}

/// Items that need not run, and their results.
#[derive(Default)]
pub(crate) struct Restored {
    /// The number of items that were passed over. It may be 0 if many are compared together.
    pub(crate) items: usize,
    /// A result for each of them, if there are results.
    pub(crate) results: Option<Results>,
    /// The bytes that the stored results take.
    pub(crate) bytes: u64,
    pub(crate) has_ended: bool,
    /// True for items before the first item of the input.
    pub(crate) are_outside: bool,
}

/// The next items of a chunk, for the wrapper of the annotated function. Running them consumes it,
/// so they run once.
pub struct Quota<'c, T, R> {
    pub(super) chunk: &'c mut RawChunk,
    pub(super) types: Types<T, R>,
    pub(super) count: usize,
}

impl<T, R> std::fmt::Debug for Quota<'_, T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quota").field("items", &self.count).finish_non_exhaustive()
    }
}

impl<T, R> Quota<'_, T, R> {
    /// Calls `function` for each item of the quota.
    ///
    /// If `function` panics, its item is gone; the results before it and the items after it are
    /// kept.
    #[inline]
    pub fn run(self, function: impl FnMut(T) -> R) {
        let RawChunk { items, results, .. } = self.chunk;
        let Types { items: item_key, results: result_key } = self.types;
        items.pass(item_key, (&mut results.seq, result_key), self.count, function);
    }
}

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
/// They stay with the chunk, so that no item needs an allocation. A call that panics loses them,
/// with their contents.
pub(crate) struct Scratch {
    pub(crate) before: Box<RawChunk>,
    pub(crate) next: Box<RawChunk>,
    pub(crate) pace: Pace,
    /// The part that runs an item now, if any does.
    pub(crate) at: Option<Part>,
    pub(crate) tallies: [Tally; 2],
    /// The counts that get the tallies. A part that is itself a pipeline has none: its stages have
    /// them.
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
                counts.add(std::mem::take(tally));
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::buffer::asks::{Asks, Way};
    use crate::memory::budget::Ledger;
    use crate::units::ByteSize;

    #[test]
    fn items_that_wait_keep_all_credit_of_measured_ones() {
        let (ledger, types) = (Ledger::new(ByteSize::mib(1)), Types::<String, ()>::new());
        for (heap, of_last) in [(None, 100), (Some(760), 1000)] {
            let mut chunk = types.chunk();
            let way = Way::Inline { timed: false };
            let mut input = (0..10).map(|item| item.to_string());
            types.fill(&mut chunk, &mut input, 10, None, (&mut Asks::at_once(), way));
            chunk.heap = heap;
            chunk.input = Credit::take(&ledger, 1000);
            assert_eq!(chunk.split_off(10, 10).input.bytes(), 0);
            assert_eq!(chunk.split_off(9, 10).input.bytes(), of_last);
            assert_eq!(chunk.input.bytes(), 1000 - of_last);
        }
        assert_eq!(ledger.held(), ByteSize::ZERO);
    }
}
