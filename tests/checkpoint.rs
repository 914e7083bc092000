//! A run with a checkpoint gives the same as it would without an interruption, and calls nothing
//! again that it has finished.

#[path = "common/caught.rs"]
mod caught;
#[path = "common/folder.rs"]
mod folder;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use amorsize::on_error::{Collect, Skip};
use amorsize::{Batched, CancelToken, ErrorKind, OnPanic, Progress, process_in_batches};
use caught::caught;
use folder::Folder;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// Counts the calls for each item.
#[derive(Default)]
struct Calls(Mutex<BTreeMap<u64, usize>>);

impl Calls {
    fn note(&self, item: u64) {
        *self.0.lock().unwrap().entry(item).or_default() += 1;
    }

    /// Returns the items called since the last call of this, and forgets them.
    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.0.lock().unwrap()).into_keys().collect()
    }
}

type Square<'a> = Box<dyn Fn(u64) -> u64 + Sync + 'a>;

fn squares<'a>(directory: &Path, items: Range<u64>, calls: &'a Calls) -> Batched<Range<u64>, u64, Square<'a>> {
    let square: Square<'a> = Box::new(|x| {
        calls.note(x);
        x * x
    });
    process_in_batches(square, items).version(1).checkpoint(directory)
}

#[test]
fn the_text_of_a_report_counts_what_was_restored() {
    let (folder, calls) = (Folder::new("told"), Calls::default());
    for (items, told) in [(1, "\n1 item was restored from"), (2, "\n2 items were restored from")] {
        let directory = folder.file(&items.to_string());
        let report = || squares(&directory, 0..items, &calls).for_each_batch(|_| ()).unwrap().to_string();
        assert!(!report().contains("restored"));
        let again = report();
        assert!(again.contains(told), "{again}");
    }
}

#[test]
fn the_same_call_calls_nothing_again() {
    let (folder, calls) = (Folder::new("again"), Calls::default());
    for threads in [1, 2] {
        let directory = folder.file(&threads.to_string());
        let run = || squares(&directory, 0..5_000, &calls).threads(threads);
        let results: Vec<u64> = run().collect().unwrap();
        assert!(results.iter().copied().eq((0..5_000).map(|x| x * x)));
        assert!(calls.take().into_iter().eq(0..5_000));

        assert_eq!(run().collect::<Vec<_>>().unwrap(), results);
        let mut batches = Vec::new();
        let report = run()
            .batch_size(7)
            .for_each_batch(|batch| {
                assert!(batch.is_restored());
                batches.extend(batch);
            })
            .unwrap();
        assert_eq!(batches, results);
        assert_eq!((report.items(), report.restored(), report.damaged()), (5_000, 5_000, 0));
        assert!(run().into_iter().eq(results.iter().copied()));
        assert!(run().unordered().eq(results.iter().copied().enumerate()));
        let mut into = vec![1];
        run().collect_into(&mut into).unwrap();
        assert_eq!((into[0], &into[1..]), (1, &results[..]));
        assert_eq!(run().fold(0, |all, x| all + x).unwrap(), results.iter().sum::<u64>());
        assert!(calls.take().is_empty());
    }
}

#[test]
fn a_longer_input_goes_on_where_the_shorter_one_ended() {
    let (folder, calls) = (Folder::new("longer"), Calls::default());
    for items in [10, 1_000, 1_001, 20_000] {
        let results: Vec<u64> = squares(&folder.file("run"), 0..items, &calls).collect().unwrap();
        assert!(results.into_iter().eq((0..items).map(|x| x * x)));
    }
    assert!(calls.0.lock().unwrap().values().all(|&calls| calls == 1));
    assert_eq!(calls.take().len(), 20_000);
}

