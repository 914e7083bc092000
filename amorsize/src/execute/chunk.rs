//! Chunks: consecutive items that one worker takes at a time, and what a run keeps of them.

use std::sync::Mutex;

use super::buffer::{Items, Results, transform};
use crate::memory::measure::Measure;

/// Consecutive items and the results of those that are done, as the annotated function's wrapper sees them.
pub struct Chunk<T, R> {
    pub(crate) items: Items<T>,
    pub(crate) results: Results<R>,
    /// How many items the next call of [`run`](Self::run) takes.
    pub(crate) quota: usize,
}

impl<T, R> std::fmt::Debug for Chunk<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk").field("items", &self.items.len()).field("results", &self.results.len()).finish()
    }
}

impl<T, R> Chunk<T, R> {
    /// Calls `function` for each item of the quota.
    #[inline]
    pub fn run(&mut self, function: impl FnMut(T) -> R) {
        transform(&mut self.items, &mut self.results, self.quota, function);
    }
}

/// The function of a run, as a call over a chunk: one call through a pointer for many items.
pub(crate) type Kernel<T, R, C> = fn(&mut Chunk<T, R>, &C);
