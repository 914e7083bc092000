//! Runs one test at a time, for tests of things that all threads of a process share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits until no other test holds the lock. A test that failed does not keep it.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
