//! Where items wait and results are put: the executor's only `unsafe` code.
//!
//! # Why it is unsafe
//!
//! - Results of a `collect` are written by the workers straight into the collection's own allocation, and item buffers are used
//!   again. With plain `Vec`s each item and each result would be copied once more, which is what a run of very cheap calls spends
//!   most of its time on.
//! - Buffers don't name the types of what they hold, so that all that handles them is compiled once rather than for each annotated
//!   function: a hundred functions add seconds to a debug build otherwise (`amorsize-macros/compile-time.sh`).
//!
//! # Why it is sound
//!
//! Every buffer bears the mark of the [`Types`] that made it, each value of which has a mark of its own. Values go in and come out
//! through `Types` alone, which refuses a buffer that bears another mark: so they come out as the types that they went in as.
//! `Types` exists for `Send` types only, so buffers may be sent. A buffer does not know how long its values may live; whoever owns
//! one says so by a `PhantomData` of their types, and drops it with them.
#![expect(
    unsafe_code,
    reason = "values are kept without their types, and written into one allocation by several threads"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, needs_drop, take};
use std::ops::Range;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::asks::Asks;
use super::line::Way;
use super::pages::{Advice, LARGE, Pages};
use super::stages::{Clock, Scratch};
use crate::memory::measure::Heap;

/// What is known of the type of a buffer's values.
#[derive(Clone, Copy)]
struct Kind {
    mark: u64,
    size: usize,
    align: usize,
    /// Drops so many values from this place on.
    drop: Option<unsafe fn(*mut u8, usize)>,
}

/// # Safety
///
/// The `count` places from `places` on hold values of `T`, which nobody uses any longer.
unsafe fn drop_values<T>(places: *mut u8, count: usize) {
    // SAFETY: promised by the caller.
    unsafe { ptr::slice_from_raw_parts_mut(places.cast::<T>(), count).drop_in_place() }
}

impl Kind {
    fn of<T>(mark: u64) -> Self {
        let drop = if needs_drop::<T>() { Some(drop_values::<T> as unsafe fn(*mut u8, usize)) } else { None };
        Self { mark, size: size_of::<T>(), align: align_of::<T>(), drop }
    }

    fn check(&self, mark: u64) {
        assert_eq!(self.mark, mark, "a buffer of another run");
    }

    /// The place of the value with this index.
    fn at(&self, places: *mut u8, index: usize) -> *mut u8 {
        places.wrapping_add(self.size * index)
    }

    /// # Safety
    ///
    /// The places hold values of this kind, which nobody uses any longer.
    unsafe fn drop_values(&self, places: *mut u8, count: usize) {
        if let Some(drop) = self.drop {
            // SAFETY: promised by the caller.
            unsafe { drop(places, count) };
        }
    }
}

/// An allocation with room for some values. It frees the memory and leaves the values to its owner.
struct Block {
    places: *mut u8,
    capacity: usize,
    layout: Layout,
}

// SAFETY: a block is memory alone; what may be done with the values in it is its owner's to know.
unsafe impl Send for Block {}
// SAFETY: it has no methods that change it.
unsafe impl Sync for Block {}

impl Block {
    /// Room for `capacity` values, or `None` where there is no such amount of memory.
    fn try_new(kind: Kind, capacity: usize) -> Option<Self> {
        let bytes = kind.size.checked_mul(capacity)?;
        let layout = Layout::from_size_align(bytes, kind.align).ok()?;
        if bytes == 0 {
            // Values of no size need no room, and there is any number of places for them.
            let capacity = if kind.size == 0 { usize::MAX } else { 0 };
            return Some(Self { places: ptr::without_provenance_mut(kind.align), capacity, layout });
        }
        // SAFETY: the size is not zero.
        let places = unsafe { alloc(layout) };
        (!places.is_null()).then_some(Self { places, capacity, layout })
    }

    fn new(kind: Kind, capacity: usize) -> Self {
        Self::try_new(kind, capacity).unwrap_or_else(|| {
            handle_alloc_error(Layout::from_size_align(1, kind.align).expect("the layout of a byte"))
        })
    }

    /// What of a large block has its pages, where the system can be asked for them.
    fn pages(&self) -> Option<Pages> {
        if self.layout.size() < LARGE {
            return None;
        }
        let start = self.places.addr();
        Some(Pages::new(start..start + self.layout.size(), page_size()?))
    }

    /// Asks the system for a part of the block, and says how long that took, or `None` where it does not know such an advice.
    #[cfg(target_os = "linux")]
    fn advise(&self, part: Range<usize>, advice: Advice) -> Option<Duration> {
        let advice = match advice {
            Advice::Huge => libc::MADV_HUGEPAGE,
            Advice::Populate => libc::MADV_POPULATE_WRITE,
        };
        let start = self.places.addr();
        assert!(start <= part.start && part.start <= part.end && part.end <= start + self.layout.size());
        let begun = std::time::Instant::now();
        // SAFETY: the part lies within memory that is this block's own, and both advices change how it is backed and not what is
        // in it, whoever reads or writes it meanwhile. Where the system refuses, everything stays as it was.
        let answer = unsafe { libc::madvise(self.places.with_addr(part.start).cast(), part.len(), advice) };
        let took = begun.elapsed();
        (answer == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL)).then_some(took)
    }

    #[cfg(not(target_os = "linux"))]
    fn advise(&self, _part: Range<usize>, _advice: Advice) -> Option<Duration> {
        None
    }

    /// The memory of an empty `Vec`.
    fn of_vec<R>(mut vec: Vec<R>) -> Self {
        vec.clear();
        let mut vec = ManuallyDrop::new(vec);
        // Values of no size have no allocation, whatever number of places there is.
        let places = if size_of::<R>() == 0 { 0 } else { vec.capacity() };
        let layout = Layout::array::<R>(places).expect("a `Vec` has this layout");
        Self { places: vec.as_mut_ptr().cast(), capacity: vec.capacity(), layout }
    }

    /// The block as a `Vec` of its first `len` values.
    ///
    /// # Safety
    ///
    /// The block was made for values of `R`, and its first `len` places hold some, which are the `Vec`'s from now on.
    unsafe fn into_vec<R>(self, len: usize) -> Vec<R> {
        let block = ManuallyDrop::new(self);
        let capacity = if size_of::<R>() == 0 { len } else { block.capacity };
        // SAFETY: the memory was allocated with the layout of an array of `capacity` values, or not at all where that takes no
        // bytes; the places hold values as promised by the caller.
        unsafe { Vec::from_raw_parts(block.places.cast(), len, capacity) }
    }
}

