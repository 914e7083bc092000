//! `par_iter().map(f).collect()` within a memory budget: one attribute on a function runs it over
//! any number of items, on all cores, with results in input order, in no more memory than you
//! allow.
//!
//! The attribute [`#[batched]`](macro@batched) leaves the function as it is and adds another one
//! beside it, `shrink_batched` for `shrink`. That takes an iterator over items and gives a run, a
//! [`Batched`]. Nothing happens until you say what to do with the results, as by
//! [`collect`](Batched::collect) or [`try_for_each_batch`](Batched::try_for_each_batch). Memory
//! decides how many calls run at a time; an error, a panic or a time limit loses nothing that is
//! finished; results that don't fit are an error, and not a killed process.
//!
//! ```rust,no_run
//! use std::error::Error;
//! use std::fs;
//! use std::path::{Path, PathBuf};
//!
//! use amorsize::{Tracking, batched};
//! use image::{ImageResult, RgbImage};
//!
//! // These two lines have every byte of the calls counted.
//! #[global_allocator]
//! static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
//!
//! /// A photo, at most 320 x 320.
//! #[batched(max_memory = "512MiB")]
//! fn shrink(path: PathBuf) -> ImageResult<RgbImage> {
//!     Ok(image::open(path)?.thumbnail(320, 320).into_rgb8())
//! }
//!
//! fn main() -> Result<(), Box<dyn Error>> {
//!     let paths: Vec<PathBuf> = fs::read_dir("photos")?
//!         .map(|entry| entry.map(|entry| entry.path()))
//!         .collect::<Result<_, _>>()?;
//!     fs::create_dir_all("small")?;
//!     // The attribute adds `shrink_batched` beside `shrink`.
//!     shrink_batched(paths.clone()).try_for_each_batch(|batch| -> Result<(), Box<dyn Error>> {
//!         for (index, photo) in batch.indices().zip(batch) {
//!             let name = paths[index].file_name().unwrap_or_default();
//!             match photo {
//!                 Ok(photo) => photo.save(Path::new("small").join(name))?,
//!                 Err(error) => eprintln!("skipped {}: {error}", name.display()),
//!             }
//!         }
//!         Ok(())
//!     })?;
//!     Ok(())
//! }
//! ```
//!
//! ```toml
//! [dependencies]
//! amorsize = { version = "0.1", features = ["image"] }
//! image = { version = "0.25", default-features = false, features = ["jpeg", "png"] }
//! ```
//!
//! # The guide, by task
//!
//! | to | read |
//! | --- | --- |
//! | choose between `collect`, batches, a loop and others | [`terminals`] |
//! | see all options of the attribute | [`batched`](macro@batched) |
//! | run a closure, without the attribute | [`IntoBatched`], [`process_in_batches`] |
//! | run several functions as one | [`Batched::then`] |
//! | choose a budget | [`choosing_a_budget`] |
//! | deal with errors, panics, retries, time limits | [`when_things_go_wrong`] |
//! | know before what a run will do | [`reading_a_plan`] |
//! | watch it, and see where the time went | [`watching_a_run`] |
//! | read a large text file line by line | [`large_text_file`] |
//! | use it from async code, or async code in it | [`async_code`] |
//! | read from a channel, a pipe, a crawler's list of pages to visit | [`inputs_that_wait`] |
//! | call a network or a slow device | [`waiting`] |
//! | start programs, or use a GPU | [`processes_and_gpus`] |
//! | go on after a kill | [`runs_that_survive`] |
//! | run on many machines | [`many_machines`] |
//! | keep results that don't fit the memory | [`results_that_dont_fit`] |
//! | come from rayon, or from Python's Amorsize | [`from_rayon`], [`from_python`] |
//! | find what is wrong | [`troubleshooting`] |
//! | look up a word, a feature, all pages | [`glossary`], [`features`], [`guide`] |
//!
//! [`terminals`]: guide::terminals
//! [`choosing_a_budget`]: guide::choosing_a_budget
//! [`when_things_go_wrong`]: guide::when_things_go_wrong
//! [`reading_a_plan`]: guide::reading_a_plan
//! [`watching_a_run`]: guide::watching_a_run
//! [`large_text_file`]: guide::large_text_file
//! [`async_code`]: guide::async_code
//! [`inputs_that_wait`]: guide::inputs_that_wait
//! [`waiting`]: guide::waiting
//! [`processes_and_gpus`]: guide::processes_and_gpus
//! [`runs_that_survive`]: guide::runs_that_survive
//! [`many_machines`]: guide::many_machines
//! [`results_that_dont_fit`]: guide::results_that_dont_fit
//! [`from_rayon`]: guide::from_rayon
//! [`from_python`]: guide::from_python
//! [`troubleshooting`]: guide::troubleshooting
//! [`glossary`]: guide::glossary
//! [`features`]: guide::features
//!
//! # How a run goes
//!
//! A picture by [`Report::to_svg`](Report#method.to_svg): the example `photos`, 2.1 GiB of pixels
//! through 256 MiB.
//!
#![doc = include_str!("guide/run.svg")]

