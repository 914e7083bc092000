//! The course of a run on threads: running, pausing, ending at an item, or over.
//!
//! | turn | who | when | then |
//! | --- | --- | --- | --- |
//! | [`resume`](Course::resume) | the caller | a part of the run begins | chunks start |
//! | [`pause`](Course::pause) | the caller; a job | the outlet has enough, the run failed; it was interrupted | chunks end after the current item, and their rest waits for the next part |
//! | [`end_at`](Course::end_at) | a job; the caller | an item panicked; the sink or the input did | items before that one still run |
//! | [`move_end`](Course::move_end) | the caller | a panic was told | as above, up to the next one that panicked |
//! | [`end`](Course::end) | the caller | nobody wants further results | as with a pause, and no call is made again |
//!
//! All loads and stores are relaxed: what goes with a turn is read under the lock of the state.

use crate::sync::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Course {
    /// The item at this index, and those after it, do not start.
    limit: AtomicUsize,
    is_pausing: AtomicBool,
    is_over: AtomicBool,
}

impl Course {
    pub(super) fn new() -> Self {
        Self {
            limit: AtomicUsize::new(usize::MAX),
            is_pausing: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    pub(super) fn resume(&self) {
        self.is_over.store(false, Relaxed);
        self.is_pausing.store(false, Relaxed);
    }

    pub(super) fn pause(&self) {
        self.is_pausing.store(true, Relaxed);
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Relaxed);
        self.pause();
    }

    pub(super) fn end_at(&self, item: usize) {
        self.limit.fetch_min(item, Relaxed);
    }

    /// Sets the item that the run ends at; `usize::MAX` for none.
    pub(super) fn move_end(&self, item: usize) {
        self.limit.store(item, Relaxed);
    }

    /// The item that the run ends at, or `usize::MAX`.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// True if the run ends at an item.
    pub(super) fn has_end(&self) -> bool {
        self.limit() != usize::MAX
    }

    pub(super) fn is_pausing(&self) -> bool {
        self.is_pausing.load(Relaxed)
    }

    /// True if the item at this index may start.
    pub(super) fn may_start(&self, item: usize) -> bool {
        item < self.limit() && !self.is_pausing()
    }

    /// True if a call for this item that failed is not made again.
    pub(super) fn gives_up(&self, item: usize) -> bool {
        item >= self.limit() || self.is_over.load(Relaxed)
    }
}
