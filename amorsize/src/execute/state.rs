//! Where a run on threads stands: what waits, what runs, what is finished, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::account::{Account, Idle};
use super::books::Books;
use super::climb::Climb;
use super::control::{ChunkId, Finished, Place};
use super::jobs::Outcome;
use crate::failure::Payload;
use crate::memory::budget::Ledger;
use crate::memory::tracking;
use crate::memory::working::Bounds;
use crate::plan::{CHUNK_SECONDS, Situation, batch_in_flight, batch_items, chunk_items, chunk_seconds};
use crate::thread_time::{IS_TOLD, Use};

/// A caller that is with the sink for long leaves so many batches to be made meanwhile: one for the sink to find when it comes back,
/// and one more for when it is faster the next time.
const BATCHES_AHEAD: usize = 2;
/// Chunks that are to wait for each worker where it takes about two milliseconds over one: a sleeping caller can be kept from
/// running for a scheduler's time slice of 3 ms. Of longer chunks as many as last as long.
const AHEAD: f64 = 4.0;
/// With a slow sink a batch is at most this part of what is left: with the one before it, and the one that waits, that is half.
const LAST_BATCHES: usize = 4;
/// A sink that takes less than this part of the time in which its results are made has time to wait for them.
const KEEPS_UP: f64 = 0.8;
/// As long as nobody knows how long the sink takes, the items of a batch are pulled ahead, unless that are so many bytes: then
/// they would come from memory rather than from a cache when a worker gets them, and cheap items would take twice as long.
const UNKNOWN_SINK: usize = 1 << 20;

/// Of the calls of a run a chunk in so long is measured for what it waits: 2 us each time, and 6 us where one was seen not to run.
const MEASURED_EVERY: Duration = Duration::from_millis(10);
/// Chunks of items that take so long are looked at closely at once: 6 us are a two-hundredth of one.
const CLOSELY: f64 = 1e-3;
/// Idle workers that allocate or free less than this do so for the pool itself, as for its queues.
const POOLS_OWN: i64 = 16 << 10;
/// The same for each chunk: rayon's box of a job, of some 40 bytes, is allocated by one thread and freed by another.
const JOBS_OWN: i64 = 64;

/// A chunk that waits for a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) id: ChunkId,
    pub(super) items: usize,
    pub(super) input_bytes: u64,
}

/// A panic that ends the run.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) payload: Payload,
    /// True if the item has no result, so that the results of others close up.
    pub(super) is_lost: bool,
}

