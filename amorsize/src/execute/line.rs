//! The two ends of a run, both on the calling thread: items come in from the input, and results go
//! out to the outlet.

use crate::buffer::asks::Way;
use crate::input::Input;
use crate::output::outlet::{Flow, Outlet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use super::work::{UNMEASURED, Work};
use crate::adapt::learned::Stretch;
use crate::adapt::sizes::CHUNK_SECONDS;
use crate::buffer::asks::Asks;
use crate::buffer::{RawChunk, Restored, Results};
use crate::error::failure::Payload;
use crate::memory::credit::Credit;
use crate::memory::tracking::{self, Frame};
use crate::memory::working::{BATCH_PART, HEADROOM_PART};
use crate::system::sync::now;
use crate::system::thread_time::{Measuring, Use};

/// The progress of the input, and the chunks that are not in use.
#[derive(Default)]
pub(crate) struct Stock {
    ended: bool,
    /// True if items can be done, or are skipped.
    pub(crate) resumes: bool,
    pub(crate) asks: Asks,
    /// The chunk of the calling thread itself, with the items in it that are not run yet.
    held: Option<Box<RawChunk>>,
    /// Other chunks without items.
    #[expect(clippy::vec_box, reason = "chunks travel boxed, so that handing one on moves a pointer")]
    spare: Vec<Box<RawChunk>>,
}

impl Stock {
    fn held_items(&self) -> usize {
        self.held.as_ref().map_or(0, |chunk| chunk.items())
    }

    fn recycle(&mut self, chunk: Box<RawChunk>) {
        // No more than the chunks ahead of a few workers are in use at a time.
        if self.spare.len() < 64 {
            self.spare.push(chunk);
        }
    }

    /// Ends a collection that results were to be put in.
    pub(crate) fn leave_collection(&mut self) {
        self.held.iter_mut().chain(&mut self.spare).for_each(|chunk| chunk.results.leave_collection());
    }

    /// The number of items of an input that are left, at least and at most.
    pub(crate) fn left(&self, input: &mut dyn Input) -> (usize, Option<usize>) {
        let held = self.held_items();
        if self.ended {
            return (held, Some(held));
        }
        let (least, most) = input.size_hint();
        (least.saturating_add(held), most.and_then(|most| most.checked_add(held)))
    }

    /// The number of items of an input that are left, if it tells one, which may be wrong. No input
    /// has as many as there are addresses.
    pub(crate) fn left_exactly(&self, input: &mut dyn Input) -> Option<usize> {
        let (least, most) = self.left(input);
        most.filter(|&most| most == least && most <= isize::MAX as usize)
    }
}

/// Measurements of a stretch on the calling thread.
#[derive(Default)]
pub(crate) struct Inlined {
    /// Its bytes are those that the results own beside their own size, and its seconds are 0 unless
    /// the calls are timed.
    pub(crate) stretch: Stretch,
    /// The use of the calling thread's time, if it is asked for and can be measured.
    pub(crate) used: Option<Use>,
    /// Seconds for that measurement, and for which the call and the ask were put off.
    pub(crate) measuring: f64,
    /// Seconds in the input, if they are measured.
    pub(crate) asked: f64,
    pub(crate) panic: Option<Payload>,
    /// True if the call that panicked has taken its item, which has no result.
    pub(crate) is_lost: bool,
    /// The number of results before the first one that was to be tried again, if the run ended
    /// first.
    pub(crate) cut_at: Option<usize>,
}

/// Input, function and outlet of a run.
pub(crate) struct Line<'a> {
    pub(crate) input: &'a mut dyn Input,
    pub(crate) stock: &'a mut Stock,
    pub(crate) work: Work<'a>,
    pub(crate) outlet: &'a mut dyn Outlet,
    /// True once the outlet has ended the run. It takes nothing more.
    pub(crate) is_stopped: bool,
}

