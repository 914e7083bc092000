//! A run that ended early tells what its part did that is over: what was handed over, left out, and how long it took. Its rest's
//! report is of the rest alone, and both together are of the whole.

use std::time::{Duration, Instant};

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Bytes, CancelToken, Report, process_in_batches};

const ITEMS: usize = 400;
/// The item whose panic ends a run that doesn't go on without it.
const ENDS: usize = 150;

/// Every fourth item fails.
fn fails(x: usize) -> bool {
    x % 4 == 1
}

fn failing(x: usize) -> Result<usize, String> {
    if fails(x) { Err(format!("{x} is bad")) } else { Ok(x) }
}

fn ending(x: usize) -> Result<usize, String> {
    if x == ENDS {
        std::panic::resume_unwind(Box::new("as planned"));
    }
    failing(x)
}

/// Each fifth item panics.
fn panicking(x: usize) -> usize {
    if x % 5 == 2 {
        std::panic::resume_unwind(Box::new("as planned"));
    }
    x
}

fn count(items: std::ops::Range<usize>, kind: fn(usize) -> bool) -> usize {
    items.filter(|&x| kind(x)).count()
}

/// That it is a whole report, and of a part that took no longer than the test.
fn is_sound(report: &Report, begun: Instant) {
    assert!(report.seconds() <= begun.elapsed().as_secs_f64());
    assert!(!report.explain().is_empty() && !report.to_string().is_empty() && !report.to_html().is_empty());
    assert!(report.timeline().batches().iter().map(amorsize::BatchTime::items).sum::<usize>() <= report.items());
}

#[test]
fn what_was_skipped_before_the_end_is_told() {
    for threads in 1..=3 {
        let begun = Instant::now();
        let run = || process_in_batches(ending, 0..ITEMS).on_error(Skip).threads(threads).batch_size(7);
        let (before, after) = (count(0..ENDS, fails), count(ENDS + 1..ITEMS, fails));

        let (mut taken, mut batches) = (0, 0);
        let partial = run().for_each_batch_partial(|batch| {
            taken += batch.len();
            batches += 1;
        });
        let partial = partial.unwrap_err();
        let report = partial.report();
        assert_eq!((report.items(), report.batches(), report.failed()), (taken, batches, before));
        assert_eq!((taken, report.panicked()), (ENDS - before, 0));
        assert_eq!(report.failures().len(), Report::MOST_FAILURES);
        assert_eq!(report.failures()[1].to_string(), "item 5 failed: 5 is bad");
        is_sound(report, begun);
        let rest = partial.into_rest().for_each_batch(|_| ()).unwrap();
        assert_eq!((rest.items(), rest.failed()), (ITEMS - ENDS - 1 - after, after));
        assert_eq!(rest.failures()[0].item(), ENDS + 3);

        let partial = run().collect_partial::<Vec<_>>().unwrap_err();
        let report = partial.report();
        assert_eq!((report.items(), report.batches(), report.failed()), (ENDS - before, 0, before));
        assert_eq!(report.failures()[1].to_string(), "item 5 failed: 5 is bad");
        assert_eq!(partial.finished().len(), report.items());
        is_sound(report, begun);
        let rest = partial.into_rest().for_each_batch(|_| ()).unwrap();
        assert_eq!((rest.items(), rest.failed()), (ITEMS - ENDS - 1 - after, after));
    }
}

#[test]
fn panics_that_were_skipped_are_told_once() {
    for (threads, on_panic) in [(1, "skip"), (2, "collect"), (3, "skip"), (1, "collect")] {
        let begun = Instant::now();
        let token = CancelToken::new();
        // The later items wait for the token, so that some are left when it is cancelled.
        let call = |x| {
            if x == ENDS {
                token.cancel();
            }
            while x > ENDS + 100 && !token.is_cancelled() {
                std::thread::yield_now();
            }
            panicking(x)
        };
        let run = process_in_batches(call, 0..ITEMS).on_panic(on_panic).threads(threads).batch_size(7);
        let mut taken = 0;
        let partial = run.cancel_token(&token).for_each_batch_partial(|batch| taken += batch.len());
        let partial = partial.unwrap_err();
        let report = partial.report().clone();
        // Those between the items that were handed over are in it; threads may have met more.
        assert!(report.panicked() >= taken / 5, "{report}");
        assert_eq!(report.items(), taken);
        let kept = if on_panic == "skip" { report.panicked().min(16) } else { report.panicked() };
        assert_eq!(report.panics().len(), kept);
        assert_eq!(report.panics()[0].item(), 2);
        is_sound(&report, begun);
        let rest = partial.into_rest().cancel_token(&CancelToken::new()).for_each_batch(|_| ()).unwrap();
        assert_eq!(report.panicked() + rest.panicked(), count(0..ITEMS, |x| x % 5 == 2));
        assert_eq!(report.items() + rest.items(), count(0..ITEMS, |x| x % 5 != 2));
    }
}

#[test]
fn a_collect_tells_of_panics_that_were_skipped() {
    for threads in 1..=3 {
        let token = CancelToken::new();
        let call = |x| {
            if x == ENDS {
                token.cancel();
            }
            panicking(x)
        };
        let run = process_in_batches(call, 0..).on_panic("collect").threads(threads).cancel_token(&token);
        let Err(partial) = run.collect_partial::<Vec<_>>() else { panic!("the input has no end") };
        assert!(partial.cause().is_cancelled());
        let report = partial.report();
        assert_eq!((report.items(), report.batches()), (partial.finished().len(), 0));
        assert!(report.panicked() >= count(0..report.items(), |x| x % 5 == 2), "{report}");
        assert_eq!(report.panics().len(), report.panicked());
    }
}

