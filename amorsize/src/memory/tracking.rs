//! Exact heap bytes of each call, counted by the program's own allocator.
//!
//! # How it counts
//!
//! - A thread has a *frame* open while it runs a call that is measured: two plain cells that nobody else sees, the net bytes and
//!   the most that they were. Counting there costs an addition and a comparison.
//! - What a thread does outside of any frame is *stray*: it goes to a [`Slot`], which every thread can read and one writes, so that
//!   it needs no more than a load and a store. A function that forks has parts of its call run by idle threads, outside of any
//!   frame; without the slots these bytes would be nobody's.
//!
//! So the frames of all calls and the stray bytes are everything that the program allocated, whoever did it.
//!
//! # Why it is unsafe
//!
//! - An allocator is an unsafe trait. All that is asked of it is passed on as it came; what is done beside it touches no memory but
//!   the counters.
//! - Slots are allocated from the system directly: an allocator that allocates through itself would never come back.
#![expect(unsafe_code, reason = "a global allocator can't be written without")]

use std::alloc::{GlobalAlloc, Layout, System, alloc, dealloc};
use std::cell::Cell;
use std::fmt;
use std::hint::black_box;
use std::iter::successors;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU8, Ordering};

use super::Bytes;

/// A global allocator that counts: with it, every run knows the exact heap bytes of each call.
///
/// # Examples
///
/// ```
/// use std::alloc::System;
///
/// use amorsize::Tracking;
///
/// #[global_allocator]
/// static ALLOCATOR: Tracking = Tracking::new(System);
///
/// let (text, heap) = ALLOCATOR.measure(|| "x".repeat(1000));
/// assert_eq!(heap.retained(), 1000);
/// drop(text);
/// ```
///
/// It wraps any other allocator, and passes everything on to it:
///
/// ```ignore
/// #[global_allocator]
/// static ALLOCATOR: Tracking<mimalloc::MiMalloc> = Tracking::new(mimalloc::MiMalloc);
///
/// #[global_allocator]
/// static ALLOCATOR: Tracking<tikv_jemallocator::Jemalloc> = Tracking::new(tikv_jemallocator::Jemalloc);
/// ```
///
/// # What is counted
///
/// Every allocation that goes through Rust's global allocator, by the size that was asked for. Within a call:
///
/// - an allocation adds its size, and giving it back takes that size off again, wherever it was allocated. So a call that drops an
///   item which owns memory may retain a negative number of bytes;
/// - growing or shrinking an allocation adds the difference. While an allocator moves one, old and new exist together inside it;
///   that is not counted;
/// - an allocation that fails adds nothing.
///
/// Not counted: what an allocator adds to a request and what it keeps of freed memory, stacks, memory that is mapped from a file,
/// and what libraries in other languages allocate for themselves.
///
/// # Functions that use several threads
///
/// Bytes belong to the thread that allocates or frees them. What a function does on threads of its own is not seen in its call.
/// One that forks on rayon has parts of its call run by other workers, and while it waits for them its own worker may run parts of
/// other calls, which then count for it. So for such functions the figure of a single call is not exact. The sum is: what idle
/// workers did is in [`stray`](Self::stray), and nothing is lost or counted twice.
///
/// # What it costs
///
/// About 1.5 ns for each allocation and each deallocation, and no atomic read-modify-write. `cargo bench --bench tracking` measures
/// it on your machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracking<A = System>(A);

impl<A> Tracking<A> {
    /// Wraps an allocator.
    pub const fn new(allocator: A) -> Self {
        Self(allocator)
    }

    /// Calls a function and gives the heap bytes of the call, as this thread saw them.
    ///
    /// Calls may be nested; the bytes of the inner one count for the outer one too. Both figures are zero where this is not the
    /// program's global allocator.
    pub fn measure<R>(&self, call: impl FnOnce() -> R) -> (R, HeapUse) {
        let frame = Nested(Some(Frame::begin()));
        let result = call();
        (result, frame.end())
    }