#[test]
fn another_input_is_refused() {
    let (folder, calls) = (Folder::new("another"), Calls::default());
    let directory = folder.file("run");
    squares(&directory, 0..1_000, &calls).collect::<Vec<_>>().unwrap();
    calls.take();
    for threads in [1, 2] {
        let error = squares(&directory, 1..1_001, &calls).threads(threads).collect::<Vec<_>>().unwrap_err();
        let ErrorKind::InputChanged { item, items, ended: false, .. } = error.kind() else { panic!("{error}") };
        assert!(error.is_changed() && *item == 0 && *items > 0, "{error}");
        let error = squares(&directory, 0..999, &calls).threads(threads).collect::<Vec<_>>().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InputChanged { item: 999, items: 1, ended: true, .. }), "{error}");
    }
    assert!(calls.take().is_empty());
}

#[test]
fn another_function_is_refused_before_any_call() {
    let (folder, calls) = (Folder::new("function"), Calls::default());
    let directory = folder.file("run");
    squares(&directory, 0..100, &calls).collect::<Vec<_>>().unwrap();
    calls.take();
    let error = squares(&directory, 0..100, &calls).version(2).collect::<Vec<_>>().unwrap_err();
    assert!(error.is_changed(), "{error}");
    assert!(squares(&directory, 0..100, &calls).version(2).plan().is_err());
    squares(&directory, 0..100, &calls).plan().unwrap();
    assert!(calls.take().is_empty());
}

#[test]
fn a_directory_that_is_in_use_is_refused() {
    let (folder, calls) = (Folder::new("busy"), Calls::default());
    let directory = folder.file("run");
    let mut first = squares(&directory, 0..100, &calls);
    first.plan().unwrap();
    let error = squares(&directory, 0..100, &calls).collect::<Vec<_>>().unwrap_err();
    assert!(error.is_busy(), "{error}");
    drop(first);
    squares(&directory, 0..100, &calls).collect::<Vec<_>>().unwrap();
}

#[test]
fn a_plan_samples_items_that_are_not_done() {
    let (folder, calls) = (Folder::new("plan"), Calls::default());
    let directory = folder.file("run");
    squares(&directory, 0..100, &calls).collect::<Vec<_>>().unwrap();
    calls.take();
    let mut run = squares(&directory, 0..200, &calls).sample_size(3);
    run.plan().unwrap();
    assert_eq!(calls.take(), [100, 101, 102]);
    let report = run.for_each_batch(|_| ()).unwrap();
    assert_eq!((report.items(), report.restored()), (200, 100));
    assert!(calls.take().into_iter().eq(103..200));
}

#[test]
fn a_plan_keeps_no_more_results_that_are_done_than_the_bounds_allow() {
    let (folder, calls) = (Folder::new("plan-bounds"), Calls::default());
    let directory = folder.file("run");
    // Without a bound it would read all of them.
    let run = |items| {
        let call = |x: u64| {
            calls.note(x);
            vec![x; 1 << 13]
        };
        process_in_batches(call, 0..items).version(1).checkpoint(&directory)
    };
    run(400).for_each_batch(|_| ()).unwrap();
    calls.take();
    let held = Arc::new(AtomicU64::new(0));
    let most = Arc::clone(&held);
    let note = move |at: &Progress| {
        most.fetch_max(at.bytes().as_u64(), Relaxed);
    };
    let mut bounded = run(500).max_memory("4MiB").progress(note);
    let plan = bounded.plan().unwrap();
    assert!(plan.warnings().is_empty(), "{plan}");
    assert!(plan.reasons()[0].starts_with("nothing was sampled: the results in memory leave no room"), "{plan}");
    assert!(calls.take().is_empty());
    // The last one that is read may be more than there is room for.
    assert!((4 << 20..6 << 20).contains(&held.load(Relaxed)), "{held:?}");
    let mut next = 0;
    let report = bounded.for_each_batch(|batch| next = check(batch, next)).unwrap();
    assert_eq!((next, report.restored()), (500, 400));
    drop(bounded);

    let mut in_flight = run(600).in_flight(8);
    in_flight.plan().unwrap();
    assert_eq!(in_flight.for_each_batch(|_| ()).unwrap().items(), 600);
}

