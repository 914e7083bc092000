//! What a run writes while it runs: lines on standard error, and spans and events of `tracing`.

pub(crate) mod trace;
pub(crate) mod verbose;
