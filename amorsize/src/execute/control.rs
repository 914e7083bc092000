//! The part of a run on threads that knows neither items nor results: which chunk starts next and
//! with how much credit, which chunks are finished, and who wakes whom. Compiled once for all
//! functions.
//!
//! # Who does what
//!
//! The *calling thread* called a terminal. It alone pulls items, hands results over and sleeps. A
//! *job* runs on a thread of the pool, or on one of the run's own, and takes one chunk after the
//! other. A job never waits, neither for credit nor for work: it ends, and the calling thread
//! starts a new one once there is work. So a job may run on top of a call that waits for rayon
//! within the user's function, and no pool is too small.
//!
//! These steps change the [`State`], each under its lock:
//!
//! | step | made by | when | it writes | it wakes |
//! | --- | --- | --- | --- | --- |
//! | `enqueue` | calling thread | it pulled a chunk | `waiting`; takes credit | |
//! | `add_restored` | calling thread | items need not run | `finished`, `holes`; takes credit | |
//! | `jobs_to_start` | calling thread | it asked the input | `jobs` | a thread for each new job |
//! | `lacks_threads` | calling thread | no thread could be had | `jobs`, `threads` | |
//! | `end_input` | calling thread | the input ended | `input_ended` | |
//! | `needs_caller` | calling thread | it may have nothing to do | `wanted_items`, `caller_holds` | |
//! | `take_ready` | calling thread | before a hand-over | `finished` | |
//! | `leave_collection` | calling thread | a collection ended early | `waiting`, `finished` | |
//! | `in_sink` | calling thread | around a hand-over | the sink's times; gives credit back | |
//! | `settle` | calling thread | all threads have left | `jobs` | |
//! | `take_panic` | calling thread | after `settle` | `ending`, `holes` | |
//! | `start_next` | job | it begins, or goes on | `waiting`, `running`; takes credit | see below |
//! | `run` | job | results exceed their credit | takes credit | |
//! | `finish` | job | its chunk ended | `finished`, `books`, `running` | see below |
//! | `end_job` | job | its thread may not run it | `jobs`, `recruits` | calling thread |
//! | `Started`'s drop | job | other code panicked | `running`; gives credit back | |
//! | `end_job_with` | job | after that drop | `ending`, `jobs` | calling thread |
//! | `look` | any thread | a look is due | `bounds`, `recruits` | |
//!
//! `finish` wakes the calling thread if that is needed ([`State::caller_is_needed`]): to hand over
//! the results that it waits for, to pull, to start jobs, to close its batch early, or because
//! nothing runs. `start_next` does so if it finds no chunk that may start. A job ends with such a
//! `start_next`, a `finish` that leaves no chunk for it, `end_job` or `end_job_with`.
//!
//! No wake-up is lost. The calling thread checks under the lock that it is not needed, and frees
//! the lock only by sleeping. A job writes under the lock before it wakes the calling thread.
//! Credit of results comes back without the lock, as the outlet drops it, and wakes nobody: the
//! calling thread drops it, and makes that check and starts jobs before it sleeps.
//!
//! The calling thread also runs chunks if it is one of the run's threads, or if a call needs more
//! than the budget has. Then it makes the steps of a job, but is not counted in `jobs`.
//!
//! Outside of the lock:
//!
//! | field | written by | when | read by |
//! | --- | --- | --- | --- |
//! | `course` | see [`Course`] | | all threads, before each step of a chunk |
//! | `kept` | job | its chunk ended | calling thread, which sets it to zero |
//! | `forks` | job | it saw help of idle workers | jobs, before each further item |
//! | `sink`, `input` | calling thread | around a hand-over, a pull | all threads that book time |
//! | `observer` | any thread | it looks; not if another does | the same |
//!
//! # Credit
//!
//! Chunks start in the order of their items. A chunk takes credit for its expected results and for
//! the working memory of one call. If that is more than is free, it starts with as many items as
//! there is credit for, and the others wait. A call that returns more than expected takes the
//! difference at once. If that leaves no credit for the next item, the chunk ends there. The last
//! part of the budget ([`State::reserve`]) is for the chunk that is handed over next: results of
//! later items can't be handed over before its results, so they must never take all credit.
//!
//! [`Credit`] gives itself back: that of a chunk's items when it has run them, that of its results
//! when the outlet drops it.