#[derive(Debug)]
pub(crate) struct State {
    /// By index of the first item.
    pub(super) waiting: BTreeMap<usize, Waiting>,
    /// Items in it.
    pub(super) queued: usize,
    /// Items per batch, as planned, and as far as batches have grown to it.
    pub(super) batch_size: usize,
    pub(super) grown_batch: usize,
    /// Seconds to expect of the sink for what it is handed at a time, once that is known, and for each item of that.
    pub(super) sink_seconds: Option<f64>,
    pub(super) sink_pace: f64,
    /// Whether the calling thread is one of the run's threads.
    pub(super) joins_in: bool,
    /// By index of the first item.
    pub(super) finished: BTreeMap<usize, Finished>,
    /// Items in `finished` that can be handed over, being next in order.
    pub(super) ready_items: usize,
    /// Index behind the last of them.
    pub(super) ready_end: usize,
    pub(super) running: usize,
    /// What the chunks that run took when they were started.
    pub(super) running_credit: u64,
    /// The part of it that is for working memory.
    pub(super) running_working: u64,
    /// Bytes held beside those that were booked for collected results, or fewer, as resident memory tells.
    pub(super) unforeseen: i64,
    /// Bytes held when the run went on threads. Growth from then on does not contain them.
    pub(super) held_before: u64,
    /// Bytes that were booked for results not handed over.
    pub(super) results: u64,
    /// The most that ran at a time since resident memory was last looked at.
    pub(super) most_running: usize,
    /// Threads that keep the cores busy, where the memory of calls matters.
    pub(super) busy_threads: usize,
    /// Items of the chunks that run, and the most of them and of those that wait since then.
    pub(super) running_items: usize,
    pub(super) most_items: usize,
    /// Credit for the items of chunks that wait or run.
    pub(super) inputs: u64,
    /// Seconds to get an item from the input.
    pub(super) input_pace: f64,
    /// How many may run, by the working memory of calls.
    pub(super) bounds: Bounds,
    pub(super) jobs: usize,
    /// Threads now.
    pub(crate) threads: usize,
    pub(super) climb: Climb,
    /// Whether threads beyond the cores are the run's own.
    pub(super) own_threads: bool,
    /// The most jobs that ran at a time, or threads that the run began with.
    pub(crate) most_threads: usize,
    /// Whether jobs are to be started that no new work calls for.
    pub(super) recruits: bool,
    /// The items of a batch, where they have changed with the threads.
    pub(super) new_batch_size: Option<usize>,
    /// When the next chunk is measured for what its calls wait.
    pub(super) measure_at: Option<Instant>,
    pub(super) ordered: bool,
    pub(crate) ledger: Ledger,
    pub(crate) books: Books,
    pub(crate) situation: Situation,
    pub(super) chunk_size: usize,
    /// The caller sleeps until this many items can be handed over, or something else is for it to do.
    pub(super) wanted_items: usize,
    /// Whether the caller could give credit back by closing its batch early.
    pub(super) caller_holds: bool,
    /// Results that a collection has taken: they are outstanding, and no longer in flight.
    pub(super) collected: usize,
    /// When calls began that nothing was known of, and how long the process had run by then.
    pub(super) opening: Option<(Instant, Option<Duration>)>,
    /// True if the input is asked one by one.
    pub(super) input_may_wait: bool,
    pub(super) input_ended: bool,
    /// Panics that end the run, each when everything before its item was handed over; the first by input order does so first.
    pub(super) ending: BTreeMap<usize, Ending>,
    /// Items that give no result, as far as those before them have not been made ready.
    pub(super) holes: BTreeSet<usize>,
    /// Net heap bytes of idle workers that no chunk answers for yet, and up to where they were read.
    pub(super) stray: i64,
    pub(super) stray_read: i64,
    /// What is held for them.
    pub(super) stray_credit: u64,
    /// Seconds per item of each chunk, and those of them in which it was queued for a core, while somebody wants to know them.
    pub(crate) each: Option<Vec<(f64, f64)>>,
    /// Whether idle workers were seen to help.
    pub(super) forks: bool,
    pub(super) account: Account,
    /// Items that were outstanding at most since resident memory was last set anew.
    pub(super) most_outstanding: usize,
}

impl State {
    /// Whether there is a chunk to start; its credit may still be missing.
    pub(super) fn has_work(&self, limit: usize) -> bool {
        self.waiting.first_key_value().is_some_and(|(&start, _)| start < limit)
    }

    /// What only the next chunk in order may take of the budget: the most that one call was seen to need.
    pub(super) fn reserve(&self) -> u64 {
        (self.books.learned.largest + self.books.learned.most_working).min(self.ledger.limit() / 2)
    }

    /// Bytes to expect of one result.
    pub(super) fn expected(&self) -> u64 {
        self.books.learned.expected_bytes().max(self.situation.result_size as u64)
    }

    /// Takes credit for what idle workers have allocated since the last look: parts of calls that fork.
    pub(super) fn look_at_stray(&mut self) {
        let now = tracking::workers_stray();
        self.stray += now - std::mem::replace(&mut self.stray_read, now);
        let more = u64::try_from(self.stray).unwrap_or(0).saturating_sub(self.stray_credit);
        self.ledger.take(more);
        self.stray_credit += more;
    }

