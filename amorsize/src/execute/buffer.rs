//! Where items wait and results are put: the executor's only `unsafe` code.
//!
//! Both buffers could be plain `Vec`s at the cost of one more copy of every item and result, which is what a run of very cheap
//! calls spends most of its time on: results of a `collect` are written straight into the collection's own allocation by the
//! workers, and item buffers are used again instead of being allocated for every chunk.
#![expect(unsafe_code, reason = "results are written into one allocation by several workers")]

use std::ptr;
use std::sync::Arc;

/// Items taken from the input, to be taken out again from the front.
pub(crate) struct Items<T> {
    /// Owns the allocation alone; its length stays 0. The places `next..end` hold items.
    allocation: Vec<T>,
    next: usize,
    end: usize,
}

impl<T> Items<T> {
    pub(crate) fn new() -> Self {
        Self { allocation: Vec::new(), next: 0, end: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.next
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: the places `next..end` hold items, and the slice borrows `self`.
        unsafe { std::slice::from_raw_parts(self.allocation.as_ptr().add(self.next), self.len()) }
    }

    /// Takes up to `most` items from `input` into an empty buffer.
    pub(crate) fn fill(&mut self, input: &mut impl Iterator<Item = T>, most: usize) {
        assert_eq!(self.len(), 0, "a buffer is filled only when it is empty");
        (self.next, self.end) = (0, 0);
        // An iterator that knows its end spares the allocation for what will not come.
        let most = input.size_hint().1.map_or(most, |upper| upper.min(most));
        if self.allocation.capacity() < most {
            // The first stretches of a run grow by steps; a page at once saves most of the allocations.
            const PAGE: usize = 4096;
            let at_once = PAGE / size_of::<T>().max(1);
            self.allocation = Vec::with_capacity(most.max(at_once));
        }
        let start = self.allocation.as_mut_ptr();
        let mut filled = Counted { count: 0, out: &mut self.end };
        while filled.count < most {
            let Some(item) = input.next() else { break };
            // SAFETY: `count < most <= capacity`, and the place holds nothing yet.
            unsafe { start.add(filled.count).write(item) };
            filled.count += 1;
        }
    }

    /// Leaves the first `keep` items here and gives the others.
    pub(crate) fn split_off(&mut self, keep: usize) -> Self {
        assert!(keep <= self.len(), "a buffer can't be split past its end");
        let count = self.len() - keep;
        let mut rest = Self { allocation: Vec::with_capacity(count), next: 0, end: 0 };
        // SAFETY: the last `count` of `next..end` hold items; they are moved into a fresh allocation with room for them, and
        // `end` is lowered so that they are not taken from here again.
        unsafe {
            let from = self.allocation.as_ptr().add(self.next + keep);
            ptr::copy_nonoverlapping(from, rest.allocation.as_mut_ptr(), count);
        }
        self.end -= count;
        rest.end = count;
        rest
    }
}

impl<T> Drop for Items<T> {
    fn drop(&mut self) {
        let left = ptr::slice_from_raw_parts_mut(self.allocation.as_mut_ptr().wrapping_add(self.next), self.len());
        self.end = self.next;
        // SAFETY: the places held items, and are no longer counted as such.
        unsafe { left.drop_in_place() };
    }
}

/// Results in the order of their items: in an allocation of their own, or in a region of a [`Collection`]'s.
pub(crate) struct Results<R> {
    /// The first place; the places `..len` hold results, and there are `capacity`. All of them are this value's alone.
    places: *mut R,
    len: usize,
    capacity: usize,
    /// Owns the allocation that `places` points to, or nothing when the results lie in a region. Its length stays 0.
    own: Vec<R>,
    /// Keeps the allocation that `places` points to, when the results lie in a region.
    region_of: Option<Arc<Allocation<R>>>,
}

/// Places for results, freed when neither the collection nor a region of it needs them any longer.
struct Allocation<R>(Vec<R>);

// SAFETY: the places that `places` points to are this value's alone: an own allocation's, or those that a `Collection` or a
// `Results::rest` gave to it and to nobody else. So sending it sends the results in them. The shared `Allocation` is only kept
// and freed, which any thread may do because it holds no values: its length is 0.
unsafe impl<R: Send> Send for Results<R> {}

impl<R> Results<R> {
    /// An own allocation with room for `capacity` results.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self::in_buffer(Vec::with_capacity(capacity))
    }