impl Line<'_> {
    /// A chunk with up to `count` items.
    fn take(&mut self, count: usize, way: Way) -> Box<RawChunk> {
        let mut chunk = match self.stock.held.take() {
            Some(held) if held.items() > 0 => return held,
            Some(empty) => empty,
            None => self.take_spare(),
        };
        (chunk.heap, chunk.is_unmeasurable) = (None, false);
        if !self.stock.ended {
            match catch_unwind(AssertUnwindSafe(|| self.fill(&mut chunk, count, way))) {
                // An iterator that returned `None` is not asked again, as it need not be fused.
                Ok(has_ended) => self.stock.ended = has_ended,
                Err(payload) => {
                    // The items before the panic run if the caller goes on.
                    self.stock.held = Some(chunk);
                    resume_unwind(payload);
                }
            }
        }
        chunk
    }

    /// A chunk without items, which was used before if one is left.
    fn take_spare(&mut self) -> Box<RawChunk> {
        self.stock.spare.pop().unwrap_or_else(|| self.input.chunk())
    }

    fn fill(&mut self, chunk: &mut RawChunk, count: usize, way: Way) -> bool {
        let asks = &mut self.stock.asks;
        if self.work.facts.knows_items {
            asks.fitting = self.work.tools.ledger.free() / HEADROOM_PART;
        }
        if !self.work.tools.tracks {
            return self.input.fill(chunk, count, way, asks);
        }
        let buffer = chunk.item_buffer();
        let frame = Frame::begin();
        let has_ended = self.input.fill(chunk, count, way, asks);
        let used = frame.end().retained();
        tracking::settle(used);
        let own = chunk.item_buffer() as i64 - buffer as i64;
        chunk.item_heap = u64::try_from(used - own).unwrap_or(0) / chunk.items().max(1) as u64;
        has_ended
    }

    /// Passes over the next items, if they need not run.
    pub(crate) fn restore(&mut self) -> Option<Restored> {
        if !self.stock.resumes || self.stock.ended || self.stock.held_items() > 0 {
            return None;
        }
        // An input that may wait is asked for one item at a time.
        let may_wait = self.stock.asks.may_wait();
        // As many stored bytes as a batch may take: a number that takes one byte on disk may take
        // eight in memory.
        let most = usize::try_from(self.work.tools.ledger.free() / BATCH_PART).unwrap_or(usize::MAX);
        let restored = self.input.restore(may_wait, most)?;
        self.stock.ended |= restored.has_ended;
        Some(restored)
    }

    /// A chunk with results that existed already.
    pub(crate) fn chunk_of(&mut self, results: Results) -> Box<RawChunk> {
        let mut chunk = self.take_spare();
        chunk.results = results;
        chunk
    }

    fn place(&mut self, chunk: &mut RawChunk, count: usize) {
        if let Some(places) = self.outlet.place(count) {
            chunk.results = places;
        }
    }

    /// Pulls up to `count` items, and calls the function for them until the results own more bytes
    /// than are free beside the items. `timed` asks for the seconds of the calls alone. `measured`
    /// asks for the use of the thread's time. The caller has to [`accept`](Outlet::accept) the
    /// results.
    pub(crate) fn inline(&mut self, count: usize, timed: bool, measured: bool) -> (Inlined, Results) {
        self.stock.asks.seconds = 0.0;
        let mut chunk = self.take(count, Way::Inline { timed });
        let count = chunk.items().min(count);
        self.place(&mut chunk, count);
        chunk.results.ensure(count);
        let ledger = &self.work.tools.ledger;
        let input = chunk.input_bytes().map(|bytes| Credit::take(ledger, bytes));
        let allowance = ledger.free();
        let mut done = Inlined { asked: self.stock.asks.seconds, ..Inlined::default() };
        let waiting = chunk.items();
        let mut measuring = None;
        if timed && count > 0 {
            done.measuring = self.stock.asks.put_off_call().as_secs_f64();
        }
        if measured {
            let begun = now();
            measuring = Measuring::begin();
            done.measuring += (now() - begun).as_secs_f64();
        }
        let begun = timed.then(now);
        let work = self.work;
        let at_once = work.at_once(count);
        // A stretch is planned for no longer than a chunk. If nobody measures its results, it ends
        // after twice that time.
        let until = work.is_blind().then(|| now() + Duration::from_secs_f64(2.0 * CHUNK_SECONDS));
        let entered = work.tools.ledger.enter();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let stretch = &mut done.stretch;
            while stretch.items < count && stretch.bytes <= allowance && work.tools.interrupts.now().is_none() {
                let calls = at_once.min(count - stretch.items);
                let heap = work.step(&mut chunk, calls, &|| false);
                stretch.items += calls;
                stretch.bytes = stretch.bytes.saturating_add(heap.sum);
                stretch.largest = stretch.largest.max(heap.largest);
                stretch.working = stretch.working.max(heap.working);
                if let Some(until) = until
                    && stretch.items < count
                    && stretch.items.is_multiple_of(UNMEASURED)
                    && now() > until
                {
                    // A look at resident memory shows if results have become far larger.
                    break;
                }
            }
        }));
        drop(entered);
        done.panic = outcome.err();
        if let Some(begun) = begun {
            done.stretch.seconds = (now() - begun).as_secs_f64();
            done.measuring += self.stock.asks.call_ended().as_secs_f64();
        }
        if let Some(measuring) = measuring {
            let ended = now();
            done.used = measuring.end();
            done.measuring += (now() - ended).as_secs_f64();
        }
        let results = chunk.results.take();
        done.stretch.items = results.len();
        done.is_lost = waiting - chunk.items() > results.len();
        done.cut_at = work.cut_of(&mut chunk);
        // The results, which may own now what the items did, take credit next.
        drop(input);
        self.stock.held = Some(chunk);
        (done, results)
    }

    /// Hands over the results of [`inline`](Self::inline).
    pub(crate) fn hand_over_inlined(&mut self, results: Results, start: usize) -> Flow {
        let flow = self.accept(results, start);
        self.outlet.reclaim();
        flow
    }

    /// Hands over the results that are held back to fill a batch.
    pub(crate) fn flush(&mut self) -> Flow {
        self.noting(|outlet| outlet.flush())
    }

    fn accept(&mut self, results: Results, start: usize) -> Flow {
        self.noting(|outlet| outlet.accept(results, start))
    }

    /// Calls `act`, and notes if the outlet has handed results over in it, and if it ended the run.
    fn noting(&mut self, act: impl FnOnce(&mut dyn Outlet) -> Flow) -> Flow {
        let before = self.work.tools.ledger.handed_over();
        let flow = act(self.outlet);
        self.is_stopped |= flow == Flow::Stop;
        if self.work.tools.ledger.handed_over() != before {
            self.stock.asks.handed_over();
        }
        flow
    }

    /// True if results are held back that must be handed over before the input is asked again.
    pub(crate) fn is_to_flush(&self, inline: bool) -> bool {
        self.stock.asks.hand_over_first(inline) && self.stock.held_items() == 0 && self.outlet.holds()
    }

    /// Pulls up to `count` items for a worker, if there are any. Gives the bytes that they own
    /// beside their own size, too.
    pub(crate) fn pull(&mut self, count: usize) -> Option<(Box<RawChunk>, u64)> {
        let mut chunk = self.take(count, Way::Worker);
        let items = chunk.items();
        if items == 0 {
            self.stock.held = Some(chunk);
            return None;
        }
        let heap = match catch_unwind(AssertUnwindSafe(|| self.work.items_heap(&chunk))) {
            Ok(heap) => heap,
            Err(payload) => {
                // If the caller goes on, the chunk's items count as large as those before.
                chunk.is_unmeasurable = true;
                self.stock.held = Some(chunk);
                resume_unwind(payload);
            }
        };
        self.place(&mut chunk, items);
        Some((chunk, heap))
    }

    /// Hands over the results of a chunk; `start` is the index of the first one's item.
    pub(crate) fn hand_over(&mut self, (start, mut chunk): (usize, Box<RawChunk>)) -> Flow {
        let results = chunk.results.take();
        self.stock.recycle(chunk);
        self.accept(results, start)
    }

    /// The number of items that are left, if the input tells it.
    pub(crate) fn left_exactly(&mut self) -> Option<usize> {
        self.stock.left_exactly(self.input)
    }

    /// True if no item is left, as far as the input tells. An input that claims to have no more is
    /// asked for another item.
    pub(crate) fn ended(&mut self) -> bool {
        if !self.stock.ended && self.stock.left(self.input).1 == Some(0) {
            let chunk = self.take(1, Way::Inline { timed: false });
            self.stock.held = Some(chunk);
        }
        self.stock.ended && self.stock.held_items() == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
