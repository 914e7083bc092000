//! What looks at a run while it goes on: at the system's memory, to note how it goes, and to tell somebody.

use std::time::Instant;

use crate::memory::budget::Ledger;
use crate::memory::watch::Watch;
use crate::memory::working::{Bounds, Calls};
use crate::progress::{Counts, Phase, Teller};
use crate::timeline::{Moment, Recorder};

/// What a run has done, for whoever looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Items whose calls have ended.
    pub(crate) items: usize,
    /// Bytes of all results so far.
    pub(crate) result_bytes: u64,
    /// Threads that run items.
    pub(crate) running: usize,
}

/// Who looks at a run.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    /// From the first decision on. Boxed, because a run is moved some times before that.
    pub(crate) watch: Option<Box<Watch>>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) teller: Option<Teller>,
}

impl Lookout {
    /// Whether there is anybody who looks: not of a run that has just begun.
    #[inline]
    pub(crate) fn has_eyes(&self) -> bool {
        self.watch.is_some() || self.is_manned()
    }

    /// Whether anybody notes or is told how it goes.
    pub(crate) fn is_manned(&self) -> bool {
        self.recorder.is_some() || self.teller.is_some()
    }

    /// Looks, if it is time to; `seen` and `calls` are asked only then. Says how many calls may be in flight from now on, where
    /// that was looked at.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        ledger: &Ledger,
        collects: bool,
        seen: impl Fn() -> Seen,
        calls: impl FnOnce() -> Calls,
    ) -> Option<Bounds> {
        let bounds = self.watch.as_mut().and_then(|watch| watch.look(now, ledger, collects, calls));
        if self.recorder.as_ref().is_some_and(|recorder| recorder.is_due(now)) {
            self.note(now, ledger, seen());
        }
        if let Some(teller) = self.teller.as_mut().filter(|teller| teller.is_due(now)) {
            let phase = teller.phase();
            teller.tell(now, phase, counts(ledger, seen()));
        }
        bounds
    }

    /// Notes how it goes, whether or not it is time to.
    pub(crate) fn note(&mut self, now: Instant, ledger: &Ledger, seen: Seen) {
        if let Some(recorder) = &mut self.recorder {
            let Seen { items, running, .. } = seen;
            recorder.note(now, Moment { items, running, held: ledger.held().as_u64(), ..Moment::default() });
        }
    }

    /// Tells how it goes, whether or not it is time to.
    pub(crate) fn tell(&mut self, now: Instant, phase: Phase, ledger: &Ledger, seen: Seen) {
        if let Some(teller) = &mut self.teller {
            teller.tell(now, phase, counts(ledger, seen));
        }
    }
}

pub(crate) fn counts(ledger: &Ledger, seen: Seen) -> Counts {
    Counts { done: seen.items, held: ledger.held().as_u64(), result_bytes: seen.result_bytes }
}
