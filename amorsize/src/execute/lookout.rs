//! Observers of a run: the watch over the system's memory, the recorder of its timeline, and the
//! teller of its progress.

use std::time::Instant;

use crate::memory::budget::Ledger;
use crate::memory::watch::Watch;
use crate::memory::working::{Bounds, Calls};
use crate::progress::{Counts, Phase, Teller};
use crate::timeline::{Moment, Recorder};

/// Progress of a run, as observers see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Items that have run.
    pub(crate) items: usize,
    /// Bytes of all results so far.
    pub(crate) result_bytes: u64,
    /// Threads that run items.
    pub(crate) running: usize,
}

/// The observers of a run.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    /// There from the first decision on. Boxed, because a run is moved a few times before that.
    pub(crate) watch: Option<Box<Watch>>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) teller: Option<Teller>,
}

impl Lookout {
    /// True if there is any observer. A run that has just begun has none.
    #[inline]
    pub(crate) fn has_eyes(&self) -> bool {
        self.watch.is_some() || self.is_manned()
    }

    /// True if the run is recorded or its progress is told.
    pub(crate) fn is_manned(&self) -> bool {
        self.recorder.is_some() || self.teller.is_some()
    }

    /// Looks if a look is due; `seen` and `calls` are called only then. Gives new bounds for the
    /// calls in flight if memory was looked at.
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

    /// Records the progress, due or not.
    pub(crate) fn note(&mut self, now: Instant, ledger: &Ledger, seen: Seen) {
        if let Some(recorder) = &mut self.recorder {
            let Seen { items, running, .. } = seen;
            recorder.note(now, Moment { items, running, held: ledger.held().as_u64(), ..Moment::default() });
        }
    }

    /// Tells the progress, due or not.
    pub(crate) fn tell(&mut self, now: Instant, phase: Phase, ledger: &Ledger, seen: Seen) {
        if let Some(teller) = &mut self.teller {
            teller.tell(now, phase, counts(ledger, seen));
        }
    }
}

pub(crate) fn counts(ledger: &Ledger, seen: Seen) -> Counts {
    Counts { done: seen.items, held: ledger.held().as_u64(), result_bytes: seen.result_bytes }
}