/// Checks a batch of the test above, and gives the index behind it.
fn check(batch: amorsize::Batch<Vec<u64>>, next: usize) -> usize {
    assert_eq!(batch.first_index(), next);
    assert!(batch.iter().zip(next..).all(|(result, index)| result.len() == 1 << 13 && result[0] == index as u64));
    next + batch.len()
}

#[test]
fn an_error_or_a_panic_is_tried_again() {
    let (folder, calls) = (Folder::new("tried"), Calls::default());
    let directory = folder.file("run");
    for threads in [1, 2] {
        let directory = directory.with_extension(threads.to_string());
        for (round, left) in [(0, 3), (1, 3), (2, 0)] {
            let call = |x: u64| {
                calls.note(x);
                assert!(left == 0 || x % 1_000 != 7, "as planned");
                if left > 0 && x % 1_000 == 8 { Err("as planned") } else { Ok(x) }
            };
            let mut run = process_in_batches(call, 0..3_000).version(1).on_error(Skip).checkpoint(&directory);
            run = run.threads(threads).on_panic(OnPanic::Skip);
            let mut values = Vec::new();
            let report = run.for_each_batch(|batch| values.extend(batch.indices().zip(batch))).unwrap();
            let expected = (0..3_000).filter(|x| left == 0 || !(7..=8).contains(&(x % 1_000)));
            assert!(values.iter().copied().eq(expected.map(|x| (x as usize, x))), "{round}");
            assert_eq!((report.failed(), report.panicked()), (left, left));
            let called = calls.take();
            if round == 0 {
                assert_eq!(called.len(), 3_000);
            } else {
                assert_eq!(called, [7, 8, 1_007, 1_008, 2_007, 2_008]);
            }
        }
    }
}

#[test]
fn the_directory_goes_if_that_is_asked_for() {
    let (folder, calls) = (Folder::new("goes"), Calls::default());
    let directory = folder.file("run");
    let token = CancelToken::new();
    let run = squares(&directory, 0..1_000, &calls).remove_when_done(true).cancel_token(&token);
    run.batch_size(10).for_each_batch(|_| token.cancel()).unwrap_err();
    assert!(directory.exists());
    let mut run = squares(&directory, 0..1_000, &calls).remove_when_done(true);
    assert_eq!(run.collect::<Vec<_>>().unwrap().len(), 1_000);
    assert!(!directory.exists());
}

#[test]
fn the_directory_stays_if_the_collection_panics() {
    #[derive(Debug)]
    struct Refusing;

    impl FromIterator<u64> for Refusing {
        fn from_iter<I: IntoIterator<Item = u64>>(_: I) -> Self {
            std::panic::resume_unwind(Box::new("as planned"))
        }
    }

    let (folder, calls) = (Folder::new("collection-panics"), Calls::default());
    let run = || squares(&folder.file("run"), 0..100, &calls);
    assert!(caught(|| run().remove_when_done(true).collect::<Refusing>()).is_err());
    assert_eq!(run().for_each_batch(drop).unwrap().restored(), 100);
}

#[test]
fn first_items_can_be_skipped() {
    for threads in [1, 2] {
        let calls = AtomicUsize::new(0);
        let call = |x: u64| {
            calls.fetch_add(1, Relaxed);
            x
        };
        let run = |items: u64, skip| process_in_batches(call, 0..items).threads(threads).skip_first(skip);
        let mut indices = Vec::new();
        let report = run(5_000, 3_000).for_each_batch(|batch| indices.extend(batch.indices())).unwrap();
        assert!(indices.into_iter().eq(3_000..5_000));
        assert_eq!((report.items(), calls.swap(0, Relaxed)), (2_000, 2_000));
        assert!(run(5_000, 4_990).unordered().map(|(index, _)| index).eq(4_990..5_000));
        assert!(run(10, 10).collect::<Vec<_>>().unwrap().is_empty());
        assert!(run(10, 11).collect::<Vec<_>>().unwrap().is_empty());
    }
}

