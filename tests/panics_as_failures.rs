//! With `on_error = "collect"` and `on_panic = "collect"` each item without a value is among the
//! failures, with its index: in every terminal, on one thread and on several.

use std::sync::atomic::{AtomicUsize, Ordering};

use amorsize::on_error::Collect;
use amorsize::{Batched, CancelToken, Cause, Failure, OnPanic, batched, process_in_batches};

const ITEMS: usize = 1_000;

/// Fails for every seventh item, panics for every fifth.
#[batched(on_error = "collect", on_panic = "collect")]
fn call(x: usize) -> Result<usize, &'static str> {
    if panics(x) {
        std::panic::resume_unwind(Box::new(x));
    }
    if fails(x) { Err("by seven") } else { Ok(x) }
}

fn panics(x: usize) -> bool {
    x % 5 == 3
}

fn fails(x: usize) -> bool {
    x % 7 == 2 && !panics(x)
}

fn is_value(x: usize) -> bool {
    !panics(x) && !fails(x)
}

fn values(items: std::ops::Range<usize>) -> impl Iterator<Item = usize> {
    items.filter(|&x| is_value(x))
}

/// Every failure of the items, once, in input order, with the panic's own payload.
fn check(failures: Vec<Failure<&'static str>>, items: std::ops::Range<usize>) {
    assert!(failures.iter().map(Failure::index).eq(items.filter(|&x| !is_value(x))));
    for failure in failures {
        match failure.into_parts() {
            (item, Cause::Error(error)) => assert!(fails(item) && error == "by seven"),
            (item, Cause::Panic(panic)) => {
                assert!(panics(item));
                assert_eq!(panic.into_payload().downcast_ref(), Some(&item));
            }
        }
    }
}

#[test]
fn a_panic_is_a_failure_of_a_collect() {
    let invert = |x: u32| if x == 7 { Err("seven") } else { Ok(100 / x) };
    let run = || process_in_batches(invert, [5, 0]).on_error(Collect).on_panic(OnPanic::Collect);
    let outcome = run().collect::<Vec<_>>().unwrap();
    assert_eq!((outcome.value().as_slice(), outcome.is_complete()), (&[20][..], false));
    let failure = outcome.into_result().unwrap_err();
    assert_eq!(failure.to_string(), "item 1 panicked: attempt to divide by zero");
    let outcome = run().collect_into(&mut Vec::new()).unwrap();
    assert_eq!(outcome.failures()[0].to_string(), "item 1 panicked: attempt to divide by zero");

    for threads in 1..=4 {
        let (collected, failures) = call_batched(0..ITEMS).threads(threads).collect::<Vec<_>>().unwrap().into_parts();
        assert!(collected.into_iter().eq(values(0..ITEMS)));
        check(failures, 0..ITEMS);
    }
}

#[test]
fn so_it_is_of_a_plan_and_of_threads_that_were_there_before() {
    for threads in 1..=3 {
        let mut run = call_batched(0..ITEMS).threads(threads);
        run.plan().unwrap();
        let (_, failures) = run.collect::<Vec<_>>().unwrap().into_parts();
        check(failures, 0..ITEMS);
    }
}

#[test]
fn an_outcome_with_a_report_is_not_complete_either() {
    for threads in 1..=3 {
        for collects in [false, true] {
            let mut taken = Vec::new();
            let mut run = call_batched(0..ITEMS).threads(threads).batch_size(9);
            let outcome = if collects {
                run.collect_into(&mut taken).unwrap()
            } else {
                run.for_each_batch(|batch| taken.extend(batch)).unwrap()
            };
            assert!(!outcome.is_complete());
            assert!(taken.into_iter().eq(values(0..ITEMS)));
            let (report, failures) = outcome.into_parts();
            let (panicked, failed) =
                ((0..ITEMS).filter(|&x| panics(x)).count(), (0..ITEMS).filter(|&x| fails(x)).count());
            assert_eq!((report.panicked(), report.failed()), (panicked, failed));
            // The report still lists each panic.
            assert_eq!(report.panics().len(), panicked);
            assert_eq!(report.panics()[0].to_string(), "item 3 panicked without a message");
            check(failures, 0..ITEMS);
        }
    }
    let outcome = process_in_batches(|x: u32| if x > 9 { Err("large") } else { Ok(100 / x) }, [5, 0])
        .on_error(Collect)
        .on_panic(OnPanic::Collect)
        .try_for_each_batch(|_| Ok::<(), amorsize::Error>(()))
        .unwrap();
    assert!(!outcome.is_complete());
    // The report has the same words as without a policy for errors.
    assert_eq!(outcome.value().panics()[0].to_string(), "item 1 panicked: attempt to divide by zero");
}

#[test]
fn what_is_skipped_is_in_the_report_alone() {
    let run = || call_batched(0..ITEMS).on_panic(OnPanic::Skip);
    let errors = (0..ITEMS).filter(|&x| fails(x)).count();
    assert_eq!(run().collect::<Vec<_>>().unwrap().failures().len(), errors);
    let (report, failures) = run().for_each_batch(|_| ()).unwrap().into_parts();
    assert_eq!((failures.len(), report.panicked(), report.panics().len()), (errors, ITEMS / 5, 16));
    assert_eq!(run().into_iter().filter(Result::is_err).count(), errors);
}

