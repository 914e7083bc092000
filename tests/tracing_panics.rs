//! A subscriber of `tracing` that panics ends the run. On a thread of the pool it does not leave
//! the run waiting, and beside a batch it takes no results along.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use amorsize::process_in_batches;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
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

/// Spans that other threads than a pool's enter until the panic.
static UNTIL_ENTERED: AtomicUsize = AtomicUsize::new(NEVER);

/// Spans and events of batches until the panic.
static UNTIL_BATCH: AtomicUsize = AtomicUsize::new(NEVER);

impl<S: Subscriber> Layer<S> for Forward {
    fn on_new_span(&self, attributes: &Attributes<'_>, _id: &Id, _context: Context<'_, S>) {
        if attributes.metadata().name() == "batch" && UNTIL_BATCH.fetch_sub(1, Relaxed) == 1 {
            panic_any("batch");
        }
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if *event.metadata().level() == Level::DEBUG && UNTIL_BATCH.fetch_sub(1, Relaxed) == 1 {
            panic_any("batch");
        }
    }

    fn on_enter(&self, _id: &Id, _context: Context<'_, S>) {
        let counter = if is_worker() { &LAYER.entered } else { &UNTIL_ENTERED };
        if counter.fetch_sub(1, Relaxed) == 1 {
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
fn a_subscriber_that_panics_ends_the_run() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Forward)).unwrap();
    // One after the other: the subscriber is that of the process.
    a_panic_beside_a_batch_loses_no_result();
    a_panic_on_a_worker_ends_the_run();
    a_panic_before_a_sample_is_given_loses_no_result();
}

fn a_panic_before_a_sample_is_given_loses_no_result() {
    for until in 1..5 {
        let mut run = process_in_batches(|x: u32| x, 0..100).threads(1);
        run.plan().unwrap();
        UNTIL_ENTERED.store(until, Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| run.collect::<Vec<_>>()));
        UNTIL_ENTERED.store(NEVER, Relaxed);
        let all = outcome.unwrap_or_else(|_| run.collect::<Vec<_>>());
        assert_eq!(all.unwrap(), (0..100).collect::<Vec<_>>());
    }
}

/// A panic before the sink has the batch, or after that.
fn a_panic_beside_a_batch_loses_no_result() {
    for (threads, until) in [1, 2, 4].into_iter().flat_map(|threads| (1..12).map(move |until| (threads, until))) {
        let call = |x: u32| if x % 10 == 3 { None } else { Some(x) };
        let mut run = process_in_batches(call, 0..200).threads(threads).batch_size(20).flatten();
        let mut given = Vec::new();
        UNTIL_BATCH.store(until, Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            run.for_each_batch(|batch| {
                // No batch comes behind the panic.
                assert!(UNTIL_BATCH.load(Relaxed) < NEVER);
                given.extend(batch.indices().zip(batch));
            })
        }));
        UNTIL_BATCH.store(NEVER, Relaxed);
        assert_eq!(outcome.unwrap_err().downcast_ref::<&str>(), Some(&"batch"));
        let before = given.len();
        let report = run.for_each_batch(|batch| given.extend(batch.indices().zip(batch))).unwrap();
        assert!(given.iter().copied().eq((0..200).filter(|x| x % 10 != 3).map(|x| (x as usize, x))), "{given:?}");
        assert_eq!(report.items(), 180 - before);
    }
}

fn a_panic_on_a_worker_ends_the_run() {
    for at in 1..20 {
        for (which, counter) in [("entered", &LAYER.entered), ("left", &LAYER.left)] {
            counter.store(at, Relaxed);
            let slow = |item: u64| {
                thread::sleep(Duration::from_micros(100));
                item
            };
            // The global pool has fewer, so the workers are of a pool that the library names.
            let mut run = process_in_batches(slow, 0..2_000).threads(rayon::current_num_threads() + 3);
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
