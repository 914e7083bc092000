//! Where results go: batches for a sink, one collection, or the buffer of an iterator.

use super::batch::{Batch, Bin, Indices, MOST_BUFFERS};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::handover::{HandedOver, Handover};
use super::outlet::{Flow, Outlet};
use crate::buffer::{Results, Types};
use crate::durable::Handle;
use crate::error::failure::Payload;
use crate::memory::credit::Credit;
use crate::policy::{Policy, Seen};

/// How many results fill a batch.
#[derive(Clone, Copy, Debug)]
struct BatchSize {
    asked: Option<usize>,
    items: usize,
}

impl BatchSize {
    fn new(asked: Option<usize>) -> Self {
        // Until there is a plan a batch is closed by memory or by the end alone.
        Self { asked, items: asked.unwrap_or(usize::MAX) }
    }

    /// Sets what the plan found, where nothing was asked for.
    fn set(&mut self, items: usize) {
        self.items = self.asked.unwrap_or(items).max(1);
    }

    /// How many more results fill a batch that has so many.
    fn wanted(self, open: usize) -> usize {
        self.items.saturating_sub(open)
    }

    /// Whether a batch of so many results is closed when a chunk ends.
    fn is_full(self, open: usize) -> bool {
        // Without a size asked for, what comes next would often not fit: a batch that is nearly full is closed.
        open >= if self.asked.is_some() { self.items } else { self.items - self.items / 4 }
    }
}

/// Fills batches with the values of results and hands them to a sink that says whether to go on.
pub(crate) struct Batches<'a, T, R, P: Policy<R>> {
    types: Types<T, R>,
    seen: &'a mut Seen<R>,
    sink: &'a mut dyn FnMut(Batch<P::Value>) -> bool,
    open: Vec<P::Value>,
    jumps: Vec<(usize, usize)>,
    first_index: usize,
    /// The index that the next value has unless items in between have none.
    next_index: usize,
    /// The credit of what is open, and of the failures that came with it.
    held: Credit,
    size: BatchSize,
    handover: Handover,
    /// There where the run is durable.
    keeper: Handle,
    /// None until there is a batch that others follow.
    bin: Option<Arc<Bin<P::Value>>>,
    /// Emptied buffers of results, to be filled again, where values lie in others.
    spare: Vec<Vec<R>>,
    /// Whether the sink or a failure ended the run.
    stopped: bool,
    /// The failure that did.
    failed: Option<P::Failed>,
    /// The panic of the sink.
    panic: Option<Payload>,
    /// Results behind what ended it.
    left: Option<Left>,
}

/// Results that were made and not handed over, with the index of the first one's item.
pub(crate) type Left = (Results, usize);

/// How a run ended that handed batches over.
pub(crate) struct Ending<F> {
    pub(crate) handed_over: HandedOver,
    pub(crate) stopped: bool,
    pub(crate) failed: Option<F>,
    pub(crate) panic: Option<Payload>,
    /// Results that were made and not handed over, in parts, the last ones first.
    pub(crate) left: Vec<Left>,
}

impl<'a, T, R, P: Policy<R>> Batches<'a, T, R, P> {
    pub(crate) fn new(
        types: Types<T, R>,
        (asked, handover, keeper): (Option<usize>, Handover, Handle),
        seen: &'a mut Seen<R>,
        sink: &'a mut dyn FnMut(Batch<P::Value>) -> bool,
    ) -> Self {
        Self {
            types,
            seen,
            sink,
            open: Vec::new(),
            jumps: Vec::new(),
            first_index: 0,
            next_index: 0,
            held: Credit::NONE,
            size: BatchSize::new(asked),
            handover,
            keeper,
            bin: None,
            spare: Vec::new(),
            stopped: false,
            failed: None,
            panic: None,
            left: None,
        }
    }

    pub(crate) fn finish(mut self) -> Ending<P::Failed> {
        let mut left: Vec<_> = self.left.take().into_iter().collect();
        if !self.open.is_empty() {
            // Something else than the sink panicked.
            let values = std::mem::take(&mut self.open);
            let indices = Indices::new(self.first_index, values.len(), std::mem::take(&mut self.jumps));
            left.extend(parts(self.types, P::unsplit(values), indices, self.held.take_all()));
        }
        let Self { handover, stopped, failed, panic, .. } = self;
        Ending { handed_over: handover.finish(), stopped, failed, panic, left }
    }

    /// Whether the run is so young that, as far as is known, the first batch is the only one, and stretches of items follow each
    /// other on the calling thread: nobody asked for a size, and nothing was decided.
    fn is_first(&self) -> bool {
        self.size.asked.is_none() && !self.handover.is_timed()
    }

