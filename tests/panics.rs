//! A panic reaches the caller with its own payload. Results that were finished before it go to the
//! sink, every value is dropped once, and nothing hangs.

#[path = "common/counted.rs"]
mod counted;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use amorsize::process_in_batches;
use counted::Counted;

struct MyPayload(usize);

fn slow(micros: u64) {
    std::thread::sleep(Duration::from_micros(micros));
}

/// The places for the panic: in the first item, in the sample, inline, on threads, at the end.
const PLACES: [usize; 6] = [0, 3, 7, 100, 555, 999];

fn payload_of(outcome: std::thread::Result<()>) -> usize {
    outcome.unwrap_err().downcast_ref::<MyPayload>().expect("the function's own payload").0
}

#[test]
fn the_sink_gets_everything_before_the_panic() {
    for at in PLACES {
        for threads in 1..=4 {
            let alive = AtomicIsize::new(0);
            let mut seen = 0;
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let items = (0..1_000).map(|i| Counted::new(&alive, i));
                let run = process_in_batches(
                    |item: Counted<'_>| {
                        slow(50);
                        if item.index == at {
                            std::panic::panic_any(MyPayload(at));
                        }
                        Counted::new(&alive, item.index)
                    },
                    items,
                );
                run.threads(threads)
                    .batch_size(10)
                    .for_each_batch(|batch| {
                        for result in batch {
                            assert_eq!(result.index, seen);
                            seen += 1;
                        }
                    })
                    .unwrap();
            }));
            assert_eq!(payload_of(outcome), at);
            assert_eq!(seen, at, "with {threads} threads");
            assert_eq!(alive.load(Ordering::Relaxed), 0, "every value is dropped once");
        }
    }
}

#[test]
fn a_collect_drops_what_it_had() {
    for at in PLACES {
        let alive = AtomicIsize::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let call = |i: usize| {
                slow(50);
                if i == at { std::panic::panic_any(MyPayload(at)) } else { Counted::new(&alive, i) }
            };
            drop(process_in_batches(call, 0..1_000).threads(3).collect::<Vec<_>>());
        }));
        assert_eq!(payload_of(outcome), at);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn an_iterator_gives_everything_before_the_panic() {
    for at in PLACES {
        let alive = AtomicIsize::new(0);
        let mut seen = 0;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let call = |i: usize| {
                slow(50);
                if i == at { std::panic::panic_any(MyPayload(at)) } else { Counted::new(&alive, i) }
            };
            for result in process_in_batches(call, 0..1_000).threads(3) {
                assert_eq!(result.index, seen);
                seen += 1;
            }
        }));
        assert_eq!((payload_of(outcome), seen), (at, at));
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn the_first_panic_by_input_order_is_the_one() {
    let outcome = catch_unwind(|| {
        let call = |i: usize| {
            slow(if i == 300 { 20_000 } else { 50 });
            if i >= 300 {
                std::panic::panic_any(MyPayload(i))
            }
        };
        drop(process_in_batches(call, 0..1_000).threads(4).collect::<Vec<_>>());
    });
    assert_eq!(payload_of(outcome), 300);
}

#[test]
fn panics_of_sink_and_input_pass_through() {
    for threads in 1..=3 {
        let alive = AtomicIsize::new(0);
        let call = |i: usize| {
            slow(50);
            Counted::new(&alive, i)
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut run = process_in_batches(call, 0..1_000).threads(threads).batch_size(10);
            run.for_each_batch(|batch| {
                // Nobody knows the bytes of these results. If a busy machine makes calls take
                // longer, the run assumes more bytes, and closes a batch early.
                if batch.indices().any(|index| index == 500) {
                    std::panic::panic_any(MyPayload(500));
                }
            })
            .unwrap();
        }));
        assert_eq!(payload_of(outcome), 500);
        let input = (0..).inspect(|&i| {
            if i == 700 {
                std::panic::panic_any(MyPayload(700))
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            process_in_batches(call, input).threads(threads).for_each_batch(|_| ()).unwrap();
        }));
        assert_eq!(payload_of(outcome), 700);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn dropping_an_iterator_early_drops_every_value_once() {
    for taken in [0, 1, 10, 300] {
        for threads in 1..=4 {
            let alive = AtomicIsize::new(0);
            let items = (0..1_000).map(|i| Counted::new(&alive, i));
            let call = |item: Counted<'_>| {
                slow(20);
                Counted::new(&alive, item.index)
            };
            let run = process_in_batches(call, items).threads(threads);
            let results: Vec<_> = run.into_iter().take(taken).collect();
            assert_eq!(alive.load(Ordering::Relaxed), taken as isize);
            drop(results);
            let items = (0..1_000).map(|i| Counted::new(&alive, i));
            let results: Vec<_> = process_in_batches(call, items).threads(threads).unordered().take(taken).collect();
            assert_eq!(alive.load(Ordering::Relaxed), taken as isize);
            drop(results);
            assert_eq!(alive.load(Ordering::Relaxed), 0);
        }
    }
}

#[test]
fn a_run_that_is_not_started_or_only_planned_drops_its_values() {
    let alive = AtomicIsize::new(0);
    let items: Vec<_> = (0..100).map(|i| Counted::new(&alive, i)).collect();
    let mut run = process_in_batches(|item: Counted<'_>| item, items);
    run.plan().unwrap();
    assert_eq!(alive.load(Ordering::Relaxed), 100);
    drop(run);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn a_plan_that_panics_twice_loses_nothing() {
    let call = |item: usize| {
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_micros(500) {
            std::hint::spin_loop();
        }
        if [3, 4].contains(&item) { std::panic::panic_any(MyPayload(item)) } else { item }
    };
    for _ in 0..5 {
        let mut run = process_in_batches(call, 0..100).threads(2);
        let mut panicked = Vec::new();
        while let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(run.plan()))) {
            panicked.push(payload_of(Err(payload)));
        }
        let mut seen = Vec::new();
        while let Err(payload) =
            catch_unwind(AssertUnwindSafe(|| run.for_each_batch(|batch| seen.extend(batch)).unwrap()))
        {
            panicked.push(payload_of(Err(payload)));
        }
        assert_eq!(panicked, [3, 4]);
        assert_eq!(seen, (0..100).filter(|item| ![3, 4].contains(item)).collect::<Vec<_>>());
    }
}
