//! A count of live values, for tests that each is dropped exactly once.

use std::sync::atomic::{AtomicIsize, Ordering};

use amorsize::DeepSize;

/// Counts the value that it is a part of, as long as that lives.
#[derive(Debug)]
pub(crate) struct Alive<'a>(&'a AtomicIsize);

impl<'a> Alive<'a> {
    pub(crate) fn new(count: &'a AtomicIsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Clone for Alive<'_> {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl DeepSize for Alive<'_> {
    fn heap_size(&self) -> usize {
        0
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
