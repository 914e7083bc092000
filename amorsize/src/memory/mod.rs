//! Memory: how much there is, how much a run may use of it, and how much its results take.

mod available;
pub(crate) mod budget;
mod bytes;
pub(crate) mod deep_size;
pub(crate) mod measure;
pub(crate) mod shares;
pub(crate) mod source;
pub(crate) mod tracking;
pub(crate) mod trim;
pub(crate) mod watch;
pub(crate) mod working;

pub(crate) use available::{Started, most_threads};
pub use bytes::Bytes;
pub(crate) use bytes::MOST_BYTES;
