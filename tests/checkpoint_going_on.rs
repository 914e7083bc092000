//! A run with a checkpoint that ends early goes on in the same run and in a new one, and loses no
//! result. It ends by a cancel, a deadline or its budget, in a pipeline too. Every item and every
//! result is dropped exactly once.

#[path = "common/folder.rs"]
mod folder;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use amorsize::on_error::Skip;
use amorsize::{Batched, ByteSize, CancelToken, DeepSize, ErrorKind, Report, batched, process_in_batches};
use folder::Folder;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

const ITEMS: u64 = 2_000;

type Call<'a> = Box<dyn Fn(u64) -> Vec<u64> + Sync + 'a>;

fn result(x: u64) -> Vec<u64> {
    vec![x; x as usize % 60]
}

fn run<'a>(directory: &Path, calls: &'a AtomicUsize) -> Batched<std::ops::Range<u64>, Vec<u64>, Call<'a>> {
    let call: Call<'a> = Box::new(|x| {
        calls.fetch_add(1, Relaxed);
        result(x)
    });
    process_in_batches(call, 0..ITEMS).version(1).weigh(|values| size_of_val(&**values)).checkpoint(directory)
}

#[test]
fn a_cancelled_run_goes_on() {
    for threads in 1..=4 {
        let (folder, calls) = (Folder::new("cancelled"), AtomicUsize::new(0));
        let directory = folder.file("run");
        let mut seen = Vec::new();
        // In the same run.
        let token = CancelToken::new();
        let mut first = run(&directory, &calls).threads(threads).batch_size(50).cancel_token(&token);
        let cancelled = first.for_each_batch(|batch| {
            seen.extend(batch);
            if seen.len() >= 300 {
                token.cancel();
            }
        });
        // The results that are ready at the cancel are handed over, and these can be all.
        if let Err(error) = cancelled {
            assert!(matches!(error.kind(), ErrorKind::Cancelled { .. }), "{error}");
            first = first.cancel_token(&CancelToken::new());
            first.for_each_batch(|batch| seen.extend(batch)).unwrap();
        }
        assert!(seen.drain(..).eq((0..ITEMS).map(result)));
        drop(first);
        // A new one has nothing left to do.
        let report = run(&directory, &calls).threads(threads).for_each_batch(|batch| seen.extend(batch)).unwrap();
        assert!(seen.into_iter().eq((0..ITEMS).map(result)));
        assert_eq!((report.restored() as u64, calls.into_inner() as u64), (ITEMS, ITEMS));
    }
}

#[test]
fn each_part_of_a_run_counts_the_stored_results_that_it_hands_over() {
    let (folder, calls) = (Folder::new("parts-of-a-run"), AtomicUsize::new(0));
    let directory = folder.file("run");
    run(&directory, &calls).for_each_batch(drop).unwrap();
    let all = ITEMS as usize;
    let restored = |report: &Report| (report.items(), report.restored());

    let mut first = run(&directory, &calls).batch_size(10);
    let enough = || Err(io::Error::other("enough").into());
    let stopped: Result<_, Box<dyn std::error::Error>> =
        first.try_for_each_batch(|batch| if batch.first_index() < 40 { Ok(()) } else { enough() });
    stopped.unwrap_err();
    assert_eq!(restored(first.report().unwrap()), (50, 50));
    assert_eq!(restored(&first.for_each_batch(drop).unwrap()), (all - 50, all - 50));

    drop(first);

    // Results that a collection had no room for go to the next terminal.
    let mut first = run(&directory, &calls).max_memory("64KiB");
    assert!(first.collect::<Vec<_>>().unwrap_err().is_over_budget());
    assert_eq!(restored(first.report().unwrap()), (0, 0));
    let mut some = Vec::new();
    assert!(first.collect_into(&mut some).unwrap_err().is_over_budget());
    assert_eq!(restored(first.report().unwrap()), (some.len(), some.len()));
    assert_eq!(restored(&first.for_each_batch(drop).unwrap()), (all - some.len(), all - some.len()));
}