    /// Adds values to those that are open, where there is room for both; leaves an empty buffer.
    fn append(&mut self, values: &mut Vec<P::Value>) {
        let has_room = |buffer: &Vec<_>, for_those: &Vec<_>| buffer.capacity() - buffer.len() >= for_those.len();
        if has_room(values, &self.open) && !has_room(&self.open, values) {
            values.splice(..0, self.open.drain(..));
            std::mem::swap(&mut self.open, values);
        } else {
            self.open.append(values);
        }
    }

    /// Hands over the open batch, if anything is in it. Nothing is held after that.
    fn hand_over(&mut self) {
        // Dropped when the sink has returned.
        let held = self.held.take_all();
        if self.open.is_empty() {
            return;
        }
        let (results, jumps) = (std::mem::take(&mut self.open), std::mem::take(&mut self.jumps));
        let (first_index, items) = (self.first_index, results.len());
        self.first_index = self.next_index;
        let bin = self.bin.as_ref().map_or_else(Weak::new, Arc::downgrade);
        let keeper = self.keeper.get();
        let is_restored = keeper.is_some_and(|keeper| keeper.is_restored(first_index));
        let journal = keeper.filter(|keeper| keeper.is_journal());
        let indices = journal.map(|_| Indices::new(first_index, items, jumps.clone()));
        let mut batch = Some(Batch { first_index, results, jumps, is_restored, bin });
        let (sink, panic) = (&mut self.sink, &mut self.panic);
        let go_on = self.handover.batch(first_index, self.next_index, (items, held.bytes()), &mut || {
            let Some(batch) = batch.take() else { return true };
            // The run can go on behind this batch, if its caller wants that.
            catch_unwind(AssertUnwindSafe(|| sink(batch))).unwrap_or_else(|payload| {
                *panic = Some(payload);
                false
            })
        });
        if go_on && let (Some(journal), Some(indices)) = (journal, indices) {
            journal.sunk(indices);
        }
        self.stopped |= !go_on;
    }

    fn flow(&self) -> Flow {
        if self.stopped { Flow::Stop } else { Flow::Continue }
    }

    /// True if results from `start` on come from a store and those of the open batch don't, or the
    /// other way round: no batch has both.
    fn is_of_another_kind(&self, start: usize) -> bool {
        let is_restored = |index| self.keeper.get().is_some_and(|keeper| keeper.is_restored(index));
        is_restored(start) != is_restored(self.first_index)
    }

    /// Takes results none of which is a failure: nothing of them has to be looked at.
    fn accept_whole(&mut self, mut values: Vec<P::Value>, start: usize, credit: Credit) {
        if values.is_empty() {
            return;
        }
        if self.bin.is_none() && !self.is_first() {
            self.bin = Some(Bin::new());
        }
        if !self.open.is_empty() && (start != self.next_index || self.is_of_another_kind(start)) {
            // Items in between have no results, and a batch is of consecutive items.
            self.hand_over();
            if self.stopped {
                self.left = Some((self.types.results_of(P::unsplit(values), credit), start));
                return;
            }
        }
        let count = values.len();
        if self.open.is_empty() {
            self.first_index = start;
        }
        self.next_index = start + count;
        if self.open.is_empty() && count <= self.size.items {
            // The usual case for cheap items: a chunk is a batch, and nothing is copied.
            self.open = values;
        } else if self.open.len() + count <= self.size.items {
            self.append(&mut values);
            if let Some(bin) = &self.bin {
                bin.put(values);
            }
        } else {
            return self.accept_in_parts(values, credit);
        }
        self.held.join(credit);
        if self.size.is_full(self.open.len()) || self.has_restored_enough() {
            self.hand_over();
        }
    }

    /// True if a batch of results that come from a store has enough of them. They come so fast that
    /// the time of a batch would make it of all that there are.
    fn has_restored_enough(&self) -> bool {
        /// New memory for more takes longer than the results take to be read.
        const ENOUGH: u64 = 1 << 20;
        self.size.asked.is_none()
            && self.held.bytes() >= ENOUGH
            && self.keeper.get().is_some_and(|keeper| keeper.is_restored(self.first_index))
    }

    /// Takes values that fill more than the open batch.
    fn accept_in_parts(&mut self, values: Vec<P::Value>, mut credit: Credit) {
        let (end, all) = (self.next_index, values.len());
        let mut values = values.into_iter();
        while values.len() > 0 && !self.stopped {
            // A plan can have set a smaller size than what is open has already.
            let taken = self.size.wanted(self.open.len()).min(values.len());
            self.open.extend(values.by_ref().take(taken));
            self.next_index = end - values.len();
            if values.len() == 0 {
                // The last part has all bytes: nothing is known of the parts, and large results may
                // lie in that one.
                drop(credit.split(all - taken, 0));
                self.held.join(credit.take_all());
            }
            if self.open.len() >= self.size.items {
                self.hand_over();
            }
        }
        if values.len() > 0 {
            drop(credit.split(all - values.len(), 0));
            let left = P::unsplit(values.collect());
            self.left = Some((self.types.results_of(left, credit), self.next_index));
        }
    }

