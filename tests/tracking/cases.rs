//! The counts of `Tracking` around any allocator. Each program that tests one has it as its global
//! allocator `ALLOCATOR`, and these tests as a module.

#[path = "../common/serial.rs"]
mod serial;

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::cell::RefCell;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use amorsize::HeapUse;
use rayon::prelude::*;
// Stray bytes are those of the whole process, so only one test at a time allocates.
use serial::alone;

use super::ALLOCATOR;

/// Retained and peak bytes of a call, with its result dropped outside.
fn measure<R>(call: impl FnOnce() -> R) -> (i64, u64) {
    let (result, heap) = ALLOCATOR.measure(call);
    drop(black_box(result));
    (heap.retained(), heap.peak())
}

/// The bytes that others may allocate meanwhile: the test harness, on threads that start and end
/// tests, and rayon for its queues. The stray bytes in these tests are far above it.
/// `memory/tracking/tests.rs` compares them to the byte, as nobody else counts there.
const HARNESS: i64 = 64 << 10;

fn assert_near(bytes: i64, expected: i64) {
    assert!((bytes - expected).abs() < HARNESS, "{bytes} bytes, expected {expected}");
}

#[test]
fn results_are_counted_to_the_byte() {
    let _alone = alone();
    assert_eq!(measure(|| vec![1u8; 1000]), (1000, 1000));
    assert_eq!(measure(|| String::from("four")), (4, 4));
    assert_eq!(measure(|| Box::new([0u64; 8])), (64, 64));
    assert_eq!(measure(|| vec![vec![1u8; 10]; 3]), (3 * 24 + 30, 3 * 24 + 30));
    assert_eq!(measure(|| (vec![(); 1000], Box::new(()), Vec::<u64>::new())), (0, 0));
    assert_eq!(measure(|| drop(black_box(vec![1u8; 1000]))), (0, 1000));
}

#[test]
fn growing_and_shrinking_is_counted_as_the_difference() {
    let _alone = alone();
    let call = || {
        let scratch = black_box(vec![1u8; 1 << 20]);
        let mut grown = Vec::new();
        for i in 0..1000u64 {
            grown.push(i);
        }
        // The first allocation holds four, and each step doubles it: 1,024 elements, 8 KiB.
        assert_eq!(grown.capacity(), 1024);
        grown.shrink_to_fit();
        drop(scratch);
        grown
    };
    assert_eq!(measure(call), (8000, (1 << 20) + 8192));
}

#[test]
fn every_way_to_allocate_is_counted() {
    let _alone = alone();
    for align in [1, 8, 64, 4096] {
        let layout = Layout::from_size_align(300, align).unwrap();
        let sizes = measure(|| {
            #[expect(unsafe_code, reason = "the functions of an allocator are")]
            // SAFETY: sizes are not zero, and each place is given back once, with its layout at
            // that time.
            unsafe {
                let plain = alloc(layout);
                let zeroed = alloc_zeroed(layout);
                assert!(!plain.is_null() && !zeroed.is_null());
                assert!(plain.addr().is_multiple_of(align) && zeroed.addr().is_multiple_of(align));
                plain.write_bytes(7, 300);
                let bytes = std::slice::from_raw_parts(zeroed, 300);
                assert!(bytes.iter().all(|&byte| byte == 0));
                let grown = realloc(plain, layout, 5000);
                assert!(!grown.is_null() && grown.addr().is_multiple_of(align));
                assert!(std::slice::from_raw_parts(grown, 300).iter().all(|&byte| byte == 7));
                dealloc(zeroed, layout);
                let large = Layout::from_size_align(5000, align).unwrap();
                let shrunk = realloc(grown, large, 10);
                assert!(!shrunk.is_null() && shrunk.addr().is_multiple_of(align));
                assert!(std::slice::from_raw_parts(shrunk, 10).iter().all(|&byte| byte == 7));
                dealloc(shrunk, Layout::from_size_align(10, align).unwrap());
            }
        });
        assert_eq!(sizes, (0, 5300));
    }
    assert_eq!(measure(|| vec![0u8; 1 << 20]), (1 << 20, 1 << 20));
}

