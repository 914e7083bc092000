//! Items taken from the input, to be taken out from the front.

use super::asks::{Asks, Way};
use super::block::{Key, Kind};
use super::seq::Seq;

/// The first stretches of a run grow by steps. One allocation that fits several times into a
/// first-level cache saves the allocations between them.
const AT_ONCE: usize = 8 << 10;

pub(super) struct Items {
    pub(super) seq: Seq,
}

impl Items {
    /// No items, and room for `capacity`.
    pub(super) fn new(kind: Kind, capacity: usize) -> Self {
        Self { seq: Seq::new(kind, capacity) }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.seq.len()
    }

    /// Puts an item into an empty buffer with room for one.
    pub(super) fn put_one<T>(&mut self, key: Key<T>, item: T) {
        self.seq.rewind();
        self.seq.push(key, item);
    }

    /// Makes room in an empty buffer for `most` items, or for the `upper` ones that can come.
    fn prepare(&mut self, most: usize, upper: Option<usize>) -> usize {
        self.seq.rewind();
        // An iterator that knows its end needs no allocation for more items. If it is wrong, it
        // gives the rest when it is asked again.
        let most = upper.map_or(most, |upper| upper.max(1).min(most));
        if self.seq.room() < most {
            let kind = self.seq.kind();
            // An input that ends earlier gets only the room that it needs.
            let at_once = (AT_ONCE / kind.size().max(1)).min(upper.unwrap_or(usize::MAX));
            self.seq = Seq::new(kind, most.max(at_once));
        }
        most
    }

    /// Takes up to `most` items from `input` into an empty buffer, as far as `asks` allows. True if
    /// the input has ended.
    #[inline]
    pub(super) fn fill<T>(
        &mut self,
        key: Key<T>,
        input: &mut impl Iterator<Item = T>,
        most: usize,
        (asks, way): (&mut Asks, Way),
    ) -> bool {
        let most = self.prepare(most, input.size_hint().1);
        let mut goal = asks.begin(most, way).min(most);
        loop {
            let has_ended = self.seq.fill(key, input, goal - self.len());
            match asks.look(self.len(), most, way).filter(|_| !has_ended) {
                Some(next) => goal = next.min(most),
                None => {
                    asks.end();
                    return has_ended;
                }
            }
        }
    }

    /// Leaves the first `keep` items here and returns the others.
    pub(super) fn split_off(&mut self, keep: usize) -> Self {
        Self { seq: self.seq.split_off(keep) }
    }
}
