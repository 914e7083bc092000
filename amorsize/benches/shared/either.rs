//! The system's allocator, or `Tracking` over it: a flag says which. A program has one global
//! allocator, so both ways pay for the flag: a load and a branch that is always the same.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

use amorsize::Tracking;

struct Either;

pub(crate) static TRACKED: AtomicBool = AtomicBool::new(false);
pub(crate) static TRACKING: Tracking = Tracking::new(System);

#[expect(unsafe_code, reason = "an allocator can't be written without")]
// SAFETY: every call is passed on as it is. Both ways are the system's allocator, so either takes
// back what the other gave.
unsafe impl GlobalAlloc for Either {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if TRACKED.load(Ordering::Relaxed) {
            // SAFETY: the caller's promises are passed on.
            unsafe { TRACKING.alloc(layout) }
        } else {
            // SAFETY: the same.
            unsafe { System.alloc(layout) }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if TRACKED.load(Ordering::Relaxed) {
            // SAFETY: the caller's promises are passed on.
            unsafe { TRACKING.dealloc(place, layout) };
        } else {
            // SAFETY: the same.
            unsafe { System.dealloc(place, layout) };
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if TRACKED.load(Ordering::Relaxed) {
            // SAFETY: the caller's promises are passed on.
            unsafe { TRACKING.alloc_zeroed(layout) }
        } else {
            // SAFETY: the same.
            unsafe { System.alloc_zeroed(layout) }
        }
    }

    #[inline]
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if TRACKED.load(Ordering::Relaxed) {
            // SAFETY: the caller's promises are passed on.
            unsafe { TRACKING.realloc(place, layout, size) }
        } else {
            // SAFETY: the same.
            unsafe { System.realloc(place, layout, size) }
        }
    }
}

#[global_allocator]
static ALLOCATOR: Either = Either;
