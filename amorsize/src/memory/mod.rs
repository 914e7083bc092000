//! Memory: the bytes that are available, a run's budget, and the bytes that its results take.

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

#[cfg(feature = "picture")]
pub(crate) use available::installed;
pub(crate) use available::{Started, most_threads};
