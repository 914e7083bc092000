//! The guide: pages to read in order, or to look into when something is in the way.
//!
//! The [front page of this crate](crate) has a first program and the pages by task. In order:
//!
//! 1. [`terminals`] - which way out: `collect`, batches, a loop and others.
//! 2. [`choosing_a_budget`] - what `max_memory` counts and what it doesn't, and how to choose it.
//! 3. [`when_things_go_wrong`] - errors, panics, too little memory, cancelling, deadlines: what you
//!    get, and what to write to have something else.
//! 4. [`reading_a_plan`] - what a run is going to do and why: every line, reason and warning, and
//!    what to do about it.
//! 5. [`watching_a_run`] - progress, spans and events, where the time went and what would change
//!    that, a picture of it.
//! 6. [`how_memory_is_kept`] - how a run keeps its budget, what it promises, and the limits.
//! 7. [`allocators`] - how bytes are counted, how to have your own types counted exactly, what
//!    allocators keep.
//! 8. [`containers`] - cgroups, Kubernetes, Docker, systemd, `ulimit`: which limits are seen, and
//!    how to test for a small machine.
//!
//! For one kind of work:
//!
//! - [`large_text_file`] - a text file that is larger than memory, line by line.
//! - [`waiting`] - functions that wait for a network or a device: how many threads they get, and
//!   why.
//! - [`inputs_that_wait`] - channels, pipes, cursors: when they are asked, and what is handed over
//!   before.
//! - [`async_code`] - a run called from async code, and async code called from a function.
//! - [`processes_and_gpus`] - functions that start programs or use a device: how to bound what
//!   memory does not.
//! - [`runs_that_survive`] - checkpoint, journal or `skip_first`; what counts as the same run; what
//!   a kill costs.
//! - [`results_that_dont_fit`] - which terminal, what it holds in memory and on disk, and what
//!   survives.
//! - [`many_machines`] - one run as an array job: Slurm, Kubernetes, GNU parallel and others.
//!
//! To look into:
//!
//! - [`troubleshooting`] - symptoms, as you would search for them, with cause and cure.
//! - [`glossary`] - the words of these pages.
//! - [`features`] - the features of this crate, and the crates whose types are counted by them.
//! - [`from_rayon`] - what becomes of `par_iter().map().collect()`, and when to stay with it.
//! - [`from_python`] - the names of Python's Amorsize, and their names here.
//! - [`prediction`] - how long a run will take by its plan, and how sure that is.
//! - [`json`] - the keys of plans, reports and progress as JSON.
//! - [`format`](mod@format) - the files that keep what a run has done, to the byte.
//!
//! Every program is a whole file: paste it over `src/main.rs`. It needs the dependencies of the
//! front page, and those that its own page names.

/// What a page says in docs that were built without its feature.
#[cfg(not(all(feature = "array", feature = "durable", feature = "serde")))]
macro_rules! without {
    ($feature:literal) => {
        concat!(
            "These docs were built without the feature `",
            $feature,
            "`. In a clone of the repository `cargo doc --open -p amorsize --all-features` shows this page."
        )
    };
}

#[doc = include_str!("terminals.md")]
pub mod terminals {}

#[doc = include_str!("choosing_a_budget.md")]
pub mod choosing_a_budget {}

#[doc = include_str!("when_things_go_wrong.md")]
pub mod when_things_go_wrong {}

#[doc = include_str!("reading_a_plan.md")]
pub mod reading_a_plan {}

#[doc = include_str!("watching_a_run.md")]
pub mod watching_a_run {}

#[doc = include_str!("how_memory_is_kept.md")]
pub mod how_memory_is_kept {}

#[doc = include_str!("allocators.md")]
#[cfg_attr(feature = "get-size2", doc = include_str!("allocators_get_size2.md"))]
pub mod allocators {}

#[doc = include_str!("containers.md")]
pub mod containers {}

#[doc = include_str!("large_text_file.md")]
pub mod large_text_file {}

#[doc = include_str!("waiting.md")]
pub mod waiting {}

#[doc = include_str!("inputs_that_wait.md")]
pub mod inputs_that_wait {}

#[doc = include_str!("async_code.md")]
pub mod async_code {}

#[doc = include_str!("processes_and_gpus.md")]
pub mod processes_and_gpus {}

#[cfg_attr(feature = "durable", doc = include_str!("runs_that_survive.md"))]
#[cfg_attr(not(feature = "durable"), doc = without!("durable"))]
pub mod runs_that_survive {}

#[cfg_attr(feature = "durable", doc = include_str!("results_that_dont_fit.md"))]
#[cfg_attr(not(feature = "durable"), doc = without!("durable"))]
pub mod results_that_dont_fit {}

#[cfg_attr(feature = "array", doc = include_str!("many_machines.md"))]
#[cfg_attr(not(feature = "array"), doc = without!("array"))]
pub mod many_machines {}

#[doc = include_str!("troubleshooting.md")]
pub mod troubleshooting {}

#[doc = include_str!("glossary.md")]
pub mod glossary {}

#[doc = include_str!("features.md")]
pub mod features {}

#[doc = include_str!("from_rayon.md")]
pub mod from_rayon {}

#[doc = include_str!("from_python.md")]
pub mod from_python {}

#[doc = include_str!("prediction.md")]
pub mod prediction {}

#[cfg_attr(feature = "serde", doc = include_str!("json.md"))]
#[cfg_attr(not(feature = "serde"), doc = without!("serde"))]
pub mod json {}

#[cfg_attr(feature = "durable", doc = include_str!("format.md"))]
#[cfg_attr(not(feature = "durable"), doc = without!("durable"))]
pub mod format {}
