//! Pipelines: `then` joins stages into one run, with one order, one budget and one report.
//!
//! `pipeline_loop.rs` compares them with a plain loop.

#[path = "common/caught.rs"]
mod caught;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use amorsize::on_error::{Collect, Each, Skip, Stop};
use amorsize::{
    ByteSize, CancelToken, Cause, ErrorKind, OnPanic, Oversize, Progress, Retry, TryError, batched, optimize,
    process_in_batches, with_memory_source,
};
use caught::caught;

#[batched]
fn repeat(x: u64) -> Vec<u64> {
    vec![x; 10]
}

#[batched]
fn scale(mut row: Vec<u64>, factor: u64, offset: &u64) -> Vec<u64> {
    row.iter_mut().for_each(|x| *x = *x * factor + offset);
    row
}

#[batched]
fn sum(row: Vec<u64>) -> u64 {
    row.iter().sum()
}

#[derive(Debug, PartialEq)]
enum Wrong {
    Text(String),
    Number(u64),
}

impl From<String> for Wrong {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[batched(on_error = "stop")]
fn even(x: u64) -> Result<u64, String> {
    if x.is_multiple_of(2) { Ok(x) } else { Err(format!("{x} is odd")) }
}

#[batched(on_error = "stop")]
fn small(x: u64) -> Result<u64, Wrong> {
    if x < 1_000 { Ok(x) } else { Err(Wrong::Number(x)) }
}

fn expected(items: u64) -> Vec<u64> {
    (0..items).map(|x| 10 * (3 * x + 7)).collect()
}

#[test]
fn results_come_in_the_order_of_the_items_from_every_terminal() {
    for threads in 1..=4 {
        let run = || {
            let run = repeat_batched(0..3_000).then(|rows| scale_batched(rows, 3, &7)).then(sum_batched);
            run.threads(threads).batch_size(100)
        };
        let all = expected(3_000);
        assert_eq!(run().collect::<Vec<_>>().unwrap(), all);
        let mut into = Vec::new();
        run().collect_into(&mut into).unwrap();
        assert_eq!(into, all);
        assert_eq!(run().into_iter().collect::<Vec<_>>(), all);
        let mut unordered: Vec<_> = run().unordered().collect();
        unordered.sort_unstable();
        assert!(unordered.into_iter().eq(all.iter().copied().enumerate()));
        let mut seen = Vec::new();
        let report = run()
            .for_each_batch(|batch| {
                assert_eq!((batch.len(), batch.first_index()), (100, seen.len()));
                seen.extend(batch);
            })
            .unwrap();
        assert_eq!(seen, all);
        assert_eq!((report.items(), report.batches(), report.stages().len()), (3_000, 30, 3));
        let mut planned = run();
        assert!(planned.plan().unwrap().seconds_per_item() > 0.0);
        assert_eq!(planned.collect::<Vec<_>>().unwrap(), all);
    }
}

#[test]
fn a_pipeline_can_be_a_stage_and_one_stage_can_be_many() {
    let inner = |rows| scale_batched(rows, 3, &7).then(sum_batched).then(|sums| process_in_batches(|x| x + 1, sums));
    let run = || repeat_batched(0..500).then(inner).then(|sums| process_in_batches(|x| x - 1, sums));
    assert_eq!(run().collect::<Vec<_>>().unwrap(), expected(500));
    let report = run().for_each_batch(|_| ()).unwrap();
    let stages: Vec<_> = report.stages().iter().map(|stage| (stage.name(), stage.items())).collect();
    assert_eq!(stages, [("repeat", 500), ("scale", 500), ("sum", 500), ("closure", 500), ("closure", 500)]);
    assert!(process_in_batches(|x: u64| x, 0..9).for_each_batch(|_| ()).unwrap().stages().is_empty());
}

#[test]
fn items_and_results_may_borrow() {
    let text = String::from("to be or not to be");
    let words = process_in_batches(|word: &str| word.trim(), text.split(' '));
    let mut lengths = words.then(|words| process_in_batches(|word: &str| (word, word.len()), words));
    assert_eq!(lengths.collect::<Vec<_>>().unwrap()[2..4], [("or", 2), ("not", 3)]);
}

#[test]
fn what_has_no_size_goes_through() {
    let count = AtomicUsize::new(0);
    let note = |()| {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let run = process_in_batches(|()| (), std::iter::repeat_n((), 1_000));
    let mut run = run.then(|units| process_in_batches(note, units)).then(|units| process_in_batches(note, units));
    assert_eq!(run.collect::<Vec<_>>().unwrap().len(), 1_000);
    assert_eq!(count.into_inner(), 2_000);
}

// ---- errors ----

#[test]
fn an_error_of_any_stage_is_that_of_its_item() {
    // 4, 6, .. are even; from 1000 on they are too large; every third panics nowhere.
    let run = || repeat_batched(0..300).then(sum_batched).then(even_batched).then(small_batched);
    let error: TryError<Wrong> = run().collect::<Vec<u64>>().unwrap_err();
    assert_eq!((error.item(), error.into_item_error()), (Some(100), Some(Wrong::Number(1_000))));

    let numbers = || process_in_batches(|x: u64| x, 0..2_000).then(even_batched).then(small_batched);
    let error = numbers().collect::<Vec<_>>().unwrap_err();
    assert_eq!((error.item(), error.into_item_error()), (Some(1), Some(Wrong::Text("1 is odd".into()))));
    let mut before = Vec::new();
    let error = numbers().for_each_batch(|batch| before.extend(batch)).unwrap_err();
    assert_eq!((before, error.item()), (vec![0], Some(1)));

    let good: Vec<u64> = (0..1_000).step_by(2).collect();
    assert_eq!(numbers().on_error(Skip).collect::<Vec<_>>().unwrap(), good);
    let report = numbers().on_error(Skip).for_each_batch(|_| ()).unwrap();
    assert_eq!((report.items(), report.failed()), (500, 1_500));
    let failed: Vec<_> = report.stages().iter().map(|stage| (stage.items(), stage.failed())).collect();
    assert_eq!(failed, [(2_000, 0), (1_000, 1_000), (500, 500)]);

    let (values, failures) = numbers().on_error(Collect).collect::<Vec<_>>().unwrap().into_parts();
    assert_eq!((values, failures.len()), (good, 1_500));
    for failure in failures {
        let (item, cause) = failure.into_parts();
        let Cause::Error(error) = cause else { panic!("nothing panics") };
        let item = item as u64;
        let expected = if item % 2 == 1 { Wrong::Text(format!("{item} is odd")) } else { Wrong::Number(item) };
        assert_eq!(error, expected);
    }

    let results = numbers().on_error(Each).collect::<Vec<Result<u64, Wrong>>>().unwrap();
    assert_eq!((&results[2], &results[3]), (&Ok(2), &Err(Wrong::Text("3 is odd".into()))));
}

#[test]
fn an_infallible_stage_passes_the_error_by() {
    let called = AtomicUsize::new(0);
    let count = |x: u64| {
        called.fetch_add(1, Ordering::Relaxed);
        x + 1
    };
    let run = || even_batched(0..100).on_error(Skip).then(|x| process_in_batches(count, x));
    assert_eq!(run().collect::<Vec<_>>().unwrap(), (0..100).step_by(2).map(|x| x + 1).collect::<Vec<_>>());
    assert_eq!(called.swap(0, Ordering::Relaxed), 50);
    let results: Vec<Result<u64, String>> = run().on_error(Each).collect().unwrap();
    assert_eq!((&results[0], &results[1]), (&Ok(1), &Err("1 is odd".to_owned())));
}

#[test]
fn without_a_policy_an_error_is_a_value() {
    let run = process_in_batches(|x: u64| x.checked_sub(5).ok_or("small"), 0..10);
    let mut run = run.then(|results| process_in_batches(|result: Result<u64, &str>| result.is_ok(), results));
    let report = run.for_each_batch(|_| ()).unwrap();
    assert_eq!(report.stages().iter().map(|stage| (stage.items(), stage.failed())).collect::<Vec<_>>(), [(10, 0); 2]);
}

#[test]
fn behind_a_panic_of_try_collect_errors_are_results_again() {
    let call = |x: u64| if x == 0 { panic_any("zero") } else { even(x) };
    let mut run = process_in_batches(|x: u64| x, 0..9).threads(1).then(|x| process_in_batches(call, x));
    assert_eq!(caught(|| run.try_collect::<Vec<_>>()).unwrap_err().downcast_ref(), Some(&"zero"));
    let report = run.for_each_batch(drop).unwrap();
    assert_eq!((report.stages()[1].items(), report.stages()[1].failed()), (8, 0));
}

#[test]
fn a_policy_that_is_set_later_counts_for_the_last_stage() {
    let run = process_in_batches(|x: u64| x, 0..10)
        .then(|numbers| process_in_batches(|x: u64| x.checked_sub(5).ok_or("small"), numbers));
    let report = run.on_error(Skip).for_each_batch(|_| ()).unwrap();
    assert_eq!((report.items(), report.failed()), (5, 5));
    assert_eq!(
        report.stages().iter().map(|stage| (stage.items(), stage.failed())).collect::<Vec<_>>(),
        [(10, 0), (5, 5)]
    );
}

// ---- panics ----

/// Three stages; `stage` panics for some items.
fn panicking(stage: usize) -> amorsize::Batched<std::ops::Range<u64>, u64, impl Sync> {
    let call = move |own: usize| {
        move |x: u64| {
            if own == stage && x % 10 == 3 {
                panic_any((own, x));
            }
            x
        }
    };
    process_in_batches(call(0), 0..100)
        .then(move |x| process_in_batches(call(1), x))
        .then(move |x| process_in_batches(call(2), x))
}

#[test]
fn a_panic_of_any_stage_is_treated_as_that_of_a_function() {
    for stage in 0..3 {
        for threads in 1..=4 {
            let run = || panicking(stage).threads(threads);
            let mut seen = Vec::new();
            let outcome = catch_unwind(AssertUnwindSafe(|| run().for_each_batch(|batch| seen.extend(batch))));
            assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&(stage, 3u64)));
            assert_eq!(seen, [0, 1, 2]);

            let rest: Vec<u64> = (0..100).filter(|x| x % 10 != 3).collect();
            for (on_panic, kept) in [(OnPanic::Skip, 10), (OnPanic::Collect, 10)] {
                assert_eq!(run().on_panic(on_panic).collect::<Vec<_>>().unwrap(), rest);
                let report = run().on_panic(on_panic).for_each_batch(|_| ()).unwrap();
                assert_eq!((report.items(), report.panicked(), report.panics().len()), (90, 10, kept));
                assert!(report.panics().iter().map(amorsize::Failure::index).eq((3..100).step_by(10)));
                let stages: Vec<_> = report.stages().iter().map(|stage| (stage.items(), stage.failed())).collect();
                let expected = |own: usize| match own.cmp(&stage) {
                    std::cmp::Ordering::Less => (100, 0),
                    std::cmp::Ordering::Equal => (90, 10),
                    std::cmp::Ordering::Greater => (90, 0),
                };
                assert_eq!(stages, [expected(0), expected(1), expected(2)]);
            }
        }
    }
}