/// Bytes of a page, where the system can be asked for pages.
#[cfg(target_os = "linux")]
fn page_size() -> Option<usize> {
    // SAFETY: it reads a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page).ok().filter(|page| page.is_power_of_two())
}

#[cfg(not(target_os = "linux"))]
fn page_size() -> Option<usize> {
    None
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(self.places, self.layout) };
        }
    }
}

/// The block of a collection, which is lent in regions.
struct Ground {
    block: Block,
    /// What of it has its pages, where that is worth a thought.
    pages: Option<Pages>,
}

impl Ground {
    fn new(block: Block) -> Self {
        Self { pages: block.pages(), block }
    }

    /// Sees to it that `bytes` from `places` on are backed, which is cheaper than to let each page be missed.
    fn prepare(&self, places: *mut u8, bytes: usize) {
        if let Some(pages) = &self.pages {
            let start = places.addr();
            pages.prepare(start..start + bytes, |part, advice| self.block.advise(part, advice));
        }
    }
}

/// Items taken from the input, to be taken out again from the front.
struct Items {
    kind: Kind,
    block: Block,
    /// The places `next..end` hold items.
    next: usize,
    end: usize,
}

impl Items {
    fn new(kind: Kind) -> Self {
        Self::in_block(kind, Block::new(kind, 0), 0)
    }

    /// Items in the first `count` places of a block.
    fn in_block(kind: Kind, block: Block, count: usize) -> Self {
        Self { kind, block, next: 0, end: count }
    }

    #[inline]
    fn len(&self) -> usize {
        self.end - self.next
    }

    /// The place of the first item, and how many are there.
    fn held(&self, mark: u64) -> (*mut u8, usize) {
        self.kind.check(mark);
        (self.kind.at(self.block.places, self.next), self.len())
    }

    /// Makes room for `most` items in an empty buffer, or for the `upper` that can come.
    fn prepare(&mut self, mark: u64, most: usize, upper: Option<usize>) -> usize {
        self.kind.check(mark);
        assert_eq!(self.len(), 0, "a buffer is filled only when it is empty");
        (self.next, self.end) = (0, 0);
        // An iterator that knows its end spares the allocation for what will not come. One that is wrong about it gives the
        // rest when it is asked again.
        let most = upper.map_or(most, |upper| upper.max(1).min(most));
        if self.block.capacity < most {
            // The first stretches of a run grow by steps; one allocation that a first-level cache holds several times saves those
            // between them. An input that ends before is given what it needs.
            const AT_ONCE: usize = 8 << 10;
            let at_once = (AT_ONCE / self.kind.size.max(1)).min(upper.unwrap_or(usize::MAX));
            self.block = Block::new(self.kind, most.max(at_once));
        }
        most
    }

    /// Leaves the first `keep` items here and gives the others.
    fn split_off(&mut self, keep: usize) -> Self {
        assert!(keep <= self.len(), "a buffer can't be split past its end");
        let count = self.len() - keep;
        let rest = Self::in_block(self.kind, Block::new(self.kind, count), count);
        let from = self.kind.at(self.block.places, self.next + keep);
        // SAFETY: the last `count` of `next..end` hold items; they are moved into a fresh allocation with room for them, and `end`
        // is lowered so that they are not taken from here again.
        unsafe { ptr::copy_nonoverlapping(from, rest.block.places, count * self.kind.size) };
        self.end -= count;
        rest
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        let count = self.len();
        let left = self.kind.at(self.block.places, self.next);
        self.end = self.next;
        // SAFETY: the places held items, and are no longer counted as such.
        unsafe { self.kind.drop_values(left, count) };
    }
}

/// Results in the order of their items: in an allocation of their own, or in a region of a [`Collection`]'s.
pub(crate) struct Results {
    kind: Kind,
    /// The first place; the places `..len` hold results, and there are `capacity`. All of them are this value's alone.
    places: *mut u8,
    len: usize,
    capacity: usize,
    memory: Memory,
}

/// What keeps the places of results.
enum Memory {
    Own(Block),
    Region(Arc<Ground>),
}

// SAFETY: the places are this value's alone: an own allocation's, or those that a `Collection` or `Results::rest_behind` gave to
// it and to nobody else. The results in them are of a type that can be sent, because `Types` puts in no others.
unsafe impl Send for Results {}
// SAFETY: the same holds for items.
unsafe impl Send for Items {}

