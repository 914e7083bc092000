//! How many threads a run has, and how large its chunks and batches are.

pub(crate) mod alone;
pub(crate) mod climb;
#[cfg(test)]
mod climbing;
pub(crate) mod learned;
pub(crate) mod situation;
pub(crate) mod sizes;
pub(crate) mod waits;
