//! A run that ended early reports the part that is over: the results that were handed over, the
//! items that were left out, and the time. The report of its rest is about the rest alone, and both
//! together are about the whole.

#[path = "common/caught.rs"]
mod caught;

use std::time::{Duration, Instant};

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{ByteSize, CancelToken, OnPanic, Report, process_in_batches};
use caught::caught;

const ITEMS: usize = 400;
/// The item that panics, which ends a run that doesn't go on without it.
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

/// Checks that the report is whole, and of a part that took no longer than the test.
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
        let mut ended = run();
        let sink = |batch: amorsize::Batch<usize>| {
            taken += batch.len();
            batches += 1;
        };
        assert!(caught(|| ended.for_each_batch(sink)).is_err());
        let report = ended.report().unwrap();
        assert_eq!((report.items(), report.batches(), report.failed()), (taken, batches, before));
        assert_eq!((taken, report.panicked()), (ENDS - before, 0));
        assert_eq!(report.failures().len(), Report::MOST_FAILURES);
        assert_eq!(report.failures()[1].to_string(), "item 5 failed: 5 is bad");
        is_sound(report, begun);
        let rest = ended.for_each_batch(|_| ()).unwrap();
        assert!(ended.report().is_none());
        assert_eq!((rest.items(), rest.failed()), (ITEMS - ENDS - 1 - after, after));
        assert_eq!(rest.failures()[0].index(), ENDS + 3);

        let (mut ended, mut finished) = (run(), Vec::new());
        assert!(caught(|| ended.collect_into(&mut finished)).is_err());
        let report = ended.report().unwrap();
        assert_eq!((report.items(), report.batches(), report.failed()), (ENDS - before, 0, before));
        assert_eq!(report.failures()[1].to_string(), "item 5 failed: 5 is bad");
        assert_eq!(finished.len(), report.items());
        is_sound(report, begun);
        let rest = ended.for_each_batch(|_| ()).unwrap();
        assert_eq!((rest.items(), rest.failed()), (ITEMS - ENDS - 1 - after, after));

        // A `collect` that failed has done nothing: all results that it finished belong to the next
        // terminal.
        let mut ended = run();
        assert!(caught(|| ended.collect::<Vec<_>>()).is_err());
        let report = ended.report().unwrap();
        assert_eq!((report.items(), report.batches(), report.failed()), (0, 0, 0));
        is_sound(report, begun);
        let rest = ended.for_each_batch(|_| ()).unwrap();
        assert_eq!((rest.items(), rest.failed()), (ITEMS - 1 - before - after, before + after));
    }
}

#[test]
fn panics_that_were_skipped_are_told_once() {
    use OnPanic::{Collect, Skip};
    for (threads, on_panic) in [(1, Skip), (2, Collect), (3, Skip), (1, Collect)] {
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
        let mut run = run.cancel_token(&token);
        assert!(run.for_each_batch(|batch| taken += batch.len()).unwrap_err().is_cancelled());
        let report = run.report().unwrap().clone();
        // The panics between the items that were handed over are in it; threads may have met more.
        assert!(report.panicked() >= taken / 5, "{report}");
        assert_eq!(report.items(), taken);
        let kept = if on_panic == Skip { report.panicked().min(16) } else { report.panicked() };
        assert_eq!(report.panics().len(), kept);
        // The thread with item 2 may have come to no call before the cancel.
        assert_eq!(report.panics()[0].index() % 5, 2);
        is_sound(&report, begun);
        let rest = run.cancel_token(&CancelToken::new()).for_each_batch(|_| ()).unwrap();
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
        let run = process_in_batches(call, 0..).on_panic(OnPanic::Collect).threads(threads).cancel_token(&token);
        let (mut run, mut finished) = (run, Vec::new());
        assert!(run.collect_into(&mut finished).unwrap_err().is_cancelled());
        let report = run.report().unwrap();
        assert_eq!((report.items(), report.batches()), (finished.len(), 0));
        assert!(report.panicked() >= count(0..report.items(), |x| x % 5 == 2), "{report}");
        assert_eq!(report.panics().len(), report.panicked());
    }
}

