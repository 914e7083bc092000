//! The steps of a job, or of a calling thread that runs chunks: take a chunk with credit, run it,
//! book it.

use std::mem::{forget, take};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::books::Books;
use super::control::Control;
use super::state::{Ending, State};
use super::words::{Grant, Outcome, ThreadKind};
use super::work::{UNMEASURED, Work};
use crate::adapt::learned::Stretch;
use crate::buffer::RawChunk;
use crate::error::failure::{Payload, discard};
use crate::memory::credit::Credit;
use crate::system::sync::{Ordering, now};
use crate::system::thread_time::{Measuring, SHORTEST};
use crate::units::measured_by::MeasuredBy;

/// A chunk that was started and is not booked yet. Code that panics before it is booked loses the
/// chunk, and drops its credit. This books it as ended, or the run would wait for it forever.
pub(crate) struct Started<'a> {
    control: &'a Control,
    pub(crate) grant: Grant,
    /// The credit of its calls and their results.
    calls: Credit,
    pub(super) outcome: Outcome,
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        drop(self.calls.take_all());
        let now = now();
        let mut state = self.control.state();
        self.control.book(&mut state, now);
        state.inputs = state.inputs.saturating_sub(self.grant.input_bytes);
        state.end_chunk(&self.grant);
    }
}

impl Control {
    /// Takes the next chunk, with credit for it. `forced` starts a single item even without credit.
    pub(crate) fn start_next(&self, job: Option<ThreadKind>, forced: bool) -> Option<(Started<'_>, Box<RawChunk>)> {
        let mut state = self.state();
        if state.is_at_rest() {
            drop(state);
            self.look_now();
            state = self.state();
        }
        let started = self.grant(&mut state, forced);
        if started.is_none() && job.is_some() {
            state.account.credit_waits += usize::from(state.lacks_memory(self.course.limit()));
            state.jobs -= 1;
            if state.caller_is_needed(self.course.limit()) {
                drop(state);
                self.caller.notify_one();
            }
        }
        started
    }

    fn grant(&self, state: &mut State, forced: bool) -> Option<(Started<'_>, Box<RawChunk>)> {
        if self.course.is_pausing() || !state.has_work(self.course.limit()) {
            return None;
        }
        if !forced && (!state.bounds.allows(state.running) || state.running >= state.threads_for_calls()) {
            return None;
        }
        let (start, chunk) = state.waiting.first()?;
        let all = chunk.items();
        let expected = state.expected().max(1);
        // A chunk that was pulled when items seemed cheaper is cut to the right size of now.
        let timely = state.tuner.timely_chunk(&state.books.learned, &state.situation);
        let items = if forced { 1 } else { all.min(state.affordable(start)).min(timely) };
        if items == 0 {
            return None;
        }
        let working = state.working_credit(state.ledger.free(), expected * items as u64);
        let credit = expected * items as u64 + working;
        let calls = if forced {
            Credit::take(&state.ledger, credit)
        } else {
            // A run within a call of this one may take the credit first.
            Credit::try_take(&state.ledger, credit)?
        };
        let now = now();
        self.book(state, now);
        let (_, mut chunk) = state.waiting.pop_first()?;
        state.queued -= items;
        if items < all {
            state.waiting.insert(start + items, chunk.split_off(items, all));
        }
        let input_bytes = chunk.input.bytes();
        state.running += 1;
        state.running_items += items;
        state.running_credit += credit;
        state.running_working += working;
        state.most_running = state.most_running.max(state.running);
        state.most_threads = state.most_threads.max(state.running);
        state.most_outstanding = state.most_outstanding.max(state.outstanding());
        let resident = state.situation.measured_by == MeasuredBy::Resident;
        let per_item = if resident { expected } else { state.situation.result_size as u64 };
        let measured = state.is_measured(now);
        let grant = Grant { start, items, credit, working, input_bytes, per_item, measured };
        Some((Started { control: self, grant, calls, outcome: Outcome::default() }, chunk))
    }

