//! Exact heap bytes of each call, counted by the program's own allocator.
//!
//! # Counting
//!
//! - A thread has a *frame* open while it runs a call that is measured: two plain cells that no
//!   other thread sees, the net bytes and their peak. To count there takes an addition and a
//!   comparison.
//! - Bytes that a thread allocates outside of any frame are *stray*. They go to a
//!   [`Slot`](stray::Slot), which every thread can read and one thread writes, so a load and a
//!   store are enough. A function that forks has parts of its call run by idle threads, outside of
//!   any frame; without the slots these bytes would not count.
//!
//! The frames of all calls and the stray bytes together are all that the program allocated.
//!
//! # Why it is unsafe
//!
//! - `GlobalAlloc` is an unsafe trait. Each request goes to the inner allocator as it came;
//!   counting touches no memory but the counters.
//! - Slots come from the system's allocator directly: one that allocates through itself would never
//!   return.
#![expect(unsafe_code, reason = "a global allocator can't be written without")]

mod frame;
mod stray;

use std::alloc::{GlobalAlloc, Layout, System, alloc, dealloc};
use std::hint::black_box;
use std::mem::forget;

use frame::{Nested, count_less, count_more};
use once_cell::race::OnceBool;

pub use frame::HeapUse;
pub(crate) use frame::{Frame, is_open, settle};
pub(crate) use stray::{mark_worker, workers_stray};

/// A global allocator that counts the exact heap bytes of each call, retained and at the peak.
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
/// It wraps any other allocator and passes every request on to it:
///
/// ```ignore
/// use amorsize::Tracking;
/// use mimalloc::MiMalloc; // or tikv_jemallocator::Jemalloc
///
/// #[global_allocator]
/// static ALLOCATOR: Tracking<MiMalloc> = Tracking::new(MiMalloc);
/// ```
///
/// # Counted bytes
///
/// Every allocation that goes through Rust's global allocator counts with the size that was asked
/// for. Within a call:
///
/// - an allocation adds its size, and freeing it subtracts the same, wherever it was allocated. So
///   a call that drops an item which owns memory may retain a negative number of bytes;
/// - growing or shrinking an allocation adds the difference. While an allocator moves one, old and
///   new exist together inside it; that is not counted;
/// - an allocation that fails adds nothing.
///
/// Not counted: what an allocator adds to a request, what it keeps of freed memory, stacks, memory
/// that is mapped from a file, and what libraries in other languages allocate for themselves.
///
/// # Functions that use several threads
///
/// Bytes belong to the thread that allocates or frees them. A call does not see what its function
/// does on threads of its own. A function that forks on rayon has parts of its call run by other
/// workers; while it waits for them, its own worker may run parts of other calls, which then count
/// for it. So for such functions the figure of a single call is not exact. The sum over all calls
/// is exact: [`stray`](Self::stray) has every byte once, whichever thread allocated it.
///
/// # Cost
///
/// 1 to 2 % of a program that does little else than allocate, on one thread and on two, and no
/// atomic read-modify-write. `cargo bench --bench tracking` measures it on your machine.
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

    /// Calls a function and returns the heap bytes of the call, as this thread saw them.
    ///
    /// Calls may be nested; the bytes of the inner one count for the outer one too. Both figures
    /// are zero if this is not the program's global allocator.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::Tracking;
    /// #[global_allocator]
    /// static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
    ///
    /// let split = || "a cat".split(' ').map(String::from).collect::<Vec<_>>();
    /// let (words, heap) = ALLOCATOR.measure(split);
    /// assert_eq!(heap.retained() as usize, words.capacity() * size_of::<String>() + "acat".len());
    /// ```
    #[must_use = "the bytes are measured for nothing: just call the function"]
    pub fn measure<R>(&self, call: impl FnOnce() -> R) -> (R, HeapUse) {
        let frame = Nested::begin();
        let result = call();
        // Closed in place: the processor waits if a copy reads the frame in other pieces than were
        // written, 5 ns of a call as measured.
        let heap = frame.close();
        forget(frame);
        (result, heap)
    }

    /// The net bytes that all threads allocated since the process started, without those of calls
    /// that are being measured now.
    ///
    /// A call counts once [`measure`](Self::measure) is done with it. While other threads allocate
    /// and free, the figure may contain one of two operations that belong together; otherwise it is
    /// exact. Reading it takes some nanoseconds for each thread that the process had at the same
    /// time.
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
        stray::stray()
    }
}

// SAFETY: every request goes to the inner allocator as it came, and its answer comes back
// unchanged. The counters take no part in it and never unwind. They don't allocate through this
// allocator without end: the first stray bytes of a thread set its slot before anything else that
// might allocate.
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

/// True if [`Tracking`] is this program's global allocator.
#[inline]
pub(crate) fn is_active() -> bool {
    static ACTIVE: OnceBool = OnceBool::new();

    let found = ACTIVE.get_or_try_init(|| {
        let layout = Layout::new::<u8>();
        let frame = Frame::begin();
        // SAFETY: the size is not zero. Without `black_box` the compiler may leave out an
        // allocation that nothing reads.
        let place = black_box(unsafe { alloc(layout) });
        if place.is_null() {
            return Err(());
        }
        // SAFETY: it was allocated with this layout just now.
        unsafe { dealloc(place, layout) };
        Ok(frame.end().peak() == 1)
    });
    // Without memory the answer holds for now only: the next call tries again.
    found.unwrap_or(false)
}

#[cfg(test)]
mod tests;
