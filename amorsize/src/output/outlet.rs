//! The trait of outlets, which take the results of a run.

use crate::buffer::Results;
use std::time::Instant;

/// The answer of an outlet that took results: go on, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    /// The taker has enough for now.
    Enough,
    /// The taker wants no more at all.
    Stop,
}

/// Takes the results of a run, with the credit that they hold. It keeps the credit as long as it
/// has the results, and drops it when it has handed them over.
pub(crate) trait Outlet {
    /// The memory for the results of the next `count` items in order, if the outlet provides it.
    fn place(&mut self, _count: usize) -> Option<Results> {
        None
    }

    /// Frees all places that were not used.
    fn reclaim(&mut self) {}

    /// Takes results; `start` is the index of the first one's item.
    fn accept(&mut self, results: Results, start: usize) -> Flow;

    /// Hands over the results that are held back to fill a batch.
    fn flush(&mut self) -> Flow {
        Flow::Continue
    }

    /// The number of results that are missing in the batch.
    fn wanted(&self) -> usize {
        usize::MAX
    }

    /// True if it holds results back that `flush` would hand over.
    fn holds(&self) -> bool {
        false
    }

    /// True if the results go to a sink as soon as they fill a batch.
    fn hands_over(&self) -> bool {
        false
    }

    /// Sets the items per batch that the plan found.
    fn set_batch_size(&mut self, _items: usize) {}

    /// Begins to time hand-overs; seconds count from `origin`.
    fn begin_timing(&mut self, _origin: Instant) {}

    /// The seconds that the sink took in timed hand-overs.
    fn sink_seconds(&self) -> f64 {
        0.0
    }

    /// The number of results, if they are kept until the end, so that no credit comes back before.
    fn collected(&self) -> Option<usize> {
        None
    }

    /// True if the results are kept until the end.
    fn collects(&self) -> bool {
        self.collected().is_some()
    }
}
