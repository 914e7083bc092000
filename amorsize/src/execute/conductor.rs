//! The calling thread of a run on threads. It feeds the workers and hands their results over.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use super::control::Control;
use super::line::Line;
use super::pool::{self, Job, NAP, Start};
use super::refusals::{interrupted, over_budget, oversize};
use super::words::{Stuck, ThreadKind};
use super::work::Work;
use crate::adapt::alone::{Done, ThreadsPace, may_be_faster};
use crate::adapt::sizes::CHUNK_SECONDS;
use crate::buffer::Restored;
use crate::buffer::asks::HELD;
use crate::error::Error;
use crate::error::failure::Ended;
use crate::memory::watch::{LOOK, READ};
use crate::memory::working::{NOISE, bound};
use crate::memory::{source, tracking};
use crate::output::outlet::Flow;
use crate::system::sync::{PoisonError, now};
use crate::system::thread_time::process_ran;
use crate::units::ByteSize;

/// Looks at resident memory while a call lasts, if it may need much. A look and the switches of
/// threads around it take some 50 us of a core: each millisecond, that was 2.5 % of two busy cores.
const LOOKS_IN_A_CALL: f64 = 8.0;

thread_local! {
    /// True if this thread declined a job since the last check.
    static DECLINED: Cell<bool> = const { Cell::new(false) };
}

/// The job of a thread that is not the calling one.
pub(super) struct WorkerJob<'a> {
    pub(super) kind: ThreadKind,
    pub(super) control: &'a Control,
    pub(super) work: Work<'a>,
}

impl Job for WorkerJob<'_> {
    fn run(&self) -> bool {
        if !self.work.tools.ledger.may_run_here() {
            DECLINED.set(true);
            self.control.end_job(true);
            return false;
        }
        let _clock = self.control.clock.enter();
        // Calls run within code that catches their panics. Any other panic, such as one of a
        // `tracing` subscriber, would leave the run waiting for this job.
        let mut go_on = true;
        let run = || {
            let _entered = self.work.tools.span.enter();
            go_on = self.work.run_next(self.control, Some(self.kind), false);
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(()) => go_on,
            Err(payload) => {
                self.control.end_job_with(payload, go_on);
                false
            }
        }
    }
}

/// The growth of resident memory: `base` is its start, moved by growth that can't be the run's,
/// `most` the largest reading, `looked` the time of the last one, and `ran` the time for which the
/// process had run until then, if the system tells.
pub(super) struct Grown<'a> {
    pub(super) base: &'a mut u64,
    pub(super) most: &'a mut u64,
    pub(super) looked: Instant,
    pub(super) ran: Option<Duration>,
}

/// The calling thread of a run on threads.
pub(super) struct Conductor<'a> {
    pub(super) control: &'a Control,
    /// The beginning of this part of the run, and the time of all parts before it.
    pub(super) begun: Instant,
    pub(super) before: Duration,
    /// True if the calling thread belongs to a pool, and so must not sleep.
    pub(super) worker: bool,
    /// True if the calling thread is one of the run's threads, and so runs chunks itself.
    pub(super) joins_in: bool,
    /// True if an item that is expected to need more than the budget is an error.
    pub(super) refuses_oversize: bool,
    /// The growth of resident memory, if results are measured by it.
    pub(super) resident: Option<Grown<'a>>,
    /// The threads' pace, if the calling thread alone may be faster.
    pub(super) pace: Option<&'a mut ThreadsPace>,
    /// The threads' pace, once they are slower than the calling thread.
    pub(super) slower: &'a mut Option<f64>,
}

