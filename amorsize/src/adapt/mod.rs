//! The number of threads of a run, and the sizes of its chunks and batches.

pub(crate) mod alone;
pub(crate) mod climb;
#[cfg(test)]
mod climbing;
pub(crate) mod learned;
pub(crate) mod situation;
pub(crate) mod sizes;
pub(crate) mod tuner;
pub(crate) mod waits;
