//! Values that follow each other in memory. Everything that buffers do to memory is done here.

use std::mem::{ManuallyDrop, MaybeUninit, replace, take};
use std::ops::Range;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::block::{Block, Key, Kind};
use crate::system::calls::madvise::{page_size, populate};

/// Values of one kind that follow each other, in places that belong to this sequence alone.
///
/// The places are those of its own block, or a region of a block that several sequences share.
/// [`shared`](Self::shared) makes such a block; at first it has given no places. It gives each
/// place once, by [`region`](Self::region) or [`extend`](Self::extend), and its sequence passes the
/// place on by value: by [`split_room`](Self::split_room), or to the sequence in front by
/// [`join`](Self::join). Lost places come back when no other sequence has any, by
/// [`reclaim`](Self::reclaim).
pub(super) struct Seq {
    kind: Kind,
    /// The first place, and the number of places.
    places: *mut u8,
    capacity: usize,
    /// The places `from..to` hold values of the kind, the others nothing.
    from: usize,
    to: usize,
    memory: Memory,
}

/// The memory that has the places.
enum Memory {
    Own(Block),
    Region(Arc<Ground>),
}

/// A part of a sequence's places at one of its ends.
#[derive(Clone, Copy)]
enum Part {
    /// The places in front of the values.
    Before,
    /// The first values.
    First,
    /// The last values.
    Last,
    /// The places behind the values.
    Behind,
}

// SAFETY: the places and the values in them belong to this sequence alone. The values can be sent,
// because only such types have keys. Sequences on several threads that share a block get places of
// it through an atomic. The last one to give up its share frees the block, and `Arc` lets all that
// the others did happen before.
unsafe impl Send for Seq {}

impl Seq {
    /// No values, and room for `capacity`.
    #[inline]
    pub(super) fn new(kind: Kind, capacity: usize) -> Self {
        let block = Block::new(kind, capacity);
        let (places, capacity) = (block.places(), kind.places(capacity));
        Self { kind, places, capacity, from: 0, to: 0, memory: Memory::Own(block) }
    }

    /// The values of a `Vec`, in its memory.
    pub(super) fn of_vec<V>(key: Key<V>, vec: Vec<V>) -> Self {
        let (capacity, len) = (vec.capacity(), vec.len());
        let block = Block::of_vec(vec);
        Self { kind: key.kind(), places: block.places(), capacity, from: 0, to: len, memory: Memory::Own(block) }
    }

    /// No values and no room, but a block with `capacity` places for regions; `None` if there is
    /// not that much memory.
    pub(super) fn shared(kind: Kind, capacity: usize) -> Option<Self> {
        let block = Block::try_new(kind, capacity)?;
        let places = block.places();
        #[expect(clippy::arc_with_non_send_sync, reason = "it is sent with a `Seq`, which says why that is sound")]
        let memory = Memory::Region(Arc::new(Ground::new(block)));
        Some(Self { kind, places, capacity: 0, from: 0, to: 0, memory })
    }

