//! A run does the same while its thread unwinds. A destructor may start one while a panic passes.

#[path = "common/caught.rs"]
mod caught;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use amorsize::process_in_batches;
use caught::caught;

/// Long enough for a run of some hundred of them to use threads.
fn slow(x: usize) -> usize {
    thread::sleep(Duration::from_micros(200));
    x + 1
}

const ITEMS: usize = 400;

/// Calls `body` in a destructor while the thread unwinds, and returns its value.
fn while_unwinding<R>(body: impl FnOnce() -> R) -> R {
    struct AtDrop<F: FnOnce()>(Option<F>);

    impl<F: FnOnce()> Drop for AtDrop<F> {
        fn drop(&mut self) {
            assert!(thread::panicking());
            self.0.take().unwrap()();
        }
    }

    let mut outcome = None;
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _at_drop = AtDrop(Some(|| outcome = Some(body())));
        // Without the message of a panic.
        resume_unwind(Box::new("as planned"));
    }));
    assert!(caught.is_err() && !thread::panicking());
    outcome.unwrap()
}

/// Checks that every terminal gives the results of all items; those of `unordered` are sorted
/// first.
fn all_terminals(threads: usize) -> Vec<(&'static str, Vec<usize>)> {
    let run = || process_in_batches(slow, 0..ITEMS).threads(threads);
    let mut batched = Vec::new();
    let report = run().batch_size(10).for_each_batch(|batch| batched.extend(batch)).unwrap();
    assert_eq!(report.items(), ITEMS);
    let mut tried = Vec::new();
    let outcome = run().try_for_each_batch(|batch| {
        tried.extend(batch);
        Ok::<(), amorsize::Error>(())
    });
    assert_eq!(outcome.unwrap().items(), ITEMS);
    let mut into = Vec::new();
    assert_eq!(run().collect_into(&mut into).unwrap().items(), ITEMS);
    let mut unordered: Vec<_> = run().unordered().collect();
    unordered.sort_unstable();
    vec![
        ("collect", run().collect().unwrap()),
        ("collect_into", into),
        ("iterating", run().into_iter().collect()),
        ("unordered", unordered.into_iter().map(|(_, result)| result).collect()),
        ("for_each_batch", batched),
        ("try_for_each_batch", tried),
    ]
}

#[test]
fn a_run_in_a_destructor_while_its_thread_unwinds_gives_all_results() {
    let expected: Vec<_> = (1..=ITEMS).collect();
    for threads in 1..=3 {
        for (terminal, results) in while_unwinding(|| all_terminals(threads)) {
            assert!(results == expected, "{terminal} on {threads} threads: {} results", results.len());
        }
    }
}

#[test]
fn so_does_one_on_a_worker_of_a_pool_that_unwinds() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let terminals = pool.install(|| while_unwinding(|| all_terminals(2)));
    let expected: Vec<_> = (1..=ITEMS).collect();
    terminals.into_iter().for_each(|(terminal, results)| assert!(results == expected, "{terminal}"));
}

#[test]
fn a_panic_of_such_a_run_ends_it_and_can_be_caught() {
    for threads in 1..=3 {
        while_unwinding(|| {
            // In the function: the results before it are handed over.
            let call = |x: usize| if x == 300 { resume_unwind(Box::new("in a call")) } else { slow(x) };
            let mut taken = Vec::new();
            let mut run = process_in_batches(call, 0..ITEMS).threads(threads).batch_size(10);
            let payload = caught(|| run.for_each_batch(|batch| taken.extend(batch))).unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&"in a call"));
            assert_eq!(taken, (1..=300).collect::<Vec<_>>());
            run.for_each_batch(|batch| taken.extend(batch)).unwrap();
            assert_eq!(taken.len(), ITEMS - 1);

            // In the sink and in the input: the run stops, and no call starts after it.
            let calls = Mutex::new(0);
            let counted = |x| {
                *calls.lock().unwrap() += 1;
                slow(x)
            };
            let caught = catch_unwind(AssertUnwindSafe(|| {
                process_in_batches(counted, 0..).threads(threads).batch_size(10).for_each_batch(|batch| {
                    if batch.first_index() >= 50 {
                        resume_unwind(Box::new("in the sink"));
                    }
                })
            }));
            assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"in the sink"));
            assert!(*calls.lock().unwrap() >= 50);
            let input = (0..).inspect(|&x| {
                if x == 200 {
                    resume_unwind(Box::new("in the input"));
                }
            });
            let caught = catch_unwind(AssertUnwindSafe(|| {
                process_in_batches(slow, input).threads(threads).for_each_batch(drop)
            }));
            assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"in the input"));
        });
    }
}
