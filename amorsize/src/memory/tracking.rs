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
use std::mem::{ManuallyDrop, forget};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU8, Ordering};

use super::Bytes;

/// A global allocator that counts: the exact heap bytes of each call, retained and at the peak.
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
/// other calls, which then count for it. So for such functions the figure of a single call is not exact. What all calls hold
/// together is: [`stray`](Self::stray) has every byte once, whoever allocated it.
///
/// # What it costs
///
/// About 0.7 ns for each allocation and each deallocation, 3 ns for each call, and no atomic read-modify-write: 2 to 4 % of a
/// program that does little else than allocate, on one thread and on two. `cargo bench --bench tracking` measures it on your
/// machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracking<A = System>(A);

impl<A> Tracking<A> {
    /// Wraps an allocator.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::Tracking;
    /// #[global_allocator]
    /// static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
    ///
    /// assert_eq!(ALLOCATOR.measure(|| Box::new(7_u64)).1.retained(), 8);
    /// ```
    #[must_use = "it counts nothing unless it is the program's `#[global_allocator]`"]
    pub const fn new(allocator: A) -> Self {
        Self(allocator)
    }

    /// Calls a function and gives the heap bytes of the call, as this thread saw them.
    ///
    /// Calls may be nested; the bytes of the inner one count for the outer one too. Both figures are zero where this is not the
    /// program's global allocator.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::Tracking;
    /// #[global_allocator]
    /// static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
    ///
    /// let (words, heap) = ALLOCATOR.measure(|| "a cat".split(' ').map(String::from).collect::<Vec<_>>());
    /// assert_eq!(heap.retained() as usize, words.capacity() * size_of::<String>() + "acat".len());
    /// ```
    #[must_use = "the bytes are measured for nothing: just call the function"]
    pub fn measure<R>(&self, call: impl FnOnce() -> R) -> (R, HeapUse) {
        let frame = Nested::begin();
        let result = call();
        // Closed where it is: moved, it would be copied in other pieces than it was written in, for which a processor waits (5 ns
        // of a call, measured).
        let heap = frame.close();
        forget(frame);
        (result, heap)
    }

    /// Net bytes that all threads allocated since the process started, but for the calls that are being measured now.
    ///
    /// A call that [`measure`](Self::measure) is done with is contained. While other threads allocate and free, the figure may
    /// have seen one of two operations that belong together; otherwise it is exact. Reading it takes some nanoseconds for each
    /// thread that the process had at the same time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::Tracking;
    /// #[global_allocator]
    /// static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
    ///
    /// let before = ALLOCATOR.stray();
    /// let kept = std::thread::spawn(|| vec![1_u8; 1 << 20]).join().unwrap();
    /// // Which thread allocated it doesn't matter.
    /// assert!(ALLOCATOR.stray() - before >= kept.len() as i64);
    /// ```
    #[must_use]
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
///
/// # Examples
///
/// ```
/// use amorsize::Tracking;
///
/// #[global_allocator]
/// static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
///
/// let (_sum, heap) = ALLOCATOR.measure(|| vec![1_u8; 1024].iter().map(|&byte| u64::from(byte)).sum::<u64>());
/// assert_eq!(heap.to_string(), "0 B retained, 1.00 KiB at the peak");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeapUse {
    retained: i64,
    peak: u64,
}

impl HeapUse {
    /// Bytes that were allocated in the call and not freed in it: what its result owns, and what it left elsewhere.
    ///
    /// Negative where the call freed more of what was allocated before it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::Tracking;
    /// #[global_allocator]
    /// static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
    ///
    /// let (text, heap) = ALLOCATOR.measure(|| "x".repeat(1000));
    /// assert_eq!(heap.retained(), 1000);
    /// let (_, heap) = ALLOCATOR.measure(|| drop(text));
    /// assert_eq!(heap.retained(), -1000);
    /// ```
    #[must_use]
    pub const fn retained(&self) -> i64 {
        self.retained
    }