    /// Room in an empty buffer that was used before.
    pub(crate) fn in_buffer(mut own: Vec<R>) -> Self {
        own.clear();
        Self { places: own.as_mut_ptr(), len: 0, capacity: own.capacity(), own, region_of: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn as_slice(&self) -> &[R] {
        // SAFETY: the places `..len` hold results, and the slice borrows `self`.
        unsafe { std::slice::from_raw_parts(self.places, self.len) }
    }

    /// No room yet; see [`ensure`](Self::ensure).
    pub(crate) fn unplaced() -> Self {
        Self::with_capacity(0)
    }

    /// Makes room for `count` results in an own allocation, unless there is room already.
    pub(crate) fn ensure(&mut self, count: usize) {
        if self.capacity - self.len < count {
            assert!(self.len == 0 && self.region_of.is_none(), "room is made before the first result");
            *self = Self::with_capacity(count);
        }
    }

    /// Cuts the room to `capacity` results and gives what was behind it to another value, which has no room when these are
    /// not in a region.
    pub(crate) fn rest_behind(&mut self, capacity: usize) -> Self {
        assert!(self.len <= capacity, "results that are there stay");
        let Some(allocation) = &self.region_of else { return Self::unplaced() };
        assert!(capacity <= self.capacity, "a region does not grow");
        let rest = Self {
            places: self.places.wrapping_add(capacity),
            len: 0,
            capacity: self.capacity - capacity,
            own: Vec::new(),
            region_of: Some(Arc::clone(allocation)),
        };
        self.capacity = capacity;
        rest
    }

    /// The results as a `Vec`, without a copy where they have an allocation of their own.
    pub(crate) fn into_vec(mut self) -> Vec<R> {
        assert!(self.region_of.is_none(), "results in a region belong to its collection");
        let len = std::mem::take(&mut self.len);
        let mut results = std::mem::take(&mut self.own);
        // SAFETY: `places` pointed to this allocation, whose first `len` places hold results; they are no longer counted here.
        unsafe { results.set_len(len) };
        results
    }
}

impl<R> Drop for Results<R> {
    fn drop(&mut self) {
        let held = ptr::slice_from_raw_parts_mut(self.places, self.len);
        self.len = 0;
        // SAFETY: the places held results, and are no longer counted as such.
        unsafe { held.drop_in_place() };
    }
}

/// What a `collect` fills: results that are to become one `Vec`, written into its allocation by whoever has them.
pub(crate) struct Collection<R> {
    allocation: Arc<Allocation<R>>,
    /// The first place of the allocation; the places `..len` hold results, the places `len..given` are lent to regions.
    places: *mut R,
    len: usize,
    given: usize,
    capacity: usize,
    /// Once more results came than there was room for: all of them.
    overflow: Option<Vec<R>>,
}

impl<R> Collection<R> {
    /// Room for `capacity` results, or an error where there is no such amount of memory.
    pub(crate) fn with_capacity(capacity: usize) -> Result<Self, std::collections::TryReserveError> {
        let mut allocation = Vec::new();
        allocation.try_reserve_exact(capacity)?;
        let places = allocation.as_mut_ptr();
        Ok(Self { allocation: Arc::new(Allocation(allocation)), places, len: 0, given: 0, capacity, overflow: None })
    }

    /// The next `count` places, or none where there are not so many.
    pub(crate) fn place(&mut self, count: usize) -> Results<R> {
        if self.capacity - self.given < count {
            // From here on nothing lies in place, so that results can be added in order.
            self.capacity = self.given;
            return Results::unplaced();
        }
        let places = self.places.wrapping_add(self.given);
        self.given += count;
        let region_of = Some(Arc::clone(&self.allocation));
        Results { places, len: 0, capacity: count, own: Vec::new(), region_of }
    }

    /// Takes back the places that were lent and not used, when all regions were added.
    pub(crate) fn reclaim(&mut self) {
        self.given = self.len;
    }

    /// Adds the results next in order.
    pub(crate) fn add(&mut self, mut results: Results<R>) {
        if results.region_of.is_none() {
            if self.overflow.is_some() || self.given != self.len || self.capacity - self.len < results.len {
                self.overflowed().append(&mut results.into_vec());
                return;
            }
            // SAFETY: there is room for them behind `len`, which is lent to nobody, and `results` no longer counts them.
            unsafe { ptr::copy_nonoverlapping(results.places, self.places.add(self.len), results.len) };
            self.len += std::mem::take(&mut results.len);
            self.given = self.len;
            return;
        }
        assert!(ptr::eq(results.places, self.places.wrapping_add(self.len)), "regions are added in order");
        // The places before `len` hold results from here on, which `results` no longer counts.
        self.len += std::mem::take(&mut results.len);
        assert!(self.len <= self.given, "a region lies within what was lent");
    }

    fn overflowed(&mut self) -> &mut Vec<R> {
        if self.overflow.is_none() {
            let all = self.take_vec();
            self.overflow = Some(all);
        }
        self.overflow.as_mut().expect("set above")
    }

    /// The results in place as a `Vec`; they are no longer counted here.
    fn take_vec(&mut self) -> Vec<R> {
        let len = std::mem::take(&mut self.len);
        (self.given, self.capacity) = (0, 0);
        let allocation = std::mem::replace(&mut self.allocation, Arc::new(Allocation(Vec::new())));
        let Ok(Allocation(mut results)) = Arc::try_unwrap(allocation) else {
            unreachable!("all regions were added before")
        };
        self.places = self.allocation.0.as_ptr().cast_mut();
        // SAFETY: the places `..len` of this allocation hold results, nobody else refers to it, and they were uncounted above.
        unsafe { results.set_len(len) };
        results
    }

    /// All results.
    pub(crate) fn into_vec(mut self) -> Vec<R> {
        match self.overflow.take() {
            Some(all) => all,
            None => self.take_vec(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.overflow.as_ref().map_or(self.len, Vec::len)
    }
}

impl<R> Drop for Collection<R> {
    fn drop(&mut self) {
        let held = ptr::slice_from_raw_parts_mut(self.places, std::mem::take(&mut self.len));
        // SAFETY: the places held results, and are no longer counted as such.
        unsafe { held.drop_in_place() };
    }
}

/// A count that reaches its place in a struct even when the code that counts panics.
struct Counted<'a> {
    count: usize,
    out: &'a mut usize,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        *self.out = self.count;
    }
}

/// Takes `count` items from the front of `items` and puts what `function` makes of each behind the results.
///
/// When `function` panics, its item is gone, the results before it and the items after it are kept.
#[inline]
pub(crate) fn transform<T, R>(
    items: &mut Items<T>,
    results: &mut Results<R>,
    count: usize,
    mut function: impl FnMut(T) -> R,
) {
    assert!(count <= items.len() && count <= results.capacity - results.len, "a chunk has room for its results");
    let (from, to) = (items.allocation.as_ptr(), results.places);
    let end = items.next + count;
    let mut taken = Counted { count: items.next, out: &mut items.next };
    let mut made = Counted { count: results.len, out: &mut results.len };
    while taken.count < end {
        // SAFETY: `taken.count < items.end`, so the place holds an item, and it is no longer counted as one from here on.
        let item = unsafe { from.add(taken.count).read() };
        taken.count += 1;
        let result = function(item);
        // SAFETY: `made.count < results.capacity` because there is room for `count` results, and the place holds nothing.
        unsafe { to.add(made.count).write(result) };
        made.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    fn filled(values: &[Rc<u32>]) -> Items<Rc<u32>> {
        let mut items = Items::new();
        items.fill(&mut values.iter().cloned(), values.len());
        items
    }

    fn values(count: u32) -> Vec<Rc<u32>> {
        (0..count).map(Rc::new).collect()
    }

    fn all_dropped_but_mine(values: &[Rc<u32>]) -> bool {
        values.iter().all(|value| Rc::strong_count(value) == 1)
    }

    #[test]
    fn items_come_out_in_order_and_the_rest_is_dropped_once() {
        let mine = values(10);
        let mut items = filled(&mine);
        let mut results = Results::with_capacity(10);
        transform(&mut items, &mut results, 4, |item| item);
        assert_eq!(items.len(), 6);
        assert_eq!(results.as_slice(), &mine[..4]);
        drop((items, results));
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn a_buffer_is_filled_again() {
        let mut items = Items::new();
        for round in 0..3u32 {
            items.fill(&mut (0..100).map(|i| i + round), 5);
            let mut results = Results::with_capacity(5);
            transform(&mut items, &mut results, 5, |item| item);
            assert_eq!(results.into_vec(), (round..round + 5).collect::<Vec<_>>());
        }
    }

    #[test]
    fn splitting_moves_the_tail() {
        let mine = values(10);
        let mut items = filled(&mine);
        let mut results = Results::with_capacity(10);
        transform(&mut items, &mut results, 3, |item| item);
        let rest = items.split_off(2);
        assert_eq!(items.as_slice(), &mine[3..5]);
        assert_eq!(rest.as_slice(), &mine[5..]);
        drop((items, rest, results));
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn a_panic_loses_its_item_alone() {
        let mine = values(10);
        let mut items = filled(&mine);
        let mut results = Results::with_capacity(10);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            transform(&mut items, &mut results, 10, |item| if *item == 6 { panic!("six") } else { item });
        }));
        assert!(outcome.is_err());
        assert_eq!((results.len(), items.len()), (6, 3));
        drop((items, results));
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn an_input_that_panics_keeps_what_it_gave() {
        let mine = values(10);
        let mut items = Items::new();
        let mut input = mine.iter().map(|value| if **value == 7 { panic!("seven") } else { Rc::clone(value) });
        assert!(catch_unwind(AssertUnwindSafe(|| items.fill(&mut input, 10))).is_err());
        assert_eq!(items.len(), 7);
        drop(items);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn regions_fill_one_allocation() {
        let mine = values(10);
        let mut all = Collection::with_capacity(12).unwrap();
        let (mut first, mut second) = (all.place(7), all.place(3));
        transform(&mut filled(&mine[7..]), &mut second, 3, |item| item);
        transform(&mut filled(&mine[..4]), &mut first, 4, |item| item);
        let mut rest = first.rest_behind(4);
        transform(&mut filled(&mine[4..7]), &mut rest, 3, |item| item);
        for region in [first, rest, second] {
            all.add(region);
        }
        let all = all.into_vec();
        assert_eq!((all.as_slice(), all.capacity()), (&mine[..], 12));
        drop(all);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn what_does_not_fit_in_place_follows_in_order() {
        let mine = values(10);
        let mut all = Collection::with_capacity(5).unwrap();
        for part in mine.chunks(3) {
            let mut results = all.place(part.len());
            results.ensure(part.len());
            transform(&mut filled(part), &mut results, part.len(), |item| item);
            all.add(results);
        }
        assert_eq!(all.len(), 10);
        assert_eq!(all.into_vec(), mine);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn what_was_made_before_is_moved_into_place() {
        let mine = values(6);
        let mut all = Collection::with_capacity(6).unwrap();
        let mut before = Results::with_capacity(2);
        transform(&mut filled(&mine[..2]), &mut before, 2, |item| item);
        all.add(before);
        let mut results = all.place(4);
        transform(&mut filled(&mine[2..]), &mut results, 4, |item| item);
        all.add(results);
        let all = all.into_vec();
        assert_eq!((all.as_slice(), all.capacity()), (&mine[..], 6));
        drop(all);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn places_that_were_not_used_are_used_again() {
        let mine = values(6);
        let mut all = Collection::with_capacity(6).unwrap();
        let mut results = all.place(6);
        transform(&mut filled(&mine), &mut results, 2, |item| item);
        all.add(results);
        all.reclaim();
        let mut results = all.place(4);
        transform(&mut filled(&mine[2..]), &mut results, 4, |item| item);
        all.add(results);
        assert_eq!(all.into_vec(), mine);
    }

    #[test]
    fn a_region_that_is_not_added_drops_what_it_holds_even_after_the_collection() {
        let mine = values(6);
        let mut all = Collection::with_capacity(6).unwrap();
        let (mut first, mut second) = (all.place(3), all.place(3));
        transform(&mut filled(&mine[..3]), &mut first, 3, |item| item);
        transform(&mut filled(&mine[3..]), &mut second, 2, |item| item);
        all.add(first);
        drop(all);
        assert_eq!(second.as_slice(), &mine[3..5]);
        drop(second);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn impossible_room_is_refused() {
        assert!(Collection::<u64>::with_capacity(usize::MAX).is_err());
    }

    #[test]
    fn values_of_no_size_are_counted() {
        let mut items = Items::new();
        items.fill(&mut std::iter::repeat_n((), 5), 5);
        let mut all = Collection::with_capacity(5).unwrap();
        let mut region = all.place(5);
        transform(&mut items, &mut region, 5, |()| ());
        all.add(region);
        assert_eq!(all.into_vec().len(), 5);
    }
}
