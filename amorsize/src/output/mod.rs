//! Outlets, which take the results of a run: batches for a sink, one collection, or the buffer of
//! an iterator.

pub(crate) mod batch;
pub(crate) mod batches;
pub(crate) mod collect;
pub(crate) mod outlet;
pub(crate) mod pull;
