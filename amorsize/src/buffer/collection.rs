//! The results of a `collect`, in one allocation.

use super::block::Kind;
use super::chunk::Results;
use super::seq::Seq;
use crate::memory::credit::Credit;

/// Results that will become one `Vec`: the threads that make them write them into its allocation.
pub(crate) struct Collection {
    /// All added results, in a block that gives places to regions.
    all: Seq,
    /// True if there was room for all results so far, so that they lie in place.
    in_place: bool,
    /// The credit of all results, and of the places without one if results were moved there.
    credit: Credit,
    /// The bytes of these places.
    spare: u64,
}

/// Makes a [`Collection`] of results.
#[derive(Clone, Copy)]
pub(crate) struct Collector(pub(super) Kind);

impl Collector {
    /// Room for `capacity` results, or `None` if there is not that much memory.
    pub(crate) fn room_for(self, capacity: usize) -> Option<Collection> {
        Some(Collection { all: Seq::shared(self.0, capacity)?, in_place: true, credit: Credit::NONE, spare: 0 })
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

    /// Makes room for the results that are next in order, and for `behind` more. False if all that
    /// are here would have to move for that, and the budget has no room for them twice.
    #[inline]
    pub(crate) fn make_room(&mut self, next: &Results, behind: usize) -> bool {
        let (room, count) = (self.all.room(), next.len() + behind);
        // The first results are not moved. If they had to wait, a run that goes on would come no
        // further.
        next.seq.is_region()
            || room >= count
            || self.all.extend(count - room)
            || self.len() == 0
            || self.grow(self.len() + count)
    }

    /// Moves all results to an allocation with at least this many places.
    fn grow(&mut self, least: usize) -> bool {
        let (kind, len) = (self.all.kind(), self.len());
        // At least twice as much, so that each result is moved once on average, as in `Vec`. If
        // that is not free, as much as there is: no later allocation will have more.
        let free = usize::try_from(self.credit.free()).unwrap_or(usize::MAX);
        let capacity = (2 * len).min(kind.places_in(free)).max(least);
        let is_counted = self.credit.results() > 0;
        self.in_place = false;
        if is_counted && !self.credit.try_grow(kind.bytes(capacity) as u64) {
            return false;
        }
        let mut grown = Seq::new(kind, capacity);
        grown.append_last(&mut self.all, len);
        self.all = grown;
        if is_counted {
            let before = std::mem::replace(&mut self.spare, kind.bytes(capacity - len) as u64);
            self.credit.resize(self.credit.bytes() - before - kind.bytes(len) as u64);
        }
        true
    }

    /// Adds the results that are next in order, after [`make_room`](Self::make_room).
    pub(crate) fn add(&mut self, mut results: Results) {
        self.credit.join(results.credit.take_all());
        if results.seq.is_region() {
            return self.all.join(results.seq);
        }
        let count = results.len();
        if self.len() == 0 && self.all.room() < count {
            self.all.kind().check(results.seq.kind());
            (self.all, self.in_place) = (results.seq, false);
            return;
        }
        self.all.append_last(&mut results.seq, count);
        drop(results);
        let filled = self.spare.min(self.all.kind().bytes(count) as u64);
        if filled > 0 {
            self.spare -= filled;
            self.credit.resize(self.credit.bytes() - filled);
        }
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
