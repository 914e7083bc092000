//! The observer of a run: it watches the system's memory, records the run's timeline and tells its
//! progress.

use std::time::Instant;

use crate::memory::budget::Ledger;
use crate::memory::watch::Watch;
use crate::memory::working::{Bounds, Calls};
use crate::progress::{Counts, Phase, Teller};
use crate::report::timeline::Recorder;

/// Observes a run: watches memory, records the run's timeline and tells its progress.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    /// The watch over memory, from the first decision on. It is boxed because a run is moved a few
    /// times before that.
    pub(crate) watch: Option<Box<Watch>>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) teller: Option<Teller>,
}

impl Observer {
    /// True if it has anything to do. In a run that has just begun it has nothing to do.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.watch.is_some() || self.is_recorded_or_told()
    }

    /// True if the run is recorded or its progress is told.
    pub(crate) fn is_recorded_or_told(&self) -> bool {
        self.recorder.is_some() || self.teller.is_some()
    }

    /// Looks if a look is due; `counts` and `calls` are called only then. Gives new bounds for the
    /// calls in flight if memory was looked at.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        ledger: &Ledger,
        counts: &dyn Fn() -> Counts,
        calls: &dyn Fn() -> Calls,
    ) -> Option<Bounds> {
        let bounds = self.watch.as_mut().and_then(|watch| watch.look(now, ledger, calls));
        if self.recorder.as_ref().is_some_and(|recorder| recorder.is_due(now)) {
            self.note(now, counts());
        }
        if let Some(teller) = self.teller.as_mut().filter(|teller| teller.is_due(now)) {
            let phase = teller.phase();
            teller.tell(now, phase, counts());
        }
        bounds
    }

    /// Records the progress, due or not.
    pub(crate) fn note(&mut self, now: Instant, counts: Counts) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note(now, counts);
        }
    }

    /// Tells the progress, due or not.
    pub(crate) fn tell(&mut self, now: Instant, phase: Phase, counts: Counts) {
        if let Some(teller) = &mut self.teller {
            teller.tell(now, phase, counts);
        }
    }
}
