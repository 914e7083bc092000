//! The last items of a plan's sample, run at the same time: calls that share what there is only one of, as memory's bandwidth or a
//! lock, take longer on several threads than alone, and only a run on several tells by how much.

use super::conductor::WorkerJob;
use super::control::Place;
use super::line::Line;
use super::threads::Workers;
use super::{Engine, alone, pool};
use crate::error::Error;
use crate::failure::Ended;
use crate::memory::tracking;
use crate::plan::Plan;
use crate::sync::now;

/// So many items are run alone before: the first one counts for nothing, and of fewer than two more it can't be said by how much calls
/// differ.
const ALONE: usize = 3;
/// Calls that take less than this have begun and ended before another thread is awake: 60 us.
const LEAST_SECONDS: f64 = 250e-6;
/// Calls that need more than this part of their time to fill fresh memory are not compared.
const FILLING: f64 = 0.05;
/// Room for so many times what they are expected to need is to be free: what they are found to need is not known yet.
const ROOM: u64 = 2;

impl Engine {
    /// How many items of the sample are to be run at the same time.
    pub(super) fn items_together(&mut self, line: &mut Line<'_>) -> Result<usize, Error> {
        let most = self.options.sample_items().saturating_sub(ALONE);
        // After a panic that comes before another one, a run stays on threads.
        let is_inline = self.workers.is_none();
        // An input that may wait is not asked again before the items that it gave are run.
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

    /// Runs the next `count` items at the same time, where they would be on threads and their calls are long enough to tell something.
    pub(super) fn sample_together(&mut self, line: &mut Line<'_>, count: usize) -> Result<(), Ended> {
        if count < 2 || self.books.learned.spread.mean().is_none_or(|seconds| seconds < LEAST_SECONDS) {
            return Ok(());
        }
        let situation = self.situation(line)?;
        let plan = Plan::new(&self.books.learned, &situation, false);
        // Of fresh memory each thread has its own to begin with, and what that takes is not what calls take of each other.
        let is_filling = alone::filling_part(&self.books.learned) > FILLING;
        let is_room =
            self.ledger.free() >= ROOM * count as u64 * self.needed() && self.in_flight_room(line.outlet) >= count;
        let are_many = situation.remaining.is_none_or(|left| left > count) && !line.ended();
        if plan.threads() < 2 || plan.threads() > situation.threads || is_filling || !is_room || !are_many {
            return Ok(());
        }
        // What threads wait that are only just awake says little of the calls.
        let waits = self.books.learned.waits;
        let begun = now();
        if !self.go_parallel(&plan, line)? {
            return Ok(());
        }
        let Some(Workers { control, threads }) = self.workers.as_deref() else { return Ok(()) };
        let work = line.work;
        control.begin();
        control.state().each = Some(Vec::new());
        threads.scope(&WorkerJob { place: Place::Pool, control, work }, None, false, &mut |start| {
            for _ in 0..count {
                if let Some(pulled) = line.pull(1) {
                    control.enqueue(pulled.id, pulled.items, pulled.heap, 0.0);
                }
            }
            let (jobs, place) = control.jobs_to_start(0);
            // Those of the pool can always be had.
            (0..jobs).for_each(|_| _ = start(place));
            control.wait_for_jobs();
        });
        let wall = (now() - begun).as_secs_f64();
        // What found no credit any more runs by itself, unless the run is interrupted.
        while work.run_next(control, None, true) {}
        control.settle();
        tracking::settle(control.take_kept());
        // Whatever becomes of the run, its chunks are not noted any longer.
        let each = control.state().each.take().unwrap_or_default();
        let panic = control.take_panic();
        while let Some(finished) = control.take_ready() {
            let accepted = line.hand_over(finished);
            control.release(accepted.items, accepted.bytes);
        }
        // Another panic waits where the limit is not lifted.
        if control.is_drained() && !control.course.has_end() {
            self.leave_threads(line);
            self.books.learned.waits = waits;
            if each.len() == count && panic.is_none() {
                self.books.learned.spread.add_together(&each, wall);
            }
        }
        match panic {
            Some((item, payload)) => Err(Ended::Panic(item, payload)),
            None => Ok(()),
        }
    }
}
