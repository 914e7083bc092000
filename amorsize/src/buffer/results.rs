//! Results in the order of their items.

use std::mem::replace;

use super::block::Kind;
use super::seq::Seq;
use crate::memory::credit::Credit;

/// Results in the order of their items: in their own allocation, or in a region of a
/// [`Collection`](super::Collection)'s.
pub(crate) struct Results {
    pub(super) seq: Seq,
    /// The credit of the results, from the time when their chunk is booked.
    pub(crate) credit: Credit,
}

impl Results {
    /// No results, and room for `capacity` in memory of their own.
    pub(super) fn new(kind: Kind, capacity: usize) -> Self {
        Self::of(Seq::new(kind, capacity))
    }

    pub(super) fn of(seq: Seq) -> Self {
        Self { seq, credit: Credit::NONE }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.seq.len()
    }

    /// Makes room for `count` results in memory of their own. If there is room already, it only
    /// prepares that.
    #[inline]
    pub(crate) fn ensure(&mut self, count: usize) {
        self.seq.prepare(count);
        if self.seq.room() < count {
            assert!(self.len() == 0 && !self.seq.is_region(), "room is made before the first result");
            *self = Self::new(self.seq.kind(), count);
        }
    }

    /// Leaves the next `count` places of a region here and returns those behind them. Without a
    /// region there are none.
    pub(super) fn split_room(&mut self, count: usize) -> Self {
        Self::of(self.seq.split_room(self.len() + count))
    }

    /// Moves results from a collection's allocation to one of their own, and gives up the rest of
    /// their room, so that the collection can end.
    pub(crate) fn leave_collection(&mut self) {
        if self.seq.is_region() {
            let count = self.len();
            let mut own = Self::new(self.seq.kind(), count);
            own.seq.append_last(&mut self.seq, count);
            own.credit = self.credit.take_all();
            *self = own;
        }
    }

    /// Leaves the first `keep` results here and returns the others, with `bytes` of the credit.
    pub(crate) fn split_off(&mut self, keep: usize, bytes: u64) -> Self {
        if keep == 0 {
            return self.take();
        }
        let seq = self.seq.split_off(keep);
        let credit = self.credit.split(seq.len(), bytes);
        Self { seq, credit }
    }

    /// Does the same if the bytes of the parts are unknown: each has its share.
    pub(crate) fn split_share_off(&mut self, keep: usize) -> Self {
        let part = (self.len() - keep) as u128;
        let bytes = u128::from(self.credit.bytes()) * part / self.credit.results().max(1) as u128;
        self.split_off(keep, bytes as u64)
    }

    /// Takes the results out and leaves no room.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self::new(self.seq.kind(), 0);
        replace(self, empty)
    }
}
