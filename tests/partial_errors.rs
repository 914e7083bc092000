//! A run whose function fails gives back what it has: the first run and the runs of its rests together are the whole, each item
//! is called once, and each failure is told once.

#[path = "common/alive.rs"]
mod alive;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use alive::Alive;
use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Batched, DeepSize, batched};
use proptest::prelude::*;

/// A value that is counted while it lives.
#[derive(Debug, DeepSize)]
struct Value<'a>(usize, Vec<u8>, Alive<'a>);

struct Source {
    bad: BTreeSet<usize>,
    panics: BTreeSet<usize>,
    calls: Vec<AtomicUsize>,
    alive: AtomicIsize,
}

#[batched(max_memory = "200kB")]
fn make(index: usize, source: &Source) -> Result<Value<'_>, Value<'_>> {
    source.calls[index].fetch_add(1, Ordering::Relaxed);
    assert!(!source.panics.contains(&index), "item {index}");
    let value = Value(index, vec![1; 500 + 37 * index % 3_000], Alive::new(&source.alive));
    if source.bad.contains(&index) { Err(value) } else { Ok(value) }
}

type Run<'a, P> = Batched<std::ops::Range<usize>, Result<Value<'a>, Value<'a>>, (&'a Source,), P>;

/// What came of all runs together.
#[derive(Debug, Default)]
struct Seen {
    values: Vec<usize>,
    failed: Vec<usize>,
    panicked: Vec<usize>,
}

impl Seen {
    fn values(&mut self, values: &[Value<'_>]) {
        self.values.extend(values.iter().map(|value| value.0));
    }
}

fn stop(mut run: Run<'_, Stop>, collects: bool, seen: &mut Seen) {
    loop {
        let outcome = if collects {
            run.collect_partial::<Vec<_>>().map(|all| seen.values(&all))
        } else {
            run.for_each_batch_partial(|batch| seen.values(&batch)).map(drop)
        };
        let Err(partial) = outcome else { return };
        seen.values(partial.finished());
        match (partial.cause().item(), partial.cause()) {
            (Some(item), amorsize::TryError::Item { error, .. }) => {
                assert_eq!(error.0, item);
                seen.failed.push(item);
            }
            (Some(item), amorsize::TryError::Panic { .. }) => seen.panicked.push(item),
            (_, cause) => assert!(cause.is_over_budget(), "{:?}", cause.run_error()),
        }
        run = partial.into_rest();
    }
}

fn collect(mut run: Run<'_, Collect>, collects: bool, seen: &mut Seen) {
    loop {
        let outcome = if collects {
            run.collect_partial::<Vec<_>>().map(|all| {
                let (values, failures) = all.into_parts();
                seen.values(&values);
                failures
            })
        } else {
            run.for_each_batch_partial(|batch| seen.values(&batch)).map(|outcome| outcome.into_parts().1)
        };
        match outcome {
            Ok(failures) => return seen.failed.extend(failures.iter().map(amorsize::Failure::item)),
            Err(mut partial) => {
                seen.values(partial.finished());
                seen.failed.extend(partial.take_failures().iter().map(amorsize::Failure::item));
                match partial.cause().item().filter(|_| !partial.cause().is_over_budget()) {
                    Some(item) => seen.panicked.push(item),
                    None => assert!(partial.cause().is_over_budget()),
                }
                run = partial.into_rest();
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Policy {
    Stop,
    Collect,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn the_parts_are_the_whole(
        items in 1usize..500,
        bad in prop::collection::btree_set(0usize..500, 0..12),
        panics in prop::collection::btree_set(0usize..500, 0..4),
        threads in 1usize..=4,
        collects: bool,
        policy in prop::sample::select(&[Policy::Stop, Policy::Collect]),
    ) {
        let bad: BTreeSet<_> = bad.into_iter().filter(|&i| i < items && !panics.contains(&i)).collect();
        let panics: BTreeSet<_> = panics.into_iter().filter(|&i| i < items).collect();
        let calls = (0..items).map(|_| AtomicUsize::new(0)).collect();
        let source = Source { bad, panics, calls, alive: AtomicIsize::new(0) };
        let run = make_batched(0..items, &source).threads(threads).batch_size(9);
        let mut seen = Seen::default();
        match policy {
            Policy::Stop => stop(run.on_error(Stop), collects, &mut seen),
            Policy::Collect => collect(run.on_error(Collect), collects, &mut seen),
        }
        prop_assert!(seen.failed.iter().copied().eq(source.bad.iter().copied()), "{seen:?}");
        prop_assert!(seen.panicked.iter().copied().eq(source.panics.iter().copied()), "{seen:?}");
        let good = (0..items).filter(|i| !source.bad.contains(i) && !source.panics.contains(i));
        prop_assert!(seen.values.iter().copied().eq(good), "{seen:?}");
        prop_assert!(source.calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
        prop_assert_eq!(source.alive.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn what_is_skipped_stays_skipped_in_the_rest() {
    let parse = |text: &str| text.parse::<u32>();
    let token = amorsize::CancelToken::new();
    let texts = ["1", "two", "3", "four"];
    token.cancel();
    let run = amorsize::process_in_batches(parse, texts).on_error(Skip).cancel_token(&token);
    let partial = run.for_each_batch_partial(|_| ()).unwrap_err();
    assert!(partial.cause().is_cancelled() && partial.failures().is_empty());
    let rest = partial.into_rest().cancel_token(&amorsize::CancelToken::new());
    let report = rest.for_each_batch(|batch| assert!(batch.iter().all(|&number| number % 2 == 1))).unwrap();
    assert_eq!((report.items(), report.failed()), (2, 2));
}
