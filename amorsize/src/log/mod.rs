//! The output of a run while it goes on: lines on standard error, and spans and events of
//! `tracing`.

pub(crate) mod trace;
pub(crate) mod verbose;
