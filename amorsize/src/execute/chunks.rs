//! The chunks of a run by name.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::words::ChunkId;
use crate::buffer::RawChunk;

/// The chunks of a run that wait, run or are done. Each has a name.
pub(crate) struct Chunks(Mutex<Places>);

/// The place of a chunk stays reserved, and empty, while a worker has the chunk.
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
    pub(super) fn take(&self, id: ChunkId) -> Box<RawChunk> {
        self.places().chunks[id].take().expect("a chunk has one user at a time")
    }

    pub(super) fn put(&self, id: ChunkId, chunk: Box<RawChunk>) {
        self.places().chunks[id] = Some(chunk);
    }

    /// Ends a collection that chunks were to put their results in.
    pub(crate) fn leave_collection(&self) {
        self.places().chunks.iter_mut().flatten().for_each(|chunk| chunk.leave_collection());
    }

    /// Gives up the name of a chunk that was taken out.
    pub(super) fn forget(&self, id: ChunkId) {
        self.places().free.push(id);
    }

    /// Takes a chunk out for good.
    pub(crate) fn remove(&self, id: ChunkId) -> Box<RawChunk> {
        let mut places = self.places();
        places.free.push(id);
        places.chunks[id].take().expect("a chunk has one user at a time")
    }
}
