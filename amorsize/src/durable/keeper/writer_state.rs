//! The state that a writer's thread and the keeper share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::lock;
use crate::memory::credit::Credit;

/// What a writer's thread changes. It is no part of the keeper, which owns the writer: a thread
/// with the last reference to its own writer would wait for its own end.
#[derive(Debug)]
pub(crate) struct WriterState {
    /// The credit of results that are encoded and not written.
    pub(super) held: Mutex<Credit>,
    /// True if the run must stop.
    pub(super) has_failed: AtomicBool,
}

impl WriterState {
    /// Gives back bytes that were written. 0 tells that writing failed.
    pub(crate) fn given(&self, bytes: u64) {
        let mut held = lock(&self.held);
        let left = held.bytes().saturating_sub(bytes);
        held.resize(left);
        drop(held);
        if bytes == 0 {
            self.has_failed.store(true, Ordering::Relaxed);
        }
    }
}