    /// Runs a chunk as far as its credit, its time and the run's end allow, and catches a panic.
    /// [`finish`](Self::finish) books it.
    pub(super) fn run(&self, started: &mut Started<'_>, work: Work<'_>, chunk: &mut RawChunk) {
        let Started { grant, calls: credit, outcome, .. } = started;
        let (seconds_per_item, contended, foreseen, largest_before) = {
            let state = self.state();
            let foreseen = state.tuner.chunk_seconds(&state.situation);
            let Books { learned, .. } = &state.books;
            (learned.recent_seconds().max(1e-10), state.tuner.threads() > 1, foreseen, learned.largest)
        };
        // The expected calls between two looks for a stop of the run, and between two readings of
        // the clock, which take 23 ns each.
        let calls = (SHORTEST / seconds_per_item) as usize;
        let look = work.at_once(calls.clamp(1, 4096));
        let is_blind = work.is_blind();
        let clock = calls.clamp(1, if is_blind { UNMEASURED } else { 1 << 16 });
        let measuring = grant.measured.then(Measuring::begin).flatten();
        let stretch = &mut outcome.stretch;
        let begun = now();
        let mut next_clock = clock;
        let mut heap_bytes = 0u64;
        while stretch.items < grant.items {
            let next = grant.start + stretch.items;
            if !self.course.may_start(next) {
                break;
            }
            if work.tools.interrupts.now().is_some() {
                // No other job may take up the items that this job leaves.
                self.course.pause();
                break;
            }
            let count = look.min(grant.items - stretch.items);
            let is_over = || self.course.gives_up(next);
            let stepped = catch_unwind(AssertUnwindSafe(|| work.step(chunk, count, &is_over)));
            stretch.items = chunk.results.len();
            match stepped {
                Ok(heap) => {
                    let seen = stretch.bytes.saturating_add(heap.working).saturating_add(heap.sum);
                    let unforeseen = seen.saturating_sub(credit.bytes());
                    if heap.working > 0 && unforeseen > 0 {
                        self.state().ledger.touch(unforeseen);
                    }
                    heap_bytes = heap_bytes.saturating_add(heap.sum);
                    outcome.elsewhere |= heap.elsewhere;
                    stretch.largest = stretch.largest.max(heap.largest + grant.per_item);
                    stretch.working = stretch.working.max(heap.working);
                }
                // If results are measured, a step is one item, so no other result is unmeasured. A
                // result that could not be measured counts as large as the largest before it.
                Err(payload) => {
                    outcome.lost = grant.items - chunk.items() - stretch.items;
                    if outcome.lost == 0 {
                        let largest = stretch.largest.max(largest_before);
                        heap_bytes = heap_bytes.saturating_add(largest.saturating_sub(grant.per_item));
                    }
                    outcome.panic = Some(payload);
                }
            }
            stretch.bytes = (grant.per_item * stretch.items as u64).saturating_add(heap_bytes);
            if outcome.panic.is_some() {
                break;
            }
            if work.measures() && stretch.items < grant.items && !self.covers_next(credit, grant.working, stretch) {
                break;
            }
            if (contended || is_blind) && stretch.items >= next_clock {
                next_clock = stretch.items + clock;
                // It is far slower than expected: leave the rest to other threads, or until a look
                // at resident memory has shown if results are far larger.
                if (now() - begun).as_secs_f64() > 2.0 * foreseen {
                    break;
                }
            }
        }
        stretch.seconds = (now() - begun).as_secs_f64();
        outcome.used = measuring.and_then(Measuring::end);
    }

    /// True if the chunk's credit covers its results and one more call. Takes missing credit if it
    /// can.
    fn covers_next(&self, credit: &mut Credit, working: u64, stretch: &Stretch) -> bool {
        let next = stretch.bytes / stretch.items as u64 + working.max(stretch.working);
        let forks = self.forks.load(Ordering::Relaxed);
        if stretch.bytes + next <= credit.bytes() && !forks {
            return true;
        }
        let mut state = self.state();
        if forks {
            // The bytes that other threads allocate for these calls show up only there.
            state.look_at_stray();
            if state.ledger.held().as_u64() > state.ledger.limit() {
                return false;
            }
            if stretch.bytes + next <= credit.bytes() {
                return true;
            }
        }
        // These results exist, even if they do not fit.
        credit.grow(stretch.bytes.saturating_sub(credit.bytes()));
        credit.try_grow(stretch.bytes + next - credit.bytes())
    }

    /// Books a chunk that ran. Its items that did not run wait again. Says if the job should go on
    /// with another chunk.
    pub(crate) fn finish(&self, mut started: Started<'_>, mut chunk: Box<RawChunk>, job: Option<ThreadKind>) -> bool {
        self.look();
        let grant = started.grant;
        let mut outcome = take(&mut started.outcome);
        let done = outcome.stretch.items;
        let rest_items = chunk.items();
        // Without the lock: items can be many bytes to move.
        let rest = (rest_items > 0).then(|| chunk.split_off(0, grant.items));
        let now = now();
        let mut state = self.state();
        self.book(&mut state, now);
        if state.situation.measured_by == MeasuredBy::Tracking && done > 0 {
            state.settle_stray(&mut outcome, grant.credit, &self.forks);
        }
        let lost = outcome.lost;
        // The bytes of the results stay taken until they are handed over.
        chunk.results.credit = started.calls.take_all().settle(done, outcome.stretch.bytes);
        state.inputs = state.inputs.saturating_sub(chunk.input.bytes());
        drop(chunk.input.take_all());
        state.books.learned.add(outcome.stretch);
        if let Some(extremes) = &mut state.books.extremes {
            extremes.note(grant.start, &outcome.stretch);
        }
        if let Some(used) = outcome.used {
            state.books.learned.waits.add(used, false);
        }
        let has_room = state.has_room_for_threads(self.course.limit());
        let State { tuner, books, situation, .. } = &mut *state;
        let ended = (done, outcome.stretch.seconds);
        let climbs = tuner.chunk_ended(now, ended, has_room, &books.learned, situation);
        state.recruits |= climbs;
        state.end_chunk(&grant);
        forget(started);
        state.books.chunks += 1;
        let unwanted =
            outcome.panic.and_then(|payload| self.note_panic(&mut state, grant.start + done, lost > 0, payload));
        state.queued += rest_items;
        if let Some(rest) = rest {
            state.waiting.insert(grant.start + done + lost, rest);
        }
        if done > 0 {
            state.finished.insert(grant.start, chunk);
            state.add_ready();
        }
        let mut go_on = job.is_some() && state.has_work(self.course.limit()) && !self.course.is_pausing();
        if go_on && (job != Some(state.thread_kind()) || state.jobs > state.tuner.threads()) {
            // This job ends. The calling thread starts another one on the right kind of thread, or
            // none.
            go_on = false;
            state.recruits = true;
        }
        if job.is_some() && !go_on {
            state.jobs -= 1;
        }
        let is_needed = state.caller_is_needed(self.course.limit());
        drop(state);
        if is_needed {
            self.caller.notify_one();
        }
        // The drop may run user code, which must not happen while the state is locked.
        unwanted.into_iter().for_each(discard);
        go_on
    }

