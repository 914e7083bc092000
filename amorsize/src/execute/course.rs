//! The course of a run on threads: running, pausing, ending at an item, or over.
//!
//! | turn | made by | when | effect |
//! | --- | --- | --- | --- |
//! | [`resume`] | the calling thread | a part of the run begins | chunks start |
//! | [`pause`] | the calling thread | the outlet has enough, or the run fails | chunks stop early |
//! | | the calling thread | the sink or the input panicked | chunks stop early |
//! | | a worker | it sees an interrupt | chunks stop early |
//! | [`end_at`] | a worker | an item panicked | earlier items still run |
//! | | any thread | other code panicked | no further item starts |
//! | [`move_end`] | the calling thread | it returns a panic | items before the next panic may run |
//! | [`end`] | the calling thread | the outlet stops | as `pause`, and no call is retried |
//!
//! A chunk that stops early ends after its current item. Its other items wait for the next part.
//!
//! All loads and stores are relaxed: the state that belongs to a turn is read under its lock.
//!
//! [`resume`]: Course::resume
//! [`pause`]: Course::pause
//! [`end_at`]: Course::end_at
//! [`move_end`]: Course::move_end
//! [`end`]: Course::end

use crate::system::sync::Ordering::Relaxed;
use crate::system::sync::{AtomicBool, AtomicUsize};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Course {
    /// Items from this index on do not start.
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

    /// Sets the item at which the run ends; `usize::MAX` stands for none.
    pub(super) fn move_end(&self, item: usize) {
        self.limit.store(item, Relaxed);
    }

    /// The item at which the run ends, or `usize::MAX`.
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

    /// True if a failed call for this item is not retried.
    pub(super) fn gives_up(&self, item: usize) -> bool {
        item >= self.limit() || self.is_over.load(Relaxed)
    }
}