#[test]
fn an_item_that_the_call_drops_is_taken_off() {
    let _alone = alone();
    let item = vec![1u8; 5000];
    assert_eq!(measure(move || vec![item[0]; 2500]), (-2500, 2500));
    let item = vec![1u8; 5000];
    assert_eq!(measure(move || drop(item)), (-5000, 0));
    // A value that is only passed on changes nothing.
    let item = vec![1u8; 5000];
    assert_eq!(measure(move || item), (0, 0));
    let mut item = Vec::<u8>::with_capacity(100);
    item.resize(100, 1);
    assert_eq!(measure(|| item.reserve_exact(900)), (900, 900));
    item.truncate(10);
    assert_eq!(measure(|| item.shrink_to_fit()), (-990, 0));
}

#[test]
fn nested_calls_count_for_the_outer_one() {
    let _alone = alone();
    let mut inner = HeapUse::default();
    let outer = measure(|| {
        let first = black_box(vec![1u8; 100]);
        let (second, heap) = ALLOCATOR.measure(|| {
            drop(black_box(vec![1u8; 1000]));
            vec![1u8; 10]
        });
        inner = heap;
        drop(first);
        second
    });
    assert_eq!((inner.retained(), inner.peak()), (10, 1000));
    assert_eq!(outer, (10, 1100));
}

#[test]
fn a_panic_leaves_the_figures_around_it_exact() {
    let _alone = alone();
    let kept = RefCell::new(Vec::new());
    let (caught, heap) = ALLOCATOR.measure(|| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            ALLOCATOR.measure(|| {
                *kept.borrow_mut() = vec![1u8; 1 << 20];
                let _unwound = black_box(vec![1u8; 1 << 20]);
                // Without a message and the allocations of the panic hook.
                std::panic::resume_unwind(Box::new(()));
            })
        }));
        caught.is_err()
    });
    assert!(caught);
    // The runtime boxes the payload of a panic, and frees it again.
    assert_eq!(heap.retained(), 1 << 20);
    assert_near(heap.peak() as i64, 2 << 20);
    assert_eq!(measure(|| vec![1u8; 9]), (9, 9));
}

#[test]
fn a_result_that_another_thread_frees_disturbs_none_of_its_calls() {
    let _alone = alone();
    let before = ALLOCATOR.stray();
    let (send, receive) = mpsc::channel::<Vec<u8>>();
    thread::scope(|scope| {
        scope.spawn(move || {
            for (i, result) in receive.into_iter().enumerate() {
                drop(result);
                assert_eq!(measure(|| vec![1u8; i + 1]), (i as i64 + 1, i as u64 + 1));
            }
        });
        for i in 0..2000 {
            let (result, heap) = ALLOCATOR.measure(|| vec![1u8; 1000 + i]);
            assert_eq!(heap.retained(), 1000 + i as i64);
            send.send(result).unwrap();
        }
        drop(send);
    });
    assert_near(ALLOCATOR.stray() - before, 0);
}

#[test]
fn what_a_thread_leaves_behind_stays_counted() {
    let _alone = alone();
    const SIZE: usize = 100_000;
    let before = ALLOCATOR.stray();
    let mut handed_over = Vec::new();
    for i in 0..300 {
        let kept =
            thread::spawn(move || if i % 2 == 0 { vec![1u8; SIZE] } else { ALLOCATOR.measure(|| vec![1u8; SIZE]).0 });
        handed_over.push(kept.join().unwrap());
        if i % 3 == 0 {
            // A thread that never allocated it frees it, and then ends.
            let dropped = handed_over.pop().unwrap();
            thread::spawn(move || drop(dropped)).join().unwrap();
        }
    }
    assert_near(ALLOCATOR.stray() - before, (200 * SIZE) as i64);
    drop(handed_over);
    assert_near(ALLOCATOR.stray() - before, 0);
}

#[test]
fn destructors_of_a_thread_are_counted() {
    let _alone = alone();
    const SIZE: usize = 1 << 20;
    static LEFT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    struct AtEnd(Vec<u8>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            drop(std::mem::take(&mut self.0));
            assert_eq!(measure(|| vec![1u8; 70]), (70, 70));
            LEFT.lock().unwrap().push(vec![1u8; SIZE / 2]);
        }
    }
    thread_local!(static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) });
    let before = ALLOCATOR.stray();
    for _ in 0..10 {
        thread::spawn(|| AT_END.set(Some(AtEnd(vec![1u8; SIZE])))).join().unwrap();
    }
    assert_near(ALLOCATOR.stray() - before, (10 * SIZE / 2) as i64);
    LEFT.lock().unwrap().clear();
    assert_near(ALLOCATOR.stray() - before, 0);
}

