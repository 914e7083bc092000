//! Chunks: consecutive items that one worker takes at a time, and the function as that which runs them.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use super::buffer::Chunk;
use super::buffer::{RawChunk, Types};
use super::control::{ChunkId, Control, Steps};
use crate::memory::measure::{Heap, Measure};

/// The function of a run, as a call over a chunk: one call through a pointer for many items.
pub(crate) type Kernel<T, R, C> = fn(&mut Chunk<T, R>, &C);

/// A function with its shared parameters, as the part of the executor sees it that is compiled once.
pub(crate) trait Function: Sync {
    /// Calls the function for the next `count` items of a chunk; gives what the results own beside their own size.
    fn step(&self, chunk: &mut RawChunk, count: usize) -> Heap;

    /// Bytes that the waiting items of a chunk own beside their own size.
    fn input_heap(&self, chunk: &RawChunk) -> u64;

    /// Whether results can own more bytes than their size says.
    fn measures(&self) -> bool;
}

/// The function of a run, its shared parameters, and its types: all that is compiled for each function.
pub(crate) struct Shared<T, R, C> {
    pub(crate) context: C,
    pub(crate) kernel: Kernel<T, R, C>,
    pub(crate) measure: (Measure<T>, Measure<R>),
    pub(crate) types: Types<T, R>,
}

impl<T, R, C: Sync> Function for Shared<T, R, C> {
    fn step(&self, chunk: &mut RawChunk, count: usize) -> Heap {
        (self.kernel)(self.types.quota(chunk, count), &self.context);
        match self.measure.1.heap {
            Some(heap) => heap(self.types.last_results_of(chunk, count)),
            None => Heap::default(),
        }
    }

    fn input_heap(&self, chunk: &RawChunk) -> u64 {
        match self.measure.0.heap {
            Some(heap) => heap(self.types.items_of(chunk)).sum,
            None => 0,
        }
    }

    fn measures(&self) -> bool {
        self.measure.1.heap.is_some()
    }
}

/// Lends a function to other threads. Made where the types are known to allow that, and kept as a pointer, so that the terminals
/// need no bounds.
pub(crate) type AsFunction<T, R, C> = for<'a> fn(&'a Shared<T, R, C>) -> &'a (dyn Function + 'a);

pub(crate) fn as_function<T, R, C: Sync>(shared: &Shared<T, R, C>) -> &(dyn Function + '_) {
    shared
}

/// The chunks of a run that wait, run, or are done, by name.
pub(crate) struct Chunks(Mutex<Places>);

/// The place of a chunk that a worker has is empty and still the chunk's.
struct Places {
    chunks: Vec<Option<Box<RawChunk>>>,
    free: Vec<ChunkId>,
}

impl Chunks {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Places { chunks: Vec::new(), free: Vec::new() }))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a chunk and gives it a name.
    pub(crate) fn add(&self, chunk: Box<RawChunk>) -> ChunkId {
        let mut places = self.places();
        if let Some(id) = places.free.pop() {
            places.chunks[id] = Some(chunk);
            return id;
        }
        places.chunks.push(Some(chunk));
        places.chunks.len() - 1
    }

    /// Takes a chunk out to [`put`](Self::put) it back.
    fn take(&self, id: ChunkId) -> Box<RawChunk> {
        self.places().chunks[id].take().expect("a chunk has one user at a time")
    }

    fn put(&self, id: ChunkId, chunk: Box<RawChunk>) {
        self.places().chunks[id] = Some(chunk);
    }

    /// Takes a chunk out for good.
    pub(crate) fn remove(&self, id: ChunkId) -> Box<RawChunk> {
        let mut places = self.places();
        places.free.push(id);
        places.chunks[id].take().expect("a chunk has one user at a time")
    }
}

/// What any thread needs to run chunks.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) function: &'a dyn Function,
    pub(crate) chunks: &'a Chunks,
}

impl Work<'_> {
    /// Runs the next chunk that there is credit for. Says whether there was one, and, to a job, whether there is more.
    pub(crate) fn run_next(&self, control: &Control, is_job: bool, forced: bool) -> bool {
        let mut split = |id, keep| {
            let mut chunk = self.chunks.take(id);
            let rest = chunk.split_off(keep);
            self.chunks.put(id, chunk);
            self.chunks.add(rest)
        };
        let Some(grant) = control.start_next(is_job, forced, &mut split) else { return false };
        let mut chunk = self.chunks.take(grant.id);
        chunk.results.ensure(grant.items);
        let ran = control.run_chunk(grant, &mut Running { function: self.function, chunk: &mut chunk });
        let rest = if !ran.leaves_items() {
            None
        } else if chunk.results.len() == 0 {
            Some(grant.id)
        } else {
            Some(self.chunks.add(chunk.split_off(0)))
        };
        self.chunks.put(grant.id, chunk);
        control.finish(ran, rest, is_job) || !is_job
    }
}

/// A chunk in the hands of a worker.
struct Running<'a> {
    function: &'a dyn Function,
    chunk: &'a mut RawChunk,
}

impl Steps for Running<'_> {
    fn step(&mut self, count: usize) -> Heap {
        self.function.step(self.chunk, count)
    }

    fn done(&self) -> usize {
        self.chunk.results.len()
    }

    fn measures(&self) -> bool {
        self.function.measures()
    }
}
