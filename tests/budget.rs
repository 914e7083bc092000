//! The budget holds: counted by an allocator of this program's own, live bytes never exceed it by more than a call in flight on
//! each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use amorsize::{Bytes, MeasuredBy, batched};
use proptest::prelude::*;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator can't be written without")]
// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Both tests count the same bytes, so one runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Chunks, queues and buffers of the run itself.
const OWN_BYTES: usize = 512 << 10;

/// A result of a stated size.
#[batched(max_memory = "4MiB")]
fn make(index: usize, sizes: &(dyn Fn(usize) -> usize + Sync)) -> Vec<u8> {
    vec![index as u8; sizes(index)]
}

/// The most live bytes above those at the start while `body` runs.
fn peak_of(body: impl FnOnce()) -> usize {
    let base = LIVE.load(Ordering::Relaxed);
    PEAK.store(base, Ordering::Relaxed);
    body();
    PEAK.load(Ordering::Relaxed) - base
}

fn check(items: usize, threads: usize, budget: usize, sizes: &(dyn Fn(usize) -> usize + Sync)) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The pool's own memory is no part of the run's.
    make_batched(0..10_000, &|_| 1).threads(threads).for_each_batch(|_| ()).unwrap();
    let largest = (0..items).map(sizes).max().unwrap_or(0);
    let run = || make_batched(0..items, sizes).threads(threads).max_memory(Bytes::new(budget as u64));

    let mut bytes = 0;
    let peak = peak_of(|| {
        let report = run().for_each_batch(|batch| bytes += batch.iter().map(Vec::len).sum::<usize>()).unwrap();
        assert_eq!(report.measured_by(), MeasuredBy::DeepSize);
        assert!(report.peak_bytes() <= (budget + threads * (largest + 24)) as u64, "{report}");
    });
    assert_eq!(bytes, (0..items).map(sizes).sum::<usize>());
    let most = budget + threads * largest + OWN_BYTES;
    assert!(peak <= most, "for_each_batch: {peak} of {most}");

    let peak = peak_of(|| assert_eq!(run().into_iter().count(), items));
    assert!(peak <= most, "into_iter: {peak} of {most}");
}

#[test]
fn a_misleading_sample_does_not_break_it() {
    // Small at first, then a thousand times as large.
    check(600, 2, 4 << 20, &|i| if i < 100 { 100 } else { 100_000 });
    check(600, 4, 1 << 20, &|i| if i < 50 { 10 } else { 50_000 });
}

#[test]
fn growing_results_and_bursts_do_not_break_it() {
    check(2_000, 3, 2 << 20, &|i| 50 * i);
    check(3_000, 2, 2 << 20, &|i| if i % 500 > 480 { 200_000 } else { 500 });
}

#[test]
fn an_item_larger_than_the_budget_runs_alone() {
    check(50, 3, 100_000, &|i| if i % 10 == 7 { 1_000_000 } else { 1_000 });
}

#[test]
fn a_collect_that_does_not_fit_stops_within_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let peak = peak_of(|| {
        let error = make_batched(0..10_000, &|_| 10_000).threads(2).max_memory("2MiB").collect::<Vec<_>>().unwrap_err();
        assert!(error.is_over_budget(), "{error}");
        let text = error.to_string();
        assert!(text.contains("of 2.00 MiB") && text.contains("for_each_batch"), "{text}");
    });
    assert!(peak <= (2 << 20) + 2 * 10_000 + OWN_BYTES, "{peak}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_sizes(
        sizes in prop::collection::vec(prop_oneof![9 => 0usize..2_000, 1 => 0usize..300_000], 1..600),
        threads in 1usize..=4,
        budget in prop_oneof![Just(200_000usize), Just(2 << 20)],
    ) {
        check(sizes.len(), threads, budget, &|i| sizes.get(i).copied().unwrap_or(1));
    }
}
