//! One test at a time, for those that look at what all threads of a process share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits until no other test is at it; a test that failed was.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
