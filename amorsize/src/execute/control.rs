//! The part of a parallel run that knows neither items nor results: which chunk starts next and with how much credit, what is
//! finished, and who waits for whom. Compiled once, whatever the function.
//!
//! # Who does what
//!
//! The *caller* is the thread that called a terminal: it alone pulls items, hands results over and sleeps. *Jobs* run on the
//! pool, each for one chunk; a job never waits, neither for credit nor for work: it ends, and the caller starts another when
//! there is something to do again. So it does no harm when a job is run on top of another call that waits for rayon inside the
//! user's function, and no pool is too small.
//!
//! # Credit
//!
//! A chunk starts in the order of its items and with credit for the results expected of it and for what one call at a time needs
//! beside its result; a chunk that would need more than
//! is free starts with as many items as there is credit for, and the others wait. A call that returns more than expected takes
//! the difference at once, and where that leaves nothing for the next item, the chunk ends there. The last part of the budget
//! ([`State::reserve`]) is for the chunk whose results are to be handed over next: results of later items can't be handed over
//! before, so they must never take all credit.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::account::{Account, Idle, Stopwatch};
use super::climb::Climb;
use super::line::Accepted;
use super::lookout::{Lookout, Seen};
use crate::failure::Payload;
use crate::memory::budget::Ledger;
use crate::memory::measure::{Heap, MeasuredBy};
use crate::memory::tracking;
use crate::plan::{CHUNK_SECONDS, Situation, batch_items, chunk_items};
use crate::sample::{Learned, Stretch};
use crate::sync::{AtomicBool, AtomicI64, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, PoisonError, now};
use crate::thread_time::{self, IS_TOLD, Measuring, Use};
use crate::time_use::TimeUse;

/// Where a chunk is kept.
pub(crate) type ChunkId = usize;

/// Chunks that are to wait for each worker: it takes about two milliseconds over one, and a sleeping caller can be kept from
/// running for a scheduler's time slice of 3 ms.
const AHEAD: usize = 4;
/// A caller that is with the sink for long leaves so many batches to be made meanwhile: one for the sink to find when it comes back,
/// and one more for when it is faster the next time.
const BATCHES_AHEAD: usize = 2;
/// With a slow sink a batch is at most this part of what is left: with the one before it, and the one that waits, that is half.
const LAST_BATCHES: usize = 4;
/// As long as nobody knows how long the sink takes, the items of a batch are pulled ahead, unless that are so many bytes: then
/// they would come from memory rather than from a cache when a worker gets them, and cheap items would take twice as long.
const UNKNOWN_SINK: usize = 1 << 20;
/// Between two looks at whether the run was stopped at most this much work is done, as far as it can be foreseen.
const LOOK_SECONDS: f64 = 10e-6;
/// Between two looks at the clock (23 ns each).
const CLOCK_SECONDS: f64 = 100e-6;

/// Of the calls of a run a chunk in so long is measured for what it waits: 2 us each time, and 6 us where one was seen not to run.
const MEASURED_EVERY: Duration = Duration::from_millis(10);
/// Chunks of items that take so long are looked at closely at once: 6 us are a two-hundredth of one.
const CLOSELY: f64 = 1e-3;

/// Idle workers that allocate or free less than this do so for the pool itself: some 40 bytes for each job, and its queues.
const POOLS_OWN: i64 = 16 << 10;

/// Stands for the item of a panic that no call made.
const NO_ITEM: usize = usize::MAX;

/// One chunk being run, as far as this file knows it.
pub(crate) trait Steps {
    /// Calls the function for the next `count` items and gives what their results own beside their own size.
    fn step(&mut self, count: usize) -> Heap;
    /// Results so far.
    fn done(&self) -> usize;
    /// Whether results are measured one by one.
    fn measures(&self) -> bool;
    /// Whether there is something to look at before each call.
    fn one_by_one(&self) -> bool;
    /// Whether no further item may start.
    fn is_interrupted(&self) -> bool;
}

/// Where a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a thread of the pool.
    Pool,
    /// On a thread of the run's own, because it is to run more calls at a time than the pool has threads.
    Own,
}

/// Which threads a run may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Those that the run begins with.
    pub(crate) level: usize,
    /// Those that can run at a time.
    pub(crate) cores: usize,
    /// Those that it may climb to.
    pub(crate) most: usize,
    /// Whether these are threads of its own, rather than those of the pool.
    pub(crate) own: bool,
}

/// A chunk that may start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) id: ChunkId,
    pub(crate) start: usize,
    pub(crate) items: usize,
    credit: u64,
    /// The part of it that is for what a call needs beside its result.
    working: u64,
    input_bytes: u64,
    /// Bytes that a result counts with beside what is measured of it.
    per_item: u64,
    /// Whether it is measured what its calls wait, and how closely.
    measured: Option<bool>,
}

/// A chunk that waits for a worker.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: ChunkId,
    items: usize,
    input_bytes: u64,
}

/// A chunk whose results wait to be handed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    pub(crate) id: ChunkId,
    pub(crate) start: usize,
    pub(crate) items: usize,
    pub(crate) bytes: u64,
}

