//! Drives a run to its end: on the calling thread, on threads, and back.

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
        let begun = sync::now();
        (self.now, self.begun) = (Some(begun), Some(begun));
        self.begin_telling(begun, line)?;
        self.set_origin(line);
        let outcome = self.run_phases(line);
        self.end_of_part(&outcome);
        // A run that stayed on the calling thread has read the clock after its last result.
        let now = self.now.take().filter(|_| self.workers.is_none());
        self.elapsed += now.unwrap_or_else(sync::now) - begun;
        outcome
    }

    fn run_phases(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        // A worker that calls a run does that work for its own call. It must not count as the help
        // of an idle worker.
        if line.work.tracks && pool::is_worker() && !tracking::is_open() {
            let frame = Frame::begin();
            let outcome = self.run_within(line);
            tracking::settle(frame.end().retained());
            return outcome;
        }
        self.run_within(line)
    }

    fn run_within(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        let outcome = self.run_to_its_end(line);
        if outcome.is_err() {
            // Finished results are handed over in spite of the error.
            line.flush();
            self.now = Some(sync::now());
        }
        outcome
    }

    fn run_to_its_end(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        if let Some(panic) = self.pending.take() {
            return Err(panic);
        }
        self.ledger.set_heeds_outer(!line.outlet.collects());
        // An iterator's run comes back for each batch. By then it knows more than its plan did.
        match (&self.workers, &self.plan) {
            (Some(workers), _) => line.outlet.set_batch_size(workers.control.batch_size()),
            (None, Some(plan)) => line.outlet.set_batch_size(plan.batch_size()),
            (None, None) => {}
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
                None => _ = observer.look(now, ledger, false, &|| counts, &Calls::default),
            }
        });
    }
}