    /// Net bytes that all threads allocated since the process started, but for the calls that are being measured now.
    ///
    /// A call that [`measure`](Self::measure) is done with is contained. While other threads allocate and free, the figure may
    /// have seen one of two operations that belong together; otherwise it is exact. Reading it takes some nanoseconds for each
    /// thread that the process had at the same time.
    pub fn stray(&self) -> i64 {
        stray()
    }
}

// SAFETY: every call is passed on to the inner allocator as it came, and its answer is given back as it is. The counters take no
// part in it, never unwind, and never allocate through this allocator without an end: the first stray bytes of a thread set its
// slot before anything else happens that might allocate.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Tracking<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        let place = unsafe { self.0.alloc(layout) };
        if !place.is_null() {
            count_more(layout.size());
        }
        place
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        let place = unsafe { self.0.alloc_zeroed(layout) };
        if !place.is_null() {
            count_more(layout.size());
        }
        place
    }

    #[inline]
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count_less(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { self.0.dealloc(place, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        let place = unsafe { self.0.realloc(place, layout, new_size) };
        if !place.is_null() {
            if new_size >= layout.size() {
                count_more(new_size - layout.size());
            } else {
                count_less(layout.size() - new_size);
            }
        }
        place
    }
}

/// Heap bytes of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeapUse {
    retained: i64,
    peak: u64,
}

impl HeapUse {
    /// Bytes that were allocated in the call and not freed in it: what its result owns, and what it left elsewhere.
    ///
    /// Negative where the call freed more of what was allocated before it.
    #[must_use]
    pub const fn retained(&self) -> i64 {
        self.retained
    }

    /// The most net bytes at any time in the call.
    #[must_use]
    pub const fn peak(&self) -> u64 {
        self.peak
    }
}

impl fmt::Display for HeapUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.retained < 0 { "-" } else { "" };
        let retained = Bytes::new(self.retained.unsigned_abs());
        write!(f, "{sign}{retained} retained, {} at the peak", Bytes::new(self.peak))
    }
}

/// Whether [`Tracking`] is this program's global allocator.
#[allow(dead_code, reason = "the executor asks")]
pub(crate) fn is_active() -> bool {
    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;
    static ACTIVE: AtomicU8 = AtomicU8::new(UNKNOWN);
    match ACTIVE.load(Ordering::Relaxed) {
        UNKNOWN => {
            let layout = Layout::new::<u8>();
            let frame = Frame::begin();
            // SAFETY: the size is not zero. The compiler may leave out an allocation that nobody looks at, so somebody does.
            let place = black_box(unsafe { alloc(layout) });
            let active = frame.end().retained() == 1;
            if place.is_null() {
                // Out of memory: nothing was learned, and the program has other worries.
                return false;
            }
            // SAFETY: it was allocated with this layout just now. It is given back inside a frame of its own, as it was taken.
            let frame = Frame::begin();
            unsafe { dealloc(place, layout) };
            drop(frame);
            ACTIVE.store(if active { YES } else { NO }, Ordering::Relaxed);
            active
        }
        known => known == YES,
    }
}

/// Net bytes of all threads outside of any frame, since the process started.
pub(crate) fn stray() -> i64 {
    slots().fold(ENDED.load(Ordering::Relaxed), |sum, slot| sum.wrapping_add(slot.net.load(Ordering::Relaxed)))
}

/// Adds bytes that were counted in an isolated frame to the one that is open on this thread, which now answers for them. Where
/// none is, nothing happens, and the answer is `false`; [`add_stray`] takes them then, if they are to be anywhere.
#[allow(dead_code, reason = "the executor hands results over")]
pub(crate) fn transfer(bytes: i64) -> bool {
    let peak = bytes.max(0);
    pass_on(bytes, peak)
}

/// Adds bytes to those outside of any frame.
pub(crate) fn add_stray(bytes: i64) {
    let there = HERE.try_with(|here| here.add_stray(bytes));
    if there.is_err() {
        add_ended(bytes);
    }
}

/// A call's bytes on this thread, from [`begin`](Self::begin) to [`end`](Self::end). Isolated: what happens meanwhile counts neither
/// for the frame around it nor as stray. When it is dropped instead, by unwinding, its bytes are forgotten.
#[must_use = "bytes are counted until it ends"]
pub(crate) struct Frame {
    outer: Counts,
    /// It is this thread's counters that it restores.
    not_send: PhantomData<*mut ()>,
}

