//! `iterate`: the run goes on while another thread takes its values, each once, in input order.
//! What that thread does not take is the next terminal's.

#[path = "common/caught.rs"]
mod caught;
#[path = "common/folder.rs"]
mod folder;

use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::time::Duration;

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Batched, CancelToken, Iterate, OnPanic, batched, process_in_batches};
use caught::caught;
use proptest::prelude::*;

/// Fails for each item that `fails` divides.
fn number(index: usize, fails: usize) -> Result<usize, String> {
    if index.is_multiple_of(fails) { Err(format!("{index} is left out")) } else { Ok(index) }
}

#[test]
fn each_policy_gives_its_values_in_order() {
    let run = || process_in_batches(|index| number(index, 3), 0..3000);
    let numbers = || (0..3000_usize).filter(|index| !index.is_multiple_of(3));
    let all = run().iterate(|results| results.map(|result| result.is_ok()).collect::<Vec<_>>()).unwrap();
    assert!(all.into_iter().eq((0..3000_usize).map(|index| !index.is_multiple_of(3))));

    assert!(run().on_error(Skip).iterate(|values| values.eq(numbers())).unwrap());

    let outcome = run().on_error(Collect).iterate(|values| values.eq(numbers())).unwrap();
    assert!(*outcome.value());
    assert_eq!(outcome.failures().len(), 1000);

    let mut seen = Vec::new();
    let mut stopping = process_in_batches(|index| number(index + 1, 100), 0..3000).on_error(Stop);
    let error = stopping.iterate(|values| seen.extend(values)).unwrap_err();
    assert_eq!(error.item(), Some(99));
    assert!(seen.into_iter().eq(1..100));
    // The run goes on behind the item that failed.
    assert_eq!(stopping.iterate(|mut values| values.next()).unwrap(), Some(101));
}

/// The next terminal gives the values that `iterate` left.
fn the_rest<I, C>(mut run: Batched<I, Result<usize, String>, C, Skip>, fails: usize, taken: &[usize])
where
    I: IntoIterator<Item = usize>,
    C: Sync,
{
    let mut rest = Vec::new();
    run.for_each_batch(|batch| {
        assert!(batch.indices().eq(batch.iter().copied()), "{batch:?}");
        rest.extend(batch);
    })
    .unwrap();
    let all = (0..500_usize).filter(|index| !index.is_multiple_of(fails));
    assert!(taken.iter().copied().chain(rest).eq(all), "{taken:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_not_taken_is_left(
        counts in prop::collection::vec(0_usize..200, 1..4),
        size in prop::option::of(1_usize..100),
        threads in 1_usize..4,
        fails in 2_usize..20,
    ) {
        let mut run = process_in_batches(|index| number(index, fails), 0..500).threads(threads).on_error(Skip);
        if let Some(size) = size {
            run = run.batch_size(size);
        }
        let mut taken = Vec::new();
        for count in counts {
            let some = run.iterate(|values| values.take(count).collect::<Vec<_>>()).unwrap();
            taken.extend(some);
        }
        the_rest(run, fails, &taken);
    }
}

#[test]
fn calls_go_on_while_a_value_is_worked_on() {
    let (started, starts) = channel();
    let call = |index: usize| {
        started.send(index).unwrap();
        index
    };
    let mut run = process_in_batches(call, 0..100).threads(2).batch_size(1);
    let taken = run.iterate(move |values| {
        let mut most = 0;
        let values = values.inspect(|&value| {
            // A run that waited for this would never start that call.
            while value == 50 && most < 52 {
                let index = starts.recv_timeout(Duration::from_secs(600)).expect("calls go on");
                most = most.max(index);
            }
        });
        values.count()
    });
    assert_eq!(taken.unwrap(), 100);
}

#[test]
fn a_panic_of_the_taker_loses_nothing() {
    let mut run = process_in_batches(|index: usize| index, 0..1000).batch_size(10);
    let panic = caught(|| {
        run.iterate(|mut values| {
            if values.nth(24) == Some(24) {
                panic_any(7_i32)
            }
        })
    });
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&7_i32));
    assert!(run.collect::<Vec<_>>().unwrap().into_iter().eq(25..1000));
}

#[test]
fn a_panic_of_a_call_ends_the_values_before_it() {
    let calls = AtomicUsize::new(0);
    let call = |index: usize| {
        calls.fetch_add(1, SeqCst);
        if index == 700 { panic_any("as planned") } else { index }
    };
    let mut run = process_in_batches(call, 0..1000).threads(2);
    let mut taken = Vec::new();
    let panic = caught(|| run.iterate(|values| taken.extend(values)));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"as planned"));
    run.iterate(|values| taken.extend(values)).unwrap();
    assert!(taken.into_iter().eq((0..1000).filter(|&index| index != 700)));
    assert_eq!(calls.into_inner(), 1000);

    let call = |index: usize| if index == 7 { panic_any("as planned") } else { index };
    let run = process_in_batches(call, 0..10).on_panic(OnPanic::Skip).iterate(Iterator::sum::<usize>);
    assert_eq!(run.unwrap(), 45 - 7);
}

#[test]
fn a_cancel_loses_nothing() {
    let token = CancelToken::new();
    let mut run = process_in_batches(|index: usize| index, 0..10_000).batch_size(10).cancel_token(&token);
    let mut taken = Vec::new();
    let outcome = run.iterate(|values| {
        values.for_each(|value| {
            taken.push(value);
            if value == 100 {
                token.cancel();
            }
        });
    });
    assert!(outcome.unwrap_err().is_cancelled());
    run.cancel_token(&CancelToken::new()).for_each(|value| taken.push(value)).unwrap();
    assert!(taken.into_iter().eq(0..10_000));
}

