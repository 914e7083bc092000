//! Hands batches to a sink, and records and tells their times.

use std::thread;
use std::time::Instant;

use crate::log::trace;
use crate::log::verbose::Verbose;
use crate::memory::budget::Ledger;
use crate::report::timeline::{BatchTime, BatchTimes};
use crate::system::sync::now;

/// Counts and times the batches of a run.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The batches that were handed over, and their results.
    count: usize,
    items: usize,
    /// The results that came from a store.
    restored: usize,
    verbose: Verbose,
    /// `None` until the run's first decision: a run that ends before it must not pay for it.
    times: Option<BatchTimes>,
    ledger: Ledger,
}

impl Handover {
    pub(crate) fn new(verbose: Verbose, ledger: &Ledger) -> Self {
        Self { count: 0, items: 0, restored: 0, verbose, times: None, ledger: ledger.clone() }
    }

    /// Begins to time; seconds count from `origin`.
    pub(crate) fn begin_timing(&mut self, origin: Instant) {
        self.times.get_or_insert_with(|| BatchTimes::new(origin));
    }

    /// True if it times batches, from the run's first decision on.
    pub(crate) fn is_timed(&self) -> bool {
        self.times.is_some()
    }

    /// Seconds that the sink took so far.
    pub(crate) fn sink_seconds(&self) -> f64 {
        self.times.as_ref().map_or(0.0, |times| times.sink_seconds)
    }

    /// Notes that the results of the last batch came from a store.
    pub(crate) fn note_restored(&mut self, items: usize) {
        self.restored += items;
    }

    /// Calls `sink` with a batch of `items` results and `bytes` bytes, for the items from
    /// `first_index` to before `next_index`. The error is a panic of a subscriber of `tracing`,
    /// before the call or after it. Only a call counts.
    pub(crate) fn batch(
        &mut self,
        first_index: usize,
        next_index: usize,
        (items, bytes): (usize, u64),
        sink: &mut dyn FnMut(),
    ) -> thread::Result<()> {
        let Self { count, items: all, verbose, times, ledger, .. } = self;
        trace::batch(ledger, first_index, (items, bytes), &mut || {
            (*count, *all) = (*count + 1, *all + items);
            verbose.batch(*count, first_index, next_index - first_index);
            let begun = times.as_ref().map(|_| now());
            sink();
            if let Some((times, begun)) = times.as_mut().zip(begun) {
                times.note(first_index, items, begun, now());
            }
            verbose.batch_done(*count, next_index);
        })
    }

    pub(crate) fn finish(self) -> HandedOver {
        HandedOver {
            batches: self.count,
            items: self.items,
            restored: self.restored,
            sink_seconds: self.sink_seconds(),
            times: self.times.map_or_else(Vec::new, |recorded| recorded.times),
        }
    }
}

/// The batches that were handed over, for the report.
#[derive(Debug, Default)]
pub(crate) struct HandedOver {
    pub(crate) batches: usize,
    pub(crate) items: usize,
    #[cfg_attr(not(feature = "durable"), expect(dead_code, reason = "no result is restored"))]
    pub(crate) restored: usize,
    pub(crate) sink_seconds: f64,
    pub(crate) times: Vec<BatchTime>,
}
