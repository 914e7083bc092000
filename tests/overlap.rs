//! Work goes on while a batch is with the sink.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use amorsize::{batched, process_in_batches};

/// Waits until other threads have made at least `least` calls.
fn wait_for(calls: &AtomicUsize, least: usize) {
    let begun = Instant::now();
    while calls.load(Relaxed) < least {
        assert!(begun.elapsed() < Duration::from_secs(600), "{} calls of {least}", calls.load(Relaxed));
        thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn most_of_the_next_batch_is_made_while_the_sink_has_one() {
    const ITEMS: usize = 1000;
    for batch_size in [20, 100, 300] {
        let calls = AtomicUsize::new(0);
        let work = |item: usize| {
            thread::sleep(Duration::from_micros(300));
            calls.fetch_add(1, Relaxed);
            item
        };
        let mut run = process_in_batches(work, 0..ITEMS).threads(2).batch_size(batch_size).max_memory("64MiB");
        run.for_each_batch(|batch| {
            let next = batch.first_index() + batch.len();
            wait_for(&calls, (next + batch_size * 3 / 4).min(ITEMS));
        })
        .unwrap();
        assert_eq!(calls.into_inner(), ITEMS);
    }
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

#[batched(max_memory = "10MiB", batch_size = 4, threads = 2)]
fn page(number: u8) -> Vec<u8> {
    CALLS.fetch_add(1, Relaxed);
    thread::sleep(Duration::from_micros(300));
    vec![number; 1 << 20]
}

#[test]
fn the_budget_bounds_what_is_made_meanwhile() {
    let report = page_batched(0..100)
        .for_each_batch(|batch| {
            thread::sleep(Duration::from_millis(20));
            // The earlier batches are no longer held.
            let (calls, first) = (CALLS.load(Relaxed), batch.first_index());
            assert!(calls <= first + 10, "{calls} calls at {first}");
        })
        .unwrap();
    assert!(report.peak_bytes() <= report.budget(), "{}", report.peak_bytes());
}
