//! Facts of a run that change as items run. They belong to the conductor of the run: the calling
//! thread, or the [`State`](super::state::State) while the run is on threads. They are moved, never
//! copied.

use crate::adapt::learned::Learned;
use crate::error::failure::Panics;
use crate::report::extremes::Extremes;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) learned: Learned,
    /// `None` before the first decision: it would slow down a shorter run.
    pub(crate) extremes: Option<Box<Extremes>>,
    /// The index behind the last item that was taken from the input to be run.
    pub(crate) next: usize,
    /// The number of these items that need not run, because a store has them or they are skipped.
    pub(crate) passed: usize,
    /// The bytes of the results that a store had.
    pub(crate) restored_bytes: u64,
    /// The index of the first item of the input, which may be a part of another one.
    pub(crate) begins_at: usize,
    /// Chunks that ended, including stretches on the calling thread.
    pub(crate) chunks: usize,
    /// Items that panicked, if the run goes on without them.
    pub(crate) panics: Panics,
}

impl Books {
    /// Items that have run, with or without a result, and those that need not run.
    pub(crate) fn ended(&self) -> usize {
        self.learned.items + self.panics.count + self.passed
    }

    /// The bytes of all results so far.
    pub(crate) fn result_bytes(&self) -> u64 {
        self.learned.bytes + self.restored_bytes
    }

    /// Notes items that need not run. Those before the first one of the input count nowhere.
    pub(crate) fn pass_over(&mut self, items: usize, are_outside: bool) {
        self.next += items;
        if are_outside {
            self.begins_at += items;
        } else {
            self.passed += items;
        }
    }

    /// The index behind the last item that was taken, without counting items that need not run.
    pub(crate) fn next_to_run(&self) -> usize {
        self.next - self.passed - self.begins_at
    }
}
