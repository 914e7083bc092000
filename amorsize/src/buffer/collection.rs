//! The results of a `collect`, in one allocation.

use super::block::{Key, Kind};
use super::results::Results;
use super::seq::Seq;
use crate::memory::credit::Credit;

/// Results that are to become one `Vec`, written into its allocation by the threads that make them.
pub(crate) struct Collection {
    /// All results that were added, in a block that gives places to regions.
    all: Seq,
    /// True if there was room for all so far, so that results lie in place.
    in_place: bool,
    /// The credit of all results.
    credit: Credit,
}

/// Makes a [`Collection`] of results.
#[derive(Clone, Copy)]
pub(crate) struct Collector(pub(super) Kind);

impl Collector {
    /// Room for `capacity` results, or `None` where there is no such amount of memory.
    pub(crate) fn room_for(self, capacity: usize) -> Option<Collection> {
        Some(Collection { all: Seq::shared(self.0, capacity)?, in_place: true, credit: Credit::NONE })
    }
}

impl Collection {
    /// The next `count` places, or none where fewer are left.
    pub(crate) fn place(&mut self, count: usize) -> Results {
        let region = if self.in_place { self.all.region(count) } else { None };
        // Where there is none nothing lies in place from here on, so that results can be added in
        // order.
        self.in_place = region.is_some();
        region.map_or_else(|| Results::new(self.all.kind(), 0), Results::of)
    }

    /// Lends no places, so that results from elsewhere can be added in order.
    pub(crate) fn lend_nothing(&mut self) {
        self.in_place = false;
    }

    /// Takes back the places that were lent and not used, when all regions were added.
    pub(crate) fn reclaim(&mut self) {
        assert!(self.all.reclaim(), "a region is out");
    }

    /// Adds the results next in order.
    pub(crate) fn add(&mut self, mut results: Results) {
        self.credit.join(results.credit.take_all());
        if results.seq.is_region() {
            return self.all.join(results.seq);
        }
        let (len, count, room) = (self.len(), results.len(), self.all.room());
        if room < count && !self.all.extend(count - room) {
            // At least twice as much, so that each result is moved once on average, as `Vec` does
            // it.
            let mut grown = Seq::new(self.all.kind(), (len + count).max(2 * len));
            grown.append_last(&mut self.all, len);
            self.all = grown;
            self.in_place = false;
        }
        self.all.append_last(&mut results.seq, count);
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// All results as a `Vec`, when all regions were added, with their credit.
    pub(super) fn into_vec<R>(self, key: Key<R>) -> (Vec<R>, Credit) {
        (self.all.into_vec(key), self.credit)
    }
}