#[test]
fn each_other_policy_has_a_report_of_the_part() {
    for threads in 1..=3 {
        // The error that ends it is the cause, not a failure that was left out.
        let run = || process_in_batches(failing, [0, 2, 3, 4, 5, 6]).on_error(Stop).threads(threads);
        let partial = run().for_each_batch_partial(|_| ()).unwrap_err();
        assert_eq!((partial.cause().item(), partial.report().items(), partial.report().failed()), (Some(4), 4, 0));
        let partial = run().collect_partial::<Vec<_>>().unwrap_err();
        assert_eq!((partial.cause().item(), partial.report().items(), partial.report().failed()), (Some(4), 4, 0));

        let before = count(0..ENDS, fails);
        let run = || process_in_batches(ending, 0..ITEMS).on_error(Collect).threads(threads);
        let partial = run().for_each_batch_partial(|_| ()).unwrap_err();
        assert_eq!((partial.report().items(), partial.report().failed()), (ENDS - before, before));
        let partial = run().collect_partial::<Vec<_>>().unwrap_err();
        assert_eq!((partial.report().items(), partial.report().failed()), (ENDS - before, before));
        assert_eq!(partial.failures().len(), before);

        let run = || process_in_batches(ending, 0..ITEMS).threads(threads).batch_size(10);
        let mut batches = 0;
        let partial = run().for_each_batch_partial(|_| batches += 1).unwrap_err();
        assert_eq!((partial.report().items(), partial.report().batches()), (ENDS, batches));
        let partial = run().collect_partial::<Vec<_>>().unwrap_err();
        assert_eq!((partial.report().items(), partial.report().batches()), (ENDS, 0));
        assert!(partial.report().result_bytes() > Bytes::ZERO);
    }
}

#[test]
fn a_run_that_never_began_did_nothing() {
    let run = || process_in_batches(failing, 0..ITEMS).on_panic("nonsense");
    let nothing = |report: &Report| {
        assert_eq!((report.items(), report.batches(), report.panicked(), report.failed()), (0, 0, 0, 0));
        assert_eq!(report.seconds(), 0.0);
    };
    nothing(run().for_each_batch_partial(|_| ()).unwrap_err().report());
    nothing(run().collect_partial::<Vec<_>>().unwrap_err().report());
    nothing(run().on_error(Skip).for_each_batch_partial(|_| ()).unwrap_err().report());
    nothing(run().on_error(Collect).collect_partial::<Vec<_>>().unwrap_err().report());
}

#[test]
fn the_rest_keeps_what_ended_the_run_until_it_is_given_another() {
    let run = || process_in_batches(|x: usize| x, 0..ITEMS);
    let past = run().deadline(Instant::now()).collect_partial::<Vec<_>>().unwrap_err();
    let past = past.into_rest().collect_partial::<Vec<_>>().unwrap_err();
    assert!(past.cause().is_timed_out() && past.finished().is_empty());
    let long = Duration::from_secs(3600);
    assert_eq!(past.into_rest().timeout(long).collect::<Vec<_>>().unwrap().len(), ITEMS);

    // A timeout is not counted anew.
    let late = run().timeout(Duration::ZERO).for_each_batch_partial(|_| ()).unwrap_err();
    let late = late.into_rest().for_each_batch_partial(|_| ()).unwrap_err();
    assert!(late.cause().is_timed_out() && late.report().items() == 0);
    assert_eq!(late.into_rest().deadline(Instant::now() + long).collect::<Vec<_>>().unwrap().len(), ITEMS);

    let token = CancelToken::new();
    token.cancel();
    let cancelled = run().cancel_token(&token).collect_partial::<Vec<_>>().unwrap_err();
    let cancelled = cancelled.into_rest().collect_partial::<Vec<_>>().unwrap_err();
    assert!(cancelled.cause().is_cancelled());
    // A later timeout doesn't replace the token.
    let cancelled = cancelled.into_rest().timeout(long).collect_partial::<Vec<_>>().unwrap_err();
    assert!(cancelled.cause().is_cancelled());
    let rest = cancelled.into_rest().cancel_token(&CancelToken::new());
    assert_eq!(rest.collect::<Vec<_>>().unwrap().len(), ITEMS);
}

#[test]
fn a_timeout_counts_from_the_plan_where_there_is_one() {
    let mut run = process_in_batches(|x: usize| x, 0..ITEMS).timeout(Duration::ZERO);
    assert!(run.plan().unwrap_err().is_timed_out());
    // It is over for the terminal, too.
    assert!(run.collect::<Vec<_>>().unwrap_err().is_timed_out());

    let length = Duration::from_millis(40);
    let mut run = process_in_batches(|x: usize| x, 0..ITEMS).timeout(length);
    let planned = run.plan().is_ok();
    std::thread::sleep(length);
    assert!(run.collect::<Vec<_>>().unwrap_err().is_timed_out(), "{planned}");
}

#[test]
fn a_timeout_ends_each_iterator_too() {
    let run = || process_in_batches(|x: usize| x, 0..ITEMS).timeout(Duration::ZERO);
    let mut ordered = run().into_iter();
    assert!(ordered.by_ref().next().is_none() && ordered.error().unwrap().is_timed_out());
    let mut unordered = run().unordered();
    assert!(unordered.by_ref().next().is_none() && unordered.error().unwrap().is_timed_out());
    let stopping = |x: usize| Ok::<_, String>(x);
    let run = || process_in_batches(stopping, 0..ITEMS).timeout(Duration::ZERO).on_error(Stop);
    assert!(run().into_iter().next().unwrap().unwrap_err().is_timed_out());
    assert!(run().unordered().next().unwrap().unwrap_err().is_timed_out());
}
