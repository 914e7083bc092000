//! Results as bytes.

use serde::Serialize;

use super::encode::encode;
use super::frame::{FRAME, Run};
use super::identity::ItemsHash;
use super::shape::Shapes;

/// The results of consecutive items, encoded by the worker that has them.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(super) first: u64,
    items: u32,
    hash: ItemsHash,
    pub(super) bytes: Vec<u8>,
    /// Those of the first results. Only a segment's first frame needs them.
    pub(super) shapes: Shapes,
    /// The bytes of complete results.
    whole: usize,
    /// True if a later run must find its items without those before them.
    pub(super) is_apart: bool,
}

/// The results that are looked at. A shape takes as long as encoding a small result, and calls of a
/// millisecond together have up to thousands of those.
const LOOKED_AT: u32 = 16;

impl Encoded {
    /// Starts without results. The first will be the result of the item with this index in the
    /// input.
    pub(crate) fn new(first: u64) -> Self {
        let (hash, shapes) = (ItemsHash::default(), Shapes::default());
        Self { first, items: 0, hash, bytes: Vec::new(), shapes, whole: 0, is_apart: false }
    }

    /// Starts the same for items that may depend on the results before them. A later run gets them
    /// only after it has handed those results over, so they are no part of one [`Done`].
    ///
    /// [`Done`]: super::Done
    pub(crate) fn apart(first: u64) -> Self {
        Self { is_apart: true, ..Self::new(first) }
    }

    /// Adds the result of the next item, with the item's hash. The text of an error is its cause;
    /// what was added before stays.
    pub(crate) fn push<R: Serialize>(&mut self, item: u64, result: &R) -> Result<(), String> {
        encode(result, &mut self.bytes)?;
        if self.items < LOOKED_AT {
            self.shapes.see(result);
        }
        self.items += 1;
        self.hash.push(item);
        self.whole = self.bytes.len();
        Ok(())
    }

    /// Makes room for this number of results in all, by the size of the first. Otherwise the bytes
    /// of most of them would be copied again and again.
    pub(crate) fn reserve(&mut self, results: usize) {
        if self.items == 1 {
            let more = self.bytes.len().saturating_mul(results.saturating_sub(1));
            // The others may be smaller, and budgets are small: a millisecond of cheap calls has
            // no more.
            self.bytes.reserve_exact(more.min(FRAME / 4));
        }
    }

    /// True if the results fill a frame.
    pub(crate) fn fills_a_frame(&self) -> bool {
        self.bytes.len() >= FRAME
    }

    /// Removes the bytes of a result that panicked while it was encoded.
    pub(crate) fn undo(&mut self) {
        self.bytes.truncate(self.whole);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items == 0
    }

    pub(super) fn items(&self) -> usize {
        self.items as usize
    }

    pub(super) fn run(&self) -> Run {
        Run { first: self.first, items: self.items, bytes: self.bytes.len() as u64, hash: self.hash.0 }
    }

    /// The bytes of memory that this takes until it is written; 0 without results, as nothing then
    /// waits to be written, and nothing would give the bytes back.
    pub(crate) fn memory(&self) -> u64 {
        if self.is_empty() { 0 } else { (size_of::<Self>() + self.bytes.capacity() + self.shapes.memory()) as u64 }
    }
}
