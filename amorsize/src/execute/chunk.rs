//! Chunks: consecutive items that one worker takes at a time. The part of the executor that knows items and results; it is
//! compiled for each function, and kept small for that reason.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::buffer::{Items, Results, transform};
use super::control::{ChunkId, Control, Steps};
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
    pub(crate) fn empty() -> Box<Self> {
        Box::new(Self { items: Items::new(), results: Results::unplaced(), quota: 0 })
    }

    /// Calls `function` for each item of the quota.
    #[inline]
    pub fn run(&mut self, function: impl FnMut(T) -> R) {
        transform(&mut self.items, &mut self.results, self.quota, function);
    }

    /// Leaves the first `keep` of the waiting items here, and their results, and gives the others.
    fn split_off(&mut self, keep: usize) -> Box<Self> {
        let results = self.results.rest_behind(self.results.len() + keep);
        Box::new(Self { items: self.items.split_off(keep), results, quota: 0 })
    }
}

/// The function of a run, as a call over a chunk: one call through a pointer for many items.
pub(crate) type Kernel<T, R, C> = fn(&mut Chunk<T, R>, &C);

/// What all threads of a run share: the function, its shared parameters, and the chunks that wait or are done.
pub(crate) struct Shared<T, R, C> {
    pub(crate) context: C,
    pub(crate) kernel: Kernel<T, R, C>,
    pub(crate) measure: (Measure<T>, Measure<R>),
    chunks: Mutex<Chunks<T, R>>,
}

/// Chunks by name. The place of a chunk that a worker has is empty and still the chunk's.
struct Chunks<T, R> {
    places: Vec<Option<Box<Chunk<T, R>>>>,
    free: Vec<ChunkId>,
}

impl<T, R, C> Shared<T, R, C> {
    pub(crate) fn new(context: C, kernel: Kernel<T, R, C>, measure: (Measure<T>, Measure<R>)) -> Self {
        Self { context, kernel, measure, chunks: Mutex::new(Chunks { places: Vec::new(), free: Vec::new() }) }
    }

    fn chunks(&self) -> MutexGuard<'_, Chunks<T, R>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a chunk and gives it a name.
    pub(crate) fn add(&self, chunk: Box<Chunk<T, R>>) -> ChunkId {
        let mut chunks = self.chunks();
        if let Some(id) = chunks.free.pop() {
            chunks.places[id] = Some(chunk);
            return id;
        }
        chunks.places.push(Some(chunk));
        chunks.places.len() - 1
    }

    /// Takes a chunk out to [`put`](Self::put) it back.
    fn take(&self, id: ChunkId) -> Box<Chunk<T, R>> {
        self.chunks().places[id].take().expect("a chunk has one user at a time")
    }

    fn put(&self, id: ChunkId, chunk: Box<Chunk<T, R>>) {
        self.chunks().places[id] = Some(chunk);
    }

    /// Takes a chunk out for good.
    pub(crate) fn remove(&self, id: ChunkId) -> Box<Chunk<T, R>> {
        let mut chunks = self.chunks();
        chunks.free.push(id);
        chunks.places[id].take().expect("a chunk has one user at a time")
    }

    /// Calls the function for the next `count` items of a chunk; gives the bytes that the results own, in all and at most.
    pub(crate) fn step(&self, chunk: &mut Chunk<T, R>, count: usize) -> (u64, u64) {
        chunk.quota = count;
        (self.kernel)(chunk, &self.context);
        let Some(heap) = self.measure.1.heap else { return (0, 0) };
        let results = chunk.results.as_slice();
        let (mut sum, mut largest) = (0, 0);
        let mut at = results.len() - count;
        while at < results.len() {
            let bytes = heap(&results[at]) as u64;
            sum += bytes;
            largest = bytes.max(largest);
            at += 1;
        }
        (sum, largest)
    }

    /// Bytes of the waiting items of a chunk.
    pub(crate) fn input_bytes(&self, chunk: &Chunk<T, R>) -> u64 {
        let items = chunk.items.as_slice();
        let mut bytes = size_of_val(items) as u64;
        if let Some(heap) = self.measure.0.heap {
            let mut at = 0;
            while at < items.len() {
                bytes += heap(&items[at]) as u64;
                at += 1;
            }
        }
        bytes
    }
}

/// A chunk in the hands of a worker.
struct Running<'a, T, R, C> {
    shared: &'a Shared<T, R, C>,
    chunk: &'a mut Chunk<T, R>,
}

impl<T, R, C> Steps for Running<'_, T, R, C> {
    fn step(&mut self, count: usize) -> (u64, u64) {
        self.shared.step(self.chunk, count)
    }

    fn done(&self) -> usize {
        self.chunk.results.len()
    }

    fn measures(&self) -> bool {
        self.shared.measure.1.heap.is_some()
    }
}

/// Chunks that any thread can run.
pub(crate) trait Work: Sync {
    /// Runs the next chunk that there is credit for. Says whether there was one, and, to a job, whether there is more.
    fn run_next(&self, control: &Control, is_job: bool, forced: bool) -> bool;
}

impl<T: Send, R: Send, C: Sync> Work for Shared<T, R, C> {
    fn run_next(&self, control: &Control, is_job: bool, forced: bool) -> bool {
        let mut split = |id, keep| {
            let mut chunk = self.take(id);
            let rest = chunk.split_off(keep);
            self.put(id, chunk);
            self.add(rest)
        };
        let Some(grant) = control.start_next(is_job, forced, &mut split) else { return false };
        let mut chunk = self.take(grant.id);
        chunk.results.ensure(grant.items);
        let ran = control.run_chunk(grant, &mut Running { shared: self, chunk: &mut chunk });
        let rest = if !ran.leaves_items() {
            None
        } else if chunk.results.len() == 0 {
            Some(grant.id)
        } else {
            Some(self.add(chunk.split_off(0)))
        };
        self.put(grant.id, chunk);
        control.finish(ran, rest, is_job) || !is_job
    }
}

/// Lends a run's shared part to other threads. Made where the types are known to allow that, and kept as a pointer, so that the
/// terminals need no bounds.
pub(crate) type AsWork<T, R, C> = for<'a> fn(&'a Shared<T, R, C>) -> &'a (dyn Work + 'a);

pub(crate) fn as_work<T: Send, R: Send, C: Sync>(shared: &Shared<T, R, C>) -> &(dyn Work + '_) {
    shared
}
