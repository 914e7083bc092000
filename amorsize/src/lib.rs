//! Run a function over many items on all cores, in batches that keep a memory budget.

mod bounds;
mod error;
mod execute;
mod memory;
mod options;
mod run;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

#[doc = include_str!("batched.md")]
pub use amorsize_macros::batched;
pub use error::{Error, ErrorKind, TryError};
pub use memory::Bytes;
pub use memory::deep_size::DeepSize;
pub use memory::measure::MeasuredBy;
pub use options::MaxMemory;
pub use run::Batched;
