//! Quantities, with their texts.

mod byte_size;
pub(crate) mod counted;
pub(crate) mod measured_by;
pub(crate) mod seconds;

pub use byte_size::ByteSize;
pub(crate) use byte_size::{BYTES_SYNTAX, MOST_BYTES};