#[test]
fn a_conversion_that_panics_loses_its_item_alone() {
    #[derive(Debug)]
    struct Picky;
    impl fmt::Display for Picky {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("picky")
        }
    }
    impl From<u64> for Picky {
        fn from(item: u64) -> Self {
            assert!(item != 50, "fifty");
            Self
        }
    }
    let run = process_in_batches(|x: u64| if x.is_multiple_of(10) { Err(x) } else { Ok(x) }, 0..100).on_error(Skip);
    let run = run.then(|x| process_in_batches(Ok::<u64, Picky>, x).on_error(Skip)).on_panic(OnPanic::Skip);
    let mut seen = Vec::new();
    let report = run.on_error(Each).for_each_batch(|batch| seen.extend(batch.into_iter().map(Result::ok))).unwrap();
    assert_eq!((seen.len(), seen.iter().flatten().count(), report.panicked()), (99, 90, 1));
    let stages: Vec<_> = report.stages().iter().map(|stage| (stage.items(), stage.failed())).collect();
    assert_eq!(stages, [(90, 10), (90, 0)]);
}

#[test]
fn what_is_finished_comes_back_and_the_rest_goes_on() {
    for stage in 0..3 {
        let mut run = panicking(stage);
        let (mut all, mut ends) = (Vec::new(), Vec::new());
        while caught(|| run.collect_into(&mut all).unwrap()).is_err() {
            ends.push(all.len());
        }
        assert_eq!(all, (0..100).filter(|x| x % 10 != 3).collect::<Vec<_>>());
        assert_eq!(ends, (3..100).step_by(9).take(10).collect::<Vec<_>>());
    }
}

