//! Calls that do little but fill memory. A run goes back to the calling thread if that is faster
//! for them, and the results are right on either way. `amorsize/src/execute/clocked.rs` tests which
//! way a run takes, with a clock that it moves.

#[path = "common/serial.rs"]
mod serial;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use amorsize::{CancelToken, OnPanic, batched, on_error, process_in_batches};
// One test at a time: memory of the other tests would make a run hold less and hand batches over
// before they are full.
use serial::alone;

const SIZES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];
/// Enough for the run to measure its pace on the calling thread, on threads, and on the calling
/// thread again.
const BYTES: usize = 1 << 30;

#[batched(max_memory = "64MiB", threads = 2)]
fn page(number: usize, bytes: usize) -> Vec<u8> {
    vec![(number % 251) as u8; bytes]
}

fn assert_page(page: &[u8], number: usize, bytes: usize) {
    assert_eq!((page.len(), page[0], page[bytes - 1]), (bytes, (number % 251) as u8, (number % 251) as u8));
}

#[test]
fn batches_are_in_order_and_at_most_as_large_as_asked() {
    let _alone = alone();
    for bytes in SIZES {
        for batch_size in [None, Some(1), Some(7)] {
            let items = BYTES / bytes;
            let mut run = page_batched(0..items, bytes);
            if let Some(size) = batch_size {
                run = run.batch_size(size);
            }
            let mut next = 0;
            let report = run
                .for_each_batch(|batch| {
                    assert_eq!(batch.first_index(), next);
                    let len = batch.len();
                    // A batch is handed over early if the results behind it fill the budget while
                    // the thread with the next result gets no time.
                    assert!(
                        batch_size.is_none_or(|size| (1..=size).contains(&len)),
                        "{len} of {bytes} at {next} of {items}, {batch_size:?}"
                    );
                    batch.iter().for_each(|page| {
                        assert_page(page, next, bytes);
                        next += 1;
                    });
                })
                .unwrap();
            assert_eq!((next, report.items()), (items, items));
            assert!(report.peak_bytes() <= report.budget(), "{} of {}", report.peak_bytes(), report.budget());
            let time = report.time_use();
            assert!(time.calls() <= time.total() && time.total() <= 2.0 * report.seconds() + 1e-9, "{report:?}");
        }
    }
}

#[test]
fn iterators_give_each_result_once() {
    let _alone = alone();
    for bytes in SIZES {
        let items = BYTES / bytes;
        let mut next = 0;
        for page in page_batched(0..items, bytes) {
            assert_page(&page, next, bytes);
            next += 1;
        }
        assert_eq!(next, items);
        let mut seen = vec![false; items];
        for (index, page) in page_batched(0..items, bytes).unordered() {
            assert_page(&page, index, bytes);
            assert!(!std::mem::replace(&mut seen[index], true));
        }
        assert!(seen.into_iter().all(|seen| seen));
    }
}

#[test]
fn what_is_left_of_a_run_that_was_cancelled_goes_on() {
    let _alone = alone();
    const BYTES_EACH: usize = 64 << 10;
    let items = BYTES / BYTES_EACH;
    for stops in [1, 100, items / 4, items / 2, items - 10] {
        let calls = AtomicUsize::new(0);
        let token = CancelToken::new();
        let work = |number: usize| {
            calls.fetch_add(1, Relaxed);
            vec![(number % 251) as u8; BYTES_EACH]
        };
        let mut next = 0;
        let mut take = |pages: &[Vec<u8>], first: usize| {
            assert_eq!(first, next);
            pages.iter().for_each(|page| {
                assert_page(page, next, BYTES_EACH);
                next += 1;
            });
            if next >= stops {
                token.cancel();
            }
        };
        let mut run = process_in_batches(work, 0..items).threads(2).max_memory("64MiB").cancel_token(&token);
        // The results that are ready at the cancel are handed over, and these can be all.
        if run.for_each_batch(|batch| take(&batch, batch.first_index())).is_err() {
            let mut rest = run.cancel_token(&CancelToken::new());
            rest.for_each_batch(|batch| take(&batch, batch.first_index())).unwrap();
        }
        assert_eq!((next, calls.into_inner()), (items, items));
    }
}

#[test]
fn items_that_fail_or_panic_are_left_out_and_told() {
    let _alone = alone();
    const BYTES_EACH: usize = 64 << 10;
    let items = BYTES / BYTES_EACH;
    let work = |number: usize| match number % 1000 {
        500 => resume_unwind(Box::new("without a message")),
        700 => Err("no page"),
        _ => Ok(vec![(number % 251) as u8; BYTES_EACH]),
    };
    let mut next = 0;
    let run = process_in_batches(work, 0..items).threads(2).max_memory("64MiB").on_panic(OnPanic::Skip);
    let report = run
        .on_error(on_error::Skip)
        .for_each_batch(|batch| {
            for (index, page) in batch.indices().zip(&batch) {
                assert!(index >= next && ![500, 700].contains(&(index % 1000)));
                assert_page(page, index, BYTES_EACH);
                next = index + 1;
            }
        })
        .unwrap();
    let of_each = (0..items).filter(|number| number % 1000 == 500).count();
    assert_eq!(report.panicked(), of_each);
    assert_eq!(next, items);
}