    /// The most net bytes at any time in the call.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::Tracking;
    /// #[global_allocator]
    /// static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
    ///
    /// let (_, heap) = ALLOCATOR.measure(|| "x".repeat(1000).len());
    /// assert_eq!((heap.retained(), heap.peak()), (0, 1000));
    /// ```
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
#[inline]
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
            if place.is_null() {
                // Out of memory: nothing was learned, and the program has other worries.
                return false;
            }
            // SAFETY: it was allocated with this layout just now.
            unsafe { dealloc(place, layout) };
            let active = frame.end().peak() == 1;
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

/// Net bytes that workers allocated outside of any frame, since each was [marked](mark_worker) as one: parts of calls that fork, run
/// by workers that had nothing else to do. What the program's other threads do meanwhile is not contained.
pub(crate) fn workers_stray() -> i64 {
    let of_worker = |slot: &Slot| {
        // Acquire: the base was written before the mark.
        if slot.is_worker.load(Ordering::Acquire) {
            slot.net.load(Ordering::Relaxed).wrapping_sub(slot.worker_base.load(Ordering::Relaxed))
        } else {
            0
        }
    };
    slots().fold(FORMER_WORKERS.load(Ordering::Relaxed), |sum, slot| sum.wrapping_add(of_worker(slot)))
}

/// Marks this thread as a pool's worker, from now to its end.
#[inline]
pub(crate) fn mark_worker() {
    let _ = HERE.try_with(|here| {
        if here.slot.get().is_none() {
            here.add_first_stray(0);
        }
        if let Some(slot) = here.slot.get()
            && !slot.is_worker.load(Ordering::Relaxed)
        {
            slot.worker_base.store(slot.net.load(Ordering::Relaxed), Ordering::Relaxed);
            slot.is_worker.store(true, Ordering::Release);
        }
    });
}

/// Whether a frame is open on this thread.
pub(crate) fn is_open() -> bool {
    HERE.try_with(|here| here.open.get()).unwrap_or(false)
}

/// Adds bytes that were counted in an isolated frame to the one that is open on this thread, which now answers for them. Where
/// none is, nothing happens, and the answer is `false`; [`add_stray`] takes them then, if they are to be anywhere.
#[inline]
pub(crate) fn transfer(bytes: i64) -> bool {
    let peak = bytes.max(0);
    pass_on(bytes, peak)
}

/// Adds bytes of a run's calls to the frame that is open on this thread, or where none is, to those outside of any frame. They are
/// not taken for what a worker does by itself.
pub(crate) fn settle(bytes: i64) {
    if !transfer(bytes) {
        add_stray(bytes);
        let _ = HERE.try_with(|here| {
            if let Some(slot) = here.slot.get() {
                slot.worker_base.store(slot.worker_base.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
            }
        });
    }
}

/// Adds bytes to those outside of any frame.
#[inline]
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
        let outer = HERE.try_with(|here| here.replace(&Counts { open: true, net: 0, peak: 0 }));
        Self { outer: outer.unwrap_or_default(), not_send: PhantomData }
    }

    #[inline]
    pub(crate) fn end(self) -> HeapUse {
        let heap = self.close();
        forget(self);
        heap
    }

    /// Gives the thread back to the frame around; done once.
    #[inline]
    fn close(&self) -> HeapUse {
        // Where a thread has no counters, there are none to restore.
        HERE.try_with(|here| {
            let counts = here.replace(&self.outer);
            // The peak starts at zero and only rises.
            HeapUse { retained: counts.net, peak: counts.peak as u64 }
        })
        .unwrap_or_default()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.close();
    }
}

/// A frame whose bytes count for what is around it, also when it unwinds.
struct Nested(ManuallyDrop<Frame>);

impl Nested {
    #[inline]
    fn begin() -> Self {
        Self(ManuallyDrop::new(Frame::begin()))
    }

    /// Closes the frame; done once.
    #[inline]
    fn close(&self) -> HeapUse {
        let heap = self.0.close();
        if !pass_on(heap.retained, heap.peak as i64) {
            add_stray(heap.retained);
        }
        heap
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        self.close();
    }
}

/// Adds what was counted elsewhere to the frame that is open on this thread, and says whether one is.
#[inline]
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
    net: Cell<i64>,
    /// Where stray bytes go; `None` before the first ones, and again when the thread has given its slot back.
    slot: Cell<Option<&'static Slot>>,
    peak: Cell<i64>,
    open: Cell<bool>,
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
    fn replace(&self, counts: &Counts) -> Counts {
        Counts {
            open: self.open.replace(counts.open),
            net: self.net.replace(counts.net),
            peak: self.peak.replace(counts.peak),
        }
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
    /// Whether the thread is a worker, and what `net` was when it became one.
    is_worker: AtomicBool,
    worker_base: AtomicI64,
    taken: AtomicBool,
    next: AtomicPtr<Slot>,
}