    /// Takes results one by one, and leaves the failures out.
    fn accept_each(&mut self, mut results: Vec<R>, start: usize, mut credit: Credit) {
        if self.bin.is_none() {
            self.bin = Some(Bin::new());
        }
        if !self.open.is_empty() && self.is_of_another_kind(start) {
            self.hand_over();
            if self.stopped {
                self.left = Some((self.types.results_of(results, credit), start));
                return;
            }
        }
        let all = results.len();
        // Results of batches that were handed over, and those that are left.
        let (mut gone, mut left) = (0, all);
        let mut taken = results.drain(..);
        let mut index = start;
        for result in taken.by_ref() {
            left -= 1;
            index += 1;
            if P::fails(&result) {
                self.failed = P::fail(self.seen, index - 1, result).err();
                if self.failed.is_none() {
                    continue;
                }
                self.stopped = true;
            } else if let Ok(value) = P::split(result) {
                self.add(index - 1, value);
            }
            if self.stopped || self.open.len() >= self.size.items {
                if left == 0 {
                    // The last part has all bytes, as above.
                    drop(credit.split(gone, 0));
                    self.held.join(credit.take_all());
                }
                self.hand_over();
                gone = all - left;
            }
            if self.stopped {
                break;
            }
        }
        drop(credit.split(gone, 0));
        if left > 0 {
            self.left = Some((self.types.results_of(taken.by_ref().collect(), credit), index));
        } else {
            self.held.join(credit);
        }
        drop(taken);
        if self.spare.len() < MOST_BUFFERS && results.capacity() > 0 {
            self.spare.push(results);
        }
        if self.open.is_empty() || self.size.is_full(self.open.len()) {
            self.hand_over();
        }
    }

    fn add(&mut self, index: usize, value: P::Value) {
        if self.open.is_empty() {
            self.first_index = index;
            if self.open.capacity() == 0
                && let Some(buffer) = self.bin.as_ref().and_then(|bin| bin.take())
            {
                self.open = buffer;
            }
        } else if index != self.next_index {
            self.jumps.push((self.open.len(), index));
        }
        self.open.push(value);
        self.next_index = index + 1;
    }

    /// A buffer for results that become a batch as they lie.
    fn buffer_of_values(&mut self, count: usize) -> Option<Vec<P::Value>> {
        if self.is_first() && !self.open.is_empty() {
            // Each stretch is much longer than all before it: what is open will move in front of it.
            Some(Vec::with_capacity(self.open.len() + count))
        } else {
            self.bin.as_ref().and_then(|bin| bin.take())
        }
    }
}

impl<T, R, P: Policy<R>> Outlet for Batches<'_, T, R, P> {
    fn place(&mut self, count: usize) -> Option<Results> {
        let buffer = match P::whole(Vec::new()) {
            Ok(_) => self.buffer_of_values(count).map(P::unsplit),
            Err(_) => self.spare.pop(),
        };
        buffer.map(|buffer| self.types.in_buffer(buffer))
    }

    fn accept(&mut self, results: Results, start: usize) -> Flow {
        let (results, credit) = self.types.into_vec(results);
        match P::whole(results) {
            Ok(values) => self.accept_whole(values, start, credit),
            Err(results) => self.accept_each(results, start, credit),
        }
        self.flow()
    }

    fn flush(&mut self) -> Flow {
        if !self.stopped {
            self.hand_over();
        }
        self.flow()
    }

    fn wanted(&self) -> usize {
        if P::STOPS { 1 } else { self.size.wanted(self.open.len()) }
    }

    fn holds(&self) -> bool {
        !self.open.is_empty()
    }

    fn hands_over(&self) -> bool {
        true
    }

    fn set_batch_size(&mut self, items: usize) {
        self.size.set(items);
    }

    fn begin_timing(&mut self, origin: Instant) {
        self.handover.begin_timing(origin);
    }

    fn sink_seconds(&self) -> f64 {
        self.handover.sink_seconds()
    }
}

/// Results in parts of consecutive items, the last part first, which has all bytes of their credit.
/// Credit of others that are gone is given back.
pub(crate) fn parts<T, R>(types: Types<T, R>, mut results: Vec<R>, indices: Indices, mut credit: Credit) -> Vec<Left> {
    let Indices { next: first, jumps, .. } = indices;
    let mut parts = Vec::new();
    for (place, index) in jumps.rev().chain([(0, first)]) {
        let part = results.split_off(place);
        if !part.is_empty() {
            let of_part = credit.split(part.len(), credit.bytes());
            parts.push((types.results_of(part, of_part), index));
        }
    }
    parts
}

#[cfg(all(test, not(loom)))]
mod tests;