#[test]
fn first_items_can_be_skipped_wherever_stored_ones_begin() {
    for threads in [1, 2] {
        let calls = AtomicUsize::new(0);
        let folder = Folder::new(&format!("skipped-{threads}"));
        let from = |first: u64, directory: &str, end: u64, skip| {
            let run = process_in_batches(|x| tripled(x, &calls), first..end).threads(threads).version(1);
            run.skip_first(skip).checkpoint(folder.file(directory))
        };
        let run = |directory: &str, end, skip| from(0, directory, end, skip);
        for skip in 0..12 {
            // 4 of 10 items are stored.
            let directory = format!("{skip}");
            run(&directory, 4, 0).collect::<Vec<_>>().unwrap();
            calls.store(0, Relaxed);
            for stored in [4, 10] {
                let (mut found, mut rest) = (Vec::new(), run(&directory, 10, skip));
                let report = rest.for_each_batch(|batch| found.extend(batch.indices().zip(batch))).unwrap();
                let left = skip.min(10)..10;
                assert!(found.into_iter().eq(left.map(|x| (x, 3 * x as u64))), "{skip} of 10, {stored} stored");
                assert_eq!(report.restored(), stored.max(skip).min(10) - skip.min(10));
                assert_eq!(calls.swap(0, Relaxed), 10_usize.saturating_sub(stored.max(skip)));
                drop(rest);
                // The skipped ones have no result yet.
                run(&directory, 10, 0).collect::<Vec<_>>().unwrap();
                calls.store(0, Relaxed);
            }
        }
        // Items of another input are found before they are skipped.
        let error = from(1, "0", 11, 2).collect::<Vec<_>>().unwrap_err();
        assert!(error.to_string().contains("the input is not the one"), "{error}");
    }
}

#[test]
fn results_that_take_no_bytes_are_skipped_as_far_as_was_asked_for() {
    const ITEMS: usize = 5_000;

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;

    for threads in [1, 2] {
        let folder = Folder::new(&format!("no-bytes-{threads}"));
        for skip in [0, 3, 777, ITEMS - 1, ITEMS] {
            let mut found = Vec::new();
            let mut run = process_in_batches(|_| Unit, 0..ITEMS).threads(threads).version(1);
            run = run.skip_first(skip).checkpoint(folder.file("units"));
            let report = run.for_each_batch(|batch| found.extend(batch.indices())).unwrap();
            assert_eq!((report.items(), found), (ITEMS - skip, (skip..ITEMS).collect()));

            let mut found = Vec::new();
            let checked = |x: usize| if x == 1_234 { Err(x) } else { Ok(()) };
            let mut run = process_in_batches(checked, 0..ITEMS).threads(threads).version(1);
            run = run.skip_first(skip).checkpoint(folder.file("checked"));
            run.on_error(Skip).for_each_batch(|batch| found.extend(batch.indices())).unwrap();
            assert_eq!(found, (skip..ITEMS).filter(|&item| item != 1_234).collect::<Vec<_>>());
        }
    }
}

fn tripled(x: u64, calls: &AtomicUsize) -> u64 {
    calls.fetch_add(1, Relaxed);
    3 * x
}

#[test]
fn an_iterator_panics_with_an_error_and_tells_it_afterwards() {
    let folder = Folder::new("iterator-error");
    let run = |items: Range<u64>| {
        let run = process_in_batches(|x: u64| x, items).version(1);
        run.checkpoint(folder.file("run"))
    };
    run(0..100).collect::<Vec<_>>().unwrap();
    let mut other = run(1..101).into_iter();
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other.next())).unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.contains("the input is not the one"), "{text}");
    assert!(other.error().unwrap().is_changed());
    assert_eq!(other.next(), None);
    drop(other);
    let mut other = run(1..101).unordered();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other.next())).unwrap_err();
    assert!(other.error().unwrap().is_changed());
}