// ---- options ----

const fn at_once(times: u32) -> Retry {
    Retry::new(times).backoff(Duration::ZERO)
}

/// Calls of each item in each stage.
struct Calls([Vec<AtomicUsize>; 3]);

impl Calls {
    fn new(items: usize) -> Self {
        Self(std::array::from_fn(|_| (0..items).map(|_| AtomicUsize::new(0)).collect()))
    }

    /// A stage that fails `often` times for each item, and then returns the item.
    fn failing(&self, stage: usize, often: usize) -> impl Fn(usize) -> Result<usize, String> + Sync + '_ {
        move |item| match self.0[stage][item].fetch_add(1, Ordering::Relaxed) {
            call if call < often => Err(format!("stage {stage}, call {call}")),
            _ => Ok(item),
        }
    }

    fn of(&self, stage: usize) -> Vec<usize> {
        self.0[stage].iter().map(|calls| calls.load(Ordering::Relaxed)).collect()
    }
}

#[test]
fn each_stage_retries_its_own_calls_alone() {
    for retried in 0..3 {
        for threads in 1..=3 {
            let calls = Calls::new(50);
            let often = |stage| if stage == retried { 2 } else { 0 };
            let times = |stage: usize| at_once(if stage == retried { 2 } else { 1 });
            let report = process_in_batches(calls.failing(0, often(0)), 0..50)
                .on_error(Stop)
                .retry(times(0))
                .then(|x| process_in_batches(calls.failing(1, often(1)), x).on_error(Stop).retry(times(1)))
                .then(|x| process_in_batches(calls.failing(2, often(2)), x).on_error(Stop).retry(times(2)))
                .threads(threads)
                .for_each_batch(|_| ())
                .unwrap();
            assert_eq!((report.items(), report.retries()), (50, 100));
            assert!((0..3).all(|stage| calls.of(stage) == [if stage == retried { 3 } else { 1 }; 50]));
            assert!(report.stages().iter().all(|stage| (stage.items(), stage.failed()) == (50, 0)));
            assert!(report.to_string().contains("100 calls were made again"), "{report}");
        }
    }
}