    #[inline]
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.to - self.from
    }

    /// The number of places behind the values.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.capacity - self.to
    }

    /// The bytes of all places.
    pub(super) fn bytes(&self) -> usize {
        self.kind.bytes(self.capacity)
    }

    /// True if the places are a region of a block.
    #[inline]
    pub(super) fn is_region(&self) -> bool {
        matches!(self.memory, Memory::Region(_))
    }

    /// Begins at the first place again.
    #[inline]
    pub(super) fn rewind(&mut self) {
        assert_eq!(self.len(), 0, "values stay where they are");
        (self.from, self.to) = (0, 0);
    }

    /// Makes sure that memory is behind the next places of a region, up to `count`.
    #[inline]
    pub(super) fn prepare(&self, count: usize) {
        if let Memory::Region(ground) = &self.memory {
            ground.prepare(self.place(self.to), self.kind.bytes(count.min(self.room())));
        }
    }

    #[inline]
    fn place(&self, index: usize) -> *mut u8 {
        self.places.wrapping_add(self.kind.bytes(index))
    }

    // ---- single values ----

    /// The first of the `count` places of a part that are next to its end, and the index of that
    /// end.
    #[inline]
    fn first_of(&mut self, part: Part, count: usize) -> (*mut u8, &mut usize) {
        let (places, kind) = (self.places, self.kind);
        let (most, end) = match part {
            Part::Before => (self.from, &mut self.from),
            Part::First => (self.to - self.from, &mut self.from),
            Part::Last => (self.to - self.from, &mut self.to),
            Part::Behind => (self.capacity - self.to, &mut self.to),
        };
        assert!(count <= most, "there are such values, or places for them");
        let first = if matches!(part, Part::Before | Part::Last) { *end - count } else { *end };
        (places.wrapping_add(kind.bytes(first)), end)
    }

    /// The `count` places of a part that are next to its end, and the index of that end.
    #[inline]
    fn part<V>(&mut self, key: Key<V>, part: Part, count: usize) -> (&mut [MaybeUninit<V>], &mut usize) {
        self.kind.check_mark(key.mark);
        let (first, end) = self.first_of(part, count);
        // SAFETY: the places exist, for values of `V` as the key shows. They belong to this
        // sequence alone, which is borrowed. As a `MaybeUninit` they may hold anything.
        (unsafe { slice::from_raw_parts_mut(first.cast::<MaybeUninit<V>>(), count) }, end)
    }

    /// Adds a value behind the others, if there is a place.
    #[inline]
    pub(super) fn push<V>(&mut self, key: Key<V>, value: V) {
        let (places, to) = self.part(key, Part::Behind, 1);
        places[0].write(value);
        *to += 1;
    }

    /// Adds a value in front of the others, if there is a place.
    #[inline]
    pub(super) fn push_front<V>(&mut self, key: Key<V>, value: V) {
        let (places, from) = self.part(key, Part::Before, 1);
        places[0].write(value);
        *from -= 1;
    }

    /// Takes the first value out.
    #[inline]
    pub(super) fn pop_front<V>(&mut self, key: Key<V>) -> V {
        self.pop_at(key, Part::First)
    }

    /// Takes the last value out.
    #[inline]
    pub(super) fn pop<V>(&mut self, key: Key<V>) -> V {
        self.pop_at(key, Part::Last)
    }

    #[inline]
    fn pop_at<V>(&mut self, key: Key<V>, part: Part) -> V {
        let (places, end) = self.part(key, part, 1);
        *end = if matches!(part, Part::First) { *end + 1 } else { *end - 1 };
        // SAFETY: both parts have values, and the place is no longer counted as one.
        unsafe { places[0].assume_init_read() }
    }

    /// The first `count` values.
    #[inline]
    pub(super) fn first<V>(&self, key: Key<V>, count: usize) -> &[V] {
        self.values(key, self.from, count)
    }

    /// The last `count` values.
    #[inline]
    pub(super) fn last<V>(&self, key: Key<V>, count: usize) -> &[V] {
        self.values(key, self.to.wrapping_sub(count), count)
    }

    #[inline]
    fn values<V>(&self, key: Key<V>, first: usize, count: usize) -> &[V] {
        self.kind.check_mark(key.mark);
        self.check_values(first, count);
        // SAFETY: these places hold values, of this type as the key shows, and the slice borrows
        // them.
        unsafe { slice::from_raw_parts(self.place(first).cast::<V>(), count) }
    }

    #[inline]
    fn check_values(&self, first: usize, count: usize) {
        assert!((self.from..=self.to).contains(&first) && count <= self.to - first, "there are such values");
    }

    /// Adds the next values of `input` behind the others, up to `count` and as far as there is
    /// room. True if the input ended before.
    #[inline]
    pub(super) fn fill<V>(&mut self, key: Key<V>, input: &mut impl Iterator<Item = V>, count: usize) -> bool {
        self.fill_while(key, input, count, |_| true)
    }

    /// Does the same, up to the first value for which `goes_on` gives false. That value is added,
    /// too, and so is one for which `goes_on` panics.
    #[inline]
    pub(super) fn fill_while<V>(
        &mut self,
        key: Key<V>,
        input: &mut impl Iterator<Item = V>,
        count: usize,
        mut goes_on: impl FnMut(&V) -> bool,
    ) -> bool {
        let (places, to) = self.part(key, Part::Behind, count);
        let mut filled = Counted { count: *to, out: to };
        // Nothing else in this loop: for items that take a nanosecond it would be twice as long.
        for place in places {
            let Some(value) = input.next() else { return true };
            let value = place.write(value);
            filled.count += 1;
            if !goes_on(value) {
                break;
            }
        }
        false
    }

    /// Takes `count` values out from the front, and adds the results of `function` for them to
    /// `others`, which have room for that.
    ///
    /// If `function` panics, its value is gone. The values behind it are still here, and the
    /// results before it are in `others`.
    #[inline]
    pub(super) fn pass<V, W>(
        &mut self,
        key: Key<V>,
        (others, other_key): (&mut Self, Key<W>),
        count: usize,
        mut function: impl FnMut(V) -> W,
    ) {
        let (values, from) = self.part(key, Part::First, count);
        let (places, to) = others.part(other_key, Part::Behind, count);
        let mut passed = Passed { count: 0, results: 0, from, to };
        // By index: both have `count` places, so the compiler sees a single condition.
        while passed.count < count {
            let index = passed.count;
            // SAFETY: the place holds a value, and is counted as none from here on.
            let value = unsafe { values[index].assume_init_read() };
            passed.count += 1;
            places[index].write(function(value));
            passed.results += 1;
        }
    }

    // ---- many values ----

    /// Moves the last `count` values of `other` behind the values here, which have room for them.
    pub(super) fn append_last(&mut self, other: &mut Self, count: usize) {
        self.kind.check(other.kind);
        assert!(count <= other.len() && count <= self.room(), "there are such values, and room for them");
        let from = other.place(other.to - count);
        // SAFETY: the places from `from` on hold values, which `other` no longer counts. The places
        // behind `to` hold nothing, and are other places, because each sequence has its own.
        unsafe { from.copy_to_nonoverlapping(self.place(self.to), self.kind.bytes(count)) };
        other.to -= count;
        self.to += count;
    }

    /// Leaves the first `keep` values here and moves the others to memory of their own.
    pub(super) fn split_off(&mut self, keep: usize) -> Self {
        let count = self.len().checked_sub(keep).expect("a buffer is split before its end");
        let mut rest = Self::new(self.kind, count);
        rest.append_last(self, count);
        rest
    }

    /// The values as a `Vec`, without a copy. They are the first ones of a block that no other
    /// sequence shares.
    pub(super) fn into_vec<V>(self, key: Key<V>) -> Vec<V> {
        self.kind.check_mark(key.mark);
        let own = ManuallyDrop::new(self.into_own());
        // SAFETY: the memory was allocated with the layout of an array of `capacity` values of `V`,
        // as the key shows, or not at all if that takes no bytes. Its first places hold values, up
        // to `to`. Both are the caller's now.
        unsafe { Vec::from_raw_parts(own.places.cast(), own.to, own.capacity) }
    }

    /// The same values, without a copy, in a block that only this sequence has. They are the first
    /// ones of a block that no other sequence shares.
    pub(super) fn into_own(mut self) -> Self {
        let has_all = match &mut self.memory {
            Memory::Own(_) => self.from == 0,
            Memory::Region(ground) => {
                self.from == 0 && ground.block.places() == self.places && Arc::get_mut(ground).is_some()
            }
        };
        assert!(has_all, "results in a region belong to its collection");
        let (kind, to) = (self.kind, take(&mut self.to));
        let block = match replace(&mut self.memory, Memory::Own(Block::new(kind, 0))) {
            Memory::Own(block) => Some(block),
            Memory::Region(ground) => Arc::into_inner(ground).map(|ground| ground.block),
        };
        let block = block.expect("it has all of the block");
        let (places, capacity) = (block.places(), kind.places_in(block.layout().size()));
        Self { kind, places, capacity, from: 0, to, memory: Memory::Own(block) }
    }

    // ---- regions ----

    /// No values, and the next `count` free places of the block, if there are that many.
    pub(super) fn region(&self, count: usize) -> Option<Self> {
        let Memory::Region(ground) = &self.memory else { return None };
        let places = ground.give(None, self.kind.bytes(count))?;
        let memory = Memory::Region(Arc::clone(ground));
        Some(Self { kind: self.kind, places, capacity: count, from: 0, to: 0, memory })
    }

    /// Takes the next `count` places of the block, if they follow those of this region and are
    /// still free.
    pub(super) fn extend(&mut self, count: usize) -> bool {
        let Memory::Region(ground) = &self.memory else { return false };
        let is_given = ground.give(Some(self.place(self.capacity)), self.kind.bytes(count)).is_some();
        self.capacity += if is_given { count } else { 0 };
        is_given
    }

    /// Leaves the first `capacity` places of a region here and returns the others. Without a region
    /// there are none.
    pub(super) fn split_room(&mut self, capacity: usize) -> Self {
        assert!(self.to <= capacity, "values that are there stay");
        let Memory::Region(ground) = &self.memory else { return Self::new(self.kind, 0) };
        let rest = self.capacity.checked_sub(capacity).expect("a region does not grow");
        let memory = Memory::Region(Arc::clone(ground));
        self.capacity = capacity;
        Self { kind: self.kind, places: self.place(capacity), capacity: rest, from: 0, to: 0, memory }
    }

    /// Takes in the places of the `next` region, and the values in them. They follow the places of
    /// this region, which all hold values.
    pub(super) fn join(&mut self, mut next: Self) {
        self.kind.check(next.kind);
        let is_same = match (&self.memory, &next.memory) {
            (Memory::Region(here), Memory::Region(there)) => Arc::ptr_eq(here, there),
            _ => false,
        };
        let follows = next.from == 0 && next.places == self.place(self.to);
        assert!(is_same && follows && self.room() == 0, "regions are added in order");
        self.capacity += take(&mut next.capacity);
        self.to += take(&mut next.to);
    }

    /// Gives the places behind the values of this region back to the block. False if other
    /// sequences have some of them.
    pub(super) fn reclaim(&mut self) -> bool {
        let end = self.place(self.to);
        let Memory::Region(ground) = &mut self.memory else { return true };
        if ground.is_next(end) {
            // Values without a size all have one place, so this may be so with room left.
            self.capacity = self.to;
            return true;
        }
        let Some(ground) = Arc::get_mut(ground) else { return false };
        ground.give_again_from(end);
        self.capacity = self.to;
        true
    }
}

