//! A subscriber of `tracing` that panics on a thread of the pool ends the run, and does not leave
//! it waiting.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use amorsize::process_in_batches;
use tracing::Subscriber;
use tracing::span::Id;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Panics after threads of a pool have entered, or left, that many spans.
struct Panicking {
    entered: AtomicUsize,
    left: AtomicUsize,
}

const NEVER: usize = usize::MAX / 2;

static LAYER: Panicking = Panicking { entered: AtomicUsize::new(NEVER), left: AtomicUsize::new(NEVER) };

struct Forward;

fn is_worker() -> bool {
    thread::current().name().is_some_and(|name| name.starts_with("amorsize"))
}

impl<S: Subscriber> Layer<S> for Forward {
    fn on_enter(&self, _id: &Id, _context: Context<'_, S>) {
        if is_worker() && LAYER.entered.fetch_sub(1, Relaxed) == 1 {
            panic_any("entered");
        }
    }

    fn on_exit(&self, _id: &Id, _context: Context<'_, S>) {
        if is_worker() && !thread::panicking() && LAYER.left.fetch_sub(1, Relaxed) == 1 {
            panic_any("left");
        }
    }
}

#[test]
fn a_subscriber_that_panics_on_a_worker_ends_the_run() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Forward)).unwrap();
    for at in 1..20 {
        for (which, counter) in [("entered", &LAYER.entered), ("left", &LAYER.left)] {
            counter.store(at, Relaxed);
            let slow = |item: u64| {
                thread::sleep(Duration::from_micros(100));
                item
            };
            // No global pool has this number of threads, so the workers are the run's own.
            let mut run = process_in_batches(slow, 0..2_000).threads(5);
            let mut seen = 0;
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                run.for_each_batch(|batch| {
                    assert_eq!(batch.first_index(), seen);
                    seen += batch.len();
                })
            }));
            counter.store(NEVER, Relaxed);
            assert_eq!(outcome.unwrap_err().downcast_ref::<&str>(), Some(&which));
        }
    }
}