#[test]
fn a_retry_after_then_runs_all_stages_again() {
    let calls = Calls::new(20);
    let run = || {
        process_in_batches(calls.failing(0, 1), 0..20)
            .on_error(Stop)
            .retry(at_once(1))
            .then(|x| process_in_batches(calls.failing(1, 2), x).on_error(Stop))
            .then(|x| process_in_batches(calls.failing(2, 0), x).on_error(Stop))
    };
    let report = run().retry(at_once(2)).for_each_batch(|_| ()).unwrap();
    // First the first stage is called once more, then the whole twice more.
    assert_eq!((report.items(), report.retries()), (20, 60));
    assert_eq!((calls.of(0), calls.of(1), calls.of(2)), (vec![4; 20], vec![3; 20], vec![1; 20]));
    let stages: Vec<_> = report.stages().iter().map(|stage| (stage.items(), stage.failed())).collect();
    assert_eq!(stages, [(60, 0), (20, 40), (20, 0)]);

    let calls = Calls::new(20);
    let mut run = process_in_batches(calls.failing(0, 0), 0..20)
        .on_error(Stop)
        .then(|x| process_in_batches(calls.failing(1, 9), x).on_error(Stop))
        .retry(at_once(2));
    let error = run.collect::<Vec<_>>().unwrap_err();
    assert_eq!(error.to_string(), "item 0 failed: stage 1, call 2");
}

#[batched(threads = 3, max_memory = "64MiB", batch_size = 7, sample_size = 2)]
fn stated(x: u64) -> u64 {
    std::thread::sleep(Duration::from_micros(100));
    x
}

#[batched(threads = 2, max_memory = "2MiB", batch_size = 5)]
fn stated_otherwise(x: u64) -> u64 {
    x
}

#[test]
fn the_options_of_stages_are_those_of_the_pipeline() {
    let run = || stated_batched(0..70).then(stated_otherwise_batched).then(|x| process_in_batches(|x: u64| x, x));
    let report = run().for_each_batch(|_| ()).unwrap();
    assert_eq!((report.threads(), report.budget(), report.batch_size()), (2, ByteSize::mib(2), 5));
    let report = run().threads(1).max_memory("3MiB").batch_size(10).for_each_batch(|_| ()).unwrap();
    assert_eq!((report.threads(), report.budget(), report.batch_size()), (1, ByteSize::mib(3), 10));
    let run_time = || stated_batched(0..70).then(|x| process_in_batches(|x: u64| x, x).max_memory(1e-4).batch_size(14));
    let report = with_memory_source(ByteSize::gib(10), || run_time().for_each_batch(|_| ()).unwrap());
    assert!(report.budget() < ByteSize::mib(2), "{report}");
    assert_eq!((report.threads(), report.batch_size()), (3, 14));
    let panics = |x: u64| if x == 3 { panic!("three") } else { x };
    let stage = |x| process_in_batches(panics, x).on_panic(OnPanic::Skip).oversize(Oversize::Error);
    let mut run = process_in_batches(|x: u64| x, 0..6).then(stage).then(|x| process_in_batches(|x: u64| x, x));
    assert_eq!(run.collect::<Vec<_>>().unwrap(), [0, 1, 2, 4, 5]);
}

