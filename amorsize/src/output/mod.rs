//! Outlets, which take the results of a run: batches for a sink or another thread, one collection,
//! or the buffer of an iterator.

pub(crate) mod batch;
pub(crate) mod batches;
pub(crate) mod collect;
pub(crate) mod exchange;
pub(crate) mod outlet;
pub(crate) mod pull;