impl Results {
    fn in_block(kind: Kind, block: Block) -> Self {
        Self { kind, places: block.places, len: 0, capacity: block.capacity, memory: Memory::Own(block) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The place of the first of the last `count` results.
    fn last(&self, mark: u64, count: usize) -> *mut u8 {
        self.kind.check(mark);
        assert!(count <= self.len, "there are not so many results");
        self.kind.at(self.places, self.len - count)
    }

    /// Makes room for `count` results in an own allocation, unless there is room already, which is prepared then.
    pub(crate) fn ensure(&mut self, count: usize) {
        if let Memory::Region(ground) = &self.memory {
            let count = count.min(self.capacity - self.len);
            ground.prepare(self.kind.at(self.places, self.len), count * self.kind.size);
        }
        if self.capacity - self.len < count {
            assert!(self.len == 0 && matches!(self.memory, Memory::Own(_)), "room is made before the first result");
            *self = Self::in_block(self.kind, Block::new(self.kind, count));
        }
    }

    /// Cuts the room to `capacity` results and gives what was behind it to another value, which has no room when these are not
    /// in a region.
    fn rest_behind(&mut self, capacity: usize) -> Self {
        assert!(self.len <= capacity, "results that are there stay");
        let Memory::Region(ground) = &self.memory else { return Self::in_block(self.kind, Block::new(self.kind, 0)) };
        assert!(capacity <= self.capacity, "a region does not grow");
        let rest = Self {
            kind: self.kind,
            places: self.kind.at(self.places, capacity),
            len: 0,
            capacity: self.capacity - capacity,
            memory: Memory::Region(Arc::clone(ground)),
        };
        self.capacity = capacity;
        rest
    }

    /// Moves results that lie in a collection's allocation to one of their own, and gives the rest of their room up.
    fn leave_collection(&mut self) {
        if matches!(self.memory, Memory::Region(_)) {
            let mut own = Self::in_block(self.kind, Block::new(self.kind, self.len));
            // SAFETY: the new block is of the same kind and has room for all results.
            own.len = unsafe { self.move_to(own.places) };
            *self = own;
        }
    }

    /// Takes the results out, leaving no room.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self::in_block(self.kind, Block::new(self.kind, 0));
        std::mem::replace(self, empty)
    }

    /// The memory of results that have their own, and how many there are; they are no longer counted here.
    fn into_block(mut self, mark: u64) -> (Block, usize) {
        self.kind.check(mark);
        let empty = Block::new(self.kind, 0);
        let Memory::Own(block) = std::mem::replace(&mut self.memory, Memory::Own(empty)) else {
            panic!("results in a region belong to its collection")
        };
        (block, take(&mut self.len))
    }

    /// Moves all results behind those of `target`, which has room for them.
    ///
    /// # Safety
    ///
    /// The places from `target` on are of the same kind, hold nothing, and are enough.
    unsafe fn move_to(&mut self, target: *mut u8) -> usize {
        // SAFETY: promised by the caller; the results are no longer counted here.
        unsafe { ptr::copy_nonoverlapping(self.places, target, self.len * self.kind.size) };
        take(&mut self.len)
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        let count = take(&mut self.len);
        // SAFETY: the places held results, and are no longer counted as such.
        unsafe { self.kind.drop_values(self.places, count) };
    }
}

/// What a `collect` fills: results that are to become one `Vec`, written into its allocation by whoever has them.
pub(crate) struct Collection {
    kind: Kind,
    ground: Arc<Ground>,
    /// The places `..len` hold results, the places `len..given` are lent to regions.
    len: usize,
    given: usize,
    /// Whether there was room for all so far, so that results lie in place.
    in_place: bool,
}

/// Makes a [`Collection`] of results.
#[derive(Clone, Copy)]
pub(crate) struct Collector(Kind);

impl Collector {
    /// Room for `capacity` results, or `None` where there is no such amount of memory.
    pub(crate) fn room_for(self, capacity: usize) -> Option<Collection> {
        let block = Block::try_new(self.0, capacity)?;
        Some(Collection { kind: self.0, ground: Arc::new(Ground::new(block)), len: 0, given: 0, in_place: true })
    }
}

impl Collection {
    /// The memory of all results, and how many there are; they are no longer counted here.
    fn into_block(self, mark: u64) -> (Block, usize) {
        self.kind.check(mark);
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is dropped nowhere, so the ground has one owner still; nothing else of it needs a drop, but for the results,
        // which are the caller's now.
        let ground = unsafe { ptr::read(&raw const this.ground) };
        let Some(Ground { block, .. }) = Arc::into_inner(ground) else { unreachable!("all regions were added before") };
        (block, this.len)
    }

    /// The next `count` places, or none where there are not so many.
    pub(crate) fn place(&mut self, count: usize) -> Results {
        if self.ground.block.capacity - self.given < count {
            // From here on nothing lies in place, so that results can be added in order.
            self.in_place = false;
        }
        if !self.in_place {
            return Results::in_block(self.kind, Block::new(self.kind, 0));
        }
        let places = self.kind.at(self.ground.block.places, self.given);
        self.given += count;
        let memory = Memory::Region(Arc::clone(&self.ground));
        Results { kind: self.kind, places, len: 0, capacity: count, memory }
    }

    /// Lends no places, so that results from elsewhere can be added in order.
    pub(crate) fn lend_nothing(&mut self) {
        self.in_place = false;
    }

    /// Takes back the places that were lent and not used, when all regions were added.
    pub(crate) fn reclaim(&mut self) {
        // A region that is out would share its places with the next one.
        assert!(self.given == self.len || Arc::get_mut(&mut self.ground).is_some(), "a region is out");
        self.given = self.len;
    }

    /// Adds the results next in order.
    pub(crate) fn add(&mut self, mut results: Results) {
        assert_eq!(results.kind.mark, self.kind.mark, "results of another run");
        let end = self.kind.at(self.ground.block.places, self.len);
        if matches!(results.memory, Memory::Region(_)) {
            assert!(ptr::eq(results.places, end), "regions are added in order");
            // The places behind `len` hold results, which `results` no longer counts.
            self.len += take(&mut results.len);
            assert!(self.len <= self.given, "a region lies within what was lent");
            return;
        }
        assert_eq!(self.given, self.len, "results that lie elsewhere come behind all regions");
        if self.ground.block.capacity - self.len < results.len {
            self.grow(results.len);
        }
        let end = self.kind.at(self.ground.block.places, self.len);
        // SAFETY: there is room behind `len`, which is lent to nobody, and the marks show that the kinds are the same.
        self.len += unsafe { results.move_to(end) };
        self.given = self.len;
    }

