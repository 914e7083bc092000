//! The executor: it runs a function over the input within the budget. It begins on the calling
//! thread, and goes on threads if that pays.
//!
//! | part | files |
//! | --- | --- |
//! | what a run knows and decides, and its way onto threads and back | `engine`, `drive`, `books` |
//! | both ends of a run, on the calling thread | `line`; `kept` for results that wait |
//! | a worker's side: take a chunk, run it, put it back | `work` |
//! | a run on the calling thread | `inline` |
//! | a run on threads | `conductor`, `control`, `state`, `jobs`, `course` |
//! | the threads | `pool`, `workers` |
//! | plans that are asked for | `sampling` |
//! | memory and progress | `observer`, `resident`, `telling` |
//! | facts for the report | `account` (waits of threads), `totals` |
//! | errors; words of all parts | `refusals`; `words` |

mod account;
mod books;
#[cfg(all(test, not(loom)))]
mod clocked;
mod conductor;
pub(crate) mod control;
mod course;
mod drive;
mod engine;
mod inline;
mod jobs;
pub(crate) mod kept;
pub(crate) mod line;
#[cfg(all(loom, test))]
mod loom;
mod observer;
mod opening;
pub(crate) mod pool;
mod refusals;
mod resident;
mod sampling;
mod state;
mod telling;
mod totals;
pub(crate) mod words;
pub(crate) mod work;
mod workers;

pub(crate) use self::engine::{Engine, UNRESOLVED_BUDGET};
