//! Words that all parts of the executor use.

use std::time::Duration;

use crate::adapt::learned::Stretch;
use crate::error::failure::Payload;
use crate::system::thread_time::Use;

/// Stands for the item of a panic that no call made.
pub(super) const NO_ITEM: usize = usize::MAX;

/// The kind of thread that a job runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadKind {
    /// A thread of the pool.
    Pool,
    /// A thread of the run's own: the run makes more calls at the same time than the pool has
    /// threads.
    Own,
}

/// A run that can't go on because it lacks credit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stuck {
    /// Index of the next item.
    pub(crate) item: usize,
    /// Bytes that the item is expected to need.
    pub(crate) needed: u64,
    /// Items that were pulled and not run.
    pub(crate) waiting: usize,
}

/// One stretch or chunk per interval is measured for the waits of its calls, which takes 6 us.
pub(super) const MEASURED_EVERY: Duration = Duration::from_millis(10);

/// A chunk that may start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) start: usize,
    pub(crate) items: usize,
    /// The credit that it took at its start.
    pub(super) credit: u64,
    /// The part of `credit` for the working memory of a call.
    pub(super) working: u64,
    pub(super) input_bytes: u64,
    /// Bytes that each result counts with, in addition to its measured bytes.
    pub(super) per_item: u64,
    /// True if the waits of its calls are measured.
    pub(super) measured: bool,
}

/// The outcome of a chunk, as far as it ran.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) stretch: Stretch,
    /// True if the bytes contain what other threads allocated for the results.
    pub(super) elsewhere: bool,
    pub(super) panic: Option<Payload>,
    /// Items that were taken and have no result: one if a call panicked before its result was
    /// there.
    pub(super) lost: usize,
    pub(super) used: Option<Use>,
}
