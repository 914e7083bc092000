//! Drives a run to its end: on the calling thread, on threads, and back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::engine::Engine;
use super::inline::Inline;
use super::line::Line;
use super::pool;
use crate::error::failure::Ended;
use crate::memory::tracking::{self, Frame};
use crate::memory::working::Calls;
use crate::output::outlet::Flow;
use crate::progress::{Counts, Phase};
use crate::system::sync;

impl Engine {
    /// Runs until the input ends or the outlet has enough. After an error of the run, finished
    /// results stay where they are.
    pub(crate) fn run(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        self.timed(|engine, begun| {
            engine.begin_telling(begun, line)?;
            engine.set_origin(line);
            let outcome = engine.run_phases(line);
            engine.end_of_part(&outcome);
            outcome
        })
    }

    /// Makes a `part` of the run, and adds its time to the run's. It is given the instant of its
    /// beginning. Other code of the caller may panic in it, and the run may go on after that.
    pub(super) fn timed<R>(&mut self, part: impl FnOnce(&mut Self, Instant) -> Result<R, Ended>) -> Result<R, Ended> {
        let begun = sync::now();
        (self.now, self.begun) = (Some(begun), Some(begun));
        let outcome = catch_unwind(AssertUnwindSafe(|| part(self, begun)));
        // A part that stayed on the calling thread has read the clock after its last result.
        let now = self.now.take().filter(|_| self.workers.is_none() && outcome.is_ok());
        self.elapsed += now.unwrap_or_else(sync::now) - begun;
        self.begun = None;
        outcome.unwrap_or_else(|payload| Err(Ended::Panic(payload)))
    }

    fn run_phases(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        // A worker that calls a run does that work for its own call. It must not count as the help
        // of an idle worker.
        let frame = (line.work.tools.tracks && pool::is_worker() && !tracking::is_open()).then(Frame::begin);
        let outcome = self.run_to_its_end(line);
        if outcome.is_err() {
            // Finished results are handed over in spite of the error.
            line.flush();
            self.now = Some(sync::now());
        }
        if let Some(frame) = frame {
            tracking::settle(frame.end().retained());
        }
        outcome
    }

    fn run_to_its_end(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        if let Some(panic) = self.pending.take() {
            return Err(panic);
        }
        // An iterator's run comes back for each batch. By then it knows more than its plan did.
        if let Some(workers) = &self.workers {
            let size = workers.control.state().tuner.batch_now();
            line.outlet.set_batch_size(size);
        }
        loop {
            if self.workers.is_none() {
                match self.inline(line)? {
                    Inline::Done(flow) => return Ok(flow),
                    Inline::GoParallel(sizes) => {
                        self.end_sampling(sync::now());
                        if !self.go_parallel(sizes, line)? {
                            self.plan = None;
                            continue;
                        }
                    }
                }
            }
            let flow = self.on_threads(line)?;
            let Some(pace) = self.slower.filter(|_| flow == Flow::Continue) else { return Ok(flow) };
            self.go_back(pace, line);
        }
    }

    /// Tells the end of a run that was stopped.
    pub(crate) fn stop(&mut self) {
        self.end_of_part(&Ok(Flow::Stop));
    }

    /// Records and tells the progress when the outlet has enough or the run has ended.
    fn end_of_part(&mut self, outcome: &Result<Flow, Ended>) {
        if !self.with_observer(|observer, _| observer.is_recorded_or_told()) {
            return;
        }
        let (now, counts) = (sync::now(), Counts { running: 0, ..self.counts() });
        let ended = match outcome {
            Ok(Flow::Enough) => None,
            Ok(Flow::Continue) => Some(Phase::Done),
            Ok(Flow::Stop) | Err(_) => Some(Phase::Stopped),
        };
        self.with_observer(|observer, ledger| {
            match ended {
                Some(ended) => {
                    observer.note(now, counts);
                    observer.tell(now, ended, counts);
                }
                // An iterator's caller comes back soon and often, so tell only what is due.
                None => _ = observer.look(now, ledger, &|| counts, &Calls::default),
            }
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::memory::deep_size::features::Unasked;
    use crate::memory::source::with_memory_source;
    use crate::options::Options;
    use crate::units::ByteSize;
    use crate::units::measured_by::MeasuredBy;

    #[test]
    fn a_collection_that_pauses_may_go_on_holding_its_whole_budget() {
        let options = Options::new(Some(ByteSize::mib(512).into()));
        let mut engine = Engine::new(options, [8, 8], MeasuredBy::DeepSize, Unasked::default());
        engine.ledger.set_collects(true);
        with_memory_source(ByteSize::gib(1), || engine.start_watch()).unwrap();
        engine.start_recorder(sync::now());
        engine.end_of_part(&Ok(Flow::Enough));
        assert_eq!(engine.ledger.limit(), 512 << 20);
    }
}