#[test]
fn a_run_that_is_out_of_time_goes_on() {
    for threads in 1..=4 {
        let (folder, calls) = (Folder::new("deadline"), AtomicUsize::new(0));
        let directory = folder.file("run");
        // In the same run, and in a new one, until the time is enough on the slowest machine.
        let (mut ended, mut time) = (0, Duration::from_micros(200));
        'all: loop {
            let mut some = run(&directory, &calls).threads(threads).batch_size(10);
            for _ in 0..2 {
                some = some.timeout(time);
                match some.for_each_batch(drop) {
                    Ok(_) => break 'all,
                    Err(error) => assert!(error.is_timed_out(), "{error}"),
                }
                ended += 1;
                time = time * 3 / 2;
            }
        }
        println!("{threads} threads: ended {ended} times");
        assert!(run(&directory, &calls).collect::<Vec<_>>().unwrap().into_iter().eq((0..ITEMS).map(result)));
        assert_eq!(calls.into_inner() as u64, ITEMS);
    }
}

#[test]
fn a_run_that_is_over_its_budget_has_kept_what_it_has_done() {
    for threads in 1..=3 {
        let (folder, calls) = (Folder::new("over-budget"), AtomicUsize::new(0));
        let directory = folder.file("run");
        let mut first = run(&directory, &calls).threads(threads).max_memory("256KiB");
        let error = first.collect::<Vec<_>>().unwrap_err();
        assert!(error.is_over_budget(), "{error}");
        let done = calls.load(Relaxed);
        assert!(done > 0 && done < ITEMS as usize);
        // The same run goes on batch by batch, and begins with what it could not collect.
        let mut seen = 0;
        first
            .for_each(|value| {
                assert_eq!(value, result(seen));
                seen += 1;
            })
            .unwrap();
        assert_eq!(seen, ITEMS);
        drop(first);
        let collected: Vec<_> = run(&directory, &calls).threads(threads).collect().unwrap();
        assert!(collected.into_iter().eq((0..ITEMS).map(result)));
        // In `collect` the restored results count in the budget, too.
        let mut third = run(&directory, &calls).threads(threads).max_memory("256KiB");
        assert!(third.collect::<Vec<_>>().unwrap_err().is_over_budget());
        drop(third);
        assert_eq!(calls.into_inner() as u64, ITEMS);
    }
}

/// One piece of the file has results that take four times its bytes in memory.
#[test]
fn a_collection_of_restored_results_is_over_its_budget_after_a_part_of_it() {
    for threads in 1..=3 {
        let (folder, calls) = (Folder::new("restored-over-budget"), AtomicUsize::new(0));
        let directory = folder.file("run");
        run(&directory, &calls).batch_size(ITEMS as usize).for_each_batch(drop).unwrap();
        for budget in [64 << 10, 128 << 10, 256 << 10] {
            let mut again = run(&directory, &calls).threads(threads).max_memory(ByteSize::new(budget));
            let error = again.collect::<Vec<_>>().unwrap_err();
            let ErrorKind::OverBudget { held, .. } = error.kind() else { panic!("{error}") };
            assert!(held.as_u64() < budget * 3 / 2, "{budget}: {error}");
            let mut seen = (0..ITEMS).map(result);
            again.for_each(|value| assert_eq!(Some(value), seen.next())).unwrap();
            assert_eq!(seen.next(), None);
        }
        assert_eq!(calls.into_inner() as u64, ITEMS);
    }
}

/// Within the terminal that stops at an error, errors are not kept. Behind a panic that was caught,
/// another terminal takes them as results.
#[test]
fn errors_are_kept_as_results_behind_a_panic_of_try_collect() {
    let (folder, panicked) = (Folder::new("errors-kept"), AtomicUsize::new(0));
    let call = |x: u64| {
        if x == 0 && panicked.fetch_add(1, Relaxed) == 0 {
            resume_unwind(Box::new("once"));
        }
        if x.is_multiple_of(2) { Ok(x) } else { Err(x) }
    };
    let run = || process_in_batches(call, 0..100).threads(1).version(1).checkpoint(folder.file("run"));
    let mut first = run();
    assert!(catch_unwind(AssertUnwindSafe(|| first.try_collect::<Vec<_>>())).is_err());
    let expected: Vec<_> = (1..100).map(call).collect();
    assert_eq!(first.collect::<Vec<_>>().unwrap(), expected);
    drop(first);
    assert_eq!(run().for_each_batch(drop).unwrap().restored(), 99);
}

// ---- pipelines ----

static HALVED: AtomicUsize = AtomicUsize::new(0);
static TOLD: AtomicUsize = AtomicUsize::new(0);

#[batched]
fn half(x: u64) -> Result<u64, String> {
    HALVED.fetch_add(1, Relaxed);
    if x % 100 == 77 { Err(format!("{x} fails")) } else { Ok(x / 2) }
}

#[batched]
fn tell(x: u64, word: &str) -> Result<String, String> {
    TOLD.fetch_add(1, Relaxed);
    Ok(format!("{word} {x}"))
}

