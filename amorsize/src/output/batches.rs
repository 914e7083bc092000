//! Hands the results of a run to a sink in batches, and records and tells their times.

use super::batch::{Batch, Bin, Indices, MOST_BUFFERS, Places};
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Instant;

use super::outlet::{Flow, Outlet};
use crate::buffer::{Results, Types};
use crate::durable::Handle;
use crate::error::failure::{Payload, discard};
use crate::log::trace;
use crate::log::verbose::Verbose;
use crate::memory::budget::Ledger;
use crate::memory::credit::Credit;
use crate::policy::{Policy, Seen};
use crate::report::timeline::{BatchTime, BatchTimes};
use crate::system::sync::now;

/// The number of results that fill a batch.
#[derive(Clone, Copy, Debug)]
struct BatchSize {
    asked: Option<usize>,
    items: usize,
}

impl BatchSize {
    fn new(asked: Option<usize>) -> Self {
        // Without a plan, only memory or the end of the input closes a batch.
        Self { asked, items: asked.unwrap_or(usize::MAX) }
    }

    /// Sets the size that the plan found, unless the user stated one.
    fn set(&mut self, items: usize) {
        self.items = self.asked.unwrap_or(items).max(1);
    }

    /// The number of results that are missing in a batch of `open` results.
    fn wanted(self, open: usize) -> usize {
        self.items.saturating_sub(open)
    }

    /// True if a batch of `open` results is closed when a chunk ends.
    fn is_full(self, open: usize) -> bool {
        // If no size is stated, a nearly full batch is closed: the next chunk's results would often
        // not fit.
        open >= if self.asked.is_some() { self.items } else { self.items - self.items / 4 }
    }
}

/// The answer of a sink that was given a batch.
pub(crate) enum Taken<V> {
    /// It has taken the batch, and takes more.
    Whole,
    /// It has taken the batch, and takes no more.
    Last,
    /// It takes no more; this part of the batch is left. In a box, as the other answers come for
    /// each batch.
    Part(Box<Batch<V>>),
}

impl<V> Taken<V> {
    /// The whole batch was taken, and more may follow if the sink `goes_on`.
    pub(crate) fn whole(goes_on: bool) -> Self {
        if goes_on { Self::Whole } else { Self::Last }
    }
}

/// Fills batches with the values of results, and hands them to a sink that says whether to go on.
pub(crate) struct Batches<'a, T, R, P: Policy<R>> {
    types: Types<T, R>,
    seen: &'a mut Seen<R>,
    sink: &'a mut dyn FnMut(Batch<P::Value>) -> Taken<P::Value>,
    open: Vec<P::Value>,
    /// The indices of the open batch.
    places: Places,
    /// The credit of the open batch, and of the failures that came with it.
    held: Credit,
    size: BatchSize,
    handover: Handover,
    /// The keeper, if the run is durable.
    keeper: Handle,
    /// `None` until there is a batch that others follow.
    bin: Option<Arc<Bin<P::Value>>>,
    /// Emptied buffers of results, to be filled again, if values are moved to other buffers.
    spare: Vec<Vec<R>>,
    /// True if the sink or a failure ended the run.
    stopped: bool,
    /// The failure that ended the run.
    failed: Option<P::Failed>,
    /// The panic of the sink.
    panic: Option<Payload>,
    /// Results behind the one that ended the run.
    left: Option<Left>,
}

/// Results that were made and not handed over, with the index of the first one's item.
pub(crate) type Left = (Results, usize);

