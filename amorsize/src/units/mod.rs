//! Small types that all parts use: quantities with their texts, and values by the index of an item.

pub(crate) mod by_index;
mod byte_size;
pub(crate) mod counted;
#[cfg(any(feature = "durable", feature = "picture"))]
pub(crate) mod date;
pub(crate) mod decimal;
pub(crate) mod mean;
pub(crate) mod measured_by;
pub(crate) mod seconds;

pub use byte_size::ByteSize;
pub(crate) use byte_size::{BYTES_SYNTAX, MOST_BYTES};