#[test]
fn an_iterator_gives_panics_in_their_places() {
    for threads in 1..=4 {
        let mut run = call_batched(0..ITEMS).threads(threads).batch_size(9);
        if threads > 2 {
            run.plan().unwrap();
        }
        let (mut failures, mut item) = (Vec::new(), 0);
        for next in run {
            match next {
                Ok(value) => assert_eq!(value, item),
                Err(failure) => {
                    assert_eq!(failure.index(), item);
                    failures.push(failure);
                }
            }
            item += 1;
        }
        assert_eq!(item, ITEMS);
        check(failures, 0..ITEMS);
    }
}

#[test]
fn an_unordered_iterator_gives_each_panic_once() {
    for threads in 1..=4 {
        let (mut failures, mut seen) = (Vec::new(), Vec::new());
        for next in call_batched(0..ITEMS).threads(threads).batch_size(9).unordered() {
            match next {
                Ok((index, value)) => {
                    assert_eq!(index, value);
                    seen.push(value);
                }
                Err(failure) => failures.push(failure),
            }
        }
        seen.sort_unstable();
        failures.sort_by_key(Failure::index);
        assert!(seen.into_iter().eq(values(0..ITEMS)));
        check(failures, 0..ITEMS);
    }
}

#[test]
fn an_iterator_that_ends_early_gives_the_panics_before_its_end() {
    let all_panic = |x: u32| -> Result<u32, &'static str> { panic!("{x}") };
    let mut all = process_in_batches(all_panic, 0..20).on_error(Collect).on_panic(OnPanic::Collect).into_iter();
    assert!(all.by_ref().map(|next| next.unwrap_err().index()).eq(0..20));
    assert!(all.next().is_none() && all.error().is_none());

    // The input panics when the run asks for one more item. No call's panic is lost by that.
    let calls = AtomicUsize::new(0);
    let call = |x: u32| {
        calls.fetch_add(1, Ordering::Relaxed);
        all_panic(x)
    };
    let input = (0..21).inspect(|&x| assert!(x < 20, "no more"));
    let mut all = process_in_batches(call, input).threads(1).on_error(Collect).on_panic(OnPanic::Collect).into_iter();
    let mut given = 0;
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        all.by_ref().for_each(|next| {
            assert_eq!(next.unwrap_err().index(), given);
            given += 1;
        });
    }));
    assert_eq!(payload.unwrap_err().downcast_ref(), Some(&"no more"));
    assert!(given > 0 && given == calls.load(Ordering::Relaxed));

    // A cancelled token ends it in the same way.
    let token = CancelToken::new();
    let mut all = call_batched(0..usize::MAX).cancel_token(&token).into_iter();
    let first: Vec<_> = all.by_ref().take(10).map(|next| next.map_err(|failure| failure.index())).collect();
    assert_eq!(first[..4], [Ok(0), Ok(1), Err(2), Err(3)]);
    token.cancel();
    // Panics of items ahead come after the last value, and in order.
    let rest: Vec<_> = all.by_ref().map(|next| next.unwrap_or_else(|failure| failure.index())).collect();
    assert!(rest.iter().all(|&item| item >= 10) && rest.is_sorted(), "{rest:?}");
    assert!(all.error().unwrap().is_cancelled());
}

type Run<I> = Batched<I, Result<usize, &'static str>, fn(usize) -> Result<usize, &'static str>, Collect>;

/// Runs in parts, each with its own token, and returns all values and failures.
fn in_parts<I: Iterator<Item = usize>>(mut run: Run<I>) -> (Vec<usize>, Vec<Failure<&'static str>>, usize) {
    let (mut taken, mut failures, mut told) = (Vec::new(), Vec::new(), 0);
    loop {
        let token = CancelToken::new();
        run = run.cancel_token(&token);
        let ended = run.for_each_batch(|batch| {
            taken.extend(batch);
            token.cancel();
        });
        match ended {
            Ok(outcome) => {
                let (report, last) = outcome.into_parts();
                failures.extend(last);
                return (taken, failures, told + report.failed() + report.panicked());
            }
            Err(error) => {
                assert!(error.is_cancelled());
                let report = run.report().unwrap();
                told += report.failed() + report.panicked();
                failures.extend(run.take_failures());
            }
        }
    }
}

#[test]
fn each_panic_is_a_failure_of_one_part_of_a_run() {
    for threads in 1..=3 {
        let function: fn(usize) -> _ = call;
        let run = process_in_batches(function, 0..ITEMS).on_error(Collect).on_panic(OnPanic::Collect);
        let (taken, mut failures, told) = in_parts(run.threads(threads).batch_size(50));
        assert!(taken.into_iter().eq(values(0..ITEMS)));
        assert_eq!(told, failures.len());
        failures.sort_by_key(Failure::index);
        check(failures, 0..ITEMS);
    }
}