/// The end of a run that handed batches over.
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
        sink: &'a mut dyn FnMut(Batch<P::Value>) -> Taken<P::Value>,
    ) -> Self {
        Self {
            types,
            seen,
            sink,
            open: Vec::new(),
            places: Places::default(),
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
            // Something ended the run before the sink got this batch.
            let values = take(&mut self.open);
            let indices = self.places.take().into_indices(values.len());
            let results = self.types.results_of(P::unsplit(values), self.held.take_all());
            left.extend(parts(results, indices));
        }
        let Self { handover, stopped, failed, panic, .. } = self;
        Ending { handed_over: handover.finish(), stopped, failed, panic, left }
    }

    /// True if the run is so young that nothing was decided and the first batch may be the only
    /// one: stretches of items still follow each other on the calling thread, and no size is
    /// stated.
    fn is_first(&self) -> bool {
        self.size.asked.is_none() && !self.handover.is_timed()
    }

    /// Adds values to the open batch if there is room for both; leaves an empty buffer.
    fn append(&mut self, values: &mut Vec<P::Value>) {
        let has_room = |buffer: &Vec<_>, for_those: &Vec<_>| buffer.capacity() - buffer.len() >= for_those.len();
        if has_room(values, &self.open) && !has_room(&self.open, values) {
            values.splice(..0, self.open.drain(..));
            std::mem::swap(&mut self.open, values);
        } else {
            self.open.append(values);
        }
    }

    /// Hands over the open batch, unless it is empty. Nothing is held after that.
    fn hand_over(&mut self) {
        // The credit is dropped when the sink has returned.
        let mut held = self.held.take_all();
        if self.open.is_empty() {
            return;
        }
        let (results, places) = (take(&mut self.open), self.places.take());
        let (first_index, items) = (places.first, results.len());
        let bin = self.bin.as_ref().map_or_else(Weak::new, Arc::downgrade);
        let keeper = self.keeper.get();
        let is_restored = keeper.is_some_and(|keeper| keeper.is_restored(first_index));
        let journal = keeper.filter(|keeper| keeper.is_journal());
        let indices = journal.map(|_| places.clone().into_indices(items));
        let mut batch = Some(Batch { results, places, is_restored, bin });
        let (sink, panic, mut taken) = (&mut self.sink, &mut self.panic, Taken::Last);
        let told = self.handover.batch(first_index, self.places.next, (items, held.bytes()), &mut || {
            let Some(batch) = batch.take() else { return };
            // The run can go on behind this batch, if its caller wants that.
            let outcome = catch_unwind(AssertUnwindSafe(|| sink(batch)));
            taken = outcome.unwrap_or_else(|payload| {
                *panic = Some(payload);
                Taken::Last
            });
        });
        if is_restored && batch.is_none() {
            self.handover.note_restored(items);
        }
        let go_on = matches!(taken, Taken::Whole);
        if go_on && let (Some(journal), Some(indices)) = (journal, indices) {
            journal.sunk(indices);
        }
        self.stopped |= !go_on;
        if let Taken::Part(rest) = taken {
            self.was_left(*rest, items, held.take_all());
        }
        if let Err(payload) = told {
            self.was_not_told(payload, batch, held);
        }
    }

    /// Keeps the part of a batch of `items` results that the sink left. It holds all bytes of the
    /// batch: its own are unknown.
    #[cold]
    fn was_left(&mut self, rest: Batch<P::Value>, items: usize, mut held: Credit) {
        if rest.is_empty() {
            return;
        }
        self.handover.take_back(rest.len(), items, rest.is_restored);
        drop(held.split(held.results().saturating_sub(rest.len()), 0));
        self.keep_open(rest, held);
    }

    /// Ends the run by a panic of a subscriber of `tracing`. A batch that the sink did not get
    /// stays open.
    #[cold]
    fn was_not_told(&mut self, payload: Payload, batch: Option<Batch<P::Value>>, held: Credit) {
        self.stopped = true;
        match self.panic {
            None => self.panic = Some(payload),
            Some(_) => discard(payload),
        }
        if let Some(batch) = batch {
            self.keep_open(batch, held);
        }
    }

    /// Opens a batch again that holds this credit.
    fn keep_open(&mut self, mut batch: Batch<P::Value>, held: Credit) {
        (self.open, self.places) = (take(&mut batch.results), batch.places.take());
        self.held = held;
    }

    /// Takes the credit of results that the sink left, as far as it is still that of their chunk.
    /// Gives their number. The bytes stay with the chunk's other results.
    fn hold_left(&mut self, credit: &mut Credit) -> usize {
        let count = self.open.len().saturating_sub(self.held.results());
        self.held.join(credit.split(count, 0));
        count
    }

    fn flow(&self) -> Flow {
        if self.stopped { Flow::Stop } else { Flow::Continue }
    }

    /// True if one of the open batch and the results from `start` on comes from a store, and the
    /// other does not: no batch has both.
    fn is_of_another_kind(&self, start: usize) -> bool {
        let is_restored = |index| self.keeper.get().is_some_and(|keeper| keeper.is_restored(index));
        is_restored(start) != is_restored(self.places.first)
    }

    /// Takes results without failures, so that no result has to be looked at.
    fn accept_whole(&mut self, mut values: Vec<P::Value>, start: usize, credit: Credit) {
        if values.is_empty() {
            return;
        }
        if self.bin.is_none() && !self.is_first() {
            self.bin = Some(Bin::new());
        }
        if !self.open.is_empty() && (start != self.places.next || self.is_of_another_kind(start)) {
            // Items in between have no results, and a batch has consecutive items.
            self.hand_over();
            if self.stopped {
                self.left = Some((self.types.results_of(P::unsplit(values), credit), start));
                return;
            }
        }
        let count = values.len();
        self.places.note(self.open.len(), start, count);
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

    /// True if a batch of results from a store has enough of them. They come so fast that a batch
    /// sized by time would take all of them.
    fn has_restored_enough(&self) -> bool {
        /// Allocating memory for more takes longer than reading the results.
        const ENOUGH: u64 = 1 << 20;
        self.size.asked.is_none()
            && self.held.bytes() >= ENOUGH
            && self.keeper.get().is_some_and(|keeper| keeper.is_restored(self.places.first))
    }

    /// Takes values that fill more than the open batch.
    fn accept_in_parts(&mut self, values: Vec<P::Value>, mut credit: Credit) {
        let (end, all) = (self.places.next, values.len());
        let mut values = values.into_iter();
        while values.len() > 0 && !self.stopped {
            // A plan may have set a size that is smaller than the open batch.
            let taken = self.size.wanted(self.open.len()).min(values.len());
            self.open.extend(values.by_ref().take(taken));
            self.places.next = end - values.len();
            if values.len() == 0 {
                // The last part has all bytes: the bytes of the parts are unknown, and large
                // results may be in that one.
                drop(credit.split(all - taken, 0));
                self.held.join(credit.take_all());
            }
            if self.open.len() >= self.size.items {
                self.hand_over();
            }
        }
        if values.len() > 0 {
            let held = self.hold_left(&mut credit);
            drop(credit.split(all - values.len() - held, 0));
            let left = P::unsplit(values.collect());
            self.left = Some((self.types.results_of(left, credit), self.places.next));
        }
    }

    /// Takes results one by one, and leaves out the failures.
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
        let mut untold = None;
        for result in taken.by_ref() {
            if P::STOPS && !self.open.is_empty() && P::fails(&result) {
                // The sink may end the run with what is before the failure. Then the next terminal
                // tells the failure.
                self.hand_over();
                if self.open.is_empty() {
                    gone = all - left;
                }
                if self.stopped {
                    untold = Some(result);
                    break;
                }
            }
            left -= 1;
            index += 1;
            match P::split(result) {
                Ok(value) => self.add(index - 1, value),
                Err(error) => {
                    self.failed = P::fail(self.seen, index - 1, error).err();
                    if self.failed.is_none() {
                        continue;
                    }
                    self.stopped = true;
                }
            }
            if self.stopped || self.open.len() >= self.size.items {
                if left == 0 {
                    // The last part has all bytes, as above.
                    drop(credit.split(gone, 0));
                    self.held.join(credit.take_all());
                }
                self.hand_over();
                if self.open.is_empty() {
                    gone = all - left;
                }
            }
            if self.stopped {
                break;
            }
        }
        if self.stopped && left > 0 {
            gone = all - left - self.hold_left(&mut credit);
        }
        drop(credit.split(gone, 0));
        if left > 0 {
            let behind = untold.into_iter().chain(taken.by_ref()).collect();
            self.left = Some((self.types.results_of(behind, credit), index));
        } else {
            self.held.join(credit);
        }
        drop(taken);
        if self.spare.len() < MOST_BUFFERS && results.capacity() > 0 {
            self.spare.push(results);
        }
        if self.open.is_empty() || !self.stopped && self.size.is_full(self.open.len()) {
            self.hand_over();
        }
    }

    fn add(&mut self, index: usize, value: P::Value) {
        if self.open.capacity() == 0
            && let Some(buffer) = self.bin.as_ref().and_then(|bin| bin.take())
        {
            self.open = buffer;
        }
        self.places.note(self.open.len(), index, 1);
        self.open.push(value);
    }

    /// A buffer for results that become a batch without a move.
    fn buffer_of_values(&mut self, count: usize) -> Option<Vec<P::Value>> {
        if self.is_first() && !self.open.is_empty() {
            // Each stretch is much longer than all before it, so the open batch will move in front
            // of it.
            Some(Vec::with_capacity(self.open.len() + count))
        } else {
            self.bin.as_ref().and_then(|bin| bin.take())
        }
    }
}

