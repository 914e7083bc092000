//! Runs the last items of a plan's sample at the same time. Calls that share a scarce resource,
//! such as memory bandwidth or a lock, take longer on several threads than alone. Only running them
//! together shows how much longer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::conductor::WorkerJob;
use super::engine::Engine;
use super::line::Line;
use super::pool;
use super::words::ThreadKind;
use super::workers::Workers;
use crate::adapt::alone::{self, FILLING_PART};
use crate::error::Error;
use crate::error::failure::Ended;
use crate::memory::tracking;
use crate::plan::Plan;
use crate::system::sync::now;

/// Items that run alone first. The first one counts for nothing, and two more are the fewest that
/// show how much calls differ.
const ALONE: usize = 3;
/// Shorter calls are not compared: they end before another thread is awake, which takes 60 us.
const LEAST_SECONDS: f64 = 250e-6;

impl Engine {
    /// The number of sample items to run at the same time.
    pub(super) fn items_together(&mut self, line: &mut Line<'_>) -> Result<usize, Error> {
        let most = self.options.sample_items().saturating_sub(ALONE);
        // If a second panic is pending, the run stays on threads.
        let is_inline = self.workers.is_none();
        // A slow input is not asked again before the items that it gave are run.
        if line.stock.asks.may_wait()
            || !is_inline
            || most < 2
            || self.books.learned.recent_seconds() < LEAST_SECONDS
            || pool::is_worker()
        {
            return Ok(0);
        }
        let threads = self.situation(line)?.threads;
        Ok(if threads < 2 { 0 } else { threads.min(most) })
    }