/// A function that forks: its result has `2 * size` bytes, and an idle worker makes half of them.
fn fork(size: usize) -> (Vec<u8>, Vec<u8>) {
    rayon::join(|| vec![1u8; size], || vec![2u8; size])
}

#[test]
fn calls_that_fork_are_exact_in_sum() {
    let _alone = alone();
    const SIZE: usize = 1000;
    const CALLS: usize = 4000;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    pool.install(|| (0..1000).into_par_iter().for_each(|_| drop(black_box(fork(SIZE)))));
    let before = ALLOCATOR.stray();

    // One call after another, each with its halves on two threads if one is idle. Bytes that the
    // calls did not see are stray.
    let mut seen = 0;
    let mut results = Vec::with_capacity(CALLS);
    pool.install(|| {
        for _ in 0..CALLS {
            let (result, heap) = ALLOCATOR.measure(|| fork(SIZE));
            seen += heap.retained();
            results.push(result);
        }
    });
    let expected = (CALLS * 2 * SIZE) as i64;
    let stray = ALLOCATOR.stray() - before;
    assert!((0..=expected).contains(&seen), "{seen} of {expected}");
    assert_near(stray, expected + (results.capacity() * size_of_val(&results[0])) as i64);
    drop(results);

    // All at once, with calls within calls that wait.
    let results: Vec<_> = pool.install(|| {
        let call = |_| ALLOCATOR.measure(|| (0..8).into_par_iter().map(|_| fork(SIZE / 8)).collect::<Vec<_>>()).0;
        (0..CALLS).into_par_iter().map(call).collect()
    });
    let own = results.capacity() * 24 + results.iter().map(|all| all.capacity() * 48).sum::<usize>();
    assert_near(ALLOCATOR.stray() - before, expected + own as i64);
    drop(results);
    assert_near(ALLOCATOR.stray() - before, 0);
}

#[test]
fn threads_that_exchange_allocations_are_exact_in_sum() {
    let _alone = alone();
    const THREADS: usize = 4;
    const ROUNDS: usize = 20_000;
    let shadow = AtomicI64::new(0);
    let shared: Vec<Mutex<Vec<u8>>> = (0..64).map(|_| Mutex::default()).collect();
    let before = ALLOCATOR.stray();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (shadow, shared) = (&shadow, &shared);
            scope.spawn(move || {
                let mut state = thread as u64 + 1;
                for _ in 0..ROUNDS {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    let mut own = Vec::<u8>::new();
                    let mut change = 0;
                    let step = |own: &mut Vec<u8>| {
                        own.reserve_exact((state >> 16) as usize % 3000);
                        change = own.capacity() as i64;
                        // The other place may come from another thread, and is freed or grown here.
                        let mut place = shared[state as usize % 64].lock().unwrap();
                        if state >> 40 & 1 == 0 {
                            change -= place.capacity() as i64;
                            *place = std::mem::take(own);
                        } else {
                            change -= own.capacity() as i64;
                            let old = place.capacity() as i64;
                            place.reserve_exact((state >> 41) as usize % 3000);
                            place.shrink_to((state >> 48) as usize % 3000);
                            change += place.capacity() as i64 - old;
                            *own = Vec::new();
                        }
                    };
                    if state >> 60 & 1 == 0 {
                        let heap = ALLOCATOR.measure({
                            let mut step = step;
                            let own = &mut own;
                            move || step(own)
                        });
                        assert_eq!(heap.1.retained(), change);
                    } else {
                        let mut step = step;
                        step(&mut own);
                    }
                    shadow.fetch_add(change, Ordering::Relaxed);
                }
            });
        }
    });
    let held: usize = shared.iter().map(|place| place.lock().unwrap().capacity()).sum();
    assert_eq!(shadow.load(Ordering::Relaxed), held as i64);
    assert_near(ALLOCATOR.stray() - before, held as i64);
    drop(shared);
}

#[test]
fn an_ordinary_run_goes_on_as_before() {
    let _alone = alone();
    let before = ALLOCATOR.stray();
    let mut bytes = 0;
    amorsize::process_in_batches(|i: usize| vec![i as u8; 100 + i % 1000], 0..20_000)
        .threads(2)
        .for_each_batch(|batch| bytes += batch.iter().map(Vec::len).sum::<usize>())
        .unwrap();
    assert_eq!(bytes, (0..20_000).map(|i| 100 + i % 1000).sum::<usize>());
    // A pool stays for the next run.
    assert!((ALLOCATOR.stray() - before).abs() < 1 << 20);
}