impl Conductor<'_> {
    /// Feeds the workers and hands over their results, until the input ends or the outlet has
    /// enough. If the input or a callback panics, the caller has to pause the run.
    pub(super) fn conduct(&mut self, line: &mut Line<'_>, start_job: Start<'_>) -> Result<Flow, Ended> {
        loop {
            // If this run is part of a call, its workers' allocations count for that call from now
            // on.
            tracking::settle(self.control.take_kept());
            while let Some(finished) = self.control.take_ready() {
                // The sink may take long, so workers get new items first. No more are pulled than
                // are handed over, or results would pile up. If the input panics, these results are
                // handed over first.
                let fed = catch_unwind(AssertUnwindSafe(|| {
                    if !line.stock.asks.may_wait() {
                        self.feed(line, 1, start_job);
                    }
                }));
                let flow = self.turn(self.control.in_sink(|| line.hand_over(finished)));
                if let Err(payload) = fed {
                    resume_unwind(payload);
                }
                if let Some(flow) = flow {
                    return Ok(flow);
                }
                // With a slow sink there may be no end of results, and so no other check.
                if line.work.tools.interrupts.now().is_some() {
                    break;
                }
                self.look_whether_slower(line);
            }
            self.control.look();
            if let Some(interrupt) = line.work.tools.interrupts.now() {
                self.control.course.pause();
                let items_done = self.control.state().books.learned.items;
                let elapsed = self.before + (now() - self.begun);
                return Err(interrupted(&line.work.tools.interrupts, interrupt, items_done, elapsed));
            }
            if line.is_to_flush(false)
                && let Some(flow) = self.turn(self.control.in_sink(|| line.flush()))
            {
                return Ok(flow);
            }
            if line.stock.asks.may_wait() && !self.worker && self.control.wait_for_result(line.stock.asks.pace) {
                continue;
            }
            if line.stock.asks.may_wait() && self.joins_in && self.control.is_left_waiting() {
                // All other threads may be in such calls as this one.
                line.work.run_next(self.control, None, false);
                continue;
            }
            self.feed(line, self.control.most_pulls(), start_job);
            self.look_whether_slower(line);
            let fed = line.ended() || self.control.course.has_end() || self.slower.is_some();
            if fed && self.control.is_drained() {
                if self.slower.is_some() && !line.ended() {
                    return Ok(Flow::Continue);
                }
                return Ok(self
                    .turn(self.control.in_sink(|| line.flush()))
                    .filter(|&flow| flow == Flow::Stop)
                    .unwrap_or(Flow::Continue));
            }
            let grown = self.look_at_resident();
            if line.outlet.collects() && grown > self.control.state().ledger.budget() {
                return Err(self.give_up(grown, line).into());
            }
            let (short, stuck) = self.control.shortage();
            if short {
                let holds = line.outlet.holds();
                if let Some(flow) = self.turn(self.control.in_sink(|| line.flush())) {
                    return Ok(flow);
                }
                if holds {
                    continue;
                }
                if stuck {
                    if line.outlet.collected() > Some(0) && !self.control.state().will_have_room_for_a_result() {
                        if line.work.waits_for_store() {
                            continue;
                        }
                        return Err(self.give_up(grown, line).into());
                    }
                    let Stuck { item, needed, .. } = self.control.stuck();
                    if self.refuses_oversize && needed > line.work.tools.ledger.budget().as_u64() {
                        self.control.course.pause();
                        let measured_by = self.control.state().situation.measured_by;
                        return Err(oversize(item, needed, &line.work.tools.ledger, measured_by).into());
                    }
                    // A call that alone needs more than the budget runs alone. So does the next
                    // call of a collect that has no results yet: it goes on after one that gave up,
                    // and must come further.
                    line.work.run_next(self.control, None, true);
                    continue;
                }
            }
            self.wait(line);
        }
    }

    /// Turns the course of the run as the outlet wants it. Gives the flow if the run ends with it.
    fn turn(&self, flow: Flow) -> Option<Flow> {
        match flow {
            Flow::Continue => return None,
            Flow::Enough => self.control.course.pause(),
            Flow::Stop => self.control.course.end(),
        }
        Some(flow)
    }

    fn feed(&self, line: &mut Line<'_>, most_pulls: usize, start_job: Start<'_>) {
        let batch = self.control.state().tuner.batch_now();
        line.outlet.set_batch_size(batch);
        let start_jobs = || {
            // A calling thread that joins in is one of the threads.
            let (jobs, kind) = self.control.jobs_to_start(self.joins_in.into());
            for started in 0..jobs {
                if let Err(threads) = start_job(kind) {
                    self.control.lacks_threads(jobs - started, threads);
                    break;
                }
            }
        };
        // Fast workers take chunks as quickly as they are pulled. Their results must not wait
        // forever.
        let mut asked = 0.0;
        for _ in 0..most_pulls {
            let ended = line.ended() || self.slower.is_some();
            let count =
                if ended { 0 } else { self.control.items_wanted(line.outlet.collected(), line.stock.asks.may_wait()) };
            if count == 0 {
                break;
            }
            if line.stock.resumes {
                if !self.control.may_restore() {
                    break;
                }
                if let (Some(restored), _) = self.control.in_input(|| line.restore()) {
                    // The next item may come because of these results.
                    let hands_over = restored.results.is_some() && line.stock.asks.are_single();
                    self.pass_over(line, restored);
                    if hands_over || line.work.tools.interrupts.now().is_some() {
                        break;
                    }
                    continue;
                }
            }
            let (pulled, seconds) = self.control.in_input(|| line.pull(count));
            if let Some((chunk, heap)) = pulled {
                self.control.enqueue(chunk, heap, seconds);
            }
            start_jobs();
            asked += seconds;
            // Before the input is asked again, finished results are handed over and interrupts
            // checked.
            if line.stock.asks.may_wait() || asked >= CHUNK_SECONDS {
                break;
            }
        }
        if line.ended() {
            self.control.end_input();
        }
        start_jobs();
    }

    /// Adds items that need not run, with the results that they have.
    fn pass_over(&self, line: &mut Line<'_>, restored: Restored) {
        let Restored { items, results, bytes, are_outside, .. } = restored;
        let results = results.map(|results| {
            let size = self.control.state().situation.result_size;
            let bytes = line.work.bytes_of(&results, bytes, size);
            (line.chunk_of(results), bytes)
        });
        self.control.add_restored(items, are_outside, results);
    }

    /// Takes no further items if the calling thread alone would be faster.
    fn look_whether_slower(&mut self, line: &Line<'_>) {
        let Some(pace) = self.pace.as_deref_mut().filter(|_| self.slower.is_none()) else { return };
        let state = self.control.state();
        let (learned, situation) = (&state.books.learned, &state.situation);
        let elapsed = self.before + (now() - self.begun);
        let done = Done::new(elapsed.as_secs_f64(), learned, state.ledger.results(), situation.measured_by);
        // Results that were restored may wait, but were not made.
        let sink_part = if line.stock.resumes { 0.0 } else { state.tuner.sink_part(learned, state.input_pace) };
        let may_be_faster =
            |_: &f64| may_be_faster(learned, situation.result_size, situation.measured_by, situation.items_own);
        *self.slower = pace.is_slower(done, sink_part).filter(may_be_faster);
        drop(state);
        if self.slower.is_some() {
            self.control.end_input();
        }
    }

    /// Stops a run with results that can't be kept. If memory has `grown` by more than the ledger
    /// knows, the growth counts.
    fn give_up(&self, grown: ByteSize, line: &mut Line<'_>) -> Error {
        self.control.course.pause();
        let stuck = self.control.stuck();
        let state = self.control.state();
        let held = (state.ledger.held().max(grown), state.situation.measured_by);
        over_budget(stuck, state.outstanding(), held, &state.ledger, &state.books, line)
    }

    /// Learns from resident memory, if results are measured by it. Gives its growth.
    fn look_at_resident(&mut self) -> ByteSize {
        let Some(Grown { base, most, looked, ran }) = &mut self.resident else { return ByteSize::ZERO };
        let resident = source::current().resident().map_or(0, ByteSize::as_u64);
        let since = now().saturating_duration_since(*looked);
        *looked += since;
        let more = resident.saturating_sub((**most).max(**base));
        let cores = self.control.state().situation.threads;
        let mut seconds = since.as_secs_f64() * (cores + 1) as f64;
        // A process that other programs kept from the cores could not write.
        if let Some(now) = process_ran() {
            let since = ran.replace(now).map(|before| now.saturating_sub(before));
            seconds = since.map_or(seconds, |since| seconds.min(since.as_secs_f64()));
        }
        if more > NOISE.max(bound(seconds)) {
            // No call can write as much in this time: another part of the program did, or the
            // allocator.
            **base += more;
        }
        **most = resident.max(**most);
        let grown = most.saturating_sub(**base);
        self.control.learn_resident(grown);
        ByteSize::new(grown)
    }

    fn wait(&self, line: &Line<'_>) {
        if self.control.needs_caller(line.outlet.wanted(), line.outlet.holds())
            || (self.joins_in && line.work.run_next(self.control, None, false))
        {
            return;
        }
        if !self.worker {
            // It looks at resident memory after its sleep, as often as at available memory.
            self.control.wait(READ);
        } else if (self.joins_in && line.work.tools.ledger.outer_budget().is_some())
            || !pool::work_on_something_else()
            || DECLINED.take()
        {
            // Within a call of another run it only works for this run: that call may hold a lock.
            // The nap has an end, because a thread may wait for this very worker, and then nothing
            // would wake it. After a declined job the nap gives another thread the time to take it.
            self.control.wait(NAP);
        }
    }
}