    /// Runs the next `count` items at the same time, if the run may go on threads and the calls are
    /// long enough to be compared.
    pub(super) fn sample_together(&mut self, line: &mut Line<'_>, count: usize) -> Result<(), Ended> {
        if count < 2 || self.books.learned.spread.mean().is_none_or(|seconds| seconds < LEAST_SECONDS) {
            return Ok(());
        }
        let situation = self.situation(line)?;
        let plan = Plan::new(&self.books.learned, &situation);
        // Each thread begins with fresh memory. The cost of filling it is not what we compare.
        let is_filling = alone::filling_part(&self.books.learned) >= FILLING_PART;
        let is_room = self.ledger.free() >= count as u64 * self.needed() && self.in_flight_room(line.outlet) >= count;
        let are_many = situation.remaining.is_none_or(|left| left > count) && !line.ended();
        if plan.threads() < 2 || plan.threads() > situation.threads || is_filling || !is_room || !are_many {
            return Ok(());
        }
        // Restored below: threads that have just woken up wait for reasons that say little of the
        // calls.
        let waits = self.books.learned.waits;
        let begun = now();
        if !self.go_parallel(plan.sizes(), line)? {
            return Ok(());
        }
        let Some(Workers { control, threads, .. }) = self.workers.as_deref() else { return Ok(()) };
        let work = line.work;
        control.begin();
        control.state().each = Some(Vec::new());
        let ran = catch_unwind(AssertUnwindSafe(|| {
            threads.scope(&WorkerJob { kind: ThreadKind::Pool, control, work }, None, false, &mut |start| {
                for taken in 0..count {
                    // The items that wait may have taken what is free.
                    if taken > 0 && work.tools.ledger.free() == 0 {
                        break;
                    }
                    if let Some((chunk, heap)) = line.pull(1) {
                        control.enqueue(chunk, heap, 0.0);
                    }
                }
                let (jobs, kind) = control.jobs_to_start(0);
                // A pool thread can always be had.
                (0..jobs).for_each(|_| _ = start(kind));
                control.wait_for_jobs(&work.tools.interrupts);
            });
            let wall = (now() - begun).as_secs_f64();
            // Items that found no credit run alone, unless the run is interrupted.
            while work.run_next(control, None, true) {}
            wall
        }));
        control.settle();
        tracking::settle(control.take_kept());
        // Stop recording chunks, however the run ends.
        let each = control.state().each.take().unwrap_or_default();
        // The items that were taken by then run when the run goes on.
        let wall = ran.map_err(Ended::Panic)?;
        let panic = control.take_panic();
        while let Some(finished) = control.take_ready() {
            line.hand_over(finished);
        }
        // If the end is still set, another panic is pending.
        if control.is_drained() && !control.course.has_end() {
            self.leave_threads(line);
            self.books.learned.waits = waits;
            if each.len() == count && panic.is_none() {
                self.books.learned.spread.add_together(&each, wall);
            }
        }
        panic.map_or(Ok(()), |payload| Err(Ended::Panic(payload)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::resume_unwind;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::{Barrier, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::call::{Body, Function, Quota, Shared};
    use crate::execute::kept::Kept;
    use crate::execute::line::Stock;
    use crate::execute::work::Tools;
    use crate::input::Source;
    use crate::memory::deep_size::features::Unasked;
    use crate::memory::measure::{Heap, Measure};
    use crate::options::Options;
    use crate::system::sync::Clock;
    use crate::units::ByteSize;
    use crate::units::measured_by::MeasuredBy;
    use crate::{CancelToken, process_in_batches};

    #[test]
    fn chunks_are_not_recorded_after_an_input_that_panicked() {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let options = Options::new(Some(ByteSize::mib(64).into())).threads(2);
        let mut engine = Engine::new(options, [8, 8], MeasuredBy::DeepSize, Unasked::default());
        let tools = Tools::new(engine.ledger().clone(), false);
        let owns_nothing = Measure { heap: Some(|_: &[usize]| Heap::default()), by: MeasuredBy::DeepSize };
        let shared = Shared::new(
            clock.clone(),
            Body::Function(|quota: Quota<'_, usize, usize>, clock: &Clock| {
                quota.run(|item| {
                    clock.run(Duration::from_millis(1));
                    item
                });
            }),
            (owns_nothing, owns_nothing),
        );
        // Three items run alone first.
        let input = (0..100).inspect(|&item| {
            if item == 4 {
                resume_unwind(Box::new("as planned"));
            }
        });
        let (mut input, mut stock, mut outlet) =
            (Source::new(input, shared.types, None), Stock::default(), Kept::default());
        let work = tools.work(&shared as &dyn Function);
        let mut line = Line { input: &mut input, stock: &mut stock, work, outlet: &mut outlet, is_stopped: false };
        assert!(matches!(engine.make_plan(&mut line, 5), Err(Ended::Panic(_))));
        let workers = engine.workers.as_ref().expect("the sample went on threads");
        assert!(workers.control.state().each.is_none());
        assert!(engine.run(&mut line).is_ok());
    }

    /// No other test asks for this many, so that none has to wait for the pool.
    const TAKEN: usize = 7;

    /// Plans a run on a pool that has no thread for it. `interrupt` comes once the sample's last
    /// items are on their way there. Then the pool is free, and the run goes on.
    fn sample_without_a_thread(interrupt: fn(&Clock, &CancelToken), is_expected: fn(&crate::Error) -> bool) {
        let clock = Clock::standing();
        let token = CancelToken::new();
        let calls: Vec<_> = (0..100).map(|_| AtomicUsize::new(0)).collect();
        let (are_taken, are_free) = (Barrier::new(TAKEN + 1), Barrier::new(TAKEN + 1));
        let are_asked = Barrier::new(2);
        let take = |_| {
            are_taken.wait();
            are_free.wait();
        };
        let call = |item: usize| {
            calls[item].fetch_add(1, SeqCst);
            clock.run(Duration::from_millis(1));
            item
        };
        let input = (0..calls.len()).inspect(|&item| {
            if item == 4 {
                are_asked.wait();
            }
        });
        thread::scope(|scope| {
            scope.spawn(|| process_in_batches(take, 0..TAKEN).threads(TAKEN).max_memory("1GiB").for_each_batch(drop));
            are_taken.wait();
            scope.spawn(|| {
                are_asked.wait();
                interrupt(&clock, &token);
            });
            let _moved = clock.enter();
            let run = process_in_batches(call, input).threads(TAKEN).max_memory("1GiB");
            let mut run = run.cancel_token(&token).timeout(Duration::from_secs(60));
            let planned = run.plan().map(drop);
            are_free.wait();
            assert!(is_expected(&planned.unwrap_err()));
            let mut run = run.cancel_token(&CancelToken::new()).timeout(Duration::MAX);
            assert!(run.collect::<Vec<_>>().unwrap().into_iter().eq(0..calls.len()));
        });
        assert!(calls.into_iter().all(|calls| calls.into_inner() == 1));
    }

    #[test]
    fn a_sample_that_waits_for_a_thread_heeds_a_token_and_a_timeout() {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            sample_without_a_thread(|_, token| token.cancel(), crate::Error::is_cancelled);
            sample_without_a_thread(|clock, _| clock.pass(Duration::from_secs(60)), crate::Error::is_timed_out);
            done.send(()).unwrap();
        });
        // More than this takes on the busiest machine.
        is_done.recv_timeout(Duration::from_secs(600)).expect("the plans end");
    }
}
