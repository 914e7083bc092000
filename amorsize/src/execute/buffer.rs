//! Where items wait and results are put: the executor's only `unsafe` code.
//!
//! Both buffers could be plain `Vec`s at the cost of one more copy of every item and result, which is what a run of very cheap
//! calls spends most of its time on: results of a `collect` are written straight into the collection's own allocation by the
//! workers, and item buffers are used again instead of being allocated for every chunk.
#![expect(unsafe_code, reason = "results are written into one allocation by several workers")]

use std::ptr;

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
        self.allocation.reserve(most);
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

/// Results in the order of their items: in an allocation of their own, or in a region of somebody else's.
pub(crate) struct Results<R> {
    /// The first place; the places `..len` hold results, and there are `capacity`.
    places: *mut R,
    len: usize,
    capacity: usize,
    /// Owns the allocation that `places` points to, or nothing when the results lie in a region. Its length stays 0.
    allocation: Vec<R>,
    in_region: bool,
}

// SAFETY: the places that `places` points to are this value's alone (see `Results::region`), so sending it sends the results
// in them and nothing else.
unsafe impl<R: Send> Send for Results<R> {}

impl<R> Results<R> {
    /// An own allocation with room for `capacity` results.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let mut allocation = Vec::with_capacity(capacity);
        Self { places: allocation.as_mut_ptr(), len: 0, capacity, allocation, in_region: false }
    }

    /// The places `offset..offset + capacity` of the spare room of `target`.
    ///
    /// # Safety
    ///
    /// Until the value and all that [`rest`](Self::rest) made of it are gone or [`kept`](Self::keep), `target` must not move
    /// or free its allocation, nor touch those places, and no other region may hold any of them.
    pub(crate) unsafe fn region(target: &mut Vec<R>, offset: usize, capacity: usize) -> Self {
        let room = target.spare_capacity_mut();
        let places = room[offset..offset + capacity].as_mut_ptr().cast();
        Self { places, len: 0, capacity, allocation: Vec::new(), in_region: true }
    }

    pub(crate) fn is_region(&self) -> bool {
        self.in_region
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn as_slice(&self) -> &[R] {
        // SAFETY: the places `..len` hold results, and the slice borrows `self`.
        unsafe { std::slice::from_raw_parts(self.places, self.len) }
    }

    /// The places still empty, as a value of their own; this one is full from now on.
    pub(crate) fn rest(&mut self, own_capacity: usize) -> Self {
        if !self.in_region {
            return Self::with_capacity(own_capacity);
        }
        let rest = Self {
            places: self.places.wrapping_add(self.len),
            len: 0,
            capacity: self.capacity - self.len,
            allocation: Vec::new(),
            in_region: true,
        };
        self.capacity = self.len;
        rest
    }

    /// The results as a `Vec`.
    pub(crate) fn into_vec(mut self) -> Vec<R> {
        assert!(!self.in_region, "results in a region belong to its owner");
        let len = std::mem::take(&mut self.len);
        let mut results = std::mem::take(&mut self.allocation);
        // SAFETY: `places` pointed to this allocation, whose first `len` places hold results; they are no longer counted here.
        unsafe { results.set_len(len) };
        results
    }

    /// Leaves the results of a region to the owner of the region.
    ///
    /// # Safety
    ///
    /// `target` is the `Vec` that the region was made of, and the places between its end and the region's hold nothing: the
    /// regions before this one were kept before.
    pub(crate) unsafe fn keep(mut self, target: &mut Vec<R>) {
        assert!(self.in_region, "only a region has an owner");
        assert!(ptr::eq(self.places, target.as_ptr().wrapping_add(target.len())), "regions are kept in order");
        let len = std::mem::take(&mut self.len);
        // SAFETY: the `len` places after the end of `target` hold results, which are no longer counted here.
        unsafe { target.set_len(target.len() + len) };
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
    #[expect(clippy::redundant_clone, reason = "the clones are what is counted")]
    fn regions_fill_one_allocation() {
        let mine = values(10);
        let mut target = Vec::with_capacity(12);
        target.push(mine[0].clone());
        // SAFETY: `target` is not touched before both regions are kept or gone, and they don't overlap.
        let (mut first, mut second) =
            unsafe { (Results::region(&mut target, 0, 6), Results::region(&mut target, 6, 5)) };
        transform(&mut filled(&mine[7..]), &mut second, 3, |item| item);
        transform(&mut filled(&mine[1..5]), &mut first, 4, |item| item);
        let mut rest = first.rest(0);
        transform(&mut filled(&mine[5..7]), &mut rest, 2, |item| item);
        for region in [first, rest, second] {
            // SAFETY: they are kept in the order in which they lie.
            unsafe { region.keep(&mut target) };
        }
        assert_eq!(target, mine);
        drop(target);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn a_region_that_is_not_kept_drops_what_it_holds() {
        let mine = values(4);
        let mut target = Vec::with_capacity(4);
        // SAFETY: `target` is not touched before the region is gone.
        let mut region = unsafe { Results::region(&mut target, 0, 4) };
        transform(&mut filled(&mine[..2]), &mut region, 2, |item| item);
        drop(region);
        drop(target);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn values_of_no_size_are_counted() {
        let mut items = Items::new();
        items.fill(&mut std::iter::repeat_n((), 5), 5);
        let mut target: Vec<()> = Vec::new();
        // SAFETY: `target` is not touched before the region is kept.
        let mut region = unsafe { Results::region(&mut target, 0, 5) };
        transform(&mut items, &mut region, 5, |()| ());
        // SAFETY: it is the only region.
        unsafe { region.keep(&mut target) };
        assert_eq!(target.len(), 5);
    }
}