    /// Charges a chunk that took so much credit with its part: it is given back with the chunk's results.
    ///
    /// Whose calls a worker helped nobody knows, be it idle or waiting for its own helpers. So of a function that forks a chunk is
    /// charged with what its results own on average, as far as it is there, and with what the credit of the chunks that still run
    /// does not cover. The rest is held for those: were it given back with this chunk's results, theirs would still own it.
    pub(super) fn settle_stray(&mut self, outcome: &mut Outcome, credit: u64) {
        self.look_at_stray();
        if outcome.elsewhere {
            self.stray = 0;
        }
        let of_jobs = JOBS_OWN.saturating_mul(self.books.chunks as i64);
        self.forks |= self.stray.abs() >= POOLS_OWN.saturating_add(of_jobs);
        if self.forks {
            let stretch = &mut outcome.stretch;
            let there = stretch.bytes.saturating_add_signed(self.stray);
            let (items, all_items) = (stretch.items as u128, (self.books.learned.items + stretch.items) as u128);
            let average = (u128::from(self.books.learned.bytes + there) * items).div_ceil(all_items) as u64;
            let not_covered = there.saturating_sub(self.running_credit - credit);
            let least = (self.situation.result_size * stretch.items) as u64;
            let bytes = there.min(average).max(not_covered).max(least);
            self.stray -= bytes as i64 - stretch.bytes as i64;
            stretch.bytes = bytes;
        }
        let held = std::mem::replace(&mut self.stray_credit, u64::try_from(self.stray).unwrap_or(0));
        self.ledger.take(self.stray_credit.saturating_sub(held));
        self.ledger.give(held.saturating_sub(self.stray_credit));
    }

    /// Where jobs are to run now.
    pub(super) fn place(&self) -> Place {
        if self.own_threads && self.climb.is_above_cores() { Place::Own } else { Place::Pool }
    }

    /// Whether the next chunk is measured for what its calls wait, and how closely.
    pub(super) fn is_measured(&mut self, now: Instant) -> Option<bool> {
        if !IS_TOLD || self.measure_at.is_some_and(|at| now < at) {
            return None;
        }
        self.measure_at = Some(now + MEASURED_EVERY);
        Some(self.books.suspects || self.books.learned.recent_seconds() >= CLOSELY)
    }

    /// Learns what the calls of a chunk waited.
    pub(super) fn learn_waits(&mut self, used: Use) {
        if used.is_suspect() {
            self.books.suspects = true;
            self.measure_at = None;
        } else {
            self.books.learned.waits.add(used, false);
        }
    }

    /// Goes on with so many threads.
    pub(super) fn set_threads(&mut self, threads: usize) {
        self.threads = threads;
        self.recruits = true;
        let chunk_size = chunk_items(&self.books.learned, &self.situation, threads);
        self.set_batch_size(batch_items(&self.books.learned, &self.situation, threads, chunk_size));
    }

    /// Lets batches grow towards their size, once the sink took one.
    ///
    /// Each is twice as large as the one before. A sink that takes about as long as the calls would wait for the second half of it
    /// each time, and be behind at the end by all that: it gets no more than lies ready when it comes back.
    pub(super) fn grow_batches(&mut self) {
        if self.grown_batch >= self.batch_size {
            return;
        }
        let made = self.books.learned.recent_seconds() / self.workers() as f64;
        let most = if self.sink_pace < KEEPS_UP * made { usize::MAX } else { self.ready().max(self.grown_batch) };
        self.grown_batch = self.grown_batch.saturating_mul(2).min(most);
        self.set_batch_size(self.batch_size);
    }

    pub(super) fn set_batch_size(&mut self, items: usize) {
        self.batch_size = items;
        self.new_batch_size = Some(self.batch_now());
    }

    /// The items of a batch, as far as batches have grown.
    pub(super) fn batch_now(&self) -> usize {
        self.batch_size.min(self.grown_batch)
    }