use super::words::{NO_ITEM, Stuck, ThreadKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::TryLockError;
use std::time::Instant;

use super::account::{Account, Stopwatch};
use super::books::Books;
use super::course::Course;
use super::observer::Observer;
use super::opening::Opening;
use super::state::{Ending, State};
use crate::adapt::situation::Situation;
use crate::adapt::tuner::{ThreadLimits, Tuner};
use crate::buffer::RawChunk;
use crate::error::failure::{Payload, discard};
use crate::memory::budget::{Counted, Ledger};
use crate::memory::credit::{Correction, Credit};
use crate::memory::tracking;
use crate::memory::working::Bounds;
use crate::output::outlet::Flow;
use crate::progress::Counts;
use crate::report::time_use::TimeUse;
use crate::system::sync::{AtomicBool, AtomicI64, Clock, Condvar, Mutex, MutexGuard, Ordering, PoisonError, now};
use crate::system::thread_time;
use crate::units::by_index::ByIndex;
use crate::units::mean::follow;

pub(crate) struct Control {
    state: Mutex<State>,
    /// Notified when the calling thread has something to do.
    pub(super) caller: Condvar,
    pub(crate) course: Course,
    /// Net heap bytes of jobs, if they are tracked, since the calling thread last took them over.
    kept: AtomicI64,
    pub(super) observer: Option<Mutex<Observer>>,
    pub(super) ledger: Ledger,
    /// True if idle workers were seen to help with calls.
    pub(super) forks: AtomicBool,
    /// The time of the calling thread in the sink.
    pub(super) sink: Stopwatch,
    /// The time of the calling thread in the input.
    pub(super) input: Stopwatch,
    /// The clock that the run's threads read.
    pub(super) clock: Clock,
}

impl Control {
    /// Begins a run on threads. `batches` are the planned number of items per batch, and that of
    /// the first one.
    pub(crate) fn new(
        situation: Situation,
        threads: ThreadLimits,
        books: Books,
        ledger: Ledger,
        batches: (usize, usize),
        ordered: bool,
        observer: Option<Observer>,
    ) -> Self {
        let begun = now();
        let next = books.next;
        let opening = (books.learned.items == 0).then(|| Opening::new(begun, || thread_time::others_ran(false)));
        Self {
            ledger: ledger.clone(),
            state: Mutex::new(State {
                waiting: ByIndex::default(),
                queued: 0,
                finished: ByIndex::default(),
                ready_items: 0,
                ready_end: next,
                running: 0,
                restored_wait: false,
                running_credit: 0,
                running_working: 0,
                unforeseen: Correction::new(&ledger),
                held_before: ledger.held().as_u64(),
                given_back: 0,
                most_running: 0,
                busy_threads: usize::MAX,
                running_items: 0,
                most_items: 0,
                inputs: 0,
                input_pace: 0.0,
                bounds: Bounds::NONE,
                jobs: 0,
                // Only items that ran on the calling thread are known.
                tuner: Tuner::new(threads, next, batches),
                most_threads: threads.level.min(threads.cores),
                recruits: false,
                measure_at: None,
                ordered,
                books,
                situation,
                wanted_items: 1,
                caller_holds: false,
                collected: 0,
                opening,
                input_ended: false,
                ending: ByIndex::default(),
                holes: ByIndex::default(),
                most_outstanding: ledger.results().results,
                stray: 0,
                stray_credit: Credit::take(&ledger, 0),
                stray_read: tracking::workers_stray(),
                account: Account::default(),
                ledger,
            }),
            caller: Condvar::new(),
            course: Course::new(),
            kept: AtomicI64::new(0),
            observer: observer.map(Mutex::new),
            forks: AtomicBool::new(false),
            sink: Stopwatch::new(begun),
            input: Stopwatch::new(begun),
            clock: Clock::of_this_thread(),
        }
    }

    /// Gives the books and the observer back. No chunk may be running.
    pub(crate) fn into_parts(self) -> (Books, Option<Observer>) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let observer = self.observer.map(|observer| observer.into_inner().unwrap_or_else(PoisonError::into_inner));
        (state.books, observer)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // The code that runs with the lock held does not panic, so even a poisoned lock has a whole
        // state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `jobs` jobs found no thread, because only `threads` threads can be had.
    pub(crate) fn lacks_threads(&self, jobs: usize, threads: usize) {
        let now = now();
        let mut state = self.state();
        self.book(&mut state, now);
        state.jobs -= jobs;
        let State { tuner, books, situation, .. } = &mut *state;
        tuner.limit_threads(threads, &books.learned, situation);
        state.recruits = true;
    }

    /// The most chunks to pull before results are looked at again.
    pub(crate) fn most_pulls(&self) -> usize {
        let state = self.state();
        state.tuner.most_pulls(&state.situation, state.items_meanwhile())
    }

    /// Begins, or goes on.
    pub(crate) fn begin(&self) {
        self.course.resume();
        let now = now();
        let mut state = self.state();
        state.account.begin(now);
        state.tuner.resume(now);
    }

    /// Notes that all threads have left the run. The pool may still reach some jobs: they do
    /// nothing.
    pub(crate) fn settle(&self) {
        let now = now();
        let mut state = self.state();
        self.book(&mut state, now);
        state.jobs = 0;
        state.account.end();
        state.tuner.pause(now);
    }

    /// Books the time of threads until now. Called before each change of what they can do.
    pub(super) fn book(&self, state: &mut State, now: Instant) {
        let (idle, why) = state.idle(self.course.limit());
        let threads = (idle, state.useful_threads());
        state.account.book(now, threads, why, &self.sink, &self.input);
    }

    /// Calls `hand_over`, in which the sink may take a batch, and the outlet drops its credit then.
    pub(crate) fn in_sink(&self, hand_over: impl FnOnce() -> Flow) -> Flow {
        let before = self.ledger.handed_over();
        let begun = now();
        self.sink.start(begun);
        let flow = hand_over();
        self.sink_returned(before, begun);
        flow
    }

    fn sink_returned(&self, before: Counted, begun: Instant) {
        let ended = now();
        self.sink.stop(ended);
        let given = self.ledger.handed_over().since(before);
        if given.results > 0 {
            let mut state = self.state();
            // The results held their credit for all of that time.
            state.given_back = given.bytes;
            self.book(&mut state, ended);
            state.given_back = 0;
            let ready = state.ready();
            let State { tuner, books, .. } = &mut *state;
            tuner.sink_took(given.results, ended - begun);
            tuner.grow_batches(ready, &books.learned);
        }
    }

    /// Calls `pull`, which takes items from the input. Gives the seconds that it took.
    pub(crate) fn in_input<R>(&self, pull: impl FnOnce() -> R) -> (R, f64) {
        let begun = now();
        self.input.start(begun);
        let pulled = pull();
        let ended = now();
        self.input.stop(ended);
        (pulled, (ended - begun).as_secs_f64())
    }

    /// The seconds in the input so far, the waits of threads, and how often one waited for credit.
    pub(crate) fn account(&self) -> (f64, TimeUse, usize) {
        let state = self.state();
        (self.input.read(now()).as_secs_f64(), state.account.waited, state.account.credit_waits)
    }

    /// The run's figures now.
    pub(crate) fn counts(&self) -> Counts {
        let held = self.ledger.held().as_u64();
        let state = self.state();
        Counts { done: state.books.ended(), running: state.running, held, result_bytes: state.books.result_bytes() }
    }

    /// The observer of the run.
    pub(crate) fn observer(&self) -> Option<MutexGuard<'_, Observer>> {
        self.observer.as_ref().map(|observer| observer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of items to pull next. It is 0 if enough wait already, the budget has no room for
    /// more inputs, or no more may be in flight. `collected` is the number of results in the
    /// caller's collection, if there is one. If the input `may_wait`, it is asked for no more items
    /// than keep the threads busy.
    pub(crate) fn items_wanted(&self, collected: Option<usize>, may_wait: bool) -> usize {
        let mut state = self.state();
        state.tuner.input_may_wait = may_wait;
        state.collected = collected.unwrap_or(0);
        state.restored_wait = false;
        let items = if may_wait { 0 } else { state.items_meanwhile() };
        if !state.wants_items(state.ahead() - 1, items, self.course.limit()) {
            return 0;
        }
        let State { tuner, books, situation, .. } = &mut *state;
        let items = tuner.next_chunk(&books.learned, situation);
        items.min(state.room()).min(state.in_flight_room())
    }

    /// Notes that the input gave its last item.
    pub(crate) fn end_input(&self) {
        let mut state = self.state();
        if !state.input_ended {
            self.book(&mut state, now());
            state.input_ended = true;
        }
    }

    /// Goes on with another number of threads, as asked for. No call may be running.
    pub(crate) fn set_threads(&self, threads: usize) {
        let mut state = self.state();
        let (next, batch_items) = (state.books.next, state.tuner.batch_now());
        let limits = ThreadLimits { level: threads, cores: threads, most: threads, own: false };
        state.tuner = Tuner::new(limits, next, (batch_items, batch_items));
        state.most_threads = threads;
        let situation = &mut state.situation;
        (situation.threads, situation.most, situation.threads_asked) = (threads, threads, true);
    }

    /// Adds a chunk that was pulled.
    pub(crate) fn enqueue(&self, mut chunk: Box<RawChunk>, input_heap: u64, seconds: f64) {
        let (now, items) = (now(), chunk.items());
        let mut state = self.state();
        self.book(&mut state, now);
        let heap =
            if state.situation.items_are_opaque { state.bounds.item.saturating_mul(items as u64) } else { input_heap };
        let input_bytes = ((state.situation.item_size * items) as u64).saturating_add(heap);
        let start = state.books.next;
        state.books.next += items;
        chunk.input = Credit::take(&state.ledger, input_bytes);
        state.waiting.insert(start, chunk);
        state.queued += items;
        follow(&mut state.input_pace, seconds / items.max(1) as f64);
        state.inputs = state.inputs.saturating_add(input_bytes);
        state.most_items = state.most_items.max(state.opaque_items());
        state.situation.item_bytes = input_bytes.div_ceil(items.max(1) as u64);
        if let Some(remaining) = &mut state.situation.remaining {
            *remaining = remaining.saturating_sub(items);
        }
    }

    /// True if stored results may be read. One may if the run holds none.
    pub(crate) fn may_restore(&self) -> bool {
        let mut state = self.state();
        state.restored_wait = !state.has_room_for_a_result() && state.outstanding() > 0;
        !state.restored_wait
    }

    /// Adds items that need not run. `results` are the chunk with their results, and its bytes.
    pub(crate) fn add_restored(&self, items: usize, are_outside: bool, results: Option<(Box<RawChunk>, u64)>) {
        let now = now();
        let mut state = self.state();
        self.book(&mut state, now);
        let start = state.books.next;
        state.books.pass_over(items, are_outside);
        if let Some(remaining) = state.situation.remaining.as_mut().filter(|_| !are_outside) {
            *remaining = remaining.saturating_sub(items);
        }
        match results {
            Some((mut chunk, bytes)) => {
                state.books.restored_bytes += bytes;
                chunk.results.credit = Credit::of_results(&self.ledger, items, bytes, 0);
                state.finished.insert(start, chunk);
            }
            None if items > 0 => _ = state.holes.insert(start, start + items),
            None => {}
        }
        state.add_ready();
    }

    /// Registers as many new jobs as there is work for. Gives their number and the kind of their
    /// threads. `others` of the run's threads are not jobs.
    pub(crate) fn jobs_to_start(&self, others: usize) -> (usize, ThreadKind) {
        let mut state = self.state();
        let (limit, kind) = (self.course.limit(), state.thread_kind());
        state.recruits = false;
        if !state.has_work(limit) || state.lacks_credit(limit) || self.course.is_pausing() {
            return (0, kind);
        }
        let most = state.tuner.threads().min(state.bounds.calls.max(1)).saturating_sub(others);
        let free = most.min(state.threads_for_calls()).saturating_sub(state.jobs);
        // If only one call may run, a job gets it: a calling thread that is one of the threads must
        // not wait for itself.
        let is_first = state.running == 0 && state.jobs == 0;
        let new = state.waiting.len().min(free.max(is_first.into()));
        state.jobs += new;
        (new, kind)
    }

    /// The next chunk to hand over, and the index of its first item.
    pub(crate) fn take_ready(&self) -> Option<(usize, Box<RawChunk>)> {
        let mut state = self.state();
        if !state.has_ready() {
            return None;
        }
        let (start, chunk) = state.finished.pop_first()?;
        if state.ordered {
            state.ready_items -= chunk.results.len();
        }
        Some((start, chunk))
    }

    /// True if every item that was pulled and may run has run and was handed over.
    pub(crate) fn is_drained(&self) -> bool {
        let state = self.state();
        state.running == 0 && !state.has_ready() && !state.has_work(self.course.limit())
    }

    /// Goes on with `threads` threads, as [`finish`](Self::finish) does after a climb, and wakes
    /// the calling thread.
    #[cfg(all(loom, test))]
    pub(crate) fn climb_to(&self, threads: usize) {
        let mut state = self.state();
        let State { tuner, books, situation, .. } = &mut *state;
        tuner.climb_to(threads, &books.learned, situation);
        state.recruits = true;
        drop(state);
        self.caller.notify_one();
    }

    /// True if nothing runs, waits or is left over.
    #[cfg(all(loom, test))]
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        let nothing = state.waiting.is_empty() && state.finished.is_empty() && state.holes.is_empty();
        nothing && (state.running, state.jobs, state.outstanding()) == (0, 0, 0)
    }

    /// Two answers. First: the calling thread should close its batch early, because a chunk or a
    /// stored result waits for credit, or no further item may be in flight. Second: one waits for
    /// credit, and nothing that runs or is ready can give any back.
    pub(crate) fn shortage(&self) -> (bool, bool) {
        let state = self.state();
        let short = state.restored_wait || state.lacks_credit(self.course.limit());
        // Results that finished since the last hand-over can give credit back.
        (short || state.is_full(self.course.limit()), short && state.running == 0 && !state.has_ready())
    }

    /// The item that can't start because it lacks credit.
    pub(crate) fn stuck(&self) -> Stuck {
        let state = self.state();
        Stuck {
            item: state.waiting.first().map_or(state.books.next, |(start, _)| start),
            needed: state.expected() + state.books.learned.measured_working(),
            waiting: state.queued,
        }
    }

    /// Uses resident memory to learn the bytes per item. Results that are kept to the end hold all
    /// of the growth, even if less was expected when their calls began.
    pub(crate) fn learn_resident(&self, grown: u64) {
        let mut state = self.state();
        if let Some(bytes) = state.bytes_of_a_result(grown) {
            state.books.learned.expected_bytes = bytes;
        }
        if self.ledger.collects() {
            state.believe_growth(grown);
        }
    }

    /// Adds net heap bytes of a job.
    pub(crate) fn add_kept(&self, bytes: i64) {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes out the net heap bytes of jobs since the last time.
    pub(crate) fn take_kept(&self) -> i64 {
        self.kept.swap(0, Ordering::Relaxed)
    }

    /// Looks at the system's memory and at the run if a look is due. Any thread may call this: the
    /// calling thread can be in the sink for long.
    pub(super) fn look(&self) {
        match self.observer.as_ref().map(Mutex::try_lock) {
            Some(Ok(observer)) => self.look_with(observer),
            // User code panicked that tells of memory or is told of progress.
            Some(Err(TryLockError::Poisoned(whole))) => self.look_with(whole.into_inner()),
            // Another thread is looking already.
            Some(Err(TryLockError::WouldBlock)) | None => {}
        }
    }

    /// Looks even if no look is due.
    pub(super) fn look_now(&self) {
        if let Some(mut observer) = self.observer() {
            observer.watch.as_mut().into_iter().for_each(|watch| watch.is_due());
            self.look_with(observer);
        }
    }

    fn look_with(&self, mut observer: MutexGuard<'_, Observer>) {
        let look = || observer.look(now(), &self.ledger, &|| self.counts(), &|| self.state().calls());
        // A look calls a memory source, a trim hook and a progress callback: all of them can be
        // user code.
        match catch_unwind(AssertUnwindSafe(look)) {
            Ok(None) => {}
            Ok(Some(bounds)) => self.state().bound_calls(bounds),
            Err(payload) => self.end_with(payload),
        }
    }

    /// Notes that the results that the run held belong to the caller of the run now.
    pub(crate) fn rebase(&self) {
        let mut state = self.state();
        state.most_outstanding = state.outstanding();
        state.collected = 0;
    }

    /// Makes the report cover only work from now on. No call may be running.
    pub(crate) fn begin_part(&self) {
        let mut state = self.state();
        state.account = Account::default();
        state.most_threads = state.tuner.threads().min(state.situation.threads);
        self.sink.reset();
        self.input.reset();
    }

    /// Takes out the panic that ended the run. The run can go on without its item.
    pub(crate) fn take_panic(&self) -> Option<Payload> {
        let mut state = self.state();
        let (item, Ending { payload, is_lost }) = state.ending.pop_first()?;
        let next = state.ending.first().map_or(usize::MAX, |(item, _)| item);
        self.course.move_end(next);
        if is_lost {
            state.holes.insert(item, item + 1);
            state.add_ready();
        }
        Some(payload)
    }

    /// Ends the run with a panic that no call made. A panic of a call comes first.
    pub(super) fn end_with(&self, payload: Payload) {
        self.course.end_at(0);
        let ending = Ending { payload, is_lost: false };
        let before = self.state().ending.insert(NO_ITEM, ending);
        // The drop may run user code, which must not happen while the state is locked.
        before.into_iter().for_each(|before| discard(before.payload));
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