/// Sleeps of the calling thread: they end when it has something to do.
impl Control {
    /// Sleeps until the calling thread is [needed](Self::needs_caller), or for `most`.
    pub(crate) fn wait(&self, most: Duration) {
        let state = self.state();
        // Calls may need much memory: wake up often enough to follow its growth.
        let often = LOOK.max(Duration::from_secs_f64(state.books.learned.recent_seconds() / LOOKS_IN_A_CALL));
        let most = if state.bounds.is_bounded() { most.min(often) } else { most };
        if !state.caller_is_needed(self.course.limit()) {
            drop(self.caller.wait_timeout(state, most));
        }
    }

    /// Waits for results of running calls, which are expected before a slow input gives its next
    /// item. An item of that input takes `pace` seconds. Says if there are results to hand over.
    pub(crate) fn wait_for_result(&self, pace: f64) -> bool {
        let mut state = self.state();
        if state.books.learned.recent_seconds() >= pace {
            return state.has_ready();
        }
        // A call that takes longer than usual must not keep us from asking the input, nor from an
        // interrupt.
        let until = now() + Duration::from_secs_f64(pace).min(HELD);
        // Without a job no result comes: items may be left over from an earlier part of the run.
        while !state.has_ready() && state.jobs > 0 && state.queued + state.running_items > 0 {
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                break;
            }
            state.wanted_items = 1;
            state = self.caller.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.has_ready()
    }

    /// True if no other thread takes the items that wait, although they could start. A thread has
    /// the time to do so first.
    pub(crate) fn is_left_waiting(&self) -> bool {
        let begun = now();
        while self.state().could_start(self.course.limit()) {
            if now() - begun >= NAP {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    /// True if the calling thread has something to do. `wanted_items` fill its batch, and `holds`
    /// says that the batch is not empty: this holds for its next sleep as well.
    pub(crate) fn needs_caller(&self, wanted_items: usize, holds: bool) -> bool {
        let mut state = self.state();
        state.wanted_items = state.wanted(wanted_items);
        state.caller_holds = holds;
        state.caller_is_needed(self.course.limit())
    }
}