    /// How many threads are to run chunks now.
    ///
    /// A calling thread whose sink takes long competes with the threads for the cores: with `n` threads on `n` cores, for which the
    /// calls take `c` seconds of one core in all and the sink takes `s`, the threads make what they may be ahead by, and wait, and
    /// the sink has `n / (n + 1)` of a core meanwhile. So the run takes `s + c / n^2`. With a thread less the sink has its own core,
    /// and the run takes the longer of `s` and `c / (n - 1)`.
    pub(super) fn workers(&self) -> usize {
        let (calls, sink) = (self.books.learned.recent_seconds(), self.sink_pace);
        let threads = self.threads as f64;
        let is_less_better = calls / (threads - 1.0) < sink + calls / (threads * threads);
        if self.threads > 1 && is_less_better && !self.joins_in && !self.climb.is_above_cores() {
            self.threads - 1
        } else {
            self.threads
        }
    }

    /// Lets batches follow what is known of the calls now, and the end of the input.
    pub(super) fn adapt_batches(&mut self) {
        let mut items = batch_items(&self.books.learned, &self.situation, self.threads, self.chunk_size);
        let is_asked = self.situation.batch_items.is_some();
        if let Some(left) = self.situation.remaining.filter(|_| !is_asked && self.sink_seconds > Some(CHUNK_SECONDS)) {
            // What lies ready when the last call ends, the sink is alone with: so that gets less and less, as chunks do.
            let left = left.saturating_add(self.queued + self.books.outstanding);
            items = items.min(left / LAST_BATCHES).max(self.chunk_size);
        }
        // Each change of the sink's rhythm costs a batch that does not fit it, and what the clock says of a chunk varies.
        if items.saturating_mul(4) < self.batch_size.saturating_mul(3) || items > self.batch_size.saturating_mul(2) {
            self.set_batch_size(items);
        }
    }

    pub(super) fn add_ready(&mut self) {
        loop {
            if let Some(next) = self.finished.get(&self.ready_end) {
                self.ready_items += next.items;
                self.ready_end += next.items;
            } else if self.holes.remove(&self.ready_end) {
                self.ready_end += 1;
            } else {
                break;
            }
        }
    }

    /// Bytes that a chunk at `start` may take.
    fn free_for(&self, start: usize) -> u64 {
        let free = self.ledger.free();
        if !self.ordered || start == self.ready_end { free } else { free.saturating_sub(self.reserve()) }
    }

    /// How many items of the waiting chunk at `start` there is credit for.
    pub(super) fn affordable(&self, start: usize) -> usize {
        let free = self.free_for(start);
        let for_results = free.saturating_sub(self.working_credit(free, self.expected()));
        usize::try_from(for_results / self.expected().max(1)).unwrap_or(usize::MAX)
    }

    /// Whether a chunk waits for credit rather than for a worker.
    pub(super) fn lacks_credit(&self, limit: usize) -> bool {
        self.waiting.first_key_value().is_some_and(|(&start, _)| start < limit && self.affordable(start) == 0)
    }

    /// How many more inputs the budget has room for.
    pub(super) fn room(&self) -> usize {
        // Inputs may take a quarter of what is free: the results that they make need room too.
        let room = self.ledger.free() / 4 / self.situation.item_bytes.max(1);
        let nothing_else_to_do = self.waiting.is_empty() && self.running == 0;
        let by_number = self.bounds.items.saturating_sub(self.opaque_items());
        let ahead = self.most_ahead().saturating_sub(self.queued + self.books.outstanding);
        usize::try_from(room).unwrap_or(usize::MAX).min(by_number).min(ahead).max(usize::from(nothing_else_to_do))
    }

    /// How many more items may be in flight.
    pub(super) fn in_flight_room(&self) -> usize {
        self.most_in_flight().saturating_sub(self.items_to_hand_over())
    }

    /// Items that may be in flight: by the option, and where results can't be measured by memory, which
    /// has the caller close its batch early for either.
    fn most_in_flight(&self) -> usize {
        let by_memory = if self.results_are_opaque() { self.bounds.items } else { usize::MAX };
        self.situation.in_flight.unwrap_or(usize::MAX).min(by_memory)
    }

