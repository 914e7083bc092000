//! Runs one input on many machines, as an array job of an engine that you have already: Slurm,
//! Kubernetes, AWS Batch, HyperQueue, Grid Engine, GNU parallel.
//!
//! [`Batched::array`](crate::Batched::array) is the terminal. The guide's page
//! [`many_machines`](crate::guide::many_machines) says how to start it.

mod describe;
mod directory;
mod environment;
mod error;
mod finished;
mod input;
mod memory;
mod parts;
mod results;
mod task;

use std::error::Error as StdError;
use std::io::{self, Write};
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

pub use self::error::ArrayError;
pub(crate) use self::input::{Share, Shares};
pub(crate) use self::parts::Attempts;
pub use self::results::Results;
pub(crate) use self::task::{Job, Task};
use crate::report::Report;

/// The outcome of a process of an array job: a task's report, or all results.
///
/// # Examples
///
/// See [`Batched::array`](crate::Batched::array).
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one")]
#[must_use = "a process that was started by hand has the results here"]
pub enum Array<R> {
    /// The process was started as a task, and the task is done: now, before, or by another attempt.
    Task(Report),
    /// The process was started by hand, and all tasks are done.
    Results(Results<R>),
}

/// Runs the program of an array job, and gives the exit code that tells the engine if another try
/// can help. It prints an error with its causes to stderr.
///
/// The codes are those of [`ArrayError::code`]; a panic is 70, and any other error 1.
///
/// # Examples
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use amorsize::array::{self, Array};
/// use amorsize::batched;
///
/// #[batched(version = 1)]
/// fn square(x: u32) -> u32 {
///     x * x
/// }
///
/// fn main() -> ExitCode {
///     array::main(|| {
///         match square_batched(0..1_000_000).array("out", 16)? {
///             Array::Task(report) => eprintln!("{report}"),
///             Array::Results(all) => {
///                 for square in all {
///                     println!("{}", square?);
///                 }
///             }
///         }
///         Ok(())
///     })
/// }
/// ```
pub fn main(program: impl FnOnce() -> Result<(), Box<dyn StdError>>) -> ExitCode {
    match catch_unwind(AssertUnwindSafe(program)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            // Nobody may read this, and the engine is to get the exit code all the same.
            let mut stderr = io::stderr();
            let _ = writeln!(stderr, "error: {error}");
            for cause in iter::successors(error.source(), |&cause| cause.source()) {
                let _ = writeln!(stderr, "caused by: {cause}");
            }
            exit_code(&*error)
        }
        // The panic has printed its message.
        Err(payload) => {
            crate::error::failure::discard(payload);
            ExitCode::from(70)
        }
    }
}

/// The exit code of the first error of a chain that has an exit code.
fn exit_code(error: &(dyn StdError + 'static)) -> ExitCode {
    iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref::<ArrayError>())
        .map_or(ExitCode::FAILURE, ArrayError::exit_code)
}
