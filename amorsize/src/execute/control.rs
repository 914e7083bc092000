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
use std::time::Instant;

use super::account::{Account, Stopwatch};
use super::books::Books;
use super::climb::Climb;
use super::course::Course;
use super::inline::HANDED_SECONDS;
use super::line::Accepted;
use super::lookout::{Lookout, Seen};
use super::state::{Ending, State, Waiting};
use crate::failure::{Payload, discard};
use crate::memory::budget::Ledger;
use crate::memory::measure::Heap;
use crate::memory::tracking;
use crate::memory::working::Bounds;
use crate::plan::{Situation, chunk_items};
use crate::sync::{AtomicBool, AtomicI64, Clock, Condvar, Mutex, MutexGuard, Ordering, PoisonError, now};
use crate::thread_time;
use crate::time_use::TimeUse;

/// Where a chunk is kept.
pub(crate) type ChunkId = usize;

/// Items of a chunk at most, for stated batches and a sink that nothing is known of. To hand a chunk to a
/// thread takes a microsecond, which is 16 ns for each of these.
const UNKNOWN_BATCHES: usize = 64;

/// Stands for the item of a panic that no call made.
pub(super) const NO_ITEM: usize = usize::MAX;

/// One chunk being run, as far as this file knows it.
pub(crate) trait Steps {
    /// Calls the function for the next `count` items and gives what their results own beside their own size.
    fn step(&mut self, count: usize) -> Heap;
    /// Results so far.
    fn done(&self) -> usize;
    /// Items that still wait.
    fn left(&self) -> usize;
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

/// A chunk whose results wait to be handed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    pub(crate) id: ChunkId,
    pub(crate) start: usize,
    pub(crate) items: usize,
    pub(crate) bytes: u64,
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

#[derive(Debug)]
pub(crate) struct Control {
    state: Mutex<State>,
    /// Told when the caller has something to do.
    pub(super) caller: Condvar,
    pub(crate) course: Course,
    /// Net heap bytes of the jobs that ran, where they are tracked, since the caller last took them over.
    kept: AtomicI64,
    pub(super) lookout: Option<Mutex<Lookout>>,
    pub(super) ledger: Ledger,
    /// Whether results are kept until the end.
    pub(super) collects: AtomicBool,
    /// Whether idle workers were seen to help with calls.
    pub(super) forks: AtomicBool,
    /// What the caller does.
    pub(super) sink: Stopwatch,
    pub(super) input: Stopwatch,
    /// What its threads look at.
    pub(super) clock: Clock,
}

impl Control {
    /// Begins a run on threads, with batches of the first of two numbers of items, as planned, and of
    /// the second at first: that is smaller where the sink is to begin soon.
    pub(crate) fn new(
        situation: Situation,
        room: Room,
        books: Books,
        ledger: Ledger,
        (batch_size, first_batch): (usize, usize),
        ordered: bool,
        lookout: Option<Lookout>,
    ) -> Self {
        let begun = now();
        let (next, outstanding) = (books.next, books.outstanding);
        let opening = (books.learned.items == 0).then(|| (begun, thread_time::process_ran()));
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
                finished: BTreeMap::new(),
                ready_items: 0,
                ready_end: next,
                running: 0,
                running_credit: 0,
                running_working: 0,
                unforeseen: 0,
                held_before: ledger.held().as_u64(),
                results: ledger.held().as_u64(),
                most_running: 0,
                busy_threads: usize::MAX,
                running_items: 0,
                most_items: 0,
                inputs: 0,
                input_pace: 0.0,
                bounds: Bounds::NONE,
                jobs: 0,
                threads: room.level,
                climb: Climb::new(room.cores, room.level, room.most),
                own_threads: room.own,
                most_threads: room.level.min(room.cores),
                recruits: false,
                new_batch_size: None,
                measure_at: None,
                ordered,
                ledger,
                books,
                situation,
                // What was done inline is what is known so far.
                chunk_size: next.max(1),
                wanted_items: 1,
                caller_holds: false,
                collected: 0,
                opening,
                input_may_wait: false,
                input_ended: false,
                ending: BTreeMap::new(),
                holes: BTreeSet::new(),
                most_outstanding: outstanding,
                stray: 0,
                stray_credit: 0,
                each: None,
                forks: false,
                stray_read: tracking::workers_stray(),
                account: Account::new(),
            }),
            caller: Condvar::new(),
            course: Course::new(),
            kept: AtomicI64::new(0),
            lookout: lookout.map(Mutex::new),
            collects: AtomicBool::new(false),
            forks: AtomicBool::new(false),
            sink: Stopwatch::new(begun),
            input: Stopwatch::new(begun),
            clock: Clock::of_this_thread(),
        }
    }

    /// Gives the books back when all is done that ran, and those who looked at it.
    pub(crate) fn into_parts(self) -> (Books, Option<Lookout>) {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        // No chunk is left that could answer for it.
        state.hold_what_is_booked();
        state.ledger.give(std::mem::take(&mut state.stray_credit));
        let lookout = self.lookout.map(|lookout| lookout.into_inner().unwrap_or_else(PoisonError::into_inner));
        (state.books, lookout)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic is called with the lock held, so the state behind a poisoned lock would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The items of a batch now.
    pub(crate) fn batch_size(&self) -> usize {
        self.state().batch_now()
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
        state.ahead() + items / state.chunk_size.max(1)
    }

    /// Begins, or goes on.
    pub(crate) fn begin(&self) {
        self.course.resume();
        let now = now();
        let mut state = self.state();
        state.account.begin(now);
        state.climb.resume(now, &thread_time::process_ran);
    }

    /// Notes that everything that ran is done. Jobs that the pool has not come to are too late.
    pub(crate) fn settle(&self) {
        let now = now();
        let mut state = self.state();
        self.book(&mut state, now);
        state.jobs = 0;
        state.account.end();
        state.climb.pause(now, &thread_time::process_ran);
    }

    /// Books what threads did until now. It comes before each change of what they can do.
    pub(super) fn book(&self, state: &mut State, now: Instant) {
        let (idle, why) = state.idle(self.course.limit());
        let threads = (idle, state.useful_threads());
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
            state.grow_batches();
        }
        accepted
    }

    /// Calls `pull`, which takes items from the input. Says how many seconds it took.
    pub(crate) fn in_input<R>(&self, pull: impl FnOnce() -> R) -> (R, f64) {
        let begun = now();
        self.input.start(begun);
        let pulled = pull();
        let ended = now();
        self.input.stop(ended);
        (pulled, (ended - begun).as_secs_f64())
    }

    /// Seconds that the caller took for the input so far, what threads waited for, and how often for credit.
    pub(crate) fn account(&self) -> (f64, TimeUse, usize) {
        let state = self.state();
        (self.input.read(now()).as_secs_f64(), state.account.waited, state.account.credit_waits)
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = self.state();
        Seen { items: state.books.ended(), result_bytes: state.books.learned.bytes, running: state.running }
    }

    /// What looks at the run.
    pub(crate) fn lookout(&self) -> Option<MutexGuard<'_, Lookout>> {
        self.lookout.as_ref().map(|lookout| lookout.lock().unwrap_or_else(PoisonError::into_inner))
    }

    // ---- called by the caller ----

    /// Items to pull next, or 0 where enough wait already, the budget has no room for more inputs, or
    /// no more may be in flight. `collected` is what the caller's collection has, where it has one.
    /// Of an input that may wait no more is asked than keeps the threads busy.
    pub(crate) fn items_wanted(&self, collected: Option<usize>, may_wait: bool) -> usize {
        let mut state = self.state();
        state.input_may_wait = may_wait;
        state.collected = collected.unwrap_or(0);
        let items = if may_wait { 0 } else { state.items_meanwhile() };
        if !state.wants_items(state.ahead() - 1, items, self.course.limit()) {
            return 0;
        }
        let wanted = chunk_items(&state.books.learned, &state.situation, state.threads);
        // A sample can mislead, so chunks grow by steps.
        state.chunk_size = wanted.min(2 * state.chunk_size).max(1);
        state.adapt_batches();
        let handed_over = if state.sink_pace > 0.0 {
            (HANDED_SECONDS / state.sink_pace) as usize
        } else {
            // The first batches tell how long the sink takes for those that are wanted.
            state.situation.batch_items.map_or(usize::MAX, |items| items.max(UNKNOWN_BATCHES))
        };
        state.chunk_size.min(handed_over.max(1)).min(state.room()).min(state.in_flight_room())
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
    pub(crate) fn enqueue(&self, id: ChunkId, items: usize, input_heap: u64, seconds: f64) {
        let now = now();
        let mut state = self.state();
        self.book(&mut state, now);
        let heap = if state.situation.items_are_opaque { state.bounds.item * items as u64 } else { input_heap };
        let input_bytes = (state.situation.item_size * items) as u64 + heap;
        let start = state.books.next;
        state.books.next += items;
        state.ledger.take(input_bytes);
        state.waiting.insert(start, Waiting { id, items, input_bytes });
        state.queued += items;
        let weight = if state.input_pace > 0.0 { 0.25 } else { 1.0 };
        state.input_pace += weight * (seconds / items.max(1) as f64 - state.input_pace);
        state.inputs += input_bytes;
        state.most_items = state.most_items.max(state.opaque_items());
        state.situation.item_bytes = input_bytes.div_ceil(items.max(1) as u64);
        if let Some(remaining) = &mut state.situation.remaining {
            *remaining = remaining.saturating_sub(items);
        }
    }

    /// Registers as many new jobs as there is work for, and gives their number and where they are to run. Of the run's threads
    /// `others` are no jobs.
    pub(crate) fn jobs_to_start(&self, others: usize) -> (usize, Place) {
        let mut state = self.state();
        let (limit, place) = (self.course.limit(), state.place());
        state.recruits = false;
        state.joins_in = others > 0;
        if !state.has_work(limit) || state.lacks_credit(limit) || self.course.is_pausing() {
            return (0, place);
        }
        let most = state.workers().min(state.bounds.calls.max(1));
        let free = most.saturating_sub(others + state.jobs);
        // Where a single call may run the caller that joins in is not to wait for itself.
        let is_first = state.running == 0 && state.jobs == 0;
        let new = state.waiting.len().min(free.max(is_first.into()));
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
            state.books.outstanding -= items;
            state.hold_what_is_booked();
            state.results = state.results.saturating_sub(bytes);
            state.ledger.give(bytes);
        }
    }

    /// Whether everything that was pulled and may run was run and handed over.
    pub(crate) fn is_drained(&self) -> bool {
        let state = self.state();
        state.running == 0 && !state.has_ready() && !state.has_work(self.course.limit())
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
        nothing && (state.running, state.jobs, state.books.outstanding) == (0, 0, 0)
    }

    /// True if the caller is to close its batch early, because a chunk waits for credit or no further
    /// item may be in flight; and whether a chunk waits for credit that nothing is there to give back.
    pub(crate) fn shortage(&self) -> (bool, bool) {
        let state = self.state();
        let short = state.lacks_credit(self.course.limit());
        // What ended since the caller last took results is not stuck.
        (short || state.is_full(self.course.limit()), short && state.running == 0 && !state.has_ready())
    }

    /// True if one more result that is kept fits the budget.
    pub(crate) fn has_room_for_a_result(&self) -> bool {
        self.state().has_room_for_a_result()
    }

    /// What can't go on for want of credit.
    pub(crate) fn stuck(&self) -> Stuck {
        let state = self.state();
        Stuck {
            item: state.waiting.keys().next().copied().unwrap_or(state.books.next),
            needed: state.expected() + state.books.learned.measured_working(),
            waiting: state.queued,
        }
    }

    /// Believes what resident memory says of the bytes per item. Results that are kept to the end hold all of it, whatever was
    /// expected when their calls began.
    pub(crate) fn learn_resident(&self, grown: u64) {
        let mut state = self.state();
        let collects = self.collects.load(Ordering::Relaxed);
        if let Some(bytes) = state.bytes_of_a_result(grown, collects) {
            state.books.learned.expect_bytes(bytes);
        }
        if collects {
            state.believe_growth(grown);
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
        let (item, Ending { payload, is_lost }) = state.ending.pop_first()?;
        let next = state.ending.first_key_value().map_or(usize::MAX, |(&item, _)| item);
        self.course.move_end(next);
        if is_lost {
            state.holes.insert(item);
            state.add_ready();
        }
        Some((item, payload))
    }

    /// Ends the run with a panic that no call made. A call that panicked comes first.
    pub(super) fn end_with(&self, payload: Payload) {
        self.course.end_at(0);
        let ending = Ending { payload, is_lost: false };
        let before = self.state().ending.insert(NO_ITEM, ending);
        // Its drop may be the user's code, which must not run while the state is locked.
        before.into_iter().for_each(|before| discard(before.payload));
    }
}
