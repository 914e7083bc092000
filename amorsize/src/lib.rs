#![doc = include_str!("../README.md")]

// So that unit tests can use the attribute, which names the crate.
#[cfg(test)]
extern crate self as amorsize;

mod adapt;
mod buffer;
mod call;
mod code;
#[cfg(feature = "durable")]
mod durable;
#[cfg(not(feature = "durable"))]
#[path = "durable/none.rs"]
mod durable;
mod error;
mod execute;
pub mod guide;
mod input;
mod log;
mod memory;
mod options;
mod output;
mod picture;
mod plan;
mod policy;
mod progress;
mod report;
mod run;
#[cfg(feature = "serde")]
mod serialize;
#[cfg(feature = "durable")]
pub mod sink;
#[cfg(feature = "durable")]
mod store;
mod system;
mod units;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

#[doc = include_str!("derive_deep_size.md")]
pub use amorsize_macros::DeepSize;
#[doc = include_str!("batched.md")]
pub use amorsize_macros::batched;
pub use error::failure::{Cause, Failure, Panicked};
pub use error::outcome::Outcome;
pub use error::{Changed, Error, ErrorKind, TryError};
#[doc(inline)]
pub use guide::when_things_go_wrong;
pub use memory::deep_size::DeepSize;
pub use memory::max_memory::MaxMemory;
pub use memory::source::{MemorySource, with_memory_source};
pub use memory::tracking::{HeapUse, Tracking};
pub use memory::trim::set_trim;
pub use options::cancel::CancelToken;
pub use options::choices::{OnPanic, Oversize};
pub use options::retry::Retry;
pub use output::batch::{Batch, Indices};
pub use plan::{Plan, Warning};
pub use policy::on_error;
#[cfg(feature = "progress")]
pub use progress::bar::progress_bar;
pub use progress::stage::StageReport;
pub use progress::{Phase, Progress};
pub use report::Report;
pub use report::bottleneck::Bottleneck;
pub use report::time_use::TimeUse;
pub use report::timeline::{BatchTime, Moment, Timeline};
pub use run::Batched;
#[doc(hidden)]
pub use run::bounds;
pub use run::functions::{
    IntoBatched, estimate_safe_batch_size, execute, optimize, process_fallible_in_batches, process_in_batches,
};
pub use run::iter::{IntoIter, Unordered};
#[cfg(feature = "durable")]
pub use run::keyed::Keyed;
pub use run::then::{Stage, Then};
pub use units::ByteSize;
pub use units::measured_by::{Certainty, MeasuredBy};
