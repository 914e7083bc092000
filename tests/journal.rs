//! A run with a journal hands over each result that its sink does not have yet. If a sink holds
//! results when the run ends, these are handed over again.

#[path = "common/caught.rs"]
mod caught;
#[path = "common/folder.rs"]
mod folder;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use amorsize::on_error::{Skip, Stop};
use amorsize::{Batched, ErrorKind, OnPanic, TryError, process_in_batches};
use caught::caught;
use folder::Folder;
use proptest::prelude::*;

/// A result that is neither `Serialize` nor `Clone`.
struct Plain(u64);

type Call<'a> = Box<dyn Fn(u64) -> Plain + Sync + 'a>;

fn plain<'a>(directory: &Path, items: Range<u64>, calls: &'a AtomicUsize) -> Batched<Range<u64>, Plain, Call<'a>> {
    let call: Call<'a> = Box::new(|x| {
        calls.fetch_add(1, Relaxed);
        Plain(x)
    });
    process_in_batches(call, items).version(1).journal(directory)
}

#[test]
fn a_sink_gets_nothing_again() {
    let (folder, calls) = (Folder::new("journal"), AtomicUsize::new(0));
    for threads in [1, 2] {
        let run = || plain(&folder.file(&threads.to_string()), 0..5_000, &calls).threads(threads);
        let mut seen = Vec::new();
        let report = run().for_each_batch(|batch| seen.extend(batch.into_iter().map(|plain| plain.0))).unwrap();
        assert!(seen.into_iter().eq(0..5_000));
        assert_eq!((report.items(), report.restored()), (5_000, 0));
        let report = run().for_each_batch(|_| panic!("there is nothing to hand over")).unwrap();
        assert_eq!((report.items(), report.restored()), (0, 5_000));
        run().for_each(|_| panic!("there is nothing to hand over")).unwrap();
        assert_eq!(calls.swap(0, Relaxed), 5_000);
    }
}

#[test]
fn what_the_sink_has_in_hand_comes_again() {
    let (folder, calls) = (Folder::new("in_hand"), AtomicUsize::new(0));
    let mut seen = BTreeMap::<u64, usize>::new();
    let mut in_hand = Vec::new();
    for (ends, threads) in [("error", 1), ("panic", 2), ("error", 2), ("none", 2)] {
        let mut run = plain(&folder.file("run"), 0..2_000, &calls).threads(threads).batch_size(50);
        let mut batches = 0;
        let outcome = caught(|| {
            run.try_for_each_batch(|batch| {
                batches += 1;
                batch.iter().for_each(|plain| *seen.entry(plain.0).or_default() += 1);
                if batches == 5 && ends != "none" {
                    in_hand.extend(batch.iter().map(|plain| plain.0));
                }
                match ends {
                    "error" if batches == 5 => Err(TryError::<()>::from(refused())),
                    "panic" if batches == 5 => panic!("as planned"),
                    _ => Ok(()),
                }
            })
        });
        assert_eq!(outcome.is_ok_and(|outcome| outcome.is_ok()), ends == "none");
    }
    assert_eq!(seen.len(), 2_000);
    // In each run that ended early, the sink took four batches and did not finish the fifth.
    let again: Vec<u64> = seen.iter().filter(|(_, times)| **times > 1).map(|(x, _)| *x).collect();
    assert_eq!(again, in_hand);
    assert!(seen.values().all(|&times| times <= 2));
}

#[test]
fn errors_and_panics_are_tried_again() {
    let (folder, calls) = (Folder::new("journal_errors"), AtomicUsize::new(0));
    for threads in [1, 2] {
        for round in 0..3 {
            let call = |x: u64| {
                calls.fetch_add(1, Relaxed);
                assert!(round > 0 || x % 100 != 7, "as planned");
                if round < 2 && x % 100 == 8 { Err("as planned") } else { Ok(x) }
            };
            let run = process_in_batches(call, 0..1_000).version(1).journal(folder.file(&threads.to_string()));
            let mut run = run.on_error(Skip).on_panic(OnPanic::Skip).threads(threads);
            let mut seen = Vec::new();
            run.for_each_batch(|batch| seen.extend(batch)).unwrap();
            let expected = (0..1_000).filter(|x| match round {
                0 => !(7..=8).contains(&(x % 100)),
                1 => x % 100 == 7,
                _ => x % 100 == 8,
            });
            assert!(seen.into_iter().eq(expected), "{round}");
            assert_eq!(calls.swap(0, Relaxed), [1_000, 20, 10][round]);
        }
    }
}

#[test]
fn results_that_go_to_no_sink_are_refused() {
    let (folder, calls) = (Folder::new("no_sink"), AtomicUsize::new(0));
    let run = || plain(&folder.file("run"), 0..10, &calls);
    let refusals = [
        run().collect::<Vec<_>>().err().unwrap(),
        run().collect_into(&mut Vec::new()).err().unwrap(),
        run().fold(0, |all, plain| all + plain.0).err().unwrap(),
        run().reduce(|one, _| one).err().unwrap(),
    ];
    for error in refusals {
        assert!(matches!(error.kind(), ErrorKind::InvalidOption { option: "journal", .. }), "{error}");
        assert!(error.to_string().contains("for_each_batch"), "{error}");
    }
    assert!(caught(|| run().into_iter().count()).is_err());
    assert!(caught(|| run().unordered().count()).is_err());
    let stopping = process_in_batches(|x: u64| Ok::<_, String>(x), 0..10).version(1).journal(folder.file("stop"));
    assert!(stopping.on_error(Stop).into_iter().next().unwrap().is_err());
    assert_eq!(calls.into_inner(), 0);
    assert_eq!(folder.names(), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn each_item_comes_until_a_sink_has_taken_it(
        items in 0u64..3_000,
        ends in prop::collection::vec((1usize..40, any::<bool>(), 1usize..=3), 0..5),
        batch in 1usize..100,
    ) {
        let (folder, calls) = (Folder::new("journal_property"), AtomicUsize::new(0));
        let mut taken = Vec::new();
        for (ends, panics, threads) in ends.into_iter().chain([(usize::MAX, false, 2)]) {
            let mut run = plain(&folder.file("run"), 0..items, &calls).threads(threads).batch_size(batch);
            let mut batches = 0;
            _ = caught(|| run.try_for_each_batch(|batch| {
                batches += 1;
                if batches == ends {
                    assert!(!panics, "as planned");
                    return Err(refused());
                }
                taken.extend(batch.into_iter().map(|plain| plain.0));
                Ok(())
            }));
        }
        prop_assert!(taken.into_iter().eq(0..items));
    }
}

fn refused() -> amorsize::Error {
    process_in_batches(|x: u32| x, [1]).threads(0).collect::<Vec<_>>().unwrap_err()
}