// So that unit tests can use the attribute, which names the crate.
#[cfg(test)]
extern crate self as amorsize;

mod adapt;
#[cfg(feature = "array")]
pub mod array;
mod buffer;
mod call;
mod code;
#[cfg(feature = "durable")]
mod durable;
#[cfg(not(feature = "durable"))]
#[path = "durable/none.rs"]
mod durable;
pub mod error;
mod execute;
pub mod guide;
mod input;
mod log;
pub mod memory;
pub mod options;
mod output;
#[cfg(feature = "picture")]
mod picture;
mod plan;
mod policy;
mod progress;
pub mod report;
pub mod run;
#[cfg(feature = "serde")]
mod serialize;
#[cfg(feature = "durable")]
pub mod sink;
#[cfg(feature = "durable")]
pub mod spill;
#[cfg(feature = "durable")]
mod store;
mod system;
mod units;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

// The root shows the names that a first program needs. All others lie in the modules.
#[doc = include_str!("derive_deep_size.md")]
pub use amorsize_macros::DeepSize;
#[doc = include_str!("batched.md")]
#[cfg_attr(feature = "durable", doc = include_str!("batched_durable.md"))]
pub use amorsize_macros::batched;
#[doc(inline)]
pub use error::Error;
#[doc(inline)]
pub use memory::{DeepSize, Tracking};
pub use output::batch::Batch;
pub use plan::Plan;
pub use policy::on_error;
#[doc(inline)]
pub use report::Report;
#[doc(inline)]
pub use run::{Batched, IntoBatched, process_in_batches};
pub use units::ByteSize;

// The names of the modules can be had from here, too: `amorsize::Retry` is
// `amorsize::options::Retry`.
#[doc(hidden)]
pub use error::{Cause, Changed, ErrorKind, Failure, Outcome, Panicked, TryError};
#[doc(hidden)]
pub use memory::{Certainty, HeapUse, MaxMemory, MeasuredBy, MemorySource, set_trim, with_memory_source};
#[doc(hidden)]
pub use options::{CancelToken, OnPanic, Oversize, Retry};
#[doc(hidden)]
#[cfg(feature = "progress")]
pub use report::progress_bar;
#[doc(hidden)]
pub use report::{BatchTime, Bottleneck, Moment, Phase, Progress, StageReport, TimeUse, Timeline, Warning};
#[doc(hidden)]
#[cfg(feature = "durable")]
pub use run::Keyed;
#[doc(hidden)]
pub use run::bounds;
#[doc(hidden)]
pub use run::{
    Indices, IntoIter, Iterate, Stage, Then, Unordered, estimate_safe_batch_size, execute, optimize,
    process_fallible_in_batches,
};
#[doc(hidden)]
#[cfg(feature = "durable")]
pub use spill::Spilled;
