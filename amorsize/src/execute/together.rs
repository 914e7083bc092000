//! Runs the last items of a plan's sample at the same time. Calls that share a scarce resource,
//! such as memory bandwidth or a lock, take longer on several threads than alone. Only running them
//! together shows how much longer.

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
        if line.may_wait()
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
        threads.scope(&WorkerJob { kind: ThreadKind::Pool, control, work }, None, false, &mut |start| {
            for _ in 0..count {
                if let Some(pulled) = line.pull(1) {
                    control.enqueue(pulled.id, pulled.items, pulled.heap, 0.0);
                }
            }
            let (jobs, kind) = control.jobs_to_start(0);
            // A pool thread can always be had.
            (0..jobs).for_each(|_| _ = start(kind));
            control.wait_for_jobs();
        });
        let wall = (now() - begun).as_secs_f64();
        // Items that found no credit run alone, unless the run is interrupted.
        while work.run_next(control, None, true) {}
        control.settle();
        tracking::settle(control.take_kept());
        // Stop recording chunks, however the run ends.
        let each = control.state().each.take().unwrap_or_default();
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
        match panic {
            Some(payload) => Err(Ended::Panic(payload)),
            None => Ok(()),
        }
    }
}