#[test]
fn each_other_policy_has_a_report_of_the_part() {
    for threads in 1..=3 {
        // The error that ends the run is the cause, not a failure that was left out.
        let mut run = process_in_batches(failing, [0, 2, 3, 4, 5, 6]).on_error(Stop).threads(threads);
        assert_eq!(run.for_each_batch(|_| ()).unwrap_err().item(), Some(4));
        assert_eq!(run.report().map(|report| (report.items(), report.failed())), Some((4, 0)));
        let mut run = process_in_batches(failing, [0, 2, 3, 4, 5, 6]).on_error(Stop).threads(threads);
        assert_eq!(run.collect_into(&mut Vec::new()).unwrap_err().item(), Some(4));
        assert_eq!(run.report().map(|report| (report.items(), report.failed())), Some((4, 0)));

        let before = count(0..ENDS, fails);
        let run = || process_in_batches(ending, 0..ITEMS).on_error(Collect).threads(threads);
        let mut ended = run();
        assert!(caught(|| ended.for_each_batch(|_| ())).is_err());
        assert_eq!(ended.report().map(|report| (report.items(), report.failed())), Some((ENDS - before, before)));
        let mut ended = run();
        assert!(caught(|| ended.collect_into(&mut Vec::new())).is_err());
        assert_eq!(ended.report().map(|report| (report.items(), report.failed())), Some((ENDS - before, before)));
        assert_eq!(ended.take_failures().len(), before);
        // They are reported once.
        let outcome = ended.for_each_batch(|_| ()).unwrap();
        assert_eq!(outcome.failures().len(), count(ENDS + 1..ITEMS, fails));

        let run = || process_in_batches(ending, 0..ITEMS).threads(threads).batch_size(10);
        let (mut ended, mut batches) = (run(), 0);
        assert!(caught(|| ended.for_each_batch(|_| batches += 1)).is_err());
        assert_eq!(ended.report().map(|report| (report.items(), report.batches())), Some((ENDS, batches)));
        let mut ended = run();
        assert!(caught(|| ended.collect_into(&mut Vec::new())).is_err());
        let report = ended.report().unwrap();
        assert_eq!((report.items(), report.batches()), (ENDS, 0));
        assert!(report.result_bytes() > ByteSize::ZERO);
    }
}

#[test]
fn a_run_that_never_began_did_nothing() {
    let run = || process_in_batches(failing, 0..ITEMS).batch_size(0);
    let nothing = |report: Option<&Report>| {
        let report = report.unwrap();
        assert_eq!((report.items(), report.batches(), report.panicked(), report.failed()), (0, 0, 0, 0));
        assert_eq!(report.seconds(), 0.0);
    };
    let mut each = run();
    assert!(each.report().is_none());
    assert!(each.for_each_batch(|_| ()).is_err());
    nothing(each.report());
    assert!(each.collect::<Vec<_>>().is_err());
    nothing(each.report());
    assert!(each.collect_into(&mut Vec::new()).is_err());
    nothing(each.report());
    let mut skip = run().on_error(Skip);
    assert!(skip.for_each_batch(|_| ()).is_err());
    nothing(skip.report());
    let mut collect = run().on_error(Collect);
    assert!(collect.collect::<Vec<_>>().is_err());
    nothing(collect.report());
}

#[test]
fn the_rest_keeps_what_ended_the_run_until_it_is_given_another() {
    let run = || process_in_batches(|x: usize| x, 0..ITEMS);
    let mut past = run().deadline(Instant::now());
    assert!(past.collect::<Vec<_>>().unwrap_err().is_timed_out());
    let mut finished = Vec::new();
    assert!(past.collect_into(&mut finished).unwrap_err().is_timed_out() && finished.is_empty());
    let long = Duration::from_secs(3600);
    assert_eq!(past.timeout(long).collect::<Vec<_>>().unwrap().len(), ITEMS);

    // A timeout does not start again.
    let mut late = run().timeout(Duration::ZERO);
    assert!(late.for_each_batch(|_| ()).unwrap_err().is_timed_out());
    assert!(late.for_each_batch(|_| ()).unwrap_err().is_timed_out());
    assert_eq!(late.report().unwrap().items(), 0);
    assert_eq!(late.deadline(Instant::now() + long).collect::<Vec<_>>().unwrap().len(), ITEMS);

    let token = CancelToken::new();
    token.cancel();
    let mut cancelled = run().cancel_token(&token);
    assert!(cancelled.collect::<Vec<_>>().unwrap_err().is_cancelled());
    assert!(cancelled.collect::<Vec<_>>().unwrap_err().is_cancelled());
    // A later timeout doesn't replace the token.
    let mut cancelled = cancelled.timeout(long);
    assert!(cancelled.collect::<Vec<_>>().unwrap_err().is_cancelled());
    let mut rest = cancelled.cancel_token(&CancelToken::new());
    assert_eq!(rest.collect::<Vec<_>>().unwrap().len(), ITEMS);
}

#[test]
fn a_timeout_counts_from_the_plan_where_there_is_one() {
    let mut run = process_in_batches(|x: usize| x, 0..ITEMS).timeout(Duration::ZERO);
    assert!(run.plan().unwrap_err().is_timed_out());
    // The time is over for the terminal, too.
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
