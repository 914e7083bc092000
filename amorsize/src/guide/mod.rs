//! A guide: pages to read in order, or to look into when something is in the way.
//!
//! Start with the [front page of this crate](crate): what it is for, and how a run looks. Then, in this order:
//!
//! 1. [`choosing_a_budget`] - what `max_memory` counts and what it doesn't, and how to choose it.
//! 2. [`reading_a_plan`] - what a run is going to do and why: every line, reason and warning, and what to do about it.
//! 3. [`when_things_go_wrong`] - errors, panics, too little memory, cancelling, deadlines: what you get, and what to write to have
//!    something else.
//! 4. [`watching_a_run`] - progress, spans and events, where the time went and what would change that, a picture of it.
//! 5. [`allocators`] - how bytes are counted, how to have your own types counted exactly, what allocators keep.
//! 6. [`containers`] - cgroups, Kubernetes, Docker, systemd, `ulimit`: what of it is seen, and how to test for a small machine.
//!
//! To look into:
//!
//! - [`waiting`] - functions that wait for a network or a device: how many threads they get, and why.
//! - [`inputs_that_wait`] - channels, pipes, cursors: when they are asked, and what is handed over before.
//! - [`async_code`] - a run called from async code, and async code called from a function.
//! - [`troubleshooting`] - symptoms, as you would search for them, with cause and cure.
//! - [`prediction`] - how long a run will take by its plan, how sure that is, and what it took.
//! - [`from_rayon`] - what becomes of `par_iter().map().collect()`, and when to stay with it.
//! - [`from_python`] - the names of Python's Amorsize, and their names here.
//! - [`json`] - the keys of plans, reports and progress as JSON.
#![cfg_attr(
    feature = "array",
    doc = "- [`many_machines`] - one run as an array job: Slurm, Kubernetes, GNU parallel and others."
)]
#![cfg_attr(
    feature = "durable",
    doc = "- [`runs_that_survive`] - checkpoint, journal or `skip_first`; what counts as the same run; what a kill costs.",
    doc = "- [`results_that_dont_fit`] - which terminal, what it holds in memory and on disk, and what survives.",
    doc = "- [`format`](mod@format) - the files that keep what a run has done, to the byte."
)]
//!
//! All examples are run as tests.

#[doc = include_str!("choosing_a_budget.md")]
pub mod choosing_a_budget {}

#[doc = include_str!("reading_a_plan.md")]
pub mod reading_a_plan {}

#[doc = include_str!("when_things_go_wrong.md")]
pub mod when_things_go_wrong {}

#[doc = include_str!("watching_a_run.md")]
pub mod watching_a_run {}

#[doc = include_str!("allocators.md")]
pub mod allocators {}

#[doc = include_str!("containers.md")]
pub mod containers {}

#[doc = include_str!("waiting.md")]
pub mod waiting {}

#[doc = include_str!("inputs_that_wait.md")]
pub mod inputs_that_wait {}

#[doc = include_str!("async_code.md")]
pub mod async_code {}

#[doc = include_str!("prediction.md")]
pub mod prediction {}

#[doc = include_str!("troubleshooting.md")]
pub mod troubleshooting {}

#[doc = include_str!("from_rayon.md")]
pub mod from_rayon {}

#[doc = include_str!("json.md")]
pub mod json {}

#[doc = include_str!("from_python.md")]
pub mod from_python {}

#[cfg(feature = "array")]
#[doc = include_str!("many_machines.md")]
pub mod many_machines {}

#[cfg(feature = "durable")]
#[doc = include_str!("runs_that_survive.md")]
pub mod runs_that_survive {}

#[cfg(feature = "durable")]
#[doc = include_str!("results_that_dont_fit.md")]
pub mod results_that_dont_fit {}

#[cfg(feature = "durable")]
#[doc = include_str!("format.md")]
pub mod format {}
