//! Results in the order of their items.

use std::mem::replace;

use super::block::Kind;
use super::seq::Seq;
use crate::memory::credit::Credit;

/// Results in the order of their items: in an allocation of their own, or in a region of a
/// [`Collection`](super::Collection)'s.
pub(crate) struct Results {
    pub(super) seq: Seq,
    /// The credit of the results, from when their chunk is booked.
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

    /// Makes room for `count` results in memory of their own, unless there is room already, which
    /// is prepared then.
    #[inline]
    pub(crate) fn ensure(&mut self, count: usize) {
        self.seq.prepare(count);
        if self.seq.room() < count {
            assert!(self.len() == 0 && !self.seq.is_region(), "room is made before the first result");
            *self = Self::new(self.seq.kind(), count);
        }
    }

    /// Leaves the next `count` places of a region here and gives those behind to others. Without a
    /// region these get none.
    pub(super) fn split_room(&mut self, count: usize) -> Self {
        Self::of(self.seq.split_room(self.len() + count))
    }

    /// Moves results that lie in a collection's allocation to one of their own, and gives the rest
    /// of their room up.
    pub(super) fn leave_collection(&mut self) {
        if self.seq.is_region() {
            let count = self.len();
            let mut own = Self::new(self.seq.kind(), count);
            own.seq.append_last(&mut self.seq, count);
            own.credit = self.credit.take_all();
            *self = own;
        }
    }

    /// Takes the results out, leaving no room.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self::new(self.seq.kind(), 0);
        replace(self, empty)
    }
}
