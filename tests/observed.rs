//! A plan that was asked for, and a run that tells what it does, change nothing of the run; and a
//! run that goes on takes other options.

#[path = "common/caught.rs"]
mod caught;
#[path = "common/interview.rs"]
mod interview;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use amorsize::{ByteSize, CancelToken, Warning, batched, process_in_batches, with_memory_source};
use caught::caught;
use interview::interview;

/// More than any of these runs takes on the busiest machine.
const HANGS: Duration = Duration::from_secs(600);

#[batched]
fn page(index: usize) -> Vec<u8> {
    vec![index as u8; 1 << 20]
}

#[test]
fn a_verbose_run_answers_a_question_before_it_asks_for_the_next_one() {
    let answered = interview(HANGS, 40, |questions, answers| {
        let mut run = process_in_batches(|question| question + 1, questions).verbose(true);
        run.for_each_batch(|batch| batch.into_iter().for_each(|answer| answers.send(answer).unwrap())).unwrap();
    });
    assert_eq!(answered, 40);
}

#[test]
fn an_iterator_of_a_verbose_run_ends_at_its_token_without_a_panic() {
    for is_timed_out in [false, true] {
        let token = CancelToken::new();
        let mut run = process_in_batches(|x: u64| x + 1, 0..100).verbose(true);
        run = if is_timed_out { run.timeout(Duration::ZERO) } else { run.cancel_token(&token) };
        token.cancel();
        let mut results = run.into_iter();
        assert_eq!(results.by_ref().count(), 0);
        let error = results.error().unwrap();
        assert!(error.is_cancelled() || error.is_timed_out(), "{error}");
    }
}

#[test]
fn a_panic_in_the_sample_of_a_verbose_run_comes_behind_the_results_before_it() {
    for verbose in [false, true] {
        let call = |x: u64| if x == 2 { std::panic::resume_unwind(Box::new("as planned")) } else { x };
        let mut run = process_in_batches(call, 0..100).threads(1).verbose(verbose);
        let mut seen = Vec::new();
        let outcome = caught(|| run.for_each_batch(|batch| seen.extend(batch)));
        assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&"as planned"));
        assert_eq!(seen, [0, 1], "{verbose}");
        run.for_each_batch(|batch| seen.extend(batch)).unwrap();
        assert!(seen.into_iter().eq((0..100).filter(|&x| x != 2)));
    }
}

static SAMPLED: AtomicUsize = AtomicUsize::new(0);

#[batched]
fn sampled(index: usize) -> Vec<u8> {
    SAMPLED.fetch_add(1, SeqCst);
    vec![index as u8; 1 << 20]
}

#[test]
fn a_sample_holds_no_more_than_there_is() {
    with_memory_source(ByteSize::mib(64), || {
        let mut run = sampled_batched(0..300).max_memory("1GiB").sample_size(298);
        run.plan().unwrap();
        let sampled = SAMPLED.load(SeqCst);
        assert!((5..=61).contains(&sampled), "{sampled}");
        let mut items = 0;
        run.for_each_batch(|batch| items += batch.len()).unwrap();
        assert_eq!(items, 300);
    });
}

#[test]
fn a_planned_run_that_finds_out_if_threads_are_faster_holds_no_more_than_there_is() {
    with_memory_source(ByteSize::mib(64), || {
        let mut run = page_batched(0..2_000).threads(2).max_memory("1GiB").batch_size(500);
        run.plan().unwrap();
        let mut largest = 0;
        run.for_each_batch(|batch| largest = largest.max(batch.len())).unwrap();
        assert!(largest <= 64, "{largest}");
    });
}

/// Calls that take a while, and the most of them at a time.
#[derive(Default)]
struct Most {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Most {
    fn call(&self, x: u64) -> u64 {
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        thread::sleep(Duration::from_micros(500));
        self.now.fetch_sub(1, SeqCst);
        x
    }
}

#[test]
fn a_run_on_threads_takes_another_number_of_them_and_plans_anew() {
    for (before, after) in [(4, 1), (4, 2), (2, 5)] {
        let (most, token) = (Most::default(), CancelToken::new());
        let mut run = process_in_batches(|x| most.call(x), 0..400).threads(before).batch_size(10).cancel_token(&token);
        let mut seen = Vec::new();
        let cancelled = run.for_each_batch(|batch| {
            seen.extend(batch);
            if seen.len() >= 100 {
                token.cancel();
            }
        });
        assert!(cancelled.unwrap_err().is_cancelled());
        most.most.store(0, SeqCst);
        let mut run = run.threads(after).cancel_token(&CancelToken::new());
        let plan = run.plan().unwrap();
        assert!(!plan.reasons().is_empty() && plan.seconds().is_some(), "{plan}");
        assert!(plan.warnings().iter().all(|warning| warning.code() != Warning::EMPTY_INPUT), "{plan}");
        assert_eq!(plan.threads(), after);
        run.for_each_batch(|batch| seen.extend(batch)).unwrap();
        assert!(seen.into_iter().eq(0..400));
        let most = most.most.load(SeqCst);
        assert!((1..=after).contains(&most), "{most} at a time of {after}");
    }
}

#[test]
fn a_nested_run_that_could_not_collect_keeps_the_outer_budget_again() {
    let inner = |_: usize| {
        let mut run = page_batched(0..24).threads(1).max_memory("8MiB");
        assert!(run.collect::<Vec<_>>().unwrap_err().is_over_budget());
        run.for_each_batch(drop).unwrap();
        let mut again = page_batched(0..200).threads(1);
        let report = again.for_each_batch(drop).unwrap();
        report.items()
    };
    let report = process_in_batches(inner, 0..8).threads(2).max_memory("16MiB").for_each_batch(drop).unwrap();
    // Each of two calls holds what it collected, and one result more.
    assert!(report.peak_bytes() <= ByteSize::mib(18), "{report}");
}