/// How far a run came inline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadStart {
    /// Index of the next item.
    pub(crate) next: usize,
    /// Items done and not handed over.
    pub(crate) outstanding: usize,
    /// Items per batch, as planned, and of the first one: it is smaller where the sink is to begin soon.
    pub(crate) batch_size: usize,
    pub(crate) first_batch: usize,
}

/// A run that can't go on for want of credit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stuck {
    /// Index of the next item.
    pub(crate) item: usize,
    /// Bytes that it is expected to need.
    pub(crate) needed: u64,
    /// Items that were pulled and not run.
    pub(crate) waiting: usize,
}

/// How a run deals with results and panics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    /// Whether results are handed over in input order.
    pub(crate) ordered: bool,
    /// Whether it goes on without items that panic.
    pub(crate) tolerant: bool,
}

/// What became of a chunk.
#[derive(Debug)]
struct Outcome {
    stretch: Stretch,
    credit: u64,
    /// Whether the bytes contain what other threads did for the results.
    elsewhere: bool,
    panic: Option<Payload>,
    used: Option<Use>,
}

#[derive(Debug)]
pub(crate) struct Control {
    state: Mutex<State>,
    /// Told when the caller has something to do.
    caller: Condvar,
    /// The item at this index, and those after it, are not started.
    limit: AtomicUsize,
    /// Whether chunks are to end after the current item, without the run being stopped.
    pausing: AtomicBool,
    /// Whether that is because nobody wants further results, and not just for now.
    over: AtomicBool,
    /// Net heap bytes of the jobs that ran, where they are tracked, since the caller last took them over.
    kept: AtomicI64,
    lookout: Option<Mutex<Lookout>>,
    ledger: Ledger,
    /// Whether results are kept until the end.
    collects: AtomicBool,
    /// Whether idle workers were seen to help with calls.
    forks: AtomicBool,
    /// What the caller does.
    sink: Stopwatch,
    input: Stopwatch,
}

#[derive(Debug)]
pub(crate) struct State {
    /// By index of the first item.
    waiting: BTreeMap<usize, Waiting>,
    /// Items in it.
    queued: usize,
    /// Items per batch, as planned, and as far as batches have grown to it.
    batch_size: usize,
    grown_batch: usize,
    /// Seconds to expect of the sink for what it is handed at a time, once that is known, and for each item of that.
    sink_seconds: Option<f64>,
    sink_pace: f64,
    /// Whether the calling thread is one of the run's threads.
    joins_in: bool,
    /// Index behind the last item that was pulled.
    pub(crate) pulled: usize,
    /// By index of the first item.
    finished: BTreeMap<usize, Finished>,
    /// Items in `finished` that can be handed over, being next in order.
    ready_items: usize,
    /// Index behind the last of them.
    ready_end: usize,
    running: usize,
    /// What the chunks that run took when they were started.
    running_credit: u64,
    jobs: usize,
    /// Threads now.
    pub(crate) threads: usize,
    climb: Climb,
    /// Whether threads beyond the cores are the run's own.
    own_threads: bool,
    /// The most jobs that ran at a time, or threads that the run began with.
    pub(crate) most_threads: usize,
    /// Whether jobs are to be started that no new work calls for.
    recruits: bool,
    /// The items of a batch, where they have changed with the threads.
    new_batch_size: Option<usize>,
    /// When the next chunk is measured for what its calls wait.
    measure_at: Option<Instant>,
    /// Whether one was seen not to run.
    suspects: bool,
    ordered: bool,
    pub(crate) ledger: Ledger,
    pub(crate) learned: Learned,
    pub(crate) situation: Situation,
    chunk_size: usize,
    /// The caller sleeps until this many items can be handed over, or something else is for it to do.
    wanted_items: usize,
    /// Whether the caller could give credit back by closing its batch early.
    caller_holds: bool,
    input_ended: bool,
    /// Panics that end the run, each when everything before its item was handed over; the first by input order does so first.
    ending: BTreeMap<usize, Payload>,
    /// Whether the run goes on without items that panic, and those that did.
    tolerant: bool,
    pub(crate) panics: Vec<(usize, Payload)>,
    /// Items that give no result, as far as those before them have not been made ready.
    holes: BTreeSet<usize>,
    pub(crate) chunks: usize,
    /// Items started and not handed over, now and at most.
    pub(crate) outstanding: usize,
    pub(crate) most_outstanding: usize,
    /// Net heap bytes of idle workers that no chunk answers for yet, and up to where they were read.
    stray: i64,
    stray_read: i64,
    /// What is held for them.
    stray_credit: u64,
    /// Seconds per item of each chunk, while somebody wants to know them.
    pub(crate) each: Option<Vec<f64>>,
    /// Whether idle workers were seen to help.
    forks: bool,
    account: Account,
}

impl State {
    /// Whether there is a chunk to start; its credit may still be missing.
    fn has_work(&self, limit: usize) -> bool {
        self.waiting.first_key_value().is_some_and(|(&start, _)| start < limit)
    }

    /// What only the next chunk in order may take of the budget: the most that one call was seen to need.
    fn reserve(&self) -> u64 {
        (self.learned.largest + self.learned.most_working).min(self.ledger.limit() / 2)
    }

    /// Bytes to expect of one result.
    fn expected(&self) -> u64 {
        self.learned.expected_bytes().max(self.situation.result_size as u64)
    }

