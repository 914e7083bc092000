//! What the executor's threads share, and the clock that they look at: the standard library's, or loom's for the models in
//! `execute/loom.rs`.
//!
//! Loom is seen by this crate's own unit tests alone: `--cfg loom` holds for a whole build, and a program that checks itself with
//! it must get a library that works outside of a model.

#[cfg(not(all(loom, test)))]
mod types {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
    pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
    pub(crate) use std::thread_local;
    pub(crate) use std::time::Instant;

    #[inline]
    pub(crate) fn now() -> Instant {
        Instant::now()
    }
}

#[cfg(all(loom, test))]
mod types {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
    // Loom's `wait_timeout` never times out: a wake-up that is lost is a deadlock, and found.
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;
    pub(crate) use std::time::Instant;

    /// Loom's own takes no constant.
    macro_rules! per_thread {
        ($(#[$meta:meta])* static $name:ident: $type:ty = const $init:block;) => {
            loom::thread_local! { $(#[$meta])* static $name: $type = $init; }
        };
    }
    pub(crate) use per_thread as thread_local;

    /// A clock that stands still: each execution of a model must take the same way when its threads are scheduled alike.
    pub(crate) fn now() -> Instant {
        static NOW: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *NOW
    }
}

pub(crate) use types::*;
