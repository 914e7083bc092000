//! The executor.

pub(crate) mod buffer;
pub mod chunk;
