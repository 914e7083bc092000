//! Memory: the bytes that are available, a run's budget, and the bytes that its results take. The
//! guide's page [`choosing_a_budget`](crate::guide::choosing_a_budget) says what counts.

mod available;
pub(crate) mod budget;
pub(crate) mod credit;
pub(crate) mod deep_size;
pub(crate) mod max_memory;
pub(crate) mod measure;
pub(crate) mod shares;
pub(crate) mod source;
pub(crate) mod tracking;
pub(crate) mod trim;
pub(crate) mod watch;
pub(crate) mod working;

pub use deep_size::DeepSize;
pub use max_memory::MaxMemory;
pub use source::{MemorySource, with_memory_source};
pub use tracking::{HeapUse, Tracking};
pub use trim::set_trim;

pub use crate::units::measured_by::{Certainty, MeasuredBy};

#[cfg(feature = "picture")]
pub(crate) use available::installed;
pub(crate) use available::{Started, most_threads};