impl Drop for Seq {
    fn drop(&mut self) {
        let (first, count) = (self.place(self.from), self.len());
        (self.from, self.to) = (0, 0);
        if let Some(drop) = self.kind.drop() {
            // SAFETY: the places held values of the kind, and are no longer counted as such.
            unsafe { drop(first, count) };
        }
    }
}

/// A block that is given to sequences region by region, each place once.
struct Ground {
    block: Block,
    /// The bytes that were given. Each region gets a range that no other gets, so the order with
    /// other memory does not matter.
    given: AtomicUsize,
    /// Bytes of a page, if it is large and the system can be asked for its pages.
    page: Option<usize>,
}

impl Ground {
    fn new(block: Block) -> Self {
        let page = if block.layout().size() < LARGE { None } else { page_size() };
        Self { page, given: AtomicUsize::new(0), block }
    }

    /// True if this place is the next to be given.
    fn is_next(&self, place: *mut u8) -> bool {
        self.block.places().wrapping_add(self.given.load(Ordering::Relaxed)) == place
    }

    /// Gives the next `bytes`, if there are that many and, if `at` names a place, begin there.
    fn give(&self, at: Option<*mut u8>, bytes: usize) -> Option<*mut u8> {
        let place = |given| self.block.places().wrapping_add(given);
        let next = |given: usize| {
            let end = given.checked_add(bytes).filter(|&end| end <= self.block.layout().size());
            end.filter(|_| at.is_none_or(|at| at == place(given)))
        };
        self.given.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok().map(place)
    }