static TOLD: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

fn tell(_: &Progress) {
    TOLD[2].fetch_add(1, Ordering::Relaxed);
}

#[batched(progress = tell)]
fn tells(x: u64) -> u64 {
    x
}

#[test]
fn the_progress_is_told_to_the_last_stage_that_states_one() {
    let listens = |place: usize| move |_: &Progress| _ = TOLD[place].fetch_add(1, Ordering::Relaxed);
    let stage = |stage| process_in_batches(|x: u64| x, stage);
    let first = || process_in_batches(|x: u64| x, 0..9).progress(listens(0));
    let last = |items| process_in_batches(|x: u64| x, items).progress(listens(1));
    let told = || TOLD.each_ref().map(|told| told.swap(0, Ordering::Relaxed) > 0);
    first().then(last).then(stage).for_each_batch(drop).unwrap();
    assert_eq!(told(), [false, true, false]);
    first().then(tells_batched).for_each_batch(drop).unwrap();
    assert_eq!(told(), [false, false, true]);
    tells_batched(0..9).then(last).for_each_batch(drop).unwrap();
    assert_eq!(told(), [false, true, false]);
    tells_batched(0..9).progress(listens(0)).then(stage).for_each_batch(drop).unwrap();
    assert_eq!(told(), [true, false, false]);
    tells_batched(0..9).then(stage).for_each_batch(drop).unwrap();
    assert_eq!(told(), [false, false, true]);
    first().then(tells_batched).progress(listens(1)).for_each_batch(drop).unwrap();
    assert_eq!(told(), [false, true, false]);
}

#[test]
fn what_a_stage_does_not_take_is_refused_before_any_call() {
    let called = AtomicBool::new(false);
    let call = |x: u64| {
        called.store(true, Ordering::Relaxed);
        Ok::<_, ()>(x)
    };
    let first = || process_in_batches(call, 0..9).on_error(Stop);
    let refused = [
        first().threads(0).then(|x| process_in_batches(call, x).on_error(Stop)).collect::<Vec<_>>(),
        first().then(|x| process_in_batches(call, x).on_error(Stop).max_memory(2.0)).max_memory(0.5).collect(),
        first().then(|x| process_in_batches(call, x).on_error(Stop).retry(0)).retry(1).collect(),
    ];
    for (result, option) in refused.into_iter().zip(["threads", "max_memory", "retry"]) {
        let error = result.unwrap_err();
        let kind = error.run_error().unwrap().kind();
        assert!(matches!(kind, ErrorKind::InvalidOption { option: refused, .. } if *refused == option), "{kind:?}");
    }
    assert!(!called.into_inner());
}

#[test]
fn a_run_that_was_planned_or_has_begun_takes_no_stage() {
    let second = |x| process_in_batches(|x: u64| x + 1, x);
    let refused = |error: amorsize::Error, how: &str| {
        assert!(error.is_invalid_option());
        let text =
            format!("`then` can't be {how}: use `then` for all stages first, and `plan` or a terminal on the whole");
        assert_eq!(error.to_string(), text);
    };
    let mut planned = repeat_batched(0..9).then(sum_batched);
    planned.plan().unwrap();
    refused(planned.then(second).collect::<Vec<_>>().unwrap_err(), "called on a run that was planned or has begun");
    let mut empty = process_in_batches(|x: u64| x, 0..0);
    empty.plan().unwrap();
    refused(empty.then(second).collect::<Vec<_>>().unwrap_err(), "called on a run that was planned or has begun");
    let mut run = optimize(|x: u64| x, 0..9).then(second);
    refused(run.for_each_batch(|_| ()).unwrap_err(), "called on a run that was planned or has begun");
    let mut run = repeat_batched(0..9).then(|rows| optimize(|row: Vec<u64>| row.len(), rows));
    refused(run.collect::<Vec<_>>().unwrap_err(), "given a stage that was planned or has begun");
    let token = CancelToken::new();
    token.cancel();
    let mut cancelled = repeat_batched(0..9).cancel_token(&token);
    assert!(cancelled.collect::<Vec<_>>().unwrap_err().is_cancelled());
    let rest = cancelled.cancel_token(&CancelToken::new());
    refused(rest.then(sum_batched).collect::<Vec<_>>().unwrap_err(), "called on a run that was planned or has begun");
    // The plan of the whole is one plan.
    let mut whole = repeat_batched(0..9).then(sum_batched);
    whole.plan().unwrap();
    assert_eq!(whole.collect::<Vec<_>>().unwrap(), (0..9).map(|x| 10 * x).collect::<Vec<_>>());
}

