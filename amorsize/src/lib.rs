#![doc = include_str!("../README.md")]

// So that unit tests can use the attribute, which names the crate.
#[cfg(test)]
extern crate self as amorsize;

mod batches;
mod bottleneck;
#[doc(hidden)]
pub mod bounds;
mod cancel;
mod code;
mod cores;
mod counted;
#[cfg(feature = "durable")]
mod durable;
#[cfg(not(feature = "durable"))]
#[path = "durable/none.rs"]
mod durable;
mod error;
mod execute;
mod failure;
mod functions;
pub mod guide;
mod handover;
mod iter;
#[cfg(feature = "durable")]
mod keyed;
mod memory;
pub mod on_error;
mod options;
mod outcome;
mod overrun;
mod page_faults;
mod picture;
mod plan;
mod policy;
mod process;
mod progress;
#[cfg(feature = "progress")]
mod progress_bar;
#[cfg(all(test, target_os = "linux"))]
mod recorded;
mod report;
mod retry;
mod run;
mod run_core;
mod sample;
mod seconds;
#[cfg(feature = "serde")]
mod serialize;
#[cfg(feature = "durable")]
pub mod sink;
#[cfg(feature = "durable")]
pub mod spill;
mod stage;
#[cfg(feature = "durable")]
mod store;
mod sync;
mod system_calls;
mod then;
mod thread_time;
mod time_use;
mod timeline;
mod trace;
mod verbose;
mod waits;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

#[doc = include_str!("derive_deep_size.md")]
pub use amorsize_macros::DeepSize;
#[doc = include_str!("batched.md")]
pub use amorsize_macros::batched;
pub use batches::{Batch, Indices};
pub use bottleneck::Bottleneck;
pub use cancel::CancelToken;
pub use error::{Changed, Error, ErrorKind, TryError};
pub use failure::{Cause, Failure, Panicked};
pub use functions::{
    IntoBatched, estimate_safe_batch_size, execute, optimize, process_fallible_in_batches, process_in_batches,
};
#[doc(inline)]
pub use guide::when_things_go_wrong;
pub use iter::{IntoIter, Unordered};
#[cfg(feature = "durable")]
pub use keyed::Keyed;
pub use memory::ByteSize;
pub use memory::deep_size::DeepSize;
pub use memory::measure::{Certainty, MeasuredBy};
pub use memory::source::{MemorySource, with_memory_source};
pub use memory::tracking::{HeapUse, Tracking};
pub use memory::trim::set_trim;
pub use options::{MaxMemory, OnPanic, Oversize};
pub use outcome::Outcome;
pub use plan::{Plan, Warning};
pub use progress::{Phase, Progress};
#[cfg(feature = "progress")]
pub use progress_bar::progress_bar;
pub use report::Report;
pub use retry::Retry;
pub use run::Batched;
#[cfg(feature = "durable")]
#[doc(inline)]
pub use spill::Spilled;
pub use stage::StageReport;
pub use then::{Stage, Then};
pub use time_use::TimeUse;
pub use timeline::{BatchTime, Moment, Timeline};