    /// Gives all places from this one on again. No sequence has any: no other one has the ground.
    fn give_again_from(&mut self, place: *mut u8) {
        *self.given.get_mut() = place.addr() - self.block.places().addr();
    }

    /// Makes sure that `bytes` from `first` on are backed, which is cheaper than a page fault for
    /// each page.
    fn prepare(&self, first: *mut u8, bytes: usize) {
        let Some(page) = self.page else { return };
        let (start, end) = (first.addr(), self.block.places().addr() + self.block.layout().size());
        let part = whole_pages(start..start + bytes, end, page);
        if !part.is_empty() {
            populate(part);
        }
    }
}

/// A collection of cheap results spends most of its time on page faults, one for each 4 KiB. To ask
/// for the pages of a region together saves the cost of a fault for each page. In a smaller
/// allocation page faults take less than 5 ms in all, and it may lie in memory that
/// the allocator has already.
const LARGE: usize = 8 << 20;

/// The pages to ask for before a region is filled, of an allocation up to `end`. Each page belongs
/// to the region in which it begins, unless it is not wholly the allocation's.
fn whole_pages(region: Range<usize>, end: usize, page: usize) -> Range<usize> {
    region.start.next_multiple_of(page)..region.end.next_multiple_of(page).min(end / page * page)
}

/// A count that is written to its place in a struct even if the code that counts panics.
struct Counted<'a> {
    count: usize,
    out: &'a mut usize,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        *self.out = self.count;
    }
}

/// The same for values that become results: the ends of both sequences move.
struct Passed<'a> {
    count: usize,
    results: usize,
    from: &'a mut usize,
    to: &'a mut usize,
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        *self.from += self.count;
        *self.to += self.results;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;
    const WHOLE: Range<usize> = 3 * LARGE - 5 * PAGE - 16..5 * LARGE + 3 * PAGE + 16;

    #[test]
    fn each_page_is_populated_by_one_region() {
        let mut populated = WHOLE.start.next_multiple_of(PAGE);
        let mut from = WHOLE.start;
        while from < WHOLE.end {
            let to = (from + 10 * PAGE + 24).min(WHOLE.end);
            let part = whole_pages(from..to, WHOLE.end, PAGE);
            if !part.is_empty() {
                assert_eq!(part.start, populated);
                assert_eq!(part.end % PAGE, 0);
                populated = part.end;
            }
            from = to;
        }
        assert_eq!(populated, WHOLE.end / PAGE * PAGE);
        // A region that lies within a page, or is empty, asks for nothing.
        for region in [LARGE * 4 + 7..LARGE * 4 + 99, LARGE * 4..LARGE * 4] {
            assert!(whole_pages(region, WHOLE.end, PAGE).is_empty());
        }
    }
}