    /// True if nothing can go on before the caller closes its batch early, because no further item may
    /// be in flight.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        let nothing_else_to_do = self.waiting.is_empty() && self.running == 0 && !self.has_ready();
        nothing_else_to_do && !self.input_ended && limit == usize::MAX && self.in_flight_room() == 0
    }

    /// For how many results a caller is woken that wants `items`: where only few may be in flight, the
    /// threads would else have nothing to do until all of these are there.
    pub(super) fn wanted(&self, items: usize) -> usize {
        match self.most_in_flight() {
            usize::MAX => items.max(1),
            most => items.min(batch_in_flight(most, self.threads)).max(1),
        }
    }

    /// Whether no more than `chunks` chunks wait, or fewer than `items` items, and there may and can be more.
    pub(super) fn wants_items(&self, chunks: usize, items: usize, limit: usize) -> bool {
        (self.waiting.len() <= chunks || self.queued < items)
            && !self.input_ended
            && limit == usize::MAX
            && self.room() > 0
            && self.in_flight_room() > 0
    }

    /// Chunks that are to wait for the workers.
    pub(super) fn ahead(&self) -> usize {
        if self.input_may_wait {
            return self.threads;
        }
        let seconds = chunk_seconds(self.situation.threads, self.threads);
        (AHEAD * self.threads as f64 * CHUNK_SECONDS / seconds) as usize
    }

    /// Items that the threads do while the caller is with the sink, up to those of the batches ahead.
    pub(super) fn items_meanwhile(&self) -> usize {
        // Items whose results have no room would only lie there. Working memory is free again when a call ends.
        let fitting = self.free_for(self.books.next) / self.expected().max(1);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
        let batch = self.situation.batch_items.unwrap_or(self.batch_size).min(fitting);
        match self.sink_seconds {
            None => batch.min(UNKNOWN_SINK / self.situation.item_size.max(1)),
            Some(seconds) => {
                let items = self.threads as f64 * seconds / self.books.learned.recent_seconds().max(1e-10);
                BATCHES_AHEAD * (items as usize).min(batch)
            }
        }
    }

    /// How many threads have nothing to run and no chunk that waits for them, and why.
    pub(super) fn idle(&self, limit: usize) -> (usize, Idle) {
        let idle = self.useful_threads().saturating_sub(self.running);
        if idle > 0 && self.lacks_memory(limit) {
            return (idle, Idle::NoCredit);
        }
        let has_work = self.has_work(limit);
        let waiting = if has_work { self.waiting.len() } else { 0 };
        let why = if !has_work && (self.input_ended || limit != usize::MAX) { Idle::Ended } else { Idle::NoItems };
        // A thread that leaves its core to the sink waits for it, whatever there is to run.
        let left_to_sink = (self.threads - self.workers()).min(idle);
        (idle.saturating_sub(waiting).max(left_to_sink), why)
    }

    /// Results that can be handed over.
    fn ready(&self) -> usize {
        if self.ordered { self.ready_items } else { self.finished.values().map(|chunk| chunk.items).sum() }
    }

    /// Whether there are results to hand over.
    pub(super) fn has_ready(&self) -> bool {
        if self.ordered { self.ready_items > 0 } else { !self.finished.is_empty() }
    }

    /// Whether the caller should not sleep any longer.
    pub(super) fn caller_is_needed(&self, limit: usize) -> bool {
        let ready = self.ready();
        ready >= self.wanted_items
            || self.wants_items(self.ahead() / 2, 0, limit)
            || (self.running == 0 && self.jobs == 0)
            || self.recruits
            || ((ready > 0 || self.caller_holds) && self.lacks_credit(limit))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::execute::control::{Control, Room};
    use crate::memory::Bytes;
    use crate::plan::tests::situation;
    use crate::sample::{Learned, Stretch};

    /// A run on two threads whose calls take 10 us, whose sink takes `sink` seconds for each result, and of which 100 items have been
    /// handed over and so many more are ready.
    fn run(sink: f64, ready: usize) -> Control {
        let mut learned = Learned::default();
        learned.add(Stretch { items: 1000, seconds: 10e-3, bytes: 8000, largest: 8, working: 0 });
        let situation = Situation { threads: 2, most: 2, budget: Bytes::mib(1), result_size: 8, ..situation(None) };
        let room = Room { level: 2, cores: 2, most: 2, own: false };
        let ledger = Ledger::new(Bytes::mib(1));
        let books = Books { learned, next: 100, chunks: 1, ..Books::default() };
        let control = Control::new(situation, room, books, ledger, (2000, 100), true, None);
        {
            let mut state = control.state();
            state.sink_pace = sink;
            if ready > 0 {
                state.finished.insert(100, Finished { id: 0, start: 100, items: ready, bytes: 0 });
                state.add_ready();
            }
        }
        control
    }

    #[test]
    fn batches_follow_the_threads_where_no_sink_takes_them() {
        let control = run(0.0, 0);
        let mut state = control.state();
        state.grown_batch = usize::MAX;
        state.set_threads(64);
        assert_eq!(state.new_batch_size, Some(state.batch_size));
        assert!(state.batch_size >= 2 * 64);
    }

    #[test]
    fn no_more_items_are_wanted_than_may_be_in_flight() {
        let control = run(0.0, 3);
        let bounded = |most| control.state().situation.in_flight = most;
        assert!(control.items_wanted(None, false) > 8);
        {
            // Those that are ready, one in the caller's batch, and two that wait to be run.
            let mut state = control.state();
            (state.queued, state.books.outstanding) = (2, 4);
        }
        let wanted = [9, 8, 7, 6, 5].map(|most| {
            bounded(Some(most));
            control.items_wanted(None, false)
        });
        assert_eq!(wanted, [1, 1, 1, 0, 0]);
        assert_eq!(control.state().in_flight_room(), 0);
        // What a collection took does not count.
        bounded(Some(4));
        assert_eq!((control.items_wanted(Some(1), false), control.items_wanted(Some(3), false)), (0, 1));
        assert_eq!(control.state().in_flight_room(), 1);
    }

    #[test]
    fn a_batch_is_closed_early_only_where_nothing_else_can_go_on() {
        let control = run(0.0, 0);
        let mut state = control.state();
        state.books.outstanding = 4;
        assert!(!state.is_full(usize::MAX));
        state.situation.in_flight = Some(5);
        assert!(!state.is_full(usize::MAX));
        state.situation.in_flight = Some(4);
        assert!(state.is_full(usize::MAX));
        // Nothing is taken any longer from an input that has ended, or after a panic.
        assert!(!state.is_full(9));
        state.input_ended = true;
        assert!(!state.is_full(usize::MAX));
        state.input_ended = false;
        state.running = 1;
        assert!(!state.is_full(usize::MAX));
    }

    #[test]
    fn a_caller_is_woken_before_all_that_may_be_in_flight_is_done() {
        let control = run(0.0, 0);
        let mut state = control.state();
        assert_eq!(state.wanted(usize::MAX), usize::MAX);
        state.situation.in_flight = Some(66);
        assert_eq!([usize::MAX, 20, 3, 0].map(|items| state.wanted(items)), [16, 16, 3, 1]);
    }

    #[test]
    fn batches_of_a_fast_sink_double() {
        let control = run(1e-6, 0);
        let mut state = control.state();
        let sizes = [(); 6].map(|()| {
            state.grow_batches();
            state.new_batch_size.take()
        });
        assert_eq!(sizes, [Some(200), Some(400), Some(800), Some(1600), Some(2000), None]);
    }

    #[test]
    fn a_sink_as_slow_as_the_calls_waits_for_no_larger_batch() {
        for (ready, items) in [(0, 100), (90, 100), (150, 150), (500, 200)] {
            let control = run(10e-6, ready);
            let mut state = control.state();
            state.grow_batches();
            assert_eq!(state.grown_batch, items, "{ready} ready");
        }
    }
}
