//! The facts of a run that change as items are run. They belong to the one that conducts it: to the
//! calling thread, or, while the run is on threads, to their state. They are moved, never copied.

use crate::failure::Panics;
use crate::sample::Learned;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) learned: Learned,
    /// Index behind the last item that was taken to be run.
    pub(crate) next: usize,
    /// Items that were started and whose results are not handed over.
    pub(crate) outstanding: usize,
    /// Chunks that ended; stretches on the calling thread are among them.
    pub(crate) chunks: usize,
    /// Items that panicked, where the run goes on without them.
    pub(crate) panics: Panics,
    /// True if calls were seen not to run all the time.
    pub(crate) suspects: bool,
}

impl Books {
    /// Items whose calls have ended, with a result or without.
    pub(crate) fn ended(&self) -> usize {
        self.learned.items + self.panics.count
    }
}
