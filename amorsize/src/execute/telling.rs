//! Shows the progress of a run: to the progress callback, to its timeline and to the watch over
//! memory.

use std::time::Instant;

use super::engine::Engine;
use super::line::Line;
use super::observer::Observer;
use super::pool;
use crate::error::Error;
use crate::memory::budget::Ledger;
use crate::memory::source;
use crate::memory::working::Calls;
use crate::progress::{Counts, Teller};
use crate::report::timeline::Recorder;
use crate::system::{cores, sync};

impl Engine {
    /// The instant at which the reported part would have begun if the run had never been left.
    pub(super) fn origin(&self) -> Instant {
        let begun = self.begun.unwrap_or_else(sync::now);
        begun.checked_sub(self.elapsed_in_part()).unwrap_or(begun)
    }

    /// Sets the teller of the run's progress.
    pub(crate) fn set_teller(&mut self, teller: Option<Teller>) {
        self.with_observer(|observer, _| observer.teller = teller);
    }

    /// Takes the teller of the run's progress out.
    pub(crate) fn take_teller(&mut self) -> Option<Teller> {
        self.with_observer(|observer, _| observer.teller.take())
    }

    /// Sets whether the run prints nothing by itself.
    pub(crate) fn set_quiet(&mut self, quiet: bool) {
        self.with_observer(|observer, _| {
            if let Some(teller) = &mut observer.teller {
                teller.set_quiet(quiet);
            }
        });
    }

    pub(super) fn with_observer<R>(&mut self, body: impl FnOnce(&mut Observer, &Ledger) -> R) -> R {
        let mut lent = self.workers.as_ref().and_then(|workers| workers.control.observer());
        body(lent.as_deref_mut().unwrap_or(&mut self.observer), &self.ledger)
    }

    /// The run's figures now.
    pub(super) fn counts(&self) -> Counts {
        let (books, held) = (&self.books, self.ledger.held().as_u64());
        match &self.workers {
            Some(workers) => workers.control.counts(),
            None => Counts { done: books.ended(), running: 1, held, result_bytes: books.result_bytes() },
        }
    }

    pub(super) fn start_recorder(&mut self, origin: Instant) {
        if self.observer.recorder.is_none() {
            let (now, held) = (self.now.unwrap_or(origin), self.ledger.held().as_u64());
            self.observer.recorder = Some(Recorder::start(source::current(), origin, now, held));
        }
    }

    /// Makes the recorded times go on where the part before stopped.
    pub(super) fn set_origin(&mut self, line: &mut Line<'_>) {
        let origin = self.origin();
        let noted = self.with_observer(|observer, _| {
            observer.recorder.as_mut().map(|recorder| recorder.set_origin(origin)).is_some()
        });
        if noted {
            line.outlet.begin_timing(origin);
        }
    }

    pub(super) fn begin_telling(&mut self, now: Instant, line: &mut Line<'_>) -> Result<(), Error> {
        if !self.with_observer(|observer, _| observer.teller.is_some()) {
            return Ok(());
        }
        let (budget, counts) = (self.budget()?.bytes, self.counts());
        let next = self.items_done();
        let has_sampled =
            self.workers.is_some() || self.plan.is_some() || self.books.next_to_run() >= self.options.sample_items();
        let total = line.left_exactly().map(|left| left.saturating_add(next));
        let origin = now.checked_sub(self.elapsed).unwrap_or(now);
        self.with_observer(|observer, _| {
            if let Some(teller) = &mut observer.teller {
                teller.begin(origin, now, total, budget, counts, has_sampled);
            }
        });
        Ok(())
    }

    /// Looks, on the calling thread.
    pub(super) fn look(&mut self) {
        let Some(now) = self.now.filter(|_| self.observer.is_active()) else { return };
        let counts = self.counts();
        if self.books.next_to_run() >= self.options.sample_items() {
            self.end_sampling(now);
        }
        let (held, learned) = (counts.held, &self.books.learned);
        let threads = self.options.threads.map_or_else(cores::usable, pool::at_most);
        let calls = || Calls {
            running: 0,
            most_running: 1,
            results: 0,
            known: held,
            ended: self.books.chunks,
            handed_over: learned.bytes.saturating_sub(held),
            seconds: learned.seconds_on_cores(cores::usable()),
            threads,
            items: None,
            only_wait: None,
        };
        if let Some(bounds) = self.observer.look(now, &self.ledger, &|| counts, &calls) {
            self.books.learned.expect_working(bounds.working, bounds.confirmed);
        }
    }
}
