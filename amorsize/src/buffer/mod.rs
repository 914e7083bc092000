//! The memory for waiting items and for results.
//!
//! # Why it is unsafe
//!
//! - The workers write the results of a `collect` straight into the collection's own allocation,
//!   and item buffers are used again. With plain `Vec`s each item and each result would be copied
//!   once more, and a run of very cheap calls spends most of its time on that.
//! - Buffers don't name the types of their values, so the code that handles buffers is compiled
//!   once rather than for each annotated function: otherwise a hundred functions add seconds to a
//!   debug build (`amorsize-macros/compile-time.sh`).
//!
//! # Why it is sound
//!
//! - *Values come out as the type that they went in as.* Every sequence carries the mark of the
//!   `Key` that made it. Each key has its own mark and its own type, and no value goes in or out
//!   without the key that has the sequence's mark.
//! - *Each place has one owner.* A `Seq` gets its places from its own block, or from a shared one
//!   that gives each place once. It passes places on by value.
//! - *A place that is read holds a value, and each value is read or dropped once.* A `Seq` knows
//!   where its values begin and end. It alone moves these ends: past a place before it reads it,
//!   and past one after it has written it.
//! - *Only values that can be sent are sent.* Only `Send` types have keys.
//! - *Values don't outlive what they borrow.* The owner of a buffer names the types of its values
//!   in a `PhantomData`, and the buffer is dropped with its owner.
//!
//! `block` has memory and keys, `seq` everything that is done to memory. The other files have no
//! unsafe code: `chunk` has items and results together, and `collection` all results of a run.
#![expect(
    unsafe_code,
    reason = "values are kept without their types, and written into one allocation by several threads"
)]

pub(crate) mod asks;
mod block;
mod chunk;
mod collection;
mod seq;
#[cfg(test)]
mod tests;

pub use chunk::Quota;
pub(crate) use chunk::{Clock, Part, RawChunk, Restored, Results, Scratch};
pub(crate) use collection::{Collection, Collector};

use std::mem::needs_drop;
use std::slice;

use self::asks::Asks;
use crate::buffer::asks::Way;
use crate::memory::credit::Credit;
use crate::memory::measure::HeapOf;
use block::{Key, keys};
use seq::Seq;

/// The types of a run's items and results. Values get into the run's buffers, and out of them, only
/// by these.
pub(crate) struct Types<T, R> {
    items: Key<T>,
    results: Key<R>,
}

impl<T, R> Clone for Types<T, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, R> Copy for Types<T, R> {}

impl<T: Send, R: Send> Types<T, R> {
    /// Types for buffers that no other `Types` accept.
    pub(crate) fn new() -> Self {
        let (items, results) = keys();
        Self { items, results }
    }
}

impl<T, R> Types<T, R> {
    /// A chunk without items.
    pub(crate) fn chunk(self) -> Box<RawChunk> {
        RawChunk::new((self.items.kind(), self.results.kind()), 0)
    }

    /// A chunk without items, with room for one item and its result.
    pub(crate) fn place_of_one(self) -> Box<RawChunk> {
        RawChunk::new((self.items.kind(), self.results.kind()), 1)
    }

    /// Puts an item into an empty chunk with room for one.
    pub(crate) fn put_one(self, chunk: &mut RawChunk, item: T) {
        chunk.items.rewind();
        chunk.items.push(self.items, item);
    }

    /// Takes up to `most` items from `input` into a chunk without items, as far as `asks` allows.
    /// True if the input has ended: only `None` says that, not its `size_hint`.
    ///
    /// If `heap` tells what items own, each is measured as it comes. No further one is taken once
    /// they have more bytes than fit.
    pub(crate) fn fill(
        self,
        chunk: &mut RawChunk,
        input: &mut impl Iterator<Item = T>,
        most: usize,
        heap: Option<HeapOf<T>>,
        (asks, way): (&mut Asks, Way),
    ) -> bool {
        let most = chunk.prepare_items(most, input.size_hint().1);
        let mut goal = asks.begin(most, way).min(most);
        loop {
            let (count, mut fits) = (goal - chunk.items.len(), true);
            // Items that need no drop own nothing: for them the other loop isn't even compiled.
            let has_ended = if const { needs_drop::<T>() }
                && let Some(heap) = heap
            {
                let RawChunk { items, heap: all, is_unmeasurable, .. } = &mut *chunk;
                let all = all.get_or_insert(0);
                let mut bytes = all.saturating_add(items.kind().bytes(items.len()) as u64);
                items.fill_while(self.items, input, count, |item| {
                    // It stays true if the user's code that tells the bytes panics.
                    *is_unmeasurable = true;
                    let owned = heap(slice::from_ref(item)).sum;
                    *is_unmeasurable = false;
                    *all = all.saturating_add(owned);
                    bytes = bytes.saturating_add(owned + size_of::<T>() as u64);
                    fits = bytes <= asks.fitting;
                    fits
                })
            } else {
                chunk.items.fill(self.items, input, count)
            };
            match asks.look(chunk.items.len(), most, way) {
                Some(next) if !has_ended && fits => goal = next.min(most),
                _ => {
                    asks.end();
                    return has_ended;
                }
            }
        }
    }

    /// The first `count` waiting items of a chunk.
    pub(crate) fn first_items_of(self, chunk: &RawChunk, count: usize) -> &[T] {
        chunk.items.first(self.items, count)
    }

    /// Takes the next waiting item out of a chunk.
    pub(crate) fn take_item(self, chunk: &mut RawChunk) -> T {
        chunk.items.pop_front(self.items)
    }

    /// Puts an item back in the place of the last one taken out, to be the next.
    pub(crate) fn put_back(self, chunk: &mut RawChunk, item: T) {
        chunk.items.push_front(self.items, item);
    }

    /// Takes the last result out.
    pub(crate) fn take_last(self, results: &mut Results) -> R {
        results.seq.pop(self.results)
    }

    /// The last `count` of `results`.
    pub(crate) fn last_of(self, results: &Results, count: usize) -> &[R] {
        results.seq.last(self.results, count)
    }

    /// The next `count` items of a chunk, to be run: at most the waiting items, and those with room
    /// for their results.
    #[inline]
    pub(crate) fn quota(self, chunk: &mut RawChunk, count: usize) -> Quota<'_, T, R> {
        Quota { chunk, types: self, count }
    }

    /// The results as a `Vec`, without a copy. This gives their credit back.
    pub(crate) fn into_vec(self, results: Results) -> Vec<R> {
        results.seq.into_vec(self.results)
    }

    /// Room for results in a `Vec` that was used before.
    pub(crate) fn in_buffer(self, mut buffer: Vec<R>) -> Results {
        buffer.clear();
        self.results_of(buffer, Credit::NONE)
    }

    /// The results of a `Vec`, without a copy, with their credit.
    pub(crate) fn results_of(self, vec: Vec<R>, credit: Credit) -> Results {
        Results { seq: Seq::of_vec(self.results, vec), credit }
    }

    /// Makes a [`Collection`] of results.
    pub(crate) fn collector(self) -> Collector {
        Collector(self.results.kind())
    }
}
