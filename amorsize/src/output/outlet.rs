//! An outlet: where the results of a run go.

use crate::buffer::Results;
use std::time::Instant;

/// Whether a run is to go on after results were handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    /// The taker has enough for now.
    Enough,
    /// The taker wants no more at all.
    Stop,
}

/// What takes the results of a run, with the credit that they hold. It keeps the credit as long as
/// it has the results, and drops it when it has handed them over.
pub(crate) trait Outlet {
    /// Where the results of the next `count` items in order are to lie, if the outlet cares.
    fn place(&mut self, _count: usize) -> Option<Results> {
        None
    }

    /// Says that all places that were not used are free again.
    fn reclaim(&mut self) {}

    /// Takes results; `start` is the index of the first one's item.
    fn accept(&mut self, results: Results, start: usize) -> Flow;

    /// Hands over what is held back to fill a batch.
    fn flush(&mut self) -> Flow {
        Flow::Continue
    }

    /// How many more results fill the batch.
    fn wanted(&self) -> usize {
        usize::MAX
    }

    /// Whether results are held back that `flush` would hand over.
    fn holds(&self) -> bool {
        false
    }

    /// Whether what it holds goes to a sink as soon as it is a batch.
    fn hands_over(&self) -> bool {
        false
    }

    /// Sets the items per batch that the plan found.
    fn set_batch_size(&mut self, _items: usize) {}

    /// Begins to time what it hands over; seconds count from `origin`.
    fn begin_timing(&mut self, _origin: Instant) {}

    /// Seconds that the sink took of what was timed.
    fn sink_seconds(&self) -> f64 {
        0.0
    }

    /// How many results it has, where it keeps them until the end, so that no credit comes back before.
    fn collected(&self) -> Option<usize> {
        None
    }

    /// Whether the results are kept until the end.
    fn collects(&self) -> bool {
        self.collected().is_some()
    }
}
