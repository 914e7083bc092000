//! The results of a `collect`, in one allocation.

use super::block::Kind;
use super::results::Results;
use super::seq::Seq;
use crate::memory::credit::Credit;

/// Results that will become one `Vec`: the threads that make them write them into its allocation.
pub(crate) struct Collection {
    /// All added results, in a block that gives places to regions.
    all: Seq,
    /// True if there was room for all results so far, so that they lie in place.
    in_place: bool,
    /// The credit of all results.
    credit: Credit,
}

/// Makes a [`Collection`] of results.
#[derive(Clone, Copy)]
pub(crate) struct Collector(pub(super) Kind);

impl Collector {
    /// Room for `capacity` results, or `None` if there is not that much memory.
    pub(crate) fn room_for(self, capacity: usize) -> Option<Collection> {
        Some(Collection { all: Seq::shared(self.0, capacity)?, in_place: true, credit: Credit::NONE })
    }

    /// No results.
    pub(crate) fn nothing(self) -> Results {
        Results::new(self.0, 0)
    }
}

impl Collection {
    /// The next `count` places, or none if fewer are left.
    pub(crate) fn place(&mut self, count: usize) -> Results {
        let region = if self.in_place { self.all.region(count) } else { None };
        // Without a region, no later result lies in place, so that results can be added in order.
        self.in_place = region.is_some();
        region.map_or_else(|| Results::new(self.all.kind(), 0), Results::of)
    }

    /// Lends no places, so that results from other memory can be added in order.
    pub(crate) fn lend_nothing(&mut self) {
        self.in_place = false;
    }

    /// Takes back the unused places of regions, after all regions were added.
    pub(crate) fn reclaim(&mut self) {
        assert!(self.all.reclaim(), "a region is out");
    }

    /// Adds the results that are next in order.
    pub(crate) fn add(&mut self, mut results: Results) {
        self.credit.join(results.credit.take_all());
        if results.seq.is_region() {
            return self.all.join(results.seq);
        }
        let (len, count, room) = (self.len(), results.len(), self.all.room());
        if room < count && !self.all.extend(count - room) {
            // At least twice as much, so that each result is moved once on average, as in `Vec`.
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

    /// All results, with their credit. All regions were added before.
    pub(crate) fn into_results(self) -> Results {
        Results { seq: self.all.into_own(), credit: self.credit }
    }
}