#[test]
fn many_jobs_of_a_pool_may_each_iterate() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let sums = AtomicUsize::new(0);
    pool.scope(|scope| {
        for _ in 0..500 {
            scope.spawn(|_| {
                let sum = process_in_batches(|x: usize| x, 0..10).iterate(Iterator::sum::<usize>);
                sums.fetch_add(sum.unwrap(), SeqCst);
            });
        }
    });
    assert_eq!(sums.into_inner(), 500 * 45);
}

#[test]
fn an_error_is_told_although_the_taker_panics_for_want_of_values() {
    let mut run = process_in_batches(|index| number(index + 1, 100), 0..200).on_error(Stop);
    let take_all = |mut values: Iterate<usize>| (0..200).for_each(|_| _ = values.next().expect("200 values"));
    assert_eq!(run.iterate(take_all).unwrap_err().item(), Some(99));
    assert!(run.collect::<Vec<_>>().is_err_and(|error| error.item() == Some(199)));
}

/// Panics when it is dropped, unless something else panics.
struct Touchy;

impl Drop for Touchy {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic_any("dropped");
        }
    }
}

#[test]
fn what_was_taken_may_panic_when_a_call_has() {
    let call = |index: usize| if index == 700 { panic_any("as planned") } else { index };
    let panic = caught(|| process_in_batches(call, 0..1000).iterate(|values| (values.count(), Touchy)));
    assert_eq!(panic.err().unwrap().downcast_ref(), Some(&"as planned"));
}

#[test]
fn the_report_of_an_early_end_has_what_was_taken() {
    for (count, batches) in [(0, 0), (5, 1), (10, 1), (25, 3)] {
        let mut run = process_in_batches(|x: usize| x, 0..1000).batch_size(10);
        assert!(run.iterate(|values| values.take(count).eq(0..count)).unwrap());
        let report = run.report().unwrap();
        assert_eq!((report.items(), report.batches()), (count, batches));
        let report = run.for_each_batch(drop).unwrap();
        assert_eq!(report.items(), 1000 - count);
    }
}

#[test]
fn it_takes_borrowed_items_and_gives_borrowed_results() {
    #[batched]
    fn longest<'a>(line: &'a str, other: &'a str) -> &'a str {
        if line.len() > other.len() { line } else { other }
    }

    let text = String::from("a\nabc\nab");
    let mut most = Vec::new();
    longest_batched(text.lines(), "xy").iterate(|lines| most.extend(lines.zip(1..))).unwrap();
    assert_eq!(most, [("xy", 1), ("abc", 2), ("xy", 3)]);
}

#[test]
fn an_empty_run_and_a_taker_that_takes_nothing_end() {
    assert_eq!(process_in_batches(|x: u8| x, []).iterate(Iterator::count).unwrap(), 0);
    let mut run = process_in_batches(|x: u8| x, 0..=255);
    assert_eq!(run.iterate(|_| "nothing").unwrap(), "nothing");
    assert_eq!(run.iterate(Iterator::count).unwrap(), 256);
    assert_eq!(run.iterate(Iterator::count).unwrap(), 0);
}

#[test]
fn an_iterator_that_outlives_its_taker_keeps_no_run_waiting() {
    let mut run = process_in_batches(|x: u8| x, 0..100).batch_size(10);
    let mut left = run.iterate(|mut values| values.next().map(|_| values)).unwrap().unwrap();
    assert!(left.by_ref().eq(1..10) && left.next().is_none());
    run.iterate(|mut values| (values.next(), std::mem::forget(values))).unwrap();
    assert_eq!(run.collect::<Vec<_>>().unwrap()[0], 20);
}

#[test]
fn a_wrong_option_is_told_before_any_call() {
    let calls = AtomicUsize::new(0);
    let mut run = process_in_batches(|_: u8| calls.fetch_add(1, SeqCst), 0..10).max_memory(0.0);
    assert!(run.iterate(Iterator::count).unwrap_err().to_string().contains("max_memory"));
    assert_eq!(calls.into_inner(), 0);
}

#[test]
fn a_checkpoint_keeps_what_was_made_and_a_journal_is_refused() {
    let folder = folder::Folder::new("iterate");
    let calls = AtomicUsize::new(0);
    let call = |index: u64| {
        calls.fetch_add(1, SeqCst);
        index
    };
    let run = || process_in_batches(call, 0..1000).version(1).checkpoint(folder.file("checkpoint"));
    assert!(run().iterate(|values| values.take(500).eq(0..500)).unwrap());
    let before = calls.load(SeqCst);
    let mut again = run();
    assert!(again.iterate(|values| values.take(5).eq(0..5)).unwrap());
    assert_eq!(again.report().map(|report| (report.items(), report.restored())), Some((5, 5)));
    assert!(again.iterate(|values| values.eq(5..1000)).unwrap());
    assert!(before >= 500 && calls.load(SeqCst) == 1000, "{before}, {calls:?}");

    drop(again);
    // A taker that panics behind its last value has stored nothing.
    let last = || run().remove_when_done(true).iterate(|values| panic_any(values.count()));
    assert_eq!(caught(last).unwrap_err().downcast_ref(), Some(&1000_usize));
    assert!(run().remove_when_done(true).iterate(|values| values.eq(0..1000)).unwrap());
    assert_eq!(calls.load(SeqCst), 1000);
    assert!(!folder.file("checkpoint").exists());

    let mut run = process_in_batches(call, 0..1000).version(1).journal(folder.file("journal"));
    assert!(run.iterate(Iterator::count).unwrap_err().to_string().contains("journal"));
    assert_eq!(calls.into_inner(), 1000);
}