impl<T, R, P: Policy<R>> Outlet for Batches<'_, T, R, P> {
    fn place(&mut self, count: usize) -> Option<Results> {
        let buffer = if P::NEVER_FAILS { self.buffer_of_values(count).map(P::unsplit) } else { self.spare.pop() };
        buffer.map(|buffer| self.types.in_buffer(buffer))
    }

    fn accept(&mut self, mut results: Results, start: usize) -> Flow {
        let credit = results.credit.take_all();
        let results = self.types.into_vec(results);
        if P::NEVER_FAILS {
            let values = P::values(results, start.., self.seen);
            self.accept_whole(values, start, credit);
        } else {
            self.accept_each(results, start, credit);
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

/// Counts and times the batches of a run.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The batches that were handed over, and their results.
    count: usize,
    items: usize,
    /// The results that came from a store.
    restored: usize,
    verbose: Verbose,
    /// `None` until the run's first decision: a run that ends before it must not pay for it.
    times: Option<BatchTimes>,
    ledger: Ledger,
}

impl Handover {
    pub(crate) fn new(verbose: Verbose, ledger: &Ledger) -> Self {
        Self { count: 0, items: 0, restored: 0, verbose, times: None, ledger: ledger.clone() }
    }

    /// Begins to time; seconds count from `origin`.
    pub(crate) fn begin_timing(&mut self, origin: Instant) {
        self.times.get_or_insert_with(|| BatchTimes::new(origin));
    }

    /// True if it times batches, from the run's first decision on.
    pub(crate) fn is_timed(&self) -> bool {
        self.times.is_some()
    }

    /// Seconds that the sink took so far.
    pub(crate) fn sink_seconds(&self) -> f64 {
        self.times.as_ref().map_or(0.0, |times| times.sink_seconds)
    }

    /// Notes that the results of the last batch came from a store.
    pub(crate) fn note_restored(&mut self, items: usize) {
        self.restored += items;
    }

    /// Calls `sink` with a batch of `items` results and `bytes` bytes, for the items from
    /// `first_index` to before `next_index`. The error is a panic of a subscriber of `tracing`,
    /// before the call or after it. Only a call counts.
    pub(crate) fn batch(
        &mut self,
        first_index: usize,
        next_index: usize,
        (items, bytes): (usize, u64),
        sink: &mut dyn FnMut(),
    ) -> thread::Result<()> {
        let Self { count, items: all, verbose, times, ledger, .. } = self;
        trace::batch(ledger, first_index, (items, bytes), &mut || {
            (*count, *all) = (*count + 1, *all + items);
            verbose.batch(*count, first_index, next_index - first_index);
            let begun = times.as_ref().map(|_| now());
            sink();
            if let Some((times, begun)) = times.as_mut().zip(begun) {
                times.note(first_index, items, begun, now());
            }
            verbose.batch_done(*count, next_index);
        })
    }

    /// Takes back the last `left` of a batch of `items` results, which the sink did not take.
    fn take_back(&mut self, left: usize, items: usize, is_restored: bool) {
        self.items -= left;
        self.count -= usize::from(left == items);
        self.restored -= if is_restored { left } else { 0 };
        if let Some(times) = &mut self.times {
            times.take_back(left, left == items);
        }
    }

    pub(crate) fn finish(self) -> HandedOver {
        HandedOver {
            batches: self.count,
            items: self.items,
            restored: self.restored,
            sink_seconds: self.sink_seconds(),
            times: self.times.map_or_else(Vec::new, |recorded| recorded.times),
        }
    }
}

/// The batches that were handed over, for the report.
#[derive(Debug, Default)]
pub(crate) struct HandedOver {
    pub(crate) batches: usize,
    pub(crate) items: usize,
    #[cfg_attr(not(feature = "durable"), expect(dead_code, reason = "no result is restored"))]
    pub(crate) restored: usize,
    pub(crate) sink_seconds: f64,
    pub(crate) times: Vec<BatchTime>,
}

/// Splits results into parts of consecutive items, the last part first. The last part has all bytes
/// of their credit. Credit of results that are gone is given back.
pub(crate) fn parts(mut results: Results, indices: Indices) -> Vec<Left> {
    let Indices { next: first, jumps, .. } = indices;
    let mut parts = Vec::new();
    for (place, index) in jumps.rev().chain([(0, first)]) {
        let part = results.split_off(place, results.credit.bytes());
        if part.len() > 0 {
            parts.push((part, index));
        }
    }
    parts
}

#[cfg(all(test, not(loom)))]
mod tests;