impl Frame {
    #[inline]
    pub(crate) fn begin() -> Self {
        let outer = HERE.try_with(|here| here.replace(Counts { open: true, net: 0, peak: 0 }));
        Self { outer: outer.unwrap_or_default(), not_send: PhantomData }
    }

    #[inline]
    pub(crate) fn end(self) -> HeapUse {
        // Dropping it gives the thread back to the frame around.
        HERE.try_with(Here::heap_use).unwrap_or_default()
    }
}

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        // Where there are no counters, there was nothing to restore.
        let _ = HERE.try_with(|here| here.replace(self.outer));
    }
}

/// A frame whose bytes count for what is around it, also when it unwinds.
struct Nested(Option<Frame>);

impl Nested {
    fn end(mut self) -> HeapUse {
        self.pass_on()
    }

    fn pass_on(&mut self) -> HeapUse {
        let Some(frame) = self.0.take() else { return HeapUse::default() };
        let heap = frame.end();
        if !pass_on(heap.retained, heap.peak as i64) {
            add_stray(heap.retained);
        }
        heap
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        self.pass_on();
    }
}

/// Adds what was counted elsewhere to the frame that is open on this thread, and says whether one is.
fn pass_on(net: i64, peak: i64) -> bool {
    HERE.try_with(|here| {
        let open = here.open.get();
        if open {
            let before = here.net.get();
            here.net.set(before.wrapping_add(net));
            here.peak.set(here.peak.get().max(before.wrapping_add(peak)));
        }
        open
    })
    .unwrap_or(false)
}

/// What a thread counts for the frame that is open on it.
#[derive(Clone, Copy, Default)]
struct Counts {
    open: bool,
    net: i64,
    peak: i64,
}

/// A thread's counters. Nothing here needs a destructor, so they can be used as long as the thread allocates.
struct Here {
    open: Cell<bool>,
    net: Cell<i64>,
    peak: Cell<i64>,
    /// Where stray bytes go; `None` before the first ones, and again when the thread has given its slot back.
    slot: Cell<Option<&'static Slot>>,
}

thread_local! {
    static HERE: Here =
        const { Here { open: Cell::new(false), net: Cell::new(0), peak: Cell::new(0), slot: Cell::new(None) } };
    static LEASE: Lease = const { Lease(Cell::new(None)) };
}

// Adding wraps rather than panics everywhere: an allocator must not unwind, and 64 bits are enough for all bytes there are.

#[inline]
fn count_more(bytes: usize) {
    // A size is at most `isize::MAX`.
    let bytes = bytes as i64;
    let there = HERE.try_with(|here| {
        if here.open.get() {
            let net = here.net.get().wrapping_add(bytes);
            here.net.set(net);
            here.peak.set(here.peak.get().max(net));
        } else {
            here.add_stray(bytes);
        }
    });
    if there.is_err() {
        add_ended(bytes);
    }
}

#[inline]
fn count_less(bytes: usize) {
    let bytes = (bytes as i64).wrapping_neg();
    let there = HERE.try_with(|here| {
        if here.open.get() {
            here.net.set(here.net.get().wrapping_add(bytes));
        } else {
            here.add_stray(bytes);
        }
    });
    if there.is_err() {
        add_ended(bytes);
    }
}

impl Here {
    #[inline]
    fn replace(&self, counts: Counts) -> Counts {
        Counts {
            open: self.open.replace(counts.open),
            net: self.net.replace(counts.net),
            peak: self.peak.replace(counts.peak),
        }
    }

    #[inline]
    fn heap_use(&self) -> HeapUse {
        // The peak starts at zero and only rises.
        HeapUse { retained: self.net.get(), peak: self.peak.get() as u64 }
    }

    #[inline]
    fn add_stray(&self, bytes: i64) {
        match self.slot.get() {
            Some(slot) => slot.add(bytes),
            None => self.add_first_stray(bytes),
        }
    }

