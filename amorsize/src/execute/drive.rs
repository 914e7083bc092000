//! Drives a run to its end: on the calling thread, on threads, and back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::conductor::{Conductor, Grown, WorkerJob};
use super::control::Control;
use super::engine::Engine;
use super::inline::Inline;
use super::line::Line;
use super::pool::{self, Job, Threads};
use super::refusals::with_items_done;
use super::words::ThreadKind;
use super::workers::{OnThreads, Workers};
use crate::adapt::climb::Climb;
use crate::adapt::sizes::Sizes;
use crate::adapt::tuner::ThreadLimits;
use crate::error::Error;
use crate::error::failure::Ended;
use crate::memory::tracking::{self, Frame};
use crate::memory::working::Calls;
use crate::output::outlet::Flow;
use crate::progress::{Counts, Phase};
use crate::system::sync;
use crate::system::thread_time::process_ran;
use crate::units::measured_by::MeasuredBy;

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

    /// Goes on threads. False if the system gives none.
    pub(super) fn go_parallel(&mut self, sizes: Sizes, line: &mut Line<'_>) -> Result<bool, Error> {
        let Sizes { threads: most, chunk_items, batch_items } = sizes;
        let asked = self.options.threads.map(pool::at_most);
        let threads = match Threads::find(asked) {
            Ok(threads) => threads,
            Err(_) if asked.is_none() => {
                self.refused = pool::refused();
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let situation = self.situation(line)?;
        let cores = situation.threads.min(most);
        let limits = ThreadLimits {
            level: if self.ledger.is_squeezed() { cores } else { Climb::next(cores, most) },
            cores,
            most: situation.most.min(situation.remaining.unwrap_or(usize::MAX)).max(cores),
            // For a stated number of threads there is a pool of that size.
            own: asked.is_none() && !pool::is_worker(),
        };
        self.books.learned.waits.begin_on_threads();
        // Here, where no call's memory is counted.
        self.books.extremes.get_or_insert_default();
        let ledger = self.ledger.clone();
        self.read_resident();
        self.start_watch()?;
        // The first batch is small, so that the sink works while the first full batch is made: one
        // chunk, or one item for each thread if items are slow.
        let first_batch = if line.outlet.hands_over() { chunk_items.max(most) } else { usize::MAX };
        line.outlet.set_batch_size(first_batch.min(batch_items));
        let observer = Some(std::mem::take(&mut self.observer));
        self.parted = Some((self.elapsed_now(), line.outlet.sink_seconds()));
        let books = std::mem::take(&mut self.books);
        let batches = (batch_items, first_batch);
        let control = Control::new(situation, limits, books, ledger, batches, self.ordered, observer);
        // The bounds on calls must be known before the first call starts.
        control.look_now();
        self.workers = Some(Box::new(Workers { control, threads, asked, pace: self.alone.watch() }));
        Ok(true)
    }

    /// Runs on threads until the input ends, the outlet has enough, or the calling thread is to go
    /// on alone.
    pub(super) fn on_threads(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        let Some(workers) = &mut self.workers else { return Ok(Flow::Continue) };
        workers.find_again(&self.options)?;
        let Workers { control, threads, pace, .. } = &mut **workers;
        let control = &*control;
        let base = self.resident.as_mut().filter(|_| self.measured_by == MeasuredBy::Resident);
        let mut conductor = Conductor {
            control,
            begun: self.begun.unwrap_or_else(sync::now),
            before: self.elapsed,
            worker: pool::is_worker(),
            joins_in: threads.include_caller(),
            refuses_oversize: self.options.refuses_oversize(),
            resident: base.map(|base| Grown {
                base,
                most: &mut self.resident_most,
                looked: sync::now(),
                ran: process_ran(),
            }),
            pace: pace.as_mut(),
            slower: &mut self.slower,
        };
        let mut outcome = Ok(Flow::Continue);
        control.begin();
        let work = line.work;
        let job = |kind| WorkerJob { kind, control, work };
        let own = control.state().tuner.may_use_own_threads().then_some(job(ThreadKind::Own));
        let own = own.as_ref().map(|job| job as &dyn Job);
        let waits = self.ledger.wait_here();
        let in_call = self.ledger.outer_budget().is_some();
        threads.scope(&job(ThreadKind::Pool), own, in_call, &mut |start| {
            let conducted = catch_unwind(AssertUnwindSafe(|| conductor.conduct(line, start)));
            outcome = conducted.unwrap_or_else(|payload| {
                // The input or a callback panicked: the workers end soon.
                control.course.pause();
                Err(Ended::Panic(payload))
            });
        });
        drop(waits);
        control.settle();
        tracking::settle(control.take_kept());
        if let Err(Ended::Error(error)) = outcome {
            // Calls that were in flight have ended since.
            outcome = Err(with_items_done(error, control.state().books.learned.items).into());
        }
        if outcome.is_err() && !line.is_stopped {
            // Results that finished meanwhile follow those that were handed over, as long as they
            // are next in order.
            while let Some(finished) = control.take_ready() {
                if line.hand_over(finished) == Flow::Stop {
                    break;
                }
            }
        }
        if outcome.as_ref().is_ok_and(|&flow| flow == Flow::Continue)
            && let Some(payload) = control.take_panic()
        {
            return Err(Ended::Panic(payload));
        }
        outcome
    }

    /// Goes on with the calling thread alone, after threads that had this pace.
    pub(super) fn go_back(&mut self, pace: f64, line: &mut Line<'_>) {
        self.leave_threads(line);
        self.stretch = 1;
        self.alone.go_back(pace);
        self.begin_handing_over_alone(line);
    }

    /// Leaves the threads, which have nothing to do.
    pub(super) fn leave_threads(&mut self, line: &mut Line<'_>) {
        let Some(workers) = self.workers.take() else { return };
        let control = workers.control;
        self.on_threads = self.all_on_threads(&control, self.elapsed_now(), line.outlet.sink_seconds());
        self.parted = None;
        let (books, observer) = control.into_parts();
        (self.books, self.observer) = (books, observer.unwrap_or_default());
        (self.plan, self.slower) = (None, None);
        self.now = Some(sync::now());
    }

    /// The sums over all parts on threads, including the current part of `control`. `elapsed` is
    /// the time of the run so far, `sink_seconds` its time in the sink.
    pub(super) fn all_on_threads(&self, control: &Control, elapsed: Duration, sink_seconds: f64) -> OnThreads {
        let (since, sink_before) = self.parted.unwrap_or_default();
        self.on_threads.and(control, (elapsed.saturating_sub(since), sink_seconds - sink_before))
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
    use crate::process_in_batches;
    use crate::system::sync::Clock;
    use crate::units::ByteSize;

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

    /// A sink may take long for each batch, however small.
    #[test]
    fn a_run_on_one_thread_keeps_to_the_batches_of_its_plan() {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let call = |item: usize| {
            clock.run(Duration::from_micros(100));
            item.to_string()
        };
        let closures = process_in_batches(call, 0..2000).threads(1).for_each_batch(drop).unwrap();
        let run = process_in_batches(call, 0..2000).weigh(String::capacity).threads(1).for_each_batch(drop);
        // 0.2 s of calls, in batches of 20 ms.
        for report in [closures, run.unwrap()] {
            assert!(report.batches() < 30, "{report:?}");
        }
    }
}
