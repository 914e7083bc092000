//! Results as bytes.

use serde::Serialize;

use super::encode::encode;
use super::frame::Run;
use super::identity::ItemsHash;
use super::shape::Shape;

/// Results of items next to each other, encoded by the worker that has them.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(super) first: u64,
    items: u32,
    hash: ItemsHash,
    pub(super) bytes: Vec<u8>,
    pub(super) shape: Shape,
    /// Bytes of the results that are whole.
    whole: usize,
    /// True if its items are to be found without those before.
    pub(super) is_apart: bool,
}

impl Encoded {
    /// No results yet. The first will be that of the item with this index in the input.
    pub(crate) fn new(first: u64) -> Self {
        let (hash, shape) = (ItemsHash::default(), Shape::unknown());
        Self { first, items: 0, hash, bytes: Vec::new(), shape, whole: 0, is_apart: false }
    }

    /// The same, of items that may have come because of the results before them. A run that goes on
    /// is given them only when it has handed those over, so they are no part of one [`Done`].
    ///
    /// [`Done`]: super::Done
    pub(crate) fn apart(first: u64) -> Self {
        Self { is_apart: true, ..Self::new(first) }
    }

    /// Adds the result of the next item, with the item's hash. After an error, of which this is
    /// the text, what was added before is as it was.
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

    /// Takes the bytes back of a result that panicked while they were made.
    pub(crate) fn undo(&mut self) {
        self.bytes.truncate(self.whole);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items == 0
    }

    pub(super) fn run(&self) -> Run {
        Run { first: self.first, items: self.items, bytes: self.bytes.len() as u64, hash: self.hash.0 }
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> u64 {
        (size_of::<Self>() + self.bytes.capacity()) as u64
    }
}