    /// Makes room for `more` results behind those that there are, when none is lent.
    fn grow(&mut self, more: usize) {
        // At least twice as much, so that each result is moved once on average, as `Vec` does it.
        let capacity = (self.len + more).max(2 * self.len);
        let block = Block::new(self.kind, capacity);
        // SAFETY: the places `..len` hold results and the new ones nothing; the old block frees its memory alone.
        unsafe { ptr::copy_nonoverlapping(self.ground.block.places, block.places, self.len * self.kind.size) };
        self.ground = Arc::new(Ground::new(block));
        self.in_place = false;
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        let count = take(&mut self.len);
        // SAFETY: the places held results, and are no longer counted as such.
        unsafe { self.kind.drop_values(self.ground.block.places, count) };
    }
}

/// Consecutive items, and the results of those that are done.
pub(crate) struct RawChunk {
    items: Items,
    pub(crate) results: Results,
    /// How many items the next call of [`Chunk::run`] takes.
    quota: usize,
    /// Bytes that each waiting item was seen to own, on average, where its type can't say it.
    pub(crate) item_heap: u64,
    /// True if the type of an item panicked when it was asked what that owns.
    pub(crate) is_unmeasurable: bool,
    /// What the results of a pipeline's last call own, and what they needed.
    pub(crate) measured: Heap,
    /// What a pipeline that is a stage knows of the time.
    pub(crate) clock: Clock,
    /// What a pipeline ran the last item with.
    pub(crate) scratch: Option<Box<Scratch>>,
}

impl RawChunk {
    /// Items that wait.
    pub(crate) fn items(&self) -> usize {
        self.items.len()
    }

    /// Moves results that lie in a collection's allocation to one of their own, so that the collection can end.
    pub(crate) fn leave_collection(&mut self) {
        self.results.leave_collection();
    }

    /// Bytes of the buffer that items wait in.
    pub(crate) fn item_buffer(&self) -> usize {
        self.items.block.layout.size()
    }

    fn new(items: Kind, results: Kind) -> Box<Self> {
        let results = Results::in_block(results, Block::new(results, 0));
        Box::new(Self::of(Items::new(items), results))
    }

    fn of(items: Items, results: Results) -> Self {
        let (measured, clock) = (Heap::default(), Clock::default());
        Self { items, results, quota: 0, item_heap: 0, is_unmeasurable: false, measured, clock, scratch: None }
    }

    fn set_quota(&mut self, mark: u64, quota: usize) {
        self.items.kind.check(mark);
        self.results.kind.check(mark);
        let room = self.results.capacity - self.results.len;
        assert!(quota <= self.items.len() && quota <= room, "a chunk has room for its results");
        self.quota = quota;
    }

    /// Leaves the first `keep` of the waiting items here, and their results, and gives the others.
    pub(crate) fn split_off(&mut self, keep: usize) -> Box<Self> {
        let results = self.results.rest_behind(self.results.len + keep);
        let (item_heap, is_unmeasurable) = (self.item_heap, self.is_unmeasurable);
        Box::new(Self { item_heap, is_unmeasurable, ..Self::of(self.items.split_off(keep), results) })
    }
}

/// Names types without owning them, and lets no lifetime in them be changed: one that could be widened here would come out longer
/// than it went in.
type Named<T, R> = PhantomData<fn(T, R) -> (T, R)>;

/// A chunk as the annotated function's wrapper sees it.
#[repr(transparent)]
pub struct Chunk<T, R> {
    raw: RawChunk,
    types: Named<T, R>,
}

impl<T, R> std::fmt::Debug for Chunk<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk").field("items", &self.raw.items()).field("results", &self.raw.results.len()).finish()
    }
}

impl<T, R> Chunk<T, R> {
    /// Calls `function` for each item of the quota.
    ///
    /// When it panics, its item is gone, the results before it and the items after it are kept.
    #[inline]
    pub fn run(&mut self, mut function: impl FnMut(T) -> R) {
        let RawChunk { items, results, quota, .. } = &mut self.raw;
        let (from, to) = (items.block.places.cast::<T>(), results.places.cast::<R>());
        // Taken, not read: a kernel that runs the chunk twice finds nothing to run the second time.
        let end = items.next + take(quota);
        let mut taken = Counted { count: items.next, out: &mut items.next };
        let mut made = Counted { count: results.len, out: &mut results.len };
        while taken.count < end {
            // SAFETY: `Types::quota` checked that so many items wait. The place holds an item, of this type because a `Chunk` is
            // made by the `Types` of its buffers alone, and it is no longer counted as one from here on.
            let item = unsafe { from.wrapping_add(taken.count).read() };
            taken.count += 1;
            let result = function(item);
            // SAFETY: `Types::quota` checked that there is room for as many results, and the place holds nothing.
            unsafe { to.wrapping_add(made.count).write(result) };
            made.count += 1;
        }
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

/// The types of a run's items and results, and the only way for values into its buffers and out of them.
pub(crate) struct Types<T, R> {
    mark: u64,
    types: Named<T, R>,
}

impl<T, R> Clone for Types<T, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, R> Copy for Types<T, R> {}

impl<T: Send, R: Send> Types<T, R> {
    /// Types with a mark that no others have.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // 64 bits are not counted through in the lifetime of a process.
        Self { mark: NEXT.fetch_add(1, Ordering::Relaxed), types: PhantomData }
    }
}

impl<T, R> Types<T, R> {
    fn results(self) -> Kind {
        Kind::of::<R>(self.mark)
    }

    /// A chunk without items.
    pub(crate) fn chunk(self) -> Box<RawChunk> {
        RawChunk::new(Kind::of::<T>(self.mark), self.results())
    }

    /// A chunk without items that has room for one, and for its result.
    pub(crate) fn place_of_one(self) -> Box<RawChunk> {
        let (items, results) = (Kind::of::<T>(self.mark), self.results());
        let items = Items::in_block(items, Block::new(items, 1), 0);
        Box::new(RawChunk::of(items, Results::in_block(results, Block::new(results, 1))))
    }

    /// Puts an item into a chunk without items that has room for one.
    pub(crate) fn put_one(self, chunk: &mut RawChunk, item: T) {
        let items = &mut chunk.items;
        items.kind.check(self.mark);
        assert!(items.len() == 0 && items.block.capacity > 0, "there is room for the item");
        // SAFETY: the block has a first place, which holds nothing because the chunk has no items, and the mark shows that it is
        // one for a `T`.
        unsafe { items.block.places.cast::<T>().write(item) };
        (items.next, items.end) = (0, 1);
    }