    /// Notes a panic of the call for `next`, or of the measurement of the result before it, which
    /// stays. Gives the payload back if no one needs it.
    fn note_panic(&self, state: &mut State, next: usize, is_lost: bool, payload: Payload) -> Option<Payload> {
        let item = if is_lost { next } else { next.saturating_sub(1) };
        if !state.books.panics.are_tolerated() {
            self.course.end_at(next);
            state.ending.insert(item, Ending { payload, is_lost });
            return None;
        }
        if !is_lost {
            return Some(payload);
        }
        let unwanted = state.books.panics.add(item, payload);
        state.holes.insert(item, item + 1);
        state.add_ready();
        unwanted
    }

    /// Takes a job off and wakes the caller. If `recruits` is set, the caller starts it for another
    /// thread.
    pub(super) fn end_job(&self, recruits: bool) {
        let now = now();
        let mut state = self.state();
        self.book(&mut state, now);
        state.jobs -= 1;
        state.recruits |= recruits;
        drop(state);
        self.caller.notify_one();
    }

    /// Ends the run with a panic outside of the user's function. `is_registered` says that the job
    /// has not ended yet.
    pub(super) fn end_job_with(&self, payload: Payload, is_registered: bool) {
        self.end_with(payload);
        if is_registered {
            self.end_job(false);
        } else {
            self.caller.notify_one();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::adapt::tuner::ThreadLimits;
    use crate::buffer::asks::Way;
    use crate::call::{Body, Function, Quota, Shared};
    use crate::execute::line::Stock;
    use crate::execute::work::Tools;
    use crate::input::{Input, Source};
    use crate::memory::budget::Ledger;
    use crate::memory::measure::{Heap, Measure};
    use crate::plan::tests::situation;
    use crate::units::ByteSize;

    #[test]
    fn a_chunk_that_a_panic_drops_keeps_no_run_waiting() {
        let ledger = Ledger::new(ByteSize::mib(1));
        let situation = situation(None);
        let limits = ThreadLimits { level: 2, cores: 2, most: 2, own: false };
        let control = Control::new(situation, limits, Books::default(), ledger.clone(), (10, 10), true, None);
        let owns_nothing = Measure { heap: Some(|_: &[u64]| Heap::default()), by: MeasuredBy::DeepSize };
        let function = Body::Function(|quota: Quota<'_, u64, u64>, _: &()| quota.run(|item| item));
        let shared = Shared::new((), function, (owns_nothing, owns_nothing));
        let tools = Tools::new(ledger.clone(), false);
        let work = tools.work(&shared as &dyn Function);
        let mut input = Source::new(0..20_u64, shared.types, None);
        for panics_after_calls in [false, true] {
            let mut chunk = input.chunk();
            input.fill(&mut chunk, 10, Way::Worker, &mut Stock::default().asks);
            control.enqueue(chunk, 0, 0.0);
            let (mut started, mut chunk) = control.start_next(None, false).expect("there is credit");
            assert!(!control.is_drained());
            chunk.results.ensure(started.grant.items);
            if panics_after_calls {
                control.run(&mut started, work, &mut chunk);
                assert!(started.outcome.stretch.items > 0);
            }
            drop((chunk, started));
            let state = control.state();
            assert_eq!((state.running, state.running_items, state.running_credit, state.running_working), (0, 0, 0, 0));
            drop(state);
            // Items of the chunk that found no credit wait as before.
            while let Some(rest) = control.start_next(None, false) {
                drop(rest);
            }
            assert!(control.is_drained());
            assert_eq!(control.state().queued, 0);
            assert_eq!(ledger.held(), ByteSize::ZERO);
        }
    }
}