/// What workers that have ended allocated outside of any frame.
static FORMER_WORKERS: AtomicI64 = AtomicI64::new(0);

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
        let slot = Self {
            net: AtomicI64::new(0),
            is_worker: AtomicBool::new(false),
            worker_base: AtomicI64::new(0),
            taken: AtomicBool::new(true),
            next: AtomicPtr::default(),
        };
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
        if self.is_worker.swap(false, Ordering::Relaxed) {
            let net = self.net.load(Ordering::Relaxed).wrapping_sub(self.worker_base.load(Ordering::Relaxed));
            FORMER_WORKERS.fetch_add(net, Ordering::Relaxed);
        }
        self.taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
    use std::thread;

    use rayon::prelude::*;

    use super::*;

    // Here the allocators are called by hand and are not the program's own, so that nothing else counts.

    /// Stray bytes are the process's, so one test at a time changes them.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const TRACKING: Tracking = Tracking::new(System);

    /// An allocation that knows its layout.
    struct Held(*mut u8, Layout);

    // SAFETY: it is memory that nobody else knows.
    unsafe impl Send for Held {}

    impl Held {
        fn new(size: usize, align: usize) -> Self {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: no test asks for nothing.
            Self(unsafe { TRACKING.alloc(layout) }, layout)
        }

        fn grow(&mut self, size: usize) {
            // SAFETY: it was allocated by the same allocator with this layout.
            self.0 = unsafe { TRACKING.realloc(self.0, self.1, size) };
            self.1 = Layout::from_size_align(size, self.1.align()).unwrap();
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            // SAFETY: it was allocated by the same allocator with this layout.
            unsafe { TRACKING.dealloc(self.0, self.1) };
        }
    }

    fn heap(retained: i64, peak: u64) -> HeapUse {
        HeapUse { retained, peak }
    }

    #[test]
    fn it_is_not_active_unless_it_is_the_global_allocator() {
        assert!(!is_active());
        assert!(!is_active());
        let (text, nothing) = TRACKING.measure(|| "x".repeat(100));
        assert_eq!((text.len(), nothing), (100, HeapUse::default()));
    }

    #[test]
    fn a_frame_is_isolated_from_the_one_around_it() {
        let _alone = alone();
        let outer = Frame::begin();
        let first = Held::new(100, 8);
        let inner = Frame::begin();
        let second = Held::new(1000, 8);
        drop(first);
        assert_eq!(inner.end(), heap(900, 1000));
        let mut third = Held::new(10, 1);
        third.grow(40);
        third.grow(30);
        assert_eq!(outer.end(), heap(130, 140));
        drop((second, third));
    }

    #[test]
    fn what_workers_do_outside_of_frames_is_told_apart_also_when_they_have_ended() {
        let _alone = alone();
        let before = workers_stray();
        let others = Held::new(1000, 8);
        let by_worker = thread::spawn(|| {
            let too_early = Held::new(100, 8);
            mark_worker();
            mark_worker();
            let stray = Held::new(10, 8);
            let frame = Frame::begin();
            assert!(is_open());
            let in_call = Held::new(1, 1);
            assert_eq!(frame.end(), heap(1, 1));
            assert!(!is_open());
            (too_early, stray, in_call)
        });
        let held = by_worker.join().unwrap();
        assert_eq!(workers_stray() - before, 10);
        // Whoever gets the slot next is no worker.
        thread::spawn(|| drop(Held::new(5000, 8))).join().unwrap();
        drop((others, held));
        assert_eq!(workers_stray() - before, 10);
    }

    #[test]
    fn unwinding_restores_the_frame_around() {
        let _alone = alone();
        let outer = Frame::begin();
        let held = Held::new(10, 1);
        catch_unwind(|| {
            let _inner = Frame::begin();
            let _dropped = Held::new(1000, 8);
            panic!("as planned");
        })
        .unwrap_err();
        assert_eq!(outer.end(), heap(10, 10));
        drop(held);
    }

    #[test]
    fn nested_measurements_count_for_what_is_around() {
        let _alone = alone();
        let before = stray();
        let (kept, outer) = TRACKING.measure(|| {
            let scratch = Held::new(100, 8);
            let (kept, inner) = TRACKING.measure(|| {
                drop(Held::new(500, 8));
                Held::new(50, 8)
            });
            assert_eq!(inner, heap(50, 500));
            drop(scratch);
            kept
        });
        assert_eq!(outer, heap(50, 600));
        assert_eq!(stray() - before, 50);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            TRACKING.measure(|| {
                forget(Held::new(7, 1));
                panic!("as planned")
            })
        }));
        assert!(unwound.is_err());
        assert_eq!(stray() - before, 57);
        drop(kept);
        assert_eq!(stray() - before, 7);
        add_stray(-7);
    }

    #[test]
    fn bytes_are_transferred_to_the_open_frame_alone() {
        let _alone = alone();
        let before = stray();
        assert!(!transfer(100));
        assert_eq!(stray(), before);
        let frame = Frame::begin();
        assert!(transfer(100) && transfer(-30) && transfer(20));
        assert_eq!(frame.end(), heap(90, 100));
        add_stray(5);
        assert_eq!(stray() - before, 5);
        add_stray(-5);
    }

    #[test]
    fn threads_use_slots_again_and_leave_their_bytes() {
        let _alone = alone();
        let before = stray();
        let there = || slots().count();
        // So many at once that each has a slot.
        let barrier = Barrier::new(8);
        let together = || {
            thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            let held = Held::new(64, 64);
                            assert_eq!(held.0.addr() % 64, 0);
                            barrier.wait();
                            held
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            })
        };
        let held = together();
        assert_eq!(stray() - before, 8 * 64);
        let most = there();
        assert!(most >= 8);
        for _ in 0..200 {
            together();
        }
        drop(held);
        // Other tests of this program hold a slot each, and no more.
        assert!(there() <= most + 32, "{} slots after {most}", there());
        assert_eq!(stray(), before);
    }

    #[test]
    fn destructors_of_a_thread_are_counted() {
        struct AtEnd(Cell<Option<Held>>);
        impl Drop for AtEnd {
            fn drop(&mut self) {
                drop(self.0.take());
                forget(Held::new(3, 1));
                let frame = Frame::begin();
                let held = Held::new(20, 1);
                assert_eq!(frame.end(), heap(20, 20));
                forget(held);
            }
        }
        thread_local! {
            static BEFORE: AtEnd = const { AtEnd(Cell::new(None)) };
            static AFTER: AtEnd = const { AtEnd(Cell::new(None)) };
        }
        let _alone = alone();
        let before = stray();
        for _ in 0..3 {
            // The order in which destructors run is nobody's promise; one is registered before the slot is taken, one after.
            thread::spawn(|| {
                BEFORE.with(|_| ());
                BEFORE.with(|at_end| at_end.0.set(Some(Held::new(100, 8))));
                AFTER.with(|at_end| at_end.0.set(Some(Held::new(1000, 8))));
            })
            .join()
            .unwrap();
        }
        assert_eq!(stray() - before, 3 * 2 * 3);
        add_stray(-3 * 2 * 3);
    }

    #[test]
    fn calls_that_fork_are_exact_in_sum() {
        let _alone = alone();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let before = stray();
        let in_calls = AtomicI64::new(0);
        // Halves of the calls run on idle workers, as stray, and within other calls whose worker waits.
        let call = |size: usize| {
            let item = Held::new(10, 1);
            let frame = Frame::begin();
            let halves = rayon::join(
                || (0..4).into_par_iter().map(|_| Held::new(size, 8)).collect::<Vec<_>>(),
                || {
                    drop(item);
                    thread::yield_now();
                    TRACKING.measure(|| Held::new(size, 1)).0
                },
            );
            in_calls.fetch_add(frame.end().retained(), Ordering::Relaxed);
            halves
        };
        let size = |i: usize| 100 + i % 900;
        let results: Vec<_> = pool.install(|| (0..4000).into_par_iter().map(|i| call(size(i))).collect());
        let sum = || stray() - before + in_calls.load(Ordering::Relaxed);
        assert_eq!(sum(), (0..4000).map(|i| 5 * size(i) as i64).sum::<i64>());
        // Freed by any of the threads, within calls and outside.
        pool.install(|| {
            results.into_par_iter().enumerate().for_each(|(i, result)| {
                let frame = (i % 3 == 0).then(Frame::begin);
                rayon::join(|| drop(result.0), || drop(result.1));
                if let Some(frame) = frame {
                    in_calls.fetch_add(frame.end().retained(), Ordering::Relaxed);
                }
            });
        });
        assert_eq!(sum(), 0);
        add_stray(in_calls.load(Ordering::Relaxed));
    }

    #[test]
    fn threads_that_exchange_allocations_are_exact_in_sum() {
        const THREADS: u64 = 4;
        let _alone = alone();
        let before = stray();
        let shadow = AtomicI64::new(0);
        let places: Vec<Mutex<Option<Held>>> = (0..16).map(|_| Mutex::new(None)).collect();
        for _ in 0..20 {
            // Threads come and go as well, and hand their slots on.
            thread::scope(|scope| {
                for thread in 1..=THREADS {
                    let (places, shadow) = (&places, &shadow);
                    scope.spawn(move || {
                        let mut random = thread.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                        for _ in 0..2_000 {
                            random ^= random << 13;
                            random ^= random >> 7;
                            random ^= random << 17;
                            let size = 1 + (random >> 20) as usize % 4000;
                            let mut place = places[random as usize % 16].lock().unwrap();
                            let held = |place: &Option<Held>| place.as_ref().map_or(0, |held| held.1.size() as i64);
                            let old = held(&place);
                            let mut step = || match &mut *place {
                                Some(held) if random >> 63 == 0 => held.grow(size),
                                other => *other = Some(Held::new(size, 1)),
                            };
                            if random >> 62 & 1 == 0 {
                                let (_, heap) = TRACKING.measure(step);
                                assert_eq!(heap.retained(), held(&place) - old);
                            } else {
                                step();
                            }
                            shadow.fetch_add(held(&place) - old, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(stray() - before, shadow.load(Ordering::Relaxed));
        }
        drop(places);
        assert_eq!(stray(), before);
    }

    /// Has no memory, or says what was asked of it.
    struct Inner(AtomicU8);

    // SAFETY: it never gives out memory but by the system's allocator.
    unsafe impl GlobalAlloc for Inner {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            self.0.store(b'a', Ordering::Relaxed);
            ptr::null_mut()
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            self.0.store(b'z', Ordering::Relaxed);
            // SAFETY: promised by the caller.
            unsafe { System.alloc_zeroed(layout) }
        }

        unsafe fn realloc(&self, _: *mut u8, _: Layout, _: usize) -> *mut u8 {
            self.0.store(b'r', Ordering::Relaxed);
            ptr::null_mut()
        }

        unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
            self.0.store(b'd', Ordering::Relaxed);
            // SAFETY: promised by the caller.
            unsafe { System.dealloc(place, layout) }
        }
    }

    #[test]
    fn everything_is_passed_on_and_failures_count_nothing() {
        let tracking = Tracking::new(Inner(AtomicU8::new(0)));
        let asked = || tracking.0.0.load(Ordering::Relaxed);
        let layout = Layout::from_size_align(100, 4).unwrap();
        let frame = Frame::begin();
        // SAFETY: the size is not zero.
        assert!(unsafe { tracking.alloc(layout) }.is_null());
        assert_eq!(asked(), b'a');
        // SAFETY: the size is not zero.
        let place = unsafe { tracking.alloc_zeroed(layout) };
        assert_eq!(asked(), b'z');
        // SAFETY: it was allocated with this layout; where it fails, it stays.
        assert!(unsafe { tracking.realloc(place, layout, 1000) }.is_null());
        assert_eq!(asked(), b'r');
        // SAFETY: it was allocated with this layout, and not given back yet.
        unsafe { tracking.dealloc(place, layout) };
        assert_eq!(asked(), b'd');
        assert_eq!(frame.end(), heap(0, 100));
    }

    #[test]
    fn it_says_what_it_counted() {
        assert_eq!(heap(1024, 2048).to_string(), "1.00 KiB retained, 2.00 KiB at the peak");
        assert_eq!(heap(-1536, 0).to_string(), "-1.50 KiB retained, 0 B at the peak");
    }
}