    /// Takes up to `most` items from `input` into a chunk without items, as far as `asks` allows.
    /// Says if the input has ended: only `None` says that, whatever its `size_hint` does.
    pub(crate) fn fill(
        self,
        chunk: &mut RawChunk,
        input: &mut impl Iterator<Item = T>,
        most: usize,
        (asks, way): (&mut Asks, Way),
    ) -> bool {
        let items = &mut chunk.items;
        let most = items.prepare(self.mark, most, input.size_hint().1);
        let start = items.block.places.cast::<T>();
        let mut goal = asks.begin(most, way).min(most);
        loop {
            let mut filled = Counted { count: items.end, out: &mut items.end };
            // Nothing else in this loop: for items that take a nanosecond it would be twice as long.
            while filled.count < goal {
                let Some(item) = input.next() else { break };
                // SAFETY: `count < goal <= most <= capacity`, the place holds nothing yet, and the mark shows that it is one
                // for a `T`.
                unsafe { start.wrapping_add(filled.count).write(item) };
                filled.count += 1;
            }
            drop(filled);
            let has_ended = items.end < goal;
            match asks.look(items.end, most, way).filter(|_| !has_ended) {
                Some(next) => goal = next.min(most),
                None => {
                    asks.end();
                    return has_ended;
                }
            }
        }
    }

    /// The waiting items of a chunk.
    pub(crate) fn items_of(self, chunk: &RawChunk) -> &[T] {
        let (first, count) = chunk.items.held(self.mark);
        // SAFETY: the places hold items, of this type as the mark shows, and the slice borrows the chunk.
        unsafe { &*ptr::slice_from_raw_parts(first.cast(), count) }
    }

    /// Takes the next waiting item out of a chunk.
    pub(crate) fn take_item(self, chunk: &mut RawChunk) -> T {
        let (first, count) = chunk.items.held(self.mark);
        assert!(count > 0, "no item waits");
        chunk.items.next += 1;
        // SAFETY: the place holds an item, of this type as the mark shows, and is no longer counted as one.
        unsafe { first.cast::<T>().read() }
    }

    /// Puts an item back in the place of the last one that was taken out, to be the next.
    pub(crate) fn put_back(self, chunk: &mut RawChunk, item: T) {
        let items = &mut chunk.items;
        items.kind.check(self.mark);
        assert!(items.next > 0, "there is a place where an item was taken out");
        items.next -= 1;
        // SAFETY: all places before the former `next` lie within the block and hold nothing: `next` starts at 0 in each block and
        // moves past items that are taken out alone. The mark shows that the place is one for a `T`.
        unsafe { items.kind.at(items.block.places, items.next).cast::<T>().write(item) };
    }

    /// Takes the last result of a chunk out.
    pub(crate) fn take_result(self, chunk: &mut RawChunk) -> R {
        let last = chunk.results.last(self.mark, 1);
        chunk.results.len -= 1;
        // SAFETY: the place holds a result, of this type as the mark shows, and is no longer counted as one.
        unsafe { last.cast::<R>().read() }
    }

    /// The last `count` results of a chunk.
    pub(crate) fn last_results_of(self, chunk: &RawChunk, count: usize) -> &[R] {
        let first = chunk.results.last(self.mark, count);
        // SAFETY: the places hold results, of this type as the mark shows, and the slice borrows the chunk.
        unsafe { &*ptr::slice_from_raw_parts(first.cast(), count) }
    }

    /// The chunk with its types, to run the next `quota` items.
    pub(crate) fn quota(self, chunk: &mut RawChunk, quota: usize) -> &mut Chunk<T, R> {
        chunk.set_quota(self.mark, quota);
        // SAFETY: a `Chunk` is a `RawChunk` in memory, and the marks show that the buffers hold these types.
        unsafe { &mut *ptr::from_mut(chunk).cast() }
    }

    /// The results as a `Vec`, without a copy.
    pub(crate) fn into_vec(self, results: Results) -> Vec<R> {
        let (block, len) = results.into_block(self.mark);
        // SAFETY: the first `len` places hold results, of this type as the mark shows, which are no longer counted elsewhere.
        unsafe { block.into_vec(len) }
    }

    /// Room for results in a `Vec` that was used before.
    pub(crate) fn in_buffer(self, buffer: Vec<R>) -> Results {
        Results::in_block(self.results(), Block::of_vec(buffer))
    }

    /// Results that are in a `Vec`, without a copy.
    pub(crate) fn results_of(self, mut vec: Vec<R>) -> Results {
        let len = vec.len();
        // SAFETY: zero is within the capacity. The places keep their results, which are counted below and nowhere else.
        unsafe { vec.set_len(0) };
        let mut results = Results::in_block(self.results(), Block::of_vec(vec));
        results.len = len;
        results
    }

    /// What makes a [`Collection`] of results.
    pub(crate) fn collector(self) -> Collector {
        Collector(self.results())
    }

