//! A worker's side of a run: it takes a chunk, runs it, and puts it back.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::control::Control;
use super::words::ThreadKind;
use crate::buffer::{RawChunk, Results};
use crate::call::interrupts::Interrupts;
use crate::call::{Facts, Function};
use crate::durable::Keeper;
use crate::error::failure::discard;
use crate::log::trace::RunSpan;
use crate::memory::budget::Ledger;
use crate::memory::measure::Heap;
use crate::memory::tracking::{self, Frame};

/// The tools that the threads of a run share, without its function.
pub(crate) struct Tools {
    pub(crate) ledger: Ledger,
    /// True if the program's allocator tells what calls need.
    pub(crate) tracks: bool,
    pub(crate) interrupts: Interrupts,
    pub(crate) span: RunSpan,
}

impl Tools {
    pub(crate) fn new(ledger: Ledger, tracks: bool) -> Self {
        Self { ledger, tracks, interrupts: Interrupts::default(), span: RunSpan::default() }
    }

    pub(crate) fn work<'a>(&'a self, function: &'a dyn Function) -> Work<'a> {
        Work { function, facts: function.facts(), tools: self }
    }
}

/// Calls between two looks at the clock, if their results own bytes that nobody measures. That many
/// calls can make far larger results than those before. A look takes 30 ns: calls of 100 ns take
/// 2 % longer.
pub(super) const UNMEASURED: usize = 16;

/// Everything that a thread needs to run chunks.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) function: &'a dyn Function,
    pub(crate) facts: Facts,
    pub(crate) tools: &'a Tools,
}

