//! A run with a function that fails goes on. The first run and the runs of its rests together are
//! the whole: each item is called once, and each failure is reported once.

#[path = "common/alive.rs"]
mod alive;
#[path = "common/caught.rs"]
mod caught;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use alive::Alive;
use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Batched, DeepSize, Failure, TryError, batched, process_in_batches};
use caught::caught;
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
    if source.panics.contains(&index) {
        std::panic::resume_unwind(Box::new(index));
    }
    let value = Value(index, vec![1; 500 + 37 * index % 3_000], Alive::new(&source.alive));
    if source.bad.contains(&index) { Err(value) } else { Ok(value) }
}

type Run<'a, P> = Batched<std::ops::Range<usize>, Result<Value<'a>, Value<'a>>, (&'a Source,), P>;

/// The results of all runs together.
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
        let mut values = Vec::new();
        let outcome = if collects {
            caught(|| run.collect_into(&mut values).map(drop))
        } else {
            caught(|| run.for_each_batch(|batch| seen.values(&batch)).map(drop))
        };
        seen.values(&values);
        match outcome {
            Ok(Ok(())) => return,
            Ok(Err(TryError::Item { item, error, .. })) => {
                assert_eq!(error.0, item);
                seen.failed.push(item);
            }
            Ok(Err(error)) => assert!(error.is_over_budget(), "{:?}", error.run_error()),
            Err(payload) => seen.panicked.push(*payload.downcast_ref().unwrap()),
        }
    }
}

fn collect(mut run: Run<'_, Collect>, collects: bool, seen: &mut Seen) {
    loop {
        let mut values = Vec::new();
        let outcome = if collects {
            caught(|| run.collect_into(&mut values))
        } else {
            caught(|| run.for_each_batch(|batch| seen.values(&batch)))
        };
        seen.values(&values);
        let over = match outcome {
            Ok(Ok(outcome)) => return seen.failed.extend(outcome.failures().iter().map(Failure::index)),
            Ok(Err(error)) => error,
            Err(payload) => {
                seen.panicked.push(*payload.downcast_ref().unwrap());
                continue;
            }
        };
        assert!(over.is_over_budget());
        // Takes some failures out, and leaves the others to the outcome.
        if seen.values.len().is_multiple_of(2) {
            seen.failed.extend(run.take_failures().iter().map(Failure::index));
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
    let mut run = amorsize::process_in_batches(parse, texts).on_error(Skip).cancel_token(&token);
    assert!(run.for_each_batch(|_| ()).unwrap_err().is_cancelled());
    assert!(run.take_failures().is_empty());
    let mut rest = run.cancel_token(&amorsize::CancelToken::new());
    let report = rest.for_each_batch(|batch| assert!(batch.iter().all(|&number| number % 2 == 1))).unwrap();
    assert_eq!((report.items(), report.failed()), (2, 2));
}

#[test]
fn an_input_that_panics_behind_an_error_takes_no_result_along() {
    for into_run in [false, true] {
        // On threads: while the call that fails takes its time, the input panics.
        let call = |x: u32| {
            std::thread::sleep(std::time::Duration::from_millis(if x == 20 { 200 } else { 1 }));
            if x == 20 { Err("twenty") } else { Ok(x) }
        };
        let mut at = 0..100;
        let input = std::iter::from_fn(move || {
            let next = at.next();
            assert!(next != Some(60), "the input");
            next
        });
        let mut run = process_in_batches(call, input).threads(2).on_error(Stop);
        if into_run {
            let mut iterator = run.into_iter();
            let first: Vec<u32> = iterator.by_ref().map_while(Result::ok).collect();
            assert!(first.into_iter().eq(0..20));
            run = iterator.into_run();
        } else {
            assert_eq!(run.collect::<Vec<_>>().unwrap_err().item(), Some(20));
        }
        // An item is passed over by the panic, as it is in a loop. All others come.
        let mut all = Vec::new();
        let mut panics = 0;
        while caught(|| run.collect_into(&mut all)).is_err() {
            panics += 1;
        }
        let left = if into_run { 21..100 } else { 0..100 };
        assert_eq!((panics, all), (1, left.filter(|x| ![20, 60].contains(x)).collect()), "{into_run}");
    }
}