    /// All results of a collection.
    pub(crate) fn collected(self, all: Collection) -> Vec<R> {
        let (block, len) = all.into_block(self.mark);
        // SAFETY: the first `len` places hold results, of this type as the mark shows, which are no longer counted elsewhere.
        unsafe { block.into_vec(len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    impl<T, R> Chunk<T, R> {
        fn quota(&self) -> usize {
            self.raw.quota
        }
    }

    /// However busy the machine is, a fill is not cut short.
    const AT_ONCE: Way = Way::Inline { timed: false };

    type Value = Arc<u32>;
    type Both = Types<Value, Value>;

    fn filled(types: Both, values: &[Value]) -> Box<RawChunk> {
        let mut chunk = types.chunk();
        types.fill(&mut chunk, &mut values.iter().cloned(), values.len(), (&mut Asks::at_once(), AT_ONCE));
        chunk
    }

    /// Runs `count` items of a chunk, in its own room or in that which it was given.
    fn run(types: Both, chunk: &mut RawChunk, count: usize) {
        chunk.results.ensure(count);
        types.quota(chunk, count).run(|item| item);
    }

    fn run_in(types: Both, room: Results, values: &[Value]) -> Results {
        let mut chunk = filled(types, values);
        chunk.results = room;
        run(types, &mut chunk, values.len());
        chunk.results.take()
    }

    fn values(count: u32) -> Vec<Value> {
        (0..count).map(Arc::new).collect()
    }

    fn all_dropped_but_mine(values: &[Value]) -> bool {
        values.iter().all(|value| Arc::strong_count(value) == 1)
    }

    #[test]
    fn items_come_out_in_order_and_the_rest_is_dropped_once() {
        let (mine, types) = (values(10), Both::new());
        let mut chunk = filled(types, &mine);
        chunk.results.ensure(10);
        types.quota(&mut chunk, 4).run(|item| item);
        assert_eq!((types.items_of(&chunk), types.last_results_of(&chunk, 4)), (&mine[4..], &mine[..4]));
        drop(chunk);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn a_buffer_is_filled_again() {
        let types = Types::<u32, u32>::new();
        let mut chunk = types.chunk();
        for round in 0..3u32 {
            types.fill(&mut chunk, &mut (0..100).map(|i| i + round), 5, (&mut Asks::at_once(), AT_ONCE));
            chunk.results.ensure(5);
            types.quota(&mut chunk, 5).run(|item| item);
            assert_eq!(types.into_vec(chunk.results.take()), (round..round + 5).collect::<Vec<_>>());
        }
    }

    #[test]
    fn splitting_moves_the_tail() {
        let (mine, types) = (values(10), Both::new());
        let mut chunk = filled(types, &mine);
        chunk.results.ensure(10);
        types.quota(&mut chunk, 3).run(|item| item);
        let rest = chunk.split_off(2);
        assert_eq!((types.items_of(&chunk), types.items_of(&rest)), (&mine[3..5], &mine[5..]));
        drop((chunk, rest));
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn a_chunk_that_is_run_twice_has_nothing_to_run_the_second_time() {
        let (mine, types) = (values(10), Both::new());
        let mut chunk = filled(types, &mine);
        chunk.results.ensure(6);
        let quota = types.quota(&mut chunk, 6);
        let mut calls = 0;
        for _ in 0..2 {
            quota.run(|item| {
                calls += 1;
                item
            });
        }
        assert_eq!((calls, chunk.results.len(), chunk.items()), (6, 6, 4));
        drop(chunk);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn places_are_not_taken_back_while_a_region_is_out() {
        let (mine, types) = (values(6), Both::new());
        let mut all = types.collector().room_for(6).unwrap();
        let (first, second) = (all.place(3), all.place(3));
        all.add(run_in(types, first, &mine[..3]));
        assert!(catch_unwind(AssertUnwindSafe(|| all.reclaim())).is_err());
        drop(second);
        all.reclaim();
        let room = all.place(3);
        all.add(run_in(types, room, &mine[3..]));
        assert_eq!(types.collected(all), mine);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn a_panic_loses_its_item_alone() {
        let (mine, types) = (values(10), Both::new());
        let mut chunk = filled(types, &mine);
        chunk.results.ensure(10);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            types.quota(&mut chunk, 10).run(|item| if *item == 6 { panic!("six") } else { item });
        }));
        assert!(outcome.is_err());
        assert_eq!((chunk.results.len(), chunk.items()), (6, 3));
        drop(chunk);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn an_item_is_put_back_where_one_was_taken_out() {
        let (mine, types) = (values(4), Both::new());
        let mut chunk = filled(types, &mine);
        let refused = catch_unwind(AssertUnwindSafe(|| types.put_back(&mut chunk, Arc::clone(&mine[0]))));
        assert!(refused.is_err(), "none was taken out");
        chunk.results.ensure(4);
        types.quota(&mut chunk, 2).run(|item| item);
        assert_eq!(types.take_result(&mut chunk), mine[1]);
        types.put_back(&mut chunk, Arc::clone(&mine[3]));
        assert_eq!(types.take_item(&mut chunk), mine[3]);
        types.put_back(&mut chunk, Arc::clone(&mine[1]));
        assert_eq!((types.last_results_of(&chunk, 1), types.items_of(&chunk)), (&mine[..1], &mine[1..]));
        types.quota(&mut chunk, 3).run(|item| item);
        assert_eq!(types.into_vec(chunk.results.take()), mine);
        let refused = catch_unwind(AssertUnwindSafe(|| types.take_item(&mut chunk)));
        assert!(refused.is_err(), "no item waits");
        drop(chunk);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn what_was_split_off_has_no_place_to_put_an_item_back() {
        let (mine, types) = (values(4), Both::new());
        let mut chunk = filled(types, &mine);
        chunk.results.ensure(4);
        types.quota(&mut chunk, 1).run(|item| item);
        let mut rest = chunk.split_off(1);
        assert!(catch_unwind(AssertUnwindSafe(|| types.put_back(&mut rest, Arc::clone(&mine[0])))).is_err());
        types.put_back(&mut chunk, Arc::clone(&mine[0]));
        assert_eq!((types.items_of(&chunk), types.items_of(&rest)), (&mine[..2], &mine[2..]));
        drop((chunk, rest));
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn an_item_that_is_taken_out_and_lost_is_dropped_once() {
        let (mine, types) = (values(4), Both::new());
        let mut chunk = filled(types, &mine);
        chunk.results.ensure(4);
        drop(types.take_item(&mut chunk));
        assert_eq!((chunk.items(), chunk.results.len()), (3, 0));
        types.quota(&mut chunk, 1).run(|item| item);
        drop(types.take_result(&mut chunk));
        assert_eq!((chunk.items(), chunk.results.len()), (2, 0));
        assert!(catch_unwind(AssertUnwindSafe(|| types.take_result(&mut chunk))).is_err(), "there is no result");
        drop(chunk);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn the_place_of_one_is_used_again_and_again_also_after_a_panic() {
        let (mine, types) = (values(4), Both::new());
        let mut chunk = types.place_of_one();
        for value in &mine {
            types.put_one(&mut chunk, Arc::clone(value));
            let refused = catch_unwind(AssertUnwindSafe(|| types.put_one(&mut chunk, Arc::clone(value))));
            assert!(refused.is_err(), "there is one already");
            if **value == 2 {
                let run = AssertUnwindSafe(|| types.quota(&mut chunk, 1).run(|_| panic!("two")));
                assert!(catch_unwind(run).is_err());
                assert_eq!((chunk.items(), chunk.results.len()), (0, 0));
                continue;
            }
            types.quota(&mut chunk, 1).run(|item| item);
            // An item that is to be called again.
            let result = types.take_result(&mut chunk);
            types.put_back(&mut chunk, result);
            types.quota(&mut chunk, 1).run(|item| item);
            assert_eq!(types.take_result(&mut chunk), *value);
        }
        types.put_one(&mut chunk, Arc::clone(&mine[0]));
        let others = Both::new();
        assert!(catch_unwind(AssertUnwindSafe(|| others.put_one(&mut chunk, Arc::clone(&mine[0])))).is_err());
        let mut no_room = types.chunk();
        assert!(catch_unwind(AssertUnwindSafe(|| types.put_one(&mut no_room, Arc::clone(&mine[0])))).is_err());
        drop((chunk, no_room));
        assert!(all_dropped_but_mine(&mine));
        let none = Types::<(), ()>::new();
        let mut chunk = none.place_of_one();
        none.put_one(&mut chunk, ());
        none.quota(&mut chunk, 1).run(|()| ());
        none.take_result(&mut chunk);
        assert_eq!((chunk.items(), chunk.results.len()), (0, 0));
    }

    #[test]
    fn an_input_that_panics_keeps_what_it_gave() {
        let (mine, types) = (values(10), Both::new());
        let mut chunk = types.chunk();
        let mut input = mine.iter().map(|value| if **value == 7 { panic!("seven") } else { Arc::clone(value) });
        assert!(
            catch_unwind(AssertUnwindSafe(|| types.fill(&mut chunk, &mut input, 10, (&mut Asks::at_once(), AT_ONCE))))
                .is_err()
        );
        assert_eq!(chunk.items(), 7);
        drop(chunk);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn no_more_is_run_than_waits_or_has_room() {
        let (mine, types) = (values(4), Both::new());
        let mut chunk = filled(types, &mine);
        let mut refused = |quota| catch_unwind(AssertUnwindSafe(|| types.quota(&mut chunk, quota).quota())).is_err();
        assert!(refused(1), "no room");
        chunk.results.ensure(9);
        let mut refused = |quota| catch_unwind(AssertUnwindSafe(|| types.quota(&mut chunk, quota).quota())).is_err();
        assert!(refused(5), "no items");
        assert!(!refused(4));
    }

    #[test]
    fn a_buffer_of_other_types_is_refused() {
        let (strings, numbers) = (Types::<String, String>::new(), Types::<u64, u64>::new());
        let mut chunk = numbers.chunk();
        numbers.fill(&mut chunk, &mut (0..3), 3, (&mut Asks::at_once(), AT_ONCE));
        let refused = |body: &mut dyn FnMut()| assert!(catch_unwind(AssertUnwindSafe(body)).is_err());
        refused(&mut || assert!(strings.items_of(&chunk)[0].is_empty()));
        refused(&mut || drop(strings.into_vec(numbers.in_buffer(vec![1]))));
        refused(&mut || drop(strings.take_item(&mut chunk)));
        refused(&mut || drop(strings.take_result(&mut chunk)));
        assert_eq!(numbers.take_item(&mut chunk), 0);
        refused(&mut || strings.put_back(&mut chunk, String::new()));
        refused(&mut || drop(strings.collected(numbers.collector().room_for(1).unwrap())));
        refused(&mut || {
            let asks = &mut Asks::at_once();
            strings.fill(&mut chunk, &mut std::iter::once(String::new()), 1, (asks, AT_ONCE));
        });
        refused(&mut || strings.collector().room_for(1).unwrap().add(numbers.in_buffer(Vec::new())));
    }

    #[test]
    fn regions_fill_one_allocation() {
        let (mine, types) = (values(10), Both::new());
        let mut all = types.collector().room_for(12).unwrap();
        let (first, second) = (all.place(7), all.place(3));
        let second = run_in(types, second, &mine[7..]);
        let mut chunk = filled(types, &mine[..7]);
        chunk.results = first;
        types.quota(&mut chunk, 4).run(|item| item);
        let mut rest = chunk.split_off(0);
        types.quota(&mut rest, 3).run(|item| item);
        all.add(chunk.results.take());
        all.add(rest.results.take());
        all.add(second);
        let all = types.collected(all);
        assert_eq!((all.as_slice(), all.capacity()), (&mine[..], 12));
        drop((all, chunk, rest));
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn what_was_made_before_is_moved_into_place() {
        let (mine, types) = (values(6), Both::new());
        let mut all = types.collector().room_for(6).unwrap();
        all.add(run_in(types, types.in_buffer(Vec::new()), &mine[..2]));
        let room = all.place(4);
        all.add(run_in(types, room, &mine[2..]));
        let all = types.collected(all);
        assert_eq!((all.as_slice(), all.capacity()), (&mine[..], 6));
        drop(all);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn what_does_not_fit_in_place_follows_in_order() {
        let (mine, types) = (values(100), Both::new());
        let mut all = types.collector().room_for(5).unwrap();
        for part in mine.chunks(3) {
            let room = all.place(part.len());
            all.add(run_in(types, room, part));
        }
        assert_eq!(all.len(), 100);
        assert_eq!(types.collected(all), mine);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn places_that_were_not_used_are_used_again() {
        let (mine, types) = (values(6), Both::new());
        let mut all = types.collector().room_for(6).unwrap();
        let room = all.place(6);
        all.add(run_in(types, room, &mine[..2]));
        all.reclaim();
        let room = all.place(4);
        all.add(run_in(types, room, &mine[2..]));
        assert_eq!(types.collected(all), mine);
    }

    #[test]
    fn a_region_that_is_not_added_drops_what_it_holds_even_after_the_collection() {
        let (mine, types) = (values(6), Both::new());
        let mut all = types.collector().room_for(6).unwrap();
        let (first, second) = (all.place(3), all.place(3));
        all.add(run_in(types, first, &mine[..3]));
        let second = run_in(types, second, &mine[3..5]);
        drop(all);
        assert_eq!(second.len(), 2);
        drop(second);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn a_chunk_that_leaves_its_collection_keeps_its_results_and_items() {
        let (mine, types) = (values(10), Both::new());
        let mut all = types.collector().room_for(10).unwrap();
        let (first, second) = (all.place(4), all.place(6));
        all.add(run_in(types, first, &mine[..4]));
        let mut chunk = filled(types, &mine[4..]);
        chunk.results = second;
        types.quota(&mut chunk, 2).run(|item| item);
        chunk.leave_collection();
        // All regions are gone, so the collection can become a `Vec`.
        assert_eq!(types.collected(all), mine[..4]);
        assert_eq!((types.last_results_of(&chunk, 2), types.items_of(&chunk)), (&mine[4..6], &mine[6..]));
        let done = types.into_vec(chunk.results.take());
        assert_eq!(done, mine[4..6]);
        run(types, &mut chunk, 4);
        assert_eq!(types.into_vec(chunk.results.take()), mine[6..]);
        drop((chunk, done));
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn a_vec_is_used_again_and_comes_back_whole() {
        let (mine, types) = (values(3), Both::new());
        let back = types.into_vec(run_in(types, types.in_buffer(mine.clone()), &mine));
        assert_eq!((back.as_slice(), back.capacity()), (&mine[..], 3));
        drop(back);
        assert!(all_dropped_but_mine(&mine));
    }

    #[test]
    fn the_results_of_a_vec_come_back_or_are_dropped() {
        let (mine, types) = (values(5), Both::new());
        let results = types.results_of(mine.clone());
        assert_eq!(results.len(), 5);
        assert_eq!(types.into_vec(results), mine);
        drop(types.results_of(mine.clone()));
        assert!(all_dropped_but_mine(&mine));
        let none = Types::<(), ()>::new();
        assert_eq!(none.into_vec(none.results_of(vec![(); 3])).len(), 3);
    }

    /// Fills a collection of `count` results from regions of `sizes` in turn, on two threads at once, and looks at each result.
    fn fill_together<R: Send + PartialEq>(count: usize, sizes: &[usize], result: fn(usize) -> R) {
        let types = Types::<usize, R>::new();
        let mut all = types.collector().room_for(count).unwrap();
        let mut jobs = Vec::new();
        let mut start = 0;
        for &size in sizes.iter().cycle() {
            if start == count {
                break;
            }
            let items = start..count.min(start + size);
            start = items.end;
            jobs.push((all.place(items.len()), items));
        }
        let fill = |(mut room, items): (Results, Range<usize>)| {
            let mut chunk = types.chunk();
            types.fill(&mut chunk, &mut items.clone(), items.len(), (&mut Asks::at_once(), AT_ONCE));
            // As it is when a chunk's start is not its only one.
            room.ensure(items.len() / 2);
            chunk.results = room;
            chunk.results.ensure(items.len());
            types.quota(&mut chunk, items.len()).run(result);
            chunk.results.take()
        };
        let (mut even, mut odd) = (Vec::new(), Vec::new());
        jobs.into_iter()
            .enumerate()
            .for_each(|(index, job)| if index % 2 == 0 { even.push(job) } else { odd.push(job) });
        let [even, odd] = std::thread::scope(|scope| {
            let run = |jobs: Vec<_>| scope.spawn(|| jobs.into_iter().map(fill).collect::<Vec<_>>());
            [run(even), run(odd)].map(|thread| thread.join().unwrap())
        });
        let mut odd = odd.into_iter();
        for results in even {
            all.add(results);
            odd.next().into_iter().for_each(|results| all.add(results));
        }
        let all = types.collected(all);
        assert_eq!(all.len(), count);
        assert!(all.iter().enumerate().all(|(index, value)| *value == result(index)));
    }

    #[test]
    fn a_collection_of_huge_pages_is_whole_whatever_regions_it_is_filled_from() {
        // 16 MB and more: smaller than a page, about as large as a chunk of cheap calls, and larger than a huge page.
        fill_together(2_000_003, &[16_384], |index| index);
        fill_together(2_000_003, &[100, 1, 20_000, 511, 600_000], |index| !index);
        // Results that lie across pages, and regions that begin and end within one.
        fill_together(1_000_001, &[5_000, 333, 70_000], |index| [index as u8; 17]);
        fill_together(9_000_000, &[131_072, 10, 3_000_000], |index| index as u8);
        fill_together(300, &[1, 7], |index| [index; 8_192]);
        // These have no memory, however many there are.
        fill_together(9_000_000, &[131_072], |_| ());
    }

    #[test]
    fn a_large_collection_lies_in_one_allocation_of_its_size() {
        let types = Types::<u64, u64>::new();
        let count = 2_000_003;
        let mut all = types.collector().room_for(count).unwrap();
        for part in 0..3 {
            let mut chunk = types.chunk();
            let items = (part * count as u64 / 3..(part + 1) * count as u64 / 3).collect::<Vec<_>>();
            types.fill(&mut chunk, &mut items.iter().copied(), items.len(), (&mut Asks::at_once(), AT_ONCE));
            chunk.results = all.place(items.len());
            types.quota(&mut chunk, items.len()).run(|item| !item);
            all.add(chunk.results.take());
        }
        let all = types.collected(all);
        assert_eq!(all.capacity(), count);
        assert!(all.iter().zip(0..).all(|(&result, item): (_, u64)| result == !item));
    }

    #[test]
    fn impossible_room_is_refused() {
        assert!(Types::<u8, u64>::new().collector().room_for(usize::MAX).is_none());
        assert!(Types::<u8, u64>::new().collector().room_for(usize::MAX / 8).is_none());
    }

    #[test]
    fn values_of_no_size_are_counted() {
        let types = Types::<(), ()>::new();
        let mut chunk = types.chunk();
        types.fill(&mut chunk, &mut std::iter::repeat_n((), 5), 5, (&mut Asks::at_once(), AT_ONCE));
        let mut all = types.collector().room_for(5).unwrap();
        chunk.results = all.place(5);
        types.quota(&mut chunk, 5).run(|()| ());
        all.add(chunk.results.take());
        assert_eq!(types.collected(all).len(), 5);
        assert_eq!(types.into_vec(types.in_buffer(vec![(); 3])).len(), 0);
    }
}
