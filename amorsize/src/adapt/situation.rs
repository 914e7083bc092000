//! The machine and the run, as far as decisions rest on them.

use crate::system::cores::Cores;
use crate::units::ByteSize;
use crate::units::measured_by::{Certainty, MeasuredBy};

/// The machine and the run, as known when the plan is made.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    /// Threads that can run at a time, or the number that was asked for.
    pub(crate) threads: usize,
    /// The most threads for a function that waits.
    pub(crate) most: usize,
    pub(crate) threads_asked: bool,
    /// True if the pool runs already.
    pub(crate) warm: bool,
    /// Items that were taken from the input.
    pub(crate) taken: usize,
    /// Those of them that panicked.
    pub(crate) panicked: usize,
    /// Items that are left, if the input knows it.
    pub(crate) remaining: Option<usize>,
    pub(crate) batch_items: Option<usize>,
    /// The most items between the input and the sink, if bounded.
    pub(crate) in_flight: Option<usize>,
    pub(crate) budget: ByteSize,
    pub(crate) available: Option<ByteSize>,
    /// The available bytes, read only to warn of a budget in bytes.
    pub(crate) available_now: Option<ByteSize>,
    /// The cores behind the threads, looked up only for a plan that is asked for.
    pub(crate) cores: Option<Cores>,
    pub(crate) measured_by: MeasuredBy,
    pub(crate) working_certainty: Certainty,
    /// The size of an item and of a result in a chunk's buffers, in bytes.
    pub(crate) item_size: usize,
    pub(crate) result_size: usize,
    /// Bytes that a waiting item is expected to hold.
    pub(crate) item_bytes: u64,
    /// True if an item may own something that can't be measured.
    pub(crate) items_are_opaque: bool,
    /// True if an item may own something.
    pub(crate) items_own: bool,
    /// True if results go to a sink batch by batch.
    pub(crate) hands_over: bool,
}