    /// Takes a slot for this thread, unless it is at its end.
    #[cold]
    #[inline(never)]
    fn add_first_stray(&self, bytes: i64) {
        let Some(slot) = Slot::take() else { return add_ended(bytes) };
        // Set before the thread's end is asked to give it back: asking may allocate, and that is stray too.
        self.slot.set(Some(slot));
        if LEASE.try_with(|lease| lease.0.set(Some(slot))).is_ok() {
            slot.add(bytes);
        } else {
            // Other destructors of the thread run after the lease's.
            self.slot.set(None);
            slot.give_back();
            add_ended(bytes);
        }
    }
}

/// Gives the thread's slot back when the thread ends.
struct Lease(Cell<Option<&'static Slot>>);

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            // Where the counters are gone, nobody can find the slot there either.
            let _ = HERE.try_with(|here| here.slot.set(None));
            slot.give_back();
        }
    }
}

/// Stray bytes of threads that are at their end, or for which there was no memory to have a slot.
static ENDED: AtomicI64 = AtomicI64::new(0);

#[cold]
#[inline(never)]
fn add_ended(bytes: i64) {
    ENDED.fetch_add(bytes, Ordering::Relaxed);
}

/// Stray bytes of one thread at a time. There are as many slots as there were threads at the same time; they are never freed, and a
/// thread that ends leaves its bytes in its slot for the next one to add to, since only the sum is ever read.
///
/// Aligned to two cache lines, which processors fetch together: each slot is written by another thread all the time.
#[repr(align(128))]
struct Slot {
    net: AtomicI64,
    taken: AtomicBool,
    next: AtomicPtr<Slot>,
}

/// The newest slot; each leads to the next older one.
static NEWEST: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());

/// All slots, newest first.
fn slots() -> impl Iterator<Item = &'static Slot> {
    // Acquire: a slot was written before it was put where it is found.
    // SAFETY: what is found is null or a slot, which is never freed and has nothing that is written but its atomics.
    let at = |place: &AtomicPtr<Slot>| unsafe { place.load(Ordering::Acquire).as_ref::<'static>() };
    successors(at(&NEWEST), move |slot| at(&slot.next))
}

impl Slot {
    /// A slot for this thread alone, until it gives it back. `None` where there is no memory for one.
    fn take() -> Option<&'static Self> {
        // Acquire, beside the release of whoever gave it back: this thread goes on from what that one left.
        let take = |slot: &&Self| {
            !slot.taken.load(Ordering::Relaxed)
                && slot.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        slots().find(take).or_else(Self::new)
    }

    /// A further slot, taken.
    fn new() -> Option<&'static Self> {
        // SAFETY: the size is not zero.
        let place = unsafe { System.alloc(Layout::new::<Self>()) }.cast::<Self>();
        if place.is_null() {
            return None;
        }
        let slot = Self { net: AtomicI64::new(0), taken: AtomicBool::new(true), next: AtomicPtr::default() };
        // SAFETY: the place was allocated for a slot just now, and nobody else knows it.
        unsafe { place.write(slot) };
        // SAFETY: it holds a slot from now on, which is never freed or moved.
        let slot: &'static Self = unsafe { &*place };
        let mut newest = NEWEST.load(Ordering::Relaxed);
        loop {
            slot.next.store(newest, Ordering::Relaxed);
            // Release: the slot is written before it can be found. The chain of exchanges carries the same for the older ones.
            match NEWEST.compare_exchange_weak(newest, place, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Some(slot),
                Err(other) => newest = other,
            }
        }
    }

    /// Only the thread that took the slot adds to it, so nothing comes between the load and the store.
    #[inline]
    fn add(&self, bytes: i64) {
        self.net.store(self.net.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
    }

    fn give_back(&self) {
        self.taken.store(false, Ordering::Release);
    }
}

/// Net bytes that the workers of pools allocated outside of any frame, since each was first known as one.
pub(crate) fn workers_stray() -> i64 {
    0
}

/// Notes that this thread is a pool's worker.
pub(crate) fn mark_worker() {}

/// Whether a frame is open on this thread.
pub(crate) fn is_open() -> bool {
    false
}