/// The ways to end a run early.
#[derive(Clone, Copy, Debug)]
enum End {
    Cancelled,
    Sink,
    SinkPanics,
    Panics,
    Input,
    Dropped,
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Cancelled),
        Just(End::Sink),
        Just(End::SinkPanics),
        Just(End::Panics),
        Just(End::Input),
        Just(End::Dropped)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn it_goes_on_however_often_it_is_ended(
        items in 0u64..3_000,
        at in prop::collection::vec((0u64..3_000, ends(), 1usize..=3), 0..5),
        batch in prop::option::of(1usize..200),
        fails in any::<bool>(),
    ) {
        let (folder, calls) = (Folder::new("property"), Calls::default());
        let directory = folder.file("run");
        let value = |x: u64| vec![x as u8; x as usize % 50];
        let is_error = |x: u64| fails && x % 13 == 5;
        for &(at, end, threads) in &at {
            let at = at.min(items);
            let token = CancelToken::new();
            let call = |x: u64| {
                calls.note(x);
                assert!(x != at || !matches!(end, End::Panics), "as planned");
                if is_error(x) { Err(x) } else { Ok(value(x)) }
            };
            let input = (0..items).inspect(|&x| assert!(x != at || !matches!(end, End::Input), "as planned"));
            let mut run = process_in_batches(call, input).version(1).on_error(Collect).checkpoint(&directory);
            run = run.threads(threads).cancel_token(&token);
            if let Some(batch) = batch {
                run = run.batch_size(batch);
            }
            _ = caught(|| {
                if let End::Dropped = end {
                    run.into_iter().take(at as usize).for_each(drop);
                    return;
                }
                _ = run.try_for_each_batch(|batch| {
                    if batch.indices().any(|index| index as u64 >= at) {
                        match end {
                            End::Cancelled => token.cancel(),
                            End::Sink => return Err(amorsize::TryError::<u64>::from(token_error())),
                            End::SinkPanics => panic!("as planned"),
                            _ => {}
                        }
                    }
                    Ok(())
                });
            });
        }
        let before = calls.0.lock().unwrap().clone();
        let call = |x: u64| {
            calls.note(x);
            if is_error(x) { Err(x) } else { Ok(value(x)) }
        };
        let mut run = process_in_batches(call, 0..items).version(1).on_error(Collect).checkpoint(&directory);
        let mut results = Vec::new();
        let mut last = None;
        let outcome = run.for_each_batch(|batch| {
            for (index, result) in batch.indices().zip(&batch) {
                assert!(last < Some(index));
                last = Some(index);
                results.push((index as u64, result.clone()));
            }
        }).unwrap();
        let expected: Vec<_> = (0..items).filter(|&x| !is_error(x)).map(|x| (x, value(x))).collect();
        prop_assert_eq!(results, expected);
        let failed = outcome.failures().iter().map(|failure| failure.index() as u64);
        prop_assert!(failed.eq((0..items).filter(|&x| is_error(x))));
        // A call that returned a result is never made again. A call that panicked is.
        let panicked: Vec<_> = at.iter().filter(|end| matches!(end.1, End::Panics)).map(|end| end.0.min(items)).collect();
        for (x, calls) in calls.0.lock().unwrap().iter() {
            let is_again = is_error(*x) || panicked.contains(x);
            prop_assert!(is_again || *calls == 1, "{} was called {} times, {:?} before", x, calls, before.get(x));
        }
    }
}

fn token_error() -> amorsize::Error {
    process_in_batches(|x: u32| x, [1]).threads(0).collect::<Vec<_>>().unwrap_err()
}
