//! Results as bytes.

use std::panic::catch_unwind;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::encode::{decode, encode};
use super::frame::Run;
use super::identity::ItemsHash;
use super::shape::Shape;
use crate::error::failure::discard;

/// The results of consecutive items, encoded by the worker that has them.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(super) first: u64,
    items: u32,
    hash: ItemsHash,
    pub(super) bytes: Vec<u8>,
    first_shape: FirstShape,
    /// The bytes of complete results.
    whole: usize,
    /// True if a later run must find its items without those before them.
    pub(super) is_apart: bool,
}

/// The shape of the first result. Only a segment's first frame needs one.
#[derive(Debug)]
enum FirstShape {
    Known(Shape),
    /// Finds the shape of the first result in these bytes.
    In(fn(&[u8]) -> Shape),
}

/// The shape of a first result of more bytes is noted while the result is there: that takes little
/// time beside encoding it, and reading it back would take its memory twice.
const READ: usize = 4 << 10;

impl Encoded {
    /// Starts without results. The first will be the result of the item with this index in the
    /// input.
    pub(crate) fn new(first: u64) -> Self {
        let (hash, first_shape) = (ItemsHash::default(), FirstShape::Known(Shape::unknown()));
        Self { first, items: 0, hash, bytes: Vec::new(), first_shape, whole: 0, is_apart: false }
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
    pub(crate) fn push<R>(&mut self, item: u64, result: &R) -> Result<(), String>
    where
        R: Serialize + DeserializeOwned,
    {
        encode(result, &mut self.bytes)?;
        if self.items == 0 {
            self.first_shape = if self.bytes.len() <= READ {
                FirstShape::In(shape_of_first::<R>)
            } else {
                FirstShape::Known(Shape::of(result))
            };
        }
        self.items += 1;
        self.hash.push(item);
        self.whole = self.bytes.len();
        Ok(())
    }

    /// Makes room for this number of results in all, by the size of the first. Otherwise the bytes
    /// of most of them would be copied again and again.
    pub(crate) fn reserve(&mut self, results: usize) {
        /// More is not reserved at once: the other results may be smaller, and budgets are small.
        const MOST: usize = 64 << 10;

        if self.items == 1 {
            let more = self.bytes.len().saturating_mul(results.saturating_sub(1));
            self.bytes.reserve_exact(more.min(MOST));
        }
    }

    /// The shape of the first result.
    pub(super) fn shape(&self) -> Shape {
        match &self.first_shape {
            FirstShape::Known(shape) => shape.clone(),
            FirstShape::In(of_first) => of_first(&self.bytes),
        }
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

/// The shape of the first result in these bytes. If the user's code can't read it, it may have any.
fn shape_of_first<R: Serialize + DeserializeOwned>(bytes: &[u8]) -> Shape {
    let shape = catch_unwind(|| decode::<R>(bytes).map(|(first, _)| Shape::of(&first)));
    match shape {
        Ok(Ok(shape)) => shape,
        Ok(Err(_)) => Shape::any(),
        Err(payload) => {
            discard(payload);
            Shape::any()
        }
    }
}