#[test]
fn a_pipeline_keeps_its_last_results() {
    for threads in 1..=4 {
        let folder = Folder::new("pipeline");
        let directory = folder.file("run");
        let run = |items: u64| {
            let run = half_batched(0..items).on_error(Skip).then(|halves| tell_batched(halves, "half").on_error(Skip));
            run.threads(threads).checkpoint(&directory)
        };
        let expected = |items: u64| (0..items).filter(|x| x % 100 != 77).map(|x| format!("half {}", x / 2));
        assert!(run(600).collect::<Vec<_>>().unwrap().into_iter().eq(expected(600)));
        assert_eq!((HALVED.swap(0, Relaxed), TOLD.swap(0, Relaxed)), (600, 594));
        let token = CancelToken::new();
        let cut = run(1_500).batch_size(20).cancel_token(&token).for_each_batch(|batch| {
            if batch.indices().any(|index| index >= 800) {
                token.cancel();
            }
        });
        assert!(cut.is_ok() || cut.is_err_and(|error| error.is_cancelled()));
        let mut values = Vec::new();
        let report = run(1_500).for_each_batch(|batch| values.extend(batch)).unwrap();
        assert!(values.into_iter().eq(expected(1_500)));
        assert!(report.restored() >= 594, "{}", report.restored());
        // An item with a stored result goes through no stage again. An item that fails does.
        let told = TOLD.swap(0, Relaxed);
        assert_eq!(told, 1_500 - 15 - 594);
        let halved = HALVED.swap(0, Relaxed);
        assert!((told + 15..=told + 15 + 15).contains(&halved), "{halved}");
    }
}

#[test]
fn a_checkpoint_of_a_stage_is_refused() {
    let folder = Folder::new("stage");
    let mut run = half_batched(0..9).then(|halves| {
        process_in_batches(|half: Result<u64, String>| half, halves).version(1).checkpoint(folder.file("stage"))
    });
    let error = run.collect::<Vec<_>>().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidOption { .. }), "{error}");
    assert!(!folder.file("stage").exists());
}

// ---- drops ----

/// The number of live values, and a lock for the tests that count them.
static ALIVE: AtomicIsize = AtomicIsize::new(0);
static COUNTS: Mutex<()> = Mutex::new(());

/// A value that is counted while it lives, whether it was made by a call or read back.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
struct Alive(u64);

impl Alive {
    fn new(number: u64) -> Self {
        ALIVE.fetch_add(1, Relaxed);
        Self(number)
    }
}

impl From<u64> for Alive {
    fn from(number: u64) -> Self {
        Self::new(number)
    }
}

impl From<Alive> for u64 {
    fn from(alive: Alive) -> Self {
        alive.0
    }
}

impl Clone for Alive {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl std::hash::Hash for Alive {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl DeepSize for Alive {
    fn heap_size(&self) -> usize {
        0
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Relaxed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_value_is_dropped_once(
        items in 0u64..1_500,
        cuts in prop::collection::vec((0u64..1_500, 0u8..5), 0..4),
        threads in 1usize..=4,
        changes in any::<bool>(),
    ) {
        let _counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = Folder::new("drops");
        let directory = folder.file("run");
        {
            let run = |items: u64, bad: u64| {
                let call = move |item: Alive| {
                    assert!(item.0 != bad, "as planned");
                    Alive::new(item.0)
                };
                let input = (0..items).map(Alive::new);
                process_in_batches(call, input).version(1).threads(threads).checkpoint(&directory)
            };
            for (at, way) in cuts {
                let mut part = run(items, if way == 0 { at } else { u64::MAX });
                _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match way {
                    0 => drop(part.collect::<Vec<_>>()),
                    1 => drop(part.into_iter().take(at as usize).collect::<Vec<_>>()),
                    2 => drop(part.unordered().take(at as usize).collect::<Vec<_>>()),
                    3 => drop(part.try_for_each_batch(|_| Err(std::io::Error::other("enough")))),
                    _ => drop(part.plan().map(drop)),
                }));
            }
            let collected: Vec<Alive> = run(items, u64::MAX).collect().unwrap();
            prop_assert!(collected.iter().map(|value| value.0).eq(0..items));
            if changes && items > 1 {
                prop_assert!(run(items - 1, u64::MAX).collect::<Vec<_>>().unwrap_err().is_changed());
            }
        }
        prop_assert_eq!(ALIVE.load(Relaxed), 0);
    }
}