#[test]
fn a_token_or_a_time_of_any_stage_ends_the_run() {
    for cancelled in 0..3 {
        let tokens = [CancelToken::new(), CancelToken::new(), CancelToken::new()];
        let done = AtomicUsize::new(0);
        let last = |x: u64| {
            if done.fetch_add(1, Ordering::Relaxed) == 50 {
                tokens[cancelled].cancel();
            }
            x
        };
        let mut run = process_in_batches(|x: u64| x, 0..)
            .cancel_token(&tokens[0])
            .then(|x| process_in_batches(|x: u64| x, x).cancel_token(&tokens[1]))
            .then(|x| process_in_batches(last, x).cancel_token(&tokens[2]));
        let mut finished = Vec::new();
        assert!(run.collect_into(&mut finished).unwrap_err().is_cancelled());
        // A slow thread can hold back results of others, which come after its items.
        assert!((1..=done.load(Ordering::Relaxed)).contains(&finished.len()), "{}", finished.len());
        // One new token replaces all of them.
        let next = run.cancel_token(&CancelToken::new()).into_iter().next();
        assert_eq!(next, Some(finished.len() as u64));
    }
    let timed = |first: Option<Duration>, second: Option<Instant>| {
        let mut run = process_in_batches(|x: u64| x, 0..);
        if let Some(timeout) = first {
            run = run.timeout(timeout);
        }
        let stage = |x| {
            let stage = process_in_batches(|x: u64| x, x);
            if let Some(deadline) = second { stage.deadline(deadline) } else { stage }
        };
        run.then(stage).for_each_batch(|_| ()).unwrap_err()
    };
    let hour = Duration::from_secs(3600);
    assert!(timed(Some(Duration::from_millis(5)), None).is_timed_out());
    assert!(timed(Some(hour), Some(Instant::now())).is_timed_out());
    assert!(timed(Some(Duration::ZERO), Some(Instant::now() + hour)).is_timed_out());
}

// ---- what it tells ----

#[test]
fn the_report_tells_of_each_stage() {
    #[batched]
    fn slow(x: u64) -> Vec<u8> {
        std::thread::sleep(Duration::from_millis(2));
        vec![1; 1_000 * (1 + x as usize % 2)]
    }
    #[batched]
    fn quick(bytes: Vec<u8>) -> u8 {
        bytes[0]
    }
    let report = slow_batched(0..20).then(quick_batched).for_each_batch(|_| ()).unwrap();
    let [slow, quick] = report.stages() else { panic!("there are two") };
    assert_eq!((slow.items(), slow.failed(), slow.largest()), (20, 0, ByteSize::new(2_024)));
    assert_eq!((slow.bytes_per_item(), quick.bytes_per_item()), (ByteSize::new(1_524), ByteSize::new(1)));
    assert!(slow.seconds() >= 0.04 && slow.seconds_per_item() >= 0.002);
    // A call held both values at its end.
    assert_eq!(report.working_bytes(), ByteSize::new(2_024));
    let text = report.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[3].starts_with("slow: 20 items, "), "{text}");
    assert!(lines[3].ends_with("s and 1.49 KiB per item, at most 1.98 KiB"), "{text}");
    assert!(lines[4].starts_with("quick: 20 items, "), "{text}");
}

#[test]
fn trivial_stages_are_timed_by_samples() {
    let mut run = process_in_batches(|x: u64| x, 0..100_000).then(|x| process_in_batches(|x: u64| x + 1, x));
    let report = run.for_each_batch(|_| ()).unwrap();
    assert!(report.stages().iter().all(|stage| stage.items() == 100_000 && stage.seconds() > 0.0));
}
