use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;

use rayon::prelude::*;

use super::frame::settle;
use super::stray::{add_stray, slots, stray};
use super::{Frame, HeapUse, Tracking, is_active, is_open, mark_worker, workers_stray};

// These tests call the allocators by hand, and the program has another one, so nothing else counts.

/// Held by a test that counts stray bytes, which belong to the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const TRACKING: Tracking = Tracking::new(System);

/// An allocation that knows its layout.
struct Held(*mut u8, Layout);

// SAFETY: no other thread knows this memory.
unsafe impl Send for Held {}

impl Held {
    fn new(size: usize, align: usize) -> Self {
        let layout = Layout::from_size_align(size, align).unwrap();
        // SAFETY: no test asks for zero bytes.
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
    // The next thread that gets the slot is no worker.
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
fn bytes_are_settled_in_the_open_frame_alone() {
    let _alone = alone();
    let before = stray();
    settle(100);
    assert_eq!(stray() - before, 100);
    settle(-100);
    let frame = Frame::begin();
    [100, -30, 20].into_iter().for_each(settle);
    assert_eq!(frame.end(), heap(90, 100));
    assert_eq!(stray(), before);
    add_stray(5);
    assert_eq!(stray() - before, 5);
    add_stray(-5);
}

#[test]
fn threads_use_slots_again_and_leave_their_bytes() {
    let _alone = alone();
    let before = stray();
    let there = || slots().count();
    // All eight live at the same time, so each has a slot.
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
    // Other tests of this program hold at most one slot each.
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
        // Destructors run in no promised order; one is registered before the slot is taken, one
        // after.
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
    // Half of each call runs on an idle worker, as stray, or within another call while its worker
    // waits.
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

/// An allocator that has no memory, and notes which method was called.
struct Inner(AtomicU8);

// SAFETY: all memory that it hands out comes from the system's allocator.
unsafe impl GlobalAlloc for Inner {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        self.0.store(b'a', Ordering::Relaxed);
        ptr::null_mut()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.0.store(b'z', Ordering::Relaxed);
        // SAFETY: the caller promises it.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, _: *mut u8, _: Layout, _: usize) -> *mut u8 {
        self.0.store(b'r', Ordering::Relaxed);
        ptr::null_mut()
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        self.0.store(b'd', Ordering::Relaxed);
        // SAFETY: the caller promises it.
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
    // SAFETY: it was allocated with this layout; if `realloc` fails, it stays.
    assert!(unsafe { tracking.realloc(place, layout, 1000) }.is_null());
    assert_eq!(asked(), b'r');
    // SAFETY: it was allocated with this layout and not freed yet.
    unsafe { tracking.dealloc(place, layout) };
    assert_eq!(asked(), b'd');
    assert_eq!(frame.end(), heap(0, 100));
}

#[test]
fn it_says_what_it_counted() {
    assert_eq!(heap(1024, 2048).to_string(), "1.00 KiB retained, 2.00 KiB at the peak");
    assert_eq!(heap(-1536, 0).to_string(), "-1.50 KiB retained, 0 B at the peak");
}