    /// Takes credit for what idle workers have allocated since the last look: parts of calls that fork.
    fn look_at_stray(&mut self) {
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
    fn settle_stray(&mut self, outcome: &mut Outcome, credit: u64) {
        self.look_at_stray();
        if outcome.elsewhere {
            self.stray = 0;
        }
        self.forks |= self.stray.abs() >= POOLS_OWN;
        if self.forks {
            let stretch = &mut outcome.stretch;
            let there = stretch.bytes.saturating_add_signed(self.stray);
            let (items, all_items) = (stretch.items as u128, (self.learned.items + stretch.items) as u128);
            let average = (u128::from(self.learned.bytes + there) * items).div_ceil(all_items) as u64;
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
    fn place(&self) -> Place {
        if self.own_threads && self.climb.is_above_cores() { Place::Own } else { Place::Pool }
    }

    /// Whether the next chunk is measured for what its calls wait, and how closely.
    fn is_measured(&mut self, now: Instant) -> Option<bool> {
        if !IS_TOLD || self.measure_at.is_some_and(|at| now < at) {
            return None;
        }
        self.measure_at = Some(now + MEASURED_EVERY);
        Some(self.suspects || self.learned.recent_seconds() >= CLOSELY)
    }

    /// Learns what the calls of a chunk waited.
    fn learn_waits(&mut self, used: Use) {
        if used.is_suspect() {
            self.suspects = true;
            self.measure_at = None;
        } else {
            self.learned.waits.add(used, false);
        }
    }

    /// Goes on with so many threads.
    fn set_threads(&mut self, threads: usize) {
        self.threads = threads;
        self.recruits = true;
        let chunk_size = chunk_items(&self.learned, &self.situation, threads);
        self.set_batch_size(batch_items(&self.learned, &self.situation, threads, chunk_size));
    }

    fn set_batch_size(&mut self, items: usize) {
        self.batch_size = items;
        self.new_batch_size = Some(items.min(self.grown_batch));
    }

    /// How many threads are to run chunks now.
    ///
    /// A calling thread whose sink takes long competes with the threads for the cores: with `n` threads on `n` cores, for which the
    /// calls take `c` seconds of one core in all and the sink takes `s`, the threads make what they may be ahead by, and wait, and
    /// the sink has `n / (n + 1)` of a core meanwhile. So the run takes `s + c / n^2`. With a thread less the sink has its own core,
    /// and the run takes the longer of `s` and `c / (n - 1)`.
    fn workers(&self) -> usize {
        let (calls, sink) = (self.learned.recent_seconds(), self.sink_pace);
        let threads = self.threads as f64;
        let is_less_better = calls / (threads - 1.0) < sink + calls / (threads * threads);
        if self.threads > 1 && is_less_better && !self.joins_in && !self.climb.is_above_cores() {
            self.threads - 1
        } else {
            self.threads
        }
    }

    /// Lets batches follow what is known of the calls now, and the end of the input.
    fn adapt_batches(&mut self) {
        let mut items = batch_items(&self.learned, &self.situation, self.threads, self.chunk_size);
        let is_asked = self.situation.batch_items.is_some();
        if let Some(left) = self.situation.remaining.filter(|_| !is_asked && self.sink_seconds > Some(CHUNK_SECONDS)) {
            // What lies ready when the last call ends, the sink is alone with: so that gets less and less, as chunks do.
            let left = left + self.queued + self.outstanding;
            items = items.min(left / LAST_BATCHES).max(self.chunk_size);
        }
        // Each change of the sink's rhythm costs a batch that does not fit it, and what the clock says of a chunk varies.
        if 4 * items < 3 * self.batch_size || items > 2 * self.batch_size {
            self.set_batch_size(items);
        }
    }

    fn add_ready(&mut self) {
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

    /// How many items of the waiting chunk at `start` there is credit for.
    fn affordable(&self, start: usize) -> usize {
        let free = self.ledger.free();
        let free = if !self.ordered || start == self.ready_end { free } else { free.saturating_sub(self.reserve()) };
        let for_results = free.saturating_sub(self.learned.expected_working());
        usize::try_from(for_results / self.expected().max(1)).unwrap_or(usize::MAX)
    }

    /// Whether a chunk waits for credit rather than for a worker.
    fn lacks_credit(&self, limit: usize) -> bool {
        self.waiting.first_key_value().is_some_and(|(&start, _)| start < limit && self.affordable(start) == 0)
    }

    /// How many more inputs the budget has room for.
    fn room(&self) -> usize {
        // Inputs may take a quarter of what is free: the results that they make need room too.
        let room = self.ledger.free() / 4 / self.situation.item_bytes.max(1);
        let nothing_else_to_do = self.waiting.is_empty() && self.running == 0;
        usize::try_from(room).unwrap_or(usize::MAX).max(usize::from(nothing_else_to_do))
    }

    /// Whether no more than `chunks` chunks wait, or fewer than `items` items, and there may and can be more.
    fn wants_items(&self, chunks: usize, items: usize, limit: usize) -> bool {
        (self.waiting.len() <= chunks || self.queued < items)
            && !self.input_ended
            && limit == usize::MAX
            && self.room() > 0
    }

    /// Items that the threads do while the caller is with the sink, up to those of the batches ahead.
    fn items_meanwhile(&self) -> usize {
        // What could not run for want of credit would only lie there.
        let batch = self.situation.batch_items.unwrap_or(self.batch_size).min(self.affordable(self.pulled));
        match self.sink_seconds {
            None => batch.min(UNKNOWN_SINK / self.situation.item_size.max(1)),
            Some(seconds) => {
                let items = self.threads as f64 * seconds / self.learned.recent_seconds().max(1e-10);
                BATCHES_AHEAD * (items as usize).min(batch)
            }
        }
    }

    /// How many threads have nothing to run and no chunk that waits for them, and why.
    fn idle(&self, limit: usize) -> (usize, Idle) {
        let idle = self.threads.saturating_sub(self.running);
        if idle > 0 && self.lacks_credit(limit) {
            return (idle, Idle::NoCredit);
        }
        let has_work = self.has_work(limit);
        let waiting = if has_work { self.waiting.len() } else { 0 };
        let why = if !has_work && (self.input_ended || limit != usize::MAX) { Idle::Ended } else { Idle::NoItems };
        // A thread that leaves its core to the sink waits for it, whatever there is to run.
        let left_to_sink = (self.threads - self.workers()).min(idle);
        (idle.saturating_sub(waiting).max(left_to_sink), why)
    }

    /// Whether there are results to hand over.
    fn has_ready(&self) -> bool {
        if self.ordered { self.ready_items > 0 } else { !self.finished.is_empty() }
    }

    /// Whether the caller should not sleep any longer.
    fn caller_is_needed(&self, limit: usize) -> bool {
        let ready = if self.ordered { self.ready_items } else { self.finished.values().map(|chunk| chunk.items).sum() };
        ready >= self.wanted_items
            || self.wants_items(AHEAD * self.threads / 2, 0, limit)
            || (self.running == 0 && self.jobs == 0)
            || self.recruits
            || ((ready > 0 || self.caller_holds) && self.lacks_credit(limit))
    }
}

impl Control {
    pub(crate) fn new(
        situation: Situation,
        room: Room,
        learned: Learned,
        ledger: Ledger,
        head_start: HeadStart,
        ways: Ways,
        lookout: Option<Lookout>,
    ) -> Self {
        let HeadStart { next, outstanding, batch_size, first_batch } = head_start;
        let begun = now();
        let Ways { ordered, tolerant } = ways;
        Self {
            ledger: ledger.clone(),
            state: Mutex::new(State {
                waiting: BTreeMap::new(),
                queued: 0,
                batch_size,
                grown_batch: first_batch,
                sink_seconds: None,
                sink_pace: 0.0,
                joins_in: false,
                pulled: next,
                finished: BTreeMap::new(),
                ready_items: 0,
                ready_end: next,
                running: 0,
                running_credit: 0,
                jobs: 0,
                threads: room.level,
                climb: Climb::new(room.cores, room.level, room.most),
                own_threads: room.own,
                most_threads: room.level.min(room.cores),
                recruits: false,
                new_batch_size: None,
                measure_at: None,
                suspects: false,
                ordered,
                ledger,
                learned,
                situation,
                // What was done inline is what is known so far.
                chunk_size: next.max(1),
                wanted_items: 1,
                caller_holds: false,
                input_ended: false,
                ending: BTreeMap::new(),
                tolerant,
                panics: Vec::new(),
                holes: BTreeSet::new(),
                chunks: 0,
                outstanding,
                most_outstanding: outstanding,
                stray: 0,
                stray_credit: 0,
                each: None,
                forks: false,
                stray_read: tracking::workers_stray(),
                account: Account::new(),
            }),
            caller: Condvar::new(),
            limit: AtomicUsize::new(usize::MAX),
            pausing: AtomicBool::new(false),
            over: AtomicBool::new(false),
            kept: AtomicI64::new(0),
            lookout: lookout.map(Mutex::new),
            collects: AtomicBool::new(false),
            forks: AtomicBool::new(false),
            sink: Stopwatch::new(begun),
            input: Stopwatch::new(begun),
        }
    }

    /// What is left when all is done that ran, and who looked at it.
    pub(crate) fn into_parts(self) -> (State, Option<Lookout>) {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        // No chunk is left that could answer for it.
        state.ledger.give(std::mem::take(&mut state.stray_credit));
        let lookout = self.lookout.map(|lookout| lookout.into_inner().unwrap_or_else(PoisonError::into_inner));
        (state, lookout)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic is called with the lock held, so the state behind a poisoned lock would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The items of a batch, where they have changed with the threads.
    pub(crate) fn new_batch_size(&self) -> Option<usize> {
        self.state().new_batch_size.take()
    }

    /// Whether the run may come to threads of its own.
    pub(crate) fn has_own_threads(&self) -> bool {
        let state = self.state();
        state.own_threads && state.climb.is_possible()
    }

    /// Notes that jobs found no thread: so many could be had.
    pub(crate) fn lacks_threads(&self, jobs: usize, threads: usize) {
        let now = now();
        let mut state = self.state();
        self.book(&mut state, now);
        state.jobs -= jobs;
        let threads = state.climb.limit(threads);
        state.set_threads(threads);
    }

    /// Chunks that are pulled at most before results are looked at again.
    pub(crate) fn most_pulls(&self) -> usize {
        let state = self.state();
        let items = state.items_meanwhile();
        AHEAD * state.threads + items / state.chunk_size.max(1)
    }

    /// Lets no item at or after `index` start.
    pub(crate) fn stop_at(&self, index: usize) {
        self.limit.fetch_min(index, Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn pause(&self, pausing: bool) {
        self.pausing.store(pausing, Ordering::Relaxed);
    }

    /// Lets chunks end, and calls that wait to be made again give up.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.pause(true);
    }

    /// Begins, or goes on.
    pub(crate) fn begin(&self) {
        self.over.store(false, Ordering::Relaxed);
        self.pause(false);
        let now = now();
        let mut state = self.state();
        state.account.begin(now);
        state.climb.resume(now, &thread_time::process_ran);
    }

    /// Notes that everything that ran is done.
    pub(crate) fn settle(&self) {
        let now = now();
        let mut state = self.state();
        self.book(&mut state, now);
        state.account.end();
        state.climb.pause(now, &thread_time::process_ran);
    }

    /// Books what threads did until now. It comes before each change of what they can do.
    fn book(&self, state: &mut State, now: Instant) {
        let (idle, why) = state.idle(self.limit());
        let threads = (idle, state.threads);
        state.account.book(now, threads, why, &self.sink, &self.input);
    }

    /// Calls `hand_over`, which may have the sink take a batch.
    pub(crate) fn in_sink(&self, hand_over: impl FnOnce() -> Accepted) -> Accepted {
        let begun = now();
        self.sink.start(begun);
        let accepted = hand_over();
        let ended = now();
        self.sink.stop(ended);
        if accepted.items > 0 {
            let mut state = self.state();
            let seconds = (ended - begun).as_secs_f64();
            let before = state.sink_seconds.unwrap_or(seconds);
            // Of a sink that takes longer now and then the longer times are the ones to be ready for.
            state.sink_seconds = Some(seconds.max(before + 0.25 * (seconds - before)));
            let pace = seconds / accepted.items as f64;
            let weight = if state.sink_pace > 0.0 { 0.25 } else { 1.0 };
            state.sink_pace += weight * (pace - state.sink_pace);
            if state.grown_batch < state.batch_size {
                state.grown_batch *= 2;
                let items = state.batch_size;
                state.set_batch_size(items);
            }
        }
        accepted
    }

    /// Calls `pull`, which takes items from the input.
    pub(crate) fn in_input<R>(&self, pull: impl FnOnce() -> R) -> R {
        self.input.start(now());
        let pulled = pull();
        self.input.stop(now());
        pulled
    }

    /// Seconds that the caller took for the input so far, what threads waited for, and how often for credit.
    pub(crate) fn account(&self) -> (f64, TimeUse, usize) {
        let state = self.state();
        (self.input.read(now()).as_secs_f64(), state.account.waited, state.account.credit_waits)
    }

    /// Items that were pulled so far.
    pub(crate) fn pulled(&self) -> usize {
        self.state().pulled
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = self.state();
        Seen {
            items: state.learned.items + state.panics.len(),
            result_bytes: state.learned.bytes,
            running: state.running,
        }
    }

    /// What looks at the run.
    pub(crate) fn lookout(&self) -> Option<MutexGuard<'_, Lookout>> {
        self.lookout.as_ref().map(|lookout| lookout.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Looks at the system's memory and the run, if it is time to. Whoever comes does it: the caller may be in the sink for long.
    fn look(&self) {
        // Whoever has it is just looking.
        let Some(Ok(mut lookout)) = self.lookout.as_ref().map(Mutex::try_lock) else { return };
        let collects = self.collects.load(Ordering::Relaxed);
        let look = AssertUnwindSafe(|| lookout.look(now(), &self.ledger, collects, || self.seen()));
        // It asks a memory source, calls a trim hook and tells the progress, which may all be the user's.
        if let Err(payload) = catch_unwind(look) {
            self.stop_at(0);
            // A call that panicked comes first.
            self.state().ending.insert(NO_ITEM, payload);
        }
    }

    /// Notes that results that the run held belong to its caller now.
    pub(crate) fn rebase(&self) {
        if let Some(watch) = self.lookout().as_mut().and_then(|lookout| lookout.watch.as_mut()) {
            watch.rebase();
        }
        let mut state = self.state();
        state.most_outstanding = state.outstanding;
    }

    // ---- called by the caller ----

    /// Looks, if it is time to, for an outlet that collects or does not.
    pub(crate) fn look_for(&self, collects: bool) {
        self.collects.store(collects, Ordering::Relaxed);
        self.look();
    }

    /// Items to pull next, or 0 where enough wait already or the budget has no room for more inputs.
    pub(crate) fn items_wanted(&self) -> usize {
        let mut state = self.state();
        let items = state.items_meanwhile();
        if !state.wants_items(AHEAD * state.threads - 1, items, self.limit()) {
            return 0;
        }
        let wanted = chunk_items(&state.learned, &state.situation, state.threads);
        // A sample can mislead, so chunks grow by steps.
        state.chunk_size = wanted.min(2 * state.chunk_size).max(1);
        state.adapt_batches();
        state.chunk_size.min(state.room())
    }

    /// Notes that the input gave its last item.
    pub(crate) fn end_input(&self) {
        let mut state = self.state();
        if !state.input_ended {
            self.book(&mut state, now());
            state.input_ended = true;
        }
    }

    /// Adds a chunk that was pulled.
    pub(crate) fn enqueue(&self, id: ChunkId, items: usize, input_heap: u64) {
        let now = now();
        let mut state = self.state();
        self.book(&mut state, now);
        let input_bytes = (state.situation.item_size * items) as u64 + input_heap;
        let start = state.pulled;
        state.pulled += items;
        state.ledger.take(input_bytes);
        state.waiting.insert(start, Waiting { id, items, input_bytes });
        state.queued += items;
        state.situation.item_bytes = input_bytes.div_ceil(items.max(1) as u64);
        if let Some(remaining) = &mut state.situation.remaining {
            *remaining = remaining.saturating_sub(items);
        }
    }

    /// Registers as many new jobs as there is work for, and gives their number and where they are to run. Of the run's threads
    /// `others` are no jobs.
    pub(crate) fn jobs_to_start(&self, others: usize) -> (usize, Place) {
        let mut state = self.state();
        let (limit, place) = (self.limit(), state.place());
        state.recruits = false;
        state.joins_in = others > 0;
        if !state.has_work(limit) || state.lacks_credit(limit) || self.pausing.load(Ordering::Relaxed) {
            return (0, place);
        }
        let new = state.waiting.len().min((state.workers() - others).saturating_sub(state.jobs));
        state.jobs += new;
        (new, place)
    }

    /// The next chunk to hand over, with its results' bytes.
    pub(crate) fn take_ready(&self) -> Option<Finished> {
        let mut state = self.state();
        if !state.ordered {
            return state.finished.pop_first().map(|(_, chunk)| chunk);
        }
        if state.ready_items == 0 {
            return None;
        }
        let (_, chunk) = state.finished.pop_first()?;
        state.ready_items -= chunk.items;
        Some(chunk)
    }

    /// Gives back the credit of results that were handed over.
    pub(crate) fn release(&self, items: usize, bytes: u64) {
        if items > 0 {
            let now = now();
            let mut state = self.state();
            self.book(&mut state, now);
            state.outstanding -= items;
            state.ledger.give(bytes);
        }
    }

    /// Whether everything that was pulled and may run was run and handed over.
    pub(crate) fn is_drained(&self) -> bool {
        let state = self.state();
        state.running == 0 && !state.has_ready() && !state.has_work(self.limit())
    }

    /// Goes on with so many threads, as [`finish`](Self::finish) does when the climb says so, and tells the caller.
    #[cfg(all(loom, test))]
    pub(crate) fn climb_to(&self, threads: usize) {
        let mut state = self.state();
        state.climb = Climb::new(1, threads, threads);
        state.set_threads(threads);
        drop(state);
        self.caller.notify_one();
    }

    /// Whether nothing is under way, and nothing is left over.
    #[cfg(all(loom, test))]
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        let nothing = state.waiting.is_empty() && state.finished.is_empty() && state.holes.is_empty();
        nothing && (state.running, state.jobs, state.outstanding) == (0, 0, 0)
    }

    /// Whether a chunk waits for credit, and whether nothing runs or can be handed over whose end could give any.
    pub(crate) fn shortage(&self) -> (bool, bool) {
        let state = self.state();
        let short = state.lacks_credit(self.limit());
        // What ended since the caller last took results is not stuck.
        (short, short && state.running == 0 && !state.has_ready())
    }

    /// What can't go on for want of credit.
    pub(crate) fn stuck(&self) -> Stuck {
        let state = self.state();
        Stuck {
            item: state.waiting.keys().next().copied().unwrap_or(state.pulled),
            needed: state.expected() + state.learned.expected_working(),
            waiting: state.queued,
        }
    }

    /// Sleeps until there is something for the caller to do, or for `most`. `wanted_items` fill its batch, and `holds` says
    /// that the batch is not empty.
    pub(crate) fn wait(&self, wanted_items: usize, holds: bool, most: Duration) {
        let mut state = self.state();
        state.wanted_items = wanted_items.max(1);
        state.caller_holds = holds;
        if !state.caller_is_needed(self.limit()) {
            drop(self.caller.wait_timeout(state, most));
        }
    }

    /// Whether the caller has something to do, for one that does not sleep.
    pub(crate) fn needs_caller(&self, wanted_items: usize, holds: bool) -> bool {
        let mut state = self.state();
        state.wanted_items = wanted_items.max(1);
        state.caller_holds = holds;
        state.caller_is_needed(self.limit())
    }

    /// Believes what resident memory says of the bytes per item.
    pub(crate) fn learn_resident(&self, grown: u64) {
        let mut state = self.state();
        if state.most_outstanding > 0 {
            let bytes = grown as f64 / state.most_outstanding as f64;
            state.learned.expect_bytes(bytes);
        }
    }

    /// Adds net heap bytes of a job.
    pub(crate) fn add_kept(&self, bytes: i64) {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Net heap bytes of jobs since this was last asked.
    pub(crate) fn take_kept(&self) -> i64 {
        self.kept.swap(0, Ordering::Relaxed)
    }

    /// The panic that ended the run, and its item. The run can go on without it.
    pub(crate) fn take_panic(&self) -> Option<(usize, Payload)> {
        let mut state = self.state();
        let (item, payload) = state.ending.pop_first()?;
        let next = state.ending.first_key_value().map_or(usize::MAX, |(&item, _)| item);
        self.limit.store(next, Ordering::Relaxed);
        if item != NO_ITEM {
            state.holes.insert(item);
            state.add_ready();
        }
        Some((item, payload))
    }

    // ---- called by jobs, and by a caller that works itself ----

    /// Takes the next chunk, with credit for it. `split` leaves so many items of a chunk and keeps the others under a new
    /// name. `forced` starts a single item whether there is credit or not.
    pub(crate) fn start_next(
        &self,
        job: Option<Place>,
        forced: bool,
        split: &mut dyn FnMut(ChunkId, usize) -> ChunkId,
    ) -> Option<Grant> {
        let mut state = self.state();
        let grant = self.grant(&mut state, forced, split);
        if grant.is_none() && job.is_some() {
            state.account.credit_waits += usize::from(state.lacks_credit(self.limit()));
            state.jobs -= 1;
            if state.caller_is_needed(self.limit()) {
                drop(state);
                self.caller.notify_one();
            }
        }
        grant
    }

    fn grant(
        &self,
        state: &mut State,
        forced: bool,
        split: &mut dyn FnMut(ChunkId, usize) -> ChunkId,
    ) -> Option<Grant> {
        if self.pausing.load(Ordering::Relaxed) || !state.has_work(self.limit()) {
            return None;
        }
        let (&start, &chunk) = state.waiting.first_key_value()?;
        let expected = state.expected().max(1);
        // A chunk that was pulled when items seemed cheaper is cut to what is right now.
        let timely = 2 * chunk_items(&state.learned, &state.situation, state.threads);
        let items = if forced { 1 } else { chunk.items.min(state.affordable(start)).min(timely) };
        if items == 0 {
            return None;
        }
        let working = state.learned.expected_working();
        let credit = expected * items as u64 + working;
        if forced {
            state.ledger.take(credit);
        } else if !state.ledger.try_take(credit) {
            // A run within a call of this one was faster.
            return None;
        }
        let now = now();
        self.book(state, now);
        state.waiting.pop_first();
        state.queued -= items;
        let mut input_bytes = chunk.input_bytes;
        if items < chunk.items {
            input_bytes = (input_bytes as f64 * items as f64 / chunk.items as f64) as u64;
            let rest = Waiting {
                id: split(chunk.id, items),
                items: chunk.items - items,
                input_bytes: chunk.input_bytes - input_bytes,
            };
            state.waiting.insert(start + items, rest);
        }
        state.running += 1;
        state.running_credit += credit;
        state.most_threads = state.most_threads.max(state.running);
        state.outstanding += items;
        state.most_outstanding = state.most_outstanding.max(state.outstanding);
        let resident = state.situation.measured_by == MeasuredBy::Resident;
        let per_item = if resident { expected } else { state.situation.result_size as u64 };
        let measured = state.is_measured(now);
        Some(Grant { id: chunk.id, start, items, credit, working, input_bytes, per_item, measured })
    }

    /// Runs a chunk as far as credit, time and the run's end allow, and catches a panic.
    fn run(&self, grant: &Grant, steps: &mut dyn Steps) -> Outcome {
        let (seconds_per_item, contended) = {
            let state = self.state();
            (state.learned.recent_seconds().max(1e-10), state.threads > 1)
        };
        let look = if steps.one_by_one() { 1 } else { ((LOOK_SECONDS / seconds_per_item) as usize).clamp(1, 4096) };
        let clock = ((CLOCK_SECONDS / seconds_per_item) as usize).clamp(1, 1 << 16);
        let stretch = Stretch::default();
        let mut outcome = Outcome { stretch, credit: grant.credit, elsewhere: false, panic: None, used: None };
        let measuring = grant.measured.and_then(Measuring::begin);
        let stretch = &mut outcome.stretch;
        let begun = now();
        let mut next_clock = clock;
        let mut heap_bytes = 0;
        while stretch.items < grant.items {
            if grant.start + stretch.items >= self.limit() || self.pausing.load(Ordering::Relaxed) {
                break;
            }
            if steps.is_interrupted() {
                // No job shall take up what this one leaves.
                self.pause(true);
                break;
            }
            let count = look.min(grant.items - stretch.items);
            let stepped = catch_unwind(AssertUnwindSafe(|| steps.step(count)));
            stretch.items = steps.done();
            match stepped {
                Ok(heap) => {
                    let unforeseen = (stretch.bytes + heap.working + heap.sum).saturating_sub(outcome.credit);
                    if heap.working > 0 && unforeseen > 0 {
                        self.state().ledger.touch(unforeseen);
                    }
                    heap_bytes += heap.sum;
                    outcome.elsewhere |= heap.elsewhere;
                    stretch.largest = stretch.largest.max(heap.largest + grant.per_item);
                    stretch.working = stretch.working.max(heap.working);
                }
                // What the results before the panic own in this step was not measured; where results are measured a step is one
                // item, so there are none.
                Err(payload) => outcome.panic = Some(payload),
            }
            stretch.bytes = grant.per_item * stretch.items as u64 + heap_bytes;
            if outcome.panic.is_some() {
                break;
            }
            if steps.measures()
                && stretch.items < grant.items
                && !self.covers_next(&mut outcome.credit, grant.working, stretch)
            {
                break;
            }
            if contended && stretch.items >= next_clock {
                next_clock = stretch.items + clock;
                // Far slower than foreseen: others shall share what is left.
                if (now() - begun).as_secs_f64() > 2.0 * CHUNK_SECONDS {
                    break;
                }
            }
        }
        stretch.seconds = (now() - begun).as_secs_f64();
        outcome.used = measuring.and_then(Measuring::end);
        outcome
    }

    /// Whether the chunk's credit covers its results and one call more; takes what is missing where it can.
    fn covers_next(&self, credit: &mut u64, working: u64, stretch: &Stretch) -> bool {
        let next = stretch.bytes / stretch.items as u64 + working.max(stretch.working);
        let forks = self.forks.load(Ordering::Relaxed);
        if stretch.bytes + next <= *credit && !forks {
            return true;
        }
        let mut state = self.state();
        if forks {
            // What others do for these calls shows there alone.
            state.look_at_stray();
            if state.ledger.held().as_u64() > state.ledger.limit() {
                return false;
            }
            if stretch.bytes + next <= *credit {
                return true;
            }
        }
        // The results are there already, whether they fit or not.
        let there = stretch.bytes.saturating_sub(*credit);
        state.ledger.take(there);
        *credit += there;
        let missing = stretch.bytes + next - *credit;
        let covers = state.ledger.try_take(missing);
        if covers {
            *credit += missing;
        }
        covers
    }

    /// Runs the chunk and books what came of it. The items that were not run go back to the queue.
    pub(crate) fn run_chunk(&self, grant: Grant, steps: &mut dyn Steps) -> Ran {
        let outcome = self.run(&grant, steps);
        Ran { grant, outcome }
    }

    /// Books a chunk that ran. `rest` is the name of the items that did not, where there are any and they are to run later.
    /// Says whether the job is to go on with another chunk.
    pub(crate) fn finish(&self, ran: Ran, rest: Option<ChunkId>, job: Option<Place>) -> bool {
        self.look();
        let Ran { grant, mut outcome } = ran;
        let done = outcome.stretch.items;
        let now = now();
        let mut state = self.state();
        self.book(&mut state, now);
        if state.situation.measured_by == MeasuredBy::Tracking && done > 0 {
            state.settle_stray(&mut outcome, grant.credit);
            if state.forks {
                self.forks.store(true, Ordering::Relaxed);
            }
        }
        let lost = usize::from(outcome.panic.is_some());
        let rest_items = grant.items - done - lost;
        let rest_bytes =
            if rest.is_some() { (grant.input_bytes as f64 * rest_items as f64 / grant.items as f64) as u64 } else { 0 };
        // What the results hold stays taken until they are handed over.
        state.ledger.take(outcome.stretch.bytes.saturating_sub(outcome.credit));
        state.ledger.give(outcome.credit.saturating_sub(outcome.stretch.bytes) + grant.input_bytes - rest_bytes);
        state.learned.add(outcome.stretch);
        if let Some(each) = state.each.as_mut().filter(|_| done > 0) {
            each.push(outcome.stretch.seconds / done as f64);
        }
        if let Some(used) = outcome.used {
            state.learn_waits(used);
        }
        let State { climb, learned, .. } = &mut *state;
        let ended = (done, outcome.stretch.seconds);
        if let Some(threads) = climb.chunk_ended(now, ended, &learned.waits, &thread_time::process_ran) {
            state.set_threads(threads);
        }
        state.running -= 1;
        state.running_credit -= grant.credit;
        state.chunks += 1;
        state.outstanding -= rest_items + lost;
        if let Some(id) = rest {
            state.waiting.insert(grant.start + done + lost, Waiting { id, items: rest_items, input_bytes: rest_bytes });
            state.queued += rest_items;
        }
        if let Some(payload) = outcome.panic {
            let item = grant.start + done;
            if state.tolerant {
                state.panics.push((item, payload));
                state.holes.insert(item);
            } else {
                self.stop_at(item);
                state.ending.insert(item, payload);
            }
            state.add_ready();
        }
        if done > 0 {
            let chunk = Finished { id: grant.id, start: grant.start, items: done, bytes: outcome.stretch.bytes };
            state.finished.insert(grant.start, chunk);
            state.add_ready();
        }
        let mut go_on = job.is_some() && state.has_work(self.limit()) && !self.pausing.load(Ordering::Relaxed);
        if go_on && (job != Some(state.place()) || state.jobs > state.workers()) {
            // Another takes its place elsewhere, or none.
            go_on = false;
            state.recruits = true;
        }
        if job.is_some() && !go_on {
            state.jobs -= 1;
        }
        if state.caller_is_needed(self.limit()) {
            drop(state);
            self.caller.notify_one();
        }
        go_on
    }
}

/// A chunk that ran, not yet booked.
#[derive(Debug)]
pub(crate) struct Ran {
    grant: Grant,
    outcome: Outcome,
}

impl Ran {
    /// Whether items are left that are to run later.
    pub(crate) fn leaves_items(&self) -> bool {
        // The item that panicked is gone.
        self.outcome.stretch.items + usize::from(self.outcome.panic.is_some()) < self.grant.items
    }
}
