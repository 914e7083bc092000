//! Results as bytes.

use serde::Serialize;

use super::encode::encode;
use super::frame::Run;
use super::identity::ItemsHash;
use super::shape::Shape;

/// The results of consecutive items, encoded by the worker that has them.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(super) first: u64,
    items: u32,
    hash: ItemsHash,
    pub(super) bytes: Vec<u8>,
    pub(super) shape: Shape,
    /// The bytes of complete results.
    whole: usize,
    /// True if a later run must find its items without those before them.
    pub(super) is_apart: bool,
}

impl Encoded {
    /// Starts without results. The first will be the result of the item with this index in the
    /// input.
    pub(crate) fn new(first: u64) -> Self {
        let (hash, shape) = (ItemsHash::default(), Shape::unknown());
        Self { first, items: 0, hash, bytes: Vec::new(), shape, whole: 0, is_apart: false }
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
    pub(crate) fn push<R: Serialize + ?Sized>(&mut self, item: u64, result: &R) -> Result<(), String> {
        encode(result, &mut self.bytes)?;
        if self.items == 0 {
            self.shape = Shape::of(result);
        }
        self.items += 1;
        self.hash.push(item);
        self.whole = self.bytes.len();
        Ok(())
    }

    /// Removes the bytes of a result that panicked while it was encoded.
    pub(crate) fn undo(&mut self) {
        self.bytes.truncate(self.whole);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items == 0
    }

    pub(super) fn run(&self) -> Run {
        Run { first: self.first, items: self.items, bytes: self.bytes.len() as u64, hash: self.hash.0 }
    }

    /// The bytes of memory that this takes.
    pub(crate) fn memory(&self) -> u64 {
        (size_of::<Self>() + self.bytes.capacity()) as u64
    }
}
