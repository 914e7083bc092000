//! Work goes on while a batch is with the sink.

#[path = "common/made.rs"]
mod made;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use amorsize::{batched, process_in_batches};
use made::Overlap;

/// The run prepares as many calls as it expects to take as long as the sink. A busy machine can
/// delay the calling thread so that the sink finds everything made and takes no time. The run then
/// prepares less, and that is right. So this sink gives up after some time without a call.
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
        let mut overlap = Overlap::default();
        let mut run = process_in_batches(work, 0..ITEMS).threads(2).batch_size(batch_size).max_memory("64MiB");
        run.for_each_batch(|batch| {
            let next = batch.first_index() + batch.len();
            let least = next + batch_size * 3 / 4;
            // The last batches have none after them.
            if least <= ITEMS {
                overlap.wait_for(&calls, least);
            }
        })
        .unwrap();
        assert_eq!(calls.into_inner(), ITEMS);
        assert!(overlap.batches > 0, "no batch of {batch_size} was made meanwhile");
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