impl Work<'_> {
    /// True if results are measured one by one.
    pub(crate) fn measures(&self) -> bool {
        self.facts.knows_results || (self.tools.tracks && self.facts.results_own)
    }

    /// The number of calls after which something must be checked, of `most` at once.
    pub(crate) fn at_once(&self, most: usize) -> usize {
        if self.measures() || self.tools.interrupts.are_possible() {
            1
        } else if self.facts.results_own {
            most.min(UNMEASURED)
        } else {
            most
        }
    }

    /// True if results can own bytes that nobody measures, so that only the time of calls shows
    /// that they have become large.
    pub(crate) fn is_blind(&self) -> bool {
        self.facts.results_own && !self.measures()
    }

    /// Calls the function for the next `count` items of a chunk, and measures their results.
    /// `count` is 1 if results are measured one by one. Once the run `is_over`, no call is
    /// repeated.
    pub(crate) fn step(&self, chunk: &mut RawChunk, count: usize, is_over: &dyn Fn() -> bool) -> Heap {
        let is_over: &dyn Fn() -> bool = &|| is_over() || self.tools.interrupts.now().is_some();
        if !self.tools.tracks {
            self.function.call(chunk, count, is_over);
            return self.function.results_heap(chunk, count);
        }
        self.function.prepare(chunk);
        if !self.facts.results_own {
            // Nothing that these calls allocate can be part of their results, so their peak is that
            // of a single call.
            let frame = Frame::begin();
            self.function.call(chunk, count, is_over);
            let used = frame.end();
            tracking::settle(used.retained());
            return Heap { working: used.peak(), ..Heap::default() };
        }
        // The memory that the item owns was allocated before the call. The call frees it, or the
        // result owns it now.
        let known = if chunk.is_unmeasurable {
            Ok(None)
        } else {
            catch_unwind(AssertUnwindSafe(|| self.function.items_heap(chunk, count)))
        };
        let owned = known.as_ref().map_or(None, |known| *known).unwrap_or(chunk.item_heap);
        let frame = Frame::begin();
        self.function.call(chunk, count, is_over);
        let used = frame.end();
        tracking::settle(used.retained());
        let mut kept = u64::try_from(used.retained().saturating_add_unsigned(owned)).unwrap_or(0);
        let deep = self.function.results_heap(chunk, count).sum;
        // A result that owns far more than this thread kept was made on other threads, or from an
        // item that existed before the run and can't tell its size. Deep sizes of trees are
        // estimates, by up to 1.6 times too high.
        let elsewhere = kept < deep / 2;
        if elsewhere {
            kept = deep;
        }
        if let Err(payload) = known {
            // The item could not be measured. It ran nevertheless, and its result is in the chunk.
            resume_unwind(payload);
        }
        let grown = u64::try_from(used.retained()).unwrap_or(0);
        Heap { sum: kept, largest: kept, working: used.peak().saturating_sub(grown), elsewhere }
    }

    /// True if resident memory alone can tell what items own.
    pub(crate) fn items_are_opaque(&self) -> bool {
        !self.tools.tracks && self.facts.items_are_opaque
    }

    /// True if items may own something.
    pub(crate) fn items_own(&self) -> bool {
        self.facts.knows_items || self.facts.items_are_opaque
    }

    /// The bytes that the waiting items of a chunk own beside their own size.
    pub(crate) fn items_heap(&self, chunk: &RawChunk) -> u64 {
        if let Some(heap) = chunk.heap {
            return heap;
        }
        let count = chunk.items();
        let known = if chunk.is_unmeasurable { None } else { self.function.items_heap(chunk, count) };
        known.unwrap_or(chunk.item_heap * count as u64)
    }

    /// Runs the next chunk that has credit. Says if there was one, and, to a job, if there are
    /// more.
    pub(crate) fn run_next(&self, control: &Control, job: Option<ThreadKind>, forced: bool) -> bool {
        if !self.tools.tracks {
            return self.run_untracked(control, job, forced);
        }
        if job.is_some() {
            tracking::mark_worker();
        }
        let frame = Frame::begin();
        let more = self.run_untracked(control, job, forced);
        control.add_kept(frame.end().retained());
        more
    }

    /// The bytes to count for results that were stored as `stored` bytes. Their own size is `size`.
    /// Results whose own code panics here count as they were stored: none of them may be lost.
    pub(crate) fn bytes_of(&self, results: &Results, stored: u64, size: usize) -> u64 {
        let measured = catch_unwind(AssertUnwindSafe(|| self.function.heap_of_results(results, results.len())));
        let heap = measured.unwrap_or_else(|payload| {
            discard(payload);
            None
        });
        ((size * results.len()) as u64).saturating_add(heap.map_or(stored, |heap| heap.sum))
    }

    /// Waits until the run's store has written what it holds in memory, and says if there was any.
    pub(crate) fn waits_for_store(&self) -> bool {
        self.tools.interrupts.keeper().get().is_some_and(Keeper::wait_until_written)
    }

    /// The number of results of a chunk before the first one that was to be tried again, if the run
    /// is durable and ended first.
    pub(crate) fn cut_of(&self, chunk: &mut RawChunk) -> Option<usize> {
        self.tools.interrupts.keeper().get()?;
        chunk.take_cut()
    }

    /// If the run is durable, keeps the results up to the one that was to be tried again, and
    /// forgets the `lost` items behind them.
    pub(crate) fn keep(&self, first: usize, results: &Results, (lost, cut_at): (usize, Option<usize>)) {
        if let Some(keeper) = self.tools.interrupts.keeper().get() {
            let (kept, end) = (cut_at.unwrap_or(results.len()), first + results.len());
            self.function.keep(keeper, first, results, kept);
            keeper.disown(first + kept..end);
            keeper.forget(end, lost);
        }
    }

    fn run_untracked(&self, control: &Control, job: Option<ThreadKind>, forced: bool) -> bool {
        let Some((mut started, mut chunk)) = control.start_next(job, forced) else { return false };
        chunk.results.ensure(started.grant.items);
        let entered = self.tools.ledger.enter();
        control.run(&mut started, *self, &mut chunk);
        drop(entered);
        let cut_at = self.cut_of(&mut chunk);
        self.keep(started.grant.start, &chunk.results, (started.outcome.lost, cut_at));
        control.finish(started, chunk, job) || job.is_none()
    }
}
