//! Each policy for errors, and inputs that can fail: by attribute and by builder, in each terminal.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fmt;
use std::io::{self, BufRead};
use std::num::ParseIntError;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use amorsize::on_error::{Collect, Each, Policy, Skip, Stop};
use amorsize::{
    Batched, ByteSize, Cause, Failure, IntoIter, Outcome, Report, TryError, batched, process_fallible_in_batches,
    process_in_batches,
};
use proptest::prelude::*;

// ---- every kind of function, by attribute ----

type Parsed<T> = Result<T, ParseIntError>;

#[batched(on_error = "stop")]
fn stopping(text: &str) -> Parsed<u32> {
    text.parse()
}

#[batched(on_error = "skip")]
fn skipping(text: &str) -> Parsed<u32> {
    text.parse()
}

#[batched(on_error = "collect")]
fn collecting(text: &str) -> Parsed<u32> {
    text.parse()
}

const TEXTS: [&str; 5] = ["1", "two", "3", "four", "5"];

#[test]
fn each_policy_by_attribute() {
    let error = stopping_batched(TEXTS).collect::<Vec<_>>().unwrap_err();
    assert_eq!(error.item(), Some(1));
    assert_eq!(stopping_batched(["1", "3"]).collect::<Vec<u32>>().unwrap(), [1, 3]);
    assert_eq!(skipping_batched(TEXTS).collect::<BTreeSet<_>>().unwrap(), BTreeSet::from([1, 3, 5]));
    let (values, failures) = collecting_batched(TEXTS).collect::<Vec<_>>().unwrap().into_parts();
    assert_eq!(values, [1, 3, 5]);
    assert_eq!(failures.iter().map(Failure::index).collect::<Vec<_>>(), [1, 3]);
    assert!(matches!(failures[0].cause(), Cause::Error(error) if *error == "two".parse::<u32>().unwrap_err()));
}

#[test]
fn the_run_can_choose_anew() {
    assert_eq!(stopping_batched(TEXTS).on_error(Skip).collect::<Vec<_>>().unwrap(), [1, 3, 5]);
    assert_eq!(skipping_batched(TEXTS).on_error(Collect).collect::<Vec<_>>().unwrap().failures().len(), 2);
    assert_eq!(collecting_batched(TEXTS).on_error(Stop).collect::<Vec<_>>().unwrap_err().item(), Some(1));
    let each: Vec<Parsed<u32>> = skipping_batched(TEXTS).on_error(Each).collect().unwrap();
    assert_eq!(each.iter().filter(|result| result.is_err()).count(), 2);
    assert_eq!(skipping_batched(TEXTS).on_error(Each).try_collect::<Vec<_>>().unwrap_err().item(), Some(1));
}

#[batched(on_error = "collect", name = read_all)]
fn read(path: &str) -> io::Result<String> {
    std::fs::read_to_string(path)
}

#[test]
fn io_results_are_results() {
    let outcome = read_all(["/no/such/file"]).collect::<Vec<_>>().unwrap();
    assert_eq!(outcome.failures()[0].error().unwrap().kind(), io::ErrorKind::NotFound);
    let failure = outcome.into_result().unwrap_err();
    let error: io::Error = TryError::from(failure).into();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[batched(on_error = "skip")]
fn boxed(x: u32) -> Result<u32, Box<dyn StdError + Send + Sync>> {
    if x.is_multiple_of(3) { Err(format!("{x} is divisible"))? } else { Ok(x) }
}

#[test]
fn boxed_errors_are_errors() {
    let report = boxed_batched(0..10).for_each_batch(|_| ()).unwrap();
    assert_eq!((report.items(), report.failed()), (6, 4));
    let texts: Vec<_> = report.failures().iter().map(ToString::to_string).collect();
    assert_eq!(texts[3], "item 9 failed: 9 is divisible");
    let error = boxed_batched(1..10).on_error(Stop).for_each_batch(|batch| assert_eq!(*batch, [1, 2])).unwrap_err();
    assert_eq!(error.to_string(), "item 2 failed: 3 is divisible");
}

#[batched(on_error = "collect")]
fn generic<T, E>(item: T, refuse: &impl Fn(&T) -> Option<E>) -> Result<T, E> {
    match refuse(&item) {
        Some(error) => Err(error),
        None => Ok(item),
    }
}

struct Limits {
    most: u32,
}

impl Limits {
    #[batched(on_error = "stop")]
    fn check(&self, item: u32, name: &str) -> Result<u32, String> {
        if item <= self.most { Ok(item) } else { Err(format!("{name} {item} is above {}", self.most)) }
    }

    #[batched(on_error = "skip", in_impl)]
    fn positive(item: i32) -> Result<u32, std::num::TryFromIntError> {
        item.try_into()
    }
}

#[test]
fn generic_functions_and_methods() {
    let outcome = generic_batched(0..100u64, &|x: &u64| (x % 10 == 3).then_some(())).collect::<Vec<_>>().unwrap();
    assert_eq!((outcome.value().len(), outcome.failures().len()), (90, 10));
    let error = Limits { most: 7 }.check_batched(0..100, "item").collect::<Vec<_>>().unwrap_err();
    assert_eq!(error.to_string(), "item 8 failed: item 8 is above 7");
    assert_eq!(Limits::positive_batched([-1, 2, -3]).collect::<Vec<_>>().unwrap(), [2]);
}

macro_rules! fallible {
    ($name:ident, $policy:literal, $output:ty, $flag:expr) => {
        #[batched(on_error = $policy, fallible_input = $flag)]
        fn $name(x: u32) -> $output {
            x.checked_sub(1).ok_or_else(|| "zero".into())
        }
    };
}

fallible!(less, "skip", Result<u32, String>, true);

#[test]
fn within_macro_rules() {
    let items: [Result<u32, &str>; 3] = [Ok(0), Err("missing"), Ok(2)];
    let report = less_batched(items).for_each_batch(|batch| assert_eq!(*batch, [1])).unwrap();
    let texts: Vec<_> = report.failures().iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["item 0 failed: zero", "item 1 failed: missing"]);
}

// ---- types ----

struct Kept<'a> {
    run: Batched<Vec<&'a str>, Parsed<u32>, (), Skip>,
}

#[test]
fn the_types_can_be_named() {
    let kept = Kept { run: skipping_batched(TEXTS.to_vec()) };
    let iterator: IntoIter<Vec<&str>, Parsed<u32>, (), Skip> = kept.run.threads(2).into_iter();
    assert_eq!(iterator.collect::<Vec<_>>(), [1, 3, 5]);
    let plain: Batched<Vec<&str>, Parsed<u32>, (), Each> = stopping_batched(vec![]).on_error(Each);
    let mut plain: Batched<Vec<&str>, Parsed<u32>, ()> = plain;
    assert!(plain.collect::<Vec<_>>().unwrap().is_empty());
    let outcome: Outcome<Report, ParseIntError> = collecting_batched(TEXTS).for_each_batch(|_| ()).unwrap();
    assert_eq!((outcome.value().items(), outcome.value().failed(), outcome.is_complete()), (3, 2, false));
    assert!(outcome.value().failures().is_empty());
}

#[test]
fn policies_cost_nothing() {
    fn size<P: Policy<Parsed<u32>>>(policy: P) -> usize {
        size_of_val(&process_in_batches(str::parse::<u32>, ["1"]).on_error(policy))
    }
    assert_eq!(size(Each), size(Stop));
    assert_eq!([size(Skip), size(Collect)], [size(Each); 2]);
    assert!(size_of::<Result<(), TryError<io::Error>>>() <= 128);
}

#[test]
fn what_a_run_gives_can_be_sent_and_shared() {
    fn check<T: Send + Sync>() {}
    check::<Report>();
    check::<Outcome<Report, io::Error>>();
    check::<TryError<io::Error>>();
}

// ---- terminals ----

#[test]
fn everything_before_the_error_is_handed_over() {
    for threads in 1..=4 {
        let mut seen = Vec::new();
        let call = |x: u32| if x == 777 { Err("enough") } else { Ok(x) };
        let mut run = process_in_batches(call, 0..10_000).on_error(Stop).threads(threads).batch_size(100);
        let error = run.for_each_batch(|batch| seen.extend(batch)).unwrap_err();
        assert_eq!(error.to_string(), "item 777 failed: enough");
        assert!(seen.iter().copied().eq(0..777), "{}", seen.len());
    }
}

#[test]
fn the_first_of_the_sinks_and_the_functions_errors_is_given() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Full(usize),
        Item(Option<usize>),
    }
    impl From<TryError<&str>> for Mine {
        fn from(error: TryError<&str>) -> Self {
            Self::Item(error.item())
        }
    }
    let run = |fails_at: usize| {
        let call = move |x: usize| if x == fails_at { Err("no") } else { Ok(x) };
        process_in_batches(call, 0..100).on_error(Stop).batch_size(10)
    };
    let full = |batch: amorsize::Batch<usize>| {
        if batch.contains(&45) { Err(Mine::Full(batch.first_index())) } else { Ok(()) }
    };
    assert_eq!(run(44).try_for_each_batch(full).unwrap_err(), Mine::Item(Some(44)));
    assert_eq!(run(46).try_for_each_batch(full).unwrap_err(), Mine::Full(40));
    assert_eq!(run(80).try_for_each_batch(full).unwrap_err(), Mine::Full(40));
    assert_eq!(run(80).try_for_each_batch(|_| Ok::<_, Mine>(())).unwrap_err(), Mine::Item(Some(80)));
    let error = run(46)
        .on_error(Skip)
        .try_for_each_batch(|batch| if batch.contains(&45) { Err(batch.first_index().to_string()) } else { Ok(()) });
    assert_eq!(error.unwrap_err(), "40");
}

#[test]
fn a_refused_option_is_an_error_of_the_run() {
    let bad = || stopping_batched(TEXTS).threads(0);
    assert!(matches!(bad().collect::<Vec<_>>(), Err(TryError::Run(_))));
    assert!(matches!(bad().for_each_batch(|_| ()), Err(TryError::Run(_))));
    let all: Vec<_> = bad().into_iter().collect();
    assert!(matches!(*all, [Err(TryError::Run(_))]));
    let all: Vec<_> = bad().unordered().collect();
    assert!(matches!(*all, [Err(TryError::Run(_))]));
    assert!(bad().on_error(Skip).collect::<Vec<_>>().unwrap_err().is_invalid_option());
    assert!(bad().on_error(Collect).for_each_batch(|_| ()).unwrap_err().is_invalid_option());
}

#[test]
fn a_report_says_what_failed() {
    let report = process_in_batches(|x: u32| if x.is_multiple_of(2) { Ok(x) } else { Err("odd") }, 0..100)
        .on_error(Skip)
        .batch_size(20)
        .for_each_batch(|_| ())
        .unwrap();
    assert_eq!((report.items(), report.failed(), report.failures().len()), (50, 50, Report::MOST_FAILURES));
    let text = report.to_string();
    assert!(text.contains(" batches, 50 more failed, "), "{text}");
    assert!(text.ends_with("\nitem 31 failed: odd\nand 34 more"), "{text}");
    let clean = process_in_batches(Ok::<u32, String>, 0..100).on_error(Skip).for_each_batch(|_| ()).unwrap();
    assert!(!clean.to_string().contains("failed") && clean.to_string().lines().count() == 3);
}

#[test]
fn results_that_do_not_fit_are_an_error_with_each_policy() {
    let run = || {
        let call = |i: usize| if i.is_multiple_of(2) { Ok(vec![i; 10_000]) } else { Err(String::new()) };
        process_in_batches(call, 0..10_000).max_memory(ByteSize::mib(4))
    };
    assert!(matches!(run().on_error(Stop).collect::<Vec<_>>(), Err(TryError::Item { item: 1, .. })));
    assert!(run().on_error(Skip).collect::<Vec<_>>().unwrap_err().is_over_budget());
    assert!(run().on_error(Collect).collect::<Vec<_>>().unwrap_err().is_over_budget());
    // Batch by batch they do.
    let mut values = 0;
    let report = run().on_error(Skip).for_each_batch(|batch| values += batch.len()).unwrap();
    assert_eq!((values, report.items(), report.failed()), (5_000, 5_000, 5_000));
}

#[test]
fn an_infinite_input_ends_at_the_first_error() {
    let call = |x: u64| if x < 5_000 { Ok(x) } else { Err("far") };
    let run = || process_in_batches(call, 0..).on_error(Stop);
    assert_eq!(run().collect::<Vec<_>>().unwrap_err().item(), Some(5_000));
    assert_eq!(run().into_iter().filter(Result::is_ok).count(), 5_000);
    assert_eq!(run().for_each_batch(|_| ()).unwrap_err().item(), Some(5_000));
    assert!(run().unordered().any(|next| next.is_err()));
}

#[test]
fn a_panic_goes_on_with_each_policy() {
    fn panics<P: Policy<Result<u32, String>>>(
        policy: P,
        end: impl FnOnce(Batched<std::ops::Range<u32>, Result<u32, String>, fn(u32) -> Result<u32, String>, P>),
    ) {
        let call: fn(u32) -> Result<u32, String> = |x| if x == 500 { panic!("too dark") } else { Ok(x) };
        let run = process_in_batches(call, 0..1_000).on_error(policy);
        let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| end(run))).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"too dark"));
    }
    panics(Stop, |mut run| drop(run.collect::<Vec<_>>()));
    panics(Skip, |mut run| drop(run.for_each_batch(|_| ())));
    panics(Collect, |run| run.into_iter().for_each(drop));
}

// ---- inputs that fail ----

#[batched(fallible_input, on_error = "stop")]
fn words(line: String) -> io::Result<usize> {
    if line.is_empty() { Err(io::Error::other("an empty line")) } else { Ok(line.split(' ').count()) }
}

#[test]
fn lines_of_a_file() {
    assert_eq!(words_batched(b"to be\nor\nnot to be"[..].lines()).collect::<Vec<_>>().unwrap(), [2, 1, 3]);
    // The first error counts, be it the input's or the function's.
    let error = words_batched(b"to be\n\xff\n\n"[..].lines()).collect::<Vec<_>>().unwrap_err();
    assert_eq!(error.to_string(), "item 1 failed: stream did not contain valid UTF-8");
    let error = words_batched(b"to be\n\n\xff\n"[..].lines()).collect::<Vec<_>>().unwrap_err();
    assert_eq!(error.to_string(), "item 1 failed: an empty line");
}

/// An error of a function that can also hold the input's.
#[derive(Debug, PartialEq)]
enum Mine {
    Input(&'static str),
    Own(usize),
}

impl From<&'static str> for Mine {
    fn from(text: &'static str) -> Self {
        Self::Input(text)
    }
}

impl fmt::Display for Mine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[test]
fn an_input_may_fail_at_any_place() {
    let calls = AtomicUsize::new(0);
    for at in [0, 500, 999] {
        for threads in 1..=4 {
            let call = |x: usize| {
                calls.fetch_add(1, Ordering::Relaxed);
                assert_ne!(x, at, "an error of the input is not given to the function");
                if x == 700 { Err(Mine::Own(x)) } else { Ok(x) }
            };
            let items = || (0..1_000).map(move |i| if i == at { Err("lost") } else { Ok(i) });
            let run = || process_fallible_in_batches(call, items()).threads(threads);
            let first = if at < 700 { Mine::Input("lost") } else { Mine::Own(700) };
            let error = run().on_error(Stop).collect::<Vec<_>>().unwrap_err();
            assert_eq!((error.item(), error.into_item_error()), (Some(at.min(700)), Some(first)));
            let expected: Vec<usize> = (0..1_000).filter(|&i| i != at && i != 700).collect();
            assert_eq!(run().on_error(Skip).collect::<Vec<_>>().unwrap(), expected);
            let before = calls.load(Ordering::Relaxed);
            let (values, failures) = run().on_error(Collect).collect::<Vec<_>>().unwrap().into_parts();
            assert_eq!(calls.load(Ordering::Relaxed) - before, 999);
            assert_eq!(values, expected);
            let failed: BTreeSet<_> = failures.iter().map(Failure::index).collect();
            assert_eq!(failed, BTreeSet::from([at, 700]));
            let each: Vec<Result<usize, Mine>> = run().collect().unwrap();
            assert_eq!(each[at], Err(Mine::Input("lost")));
        }
    }
}

struct Texts {
    radix: u32,
}

impl Texts {
    #[batched(fallible_input, on_error = "collect")]
    fn parse<'a>(
        &self,
        text: &'a str,
        names: &[&str],
        offset: u32,
    ) -> Result<(&'a str, u32), Box<dyn StdError + Send + Sync>> {
        Ok((text, u32::from_str_radix(text, self.radix)? + offset + names.len() as u32))
    }
}

#[batched(fallible_input)]
fn first_of<T: Clone, E>(items: &[T]) -> Result<T, E>
where
    E: From<&'static str>,
{
    items.first().cloned().ok_or_else(|| E::from("empty"))
}

#[batched(fallible_input, on_error = "skip")]
fn letters(text: &'static str) -> Result<impl Iterator<Item = char> + Send, String> {
    if text.is_empty() { Err("empty".into()) } else { Ok(text.chars()) }
}

#[test]
fn each_kind_of_function_takes_inputs_that_fail() {
    let text = String::from("ff,10,zz");
    let rows = text.split(',').map(|field| if field == "10" { Err("no row") } else { Ok(field) });
    let outcome = Texts { radix: 16 }.parse_batched(rows, &["one"], 2).collect::<Vec<_>>().unwrap();
    assert_eq!(*outcome.value(), [("ff", 258)]);
    let texts: Vec<_> = outcome.failures().iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["item 1 failed: no row", "item 2 failed: invalid digit found in string"]);

    let rows: [Result<&[u8], &str>; 3] = [Ok(&[7, 8]), Ok(&[]), Err("lost")];
    let each: Vec<Result<u8, Mine>> = first_of_batched(rows).collect().unwrap();
    assert_eq!(each, [Ok(7), Err(Mine::Input("empty")), Err(Mine::Input("lost"))]);

    let rows: [Result<&str, &str>; 3] = [Ok("ab"), Ok(""), Err("lost")];
    let all: String = letters_batched(rows).into_iter().flatten().collect();
    assert_eq!(all, "ab");
}

#[test]
fn items_that_can_fail_are_still_counted() {
    #[batched(fallible_input)]
    fn len(text: String) -> Result<String, io::Error> {
        Ok(text)
    }
    let report = len_batched([Ok::<_, io::Error>(String::from("a"))]).for_each_batch(|_| ()).unwrap();
    assert_eq!(report.measured_by(), amorsize::MeasuredBy::DeepSize);
}

// ---- at random ----

static ALIVE: AtomicIsize = AtomicIsize::new(0);

/// Counts itself: each must be dropped exactly once.
#[derive(Debug)]
struct Counted(usize);

impl Counted {
    fn new(index: usize) -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self(index)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

#[derive(Clone, Debug)]
struct Case {
    items: usize,
    fails: BTreeSet<usize>,
    input_fails: BTreeSet<usize>,
    threads: usize,
    batch_size: Option<usize>,
    budget: ByteSize,
    cost: u32,
    in_worker: bool,
    planned: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let places = || prop::collection::btree_set(0usize..600, 0..40);
    let all =
        prop_oneof![3 => places(), 1 => Just((0..600).filter(|i| i % 7 != 0).collect()), 1 => Just((0..600).collect())];
    // Closures are measured by resident memory, which the other tests of this process add to: the
    // larger budget is enough for all of them.
    let budget = prop_oneof![Just(ByteSize::kib(1)), Just(ByteSize::gib(8))];
    let cost = prop_oneof![Just(0u32), Just(20_000)];
    (
        0usize..600,
        all,
        places(),
        1usize..=4,
        prop::option::of(1usize..200),
        (budget, cost, any::<bool>(), any::<bool>()),
    )
        .prop_map(|(items, fails, input_fails, threads, batch_size, (budget, cost, in_worker, planned))| Case {
            items,
            fails,
            input_fails,
            threads,
            batch_size,
            budget,
            cost,
            in_worker,
            planned,
        })
}

type Counting<'a, P> =
    Batched<Box<dyn Iterator<Item = Result<Counted, Counted>> + 'a>, Result<Counted, Counted>, Call, P>;
type Call = Box<dyn Fn(Counted) -> Result<Counted, Counted> + Sync>;

fn run<P: Policy<Result<Counted, Counted>>>(case: &Case, policy: P) -> Counting<'_, P> {
    let (fails, cost) = (case.fails.clone(), case.cost);
    let call: Call = Box::new(move |item: Counted| {
        (0..cost).for_each(|round| _ = std::hint::black_box(round));
        if fails.contains(&item.0) { Err(item) } else { Ok(item) }
    });
    let items: Box<dyn Iterator<Item = _>> = Box::new((0..case.items).map(|i| {
        let item = Counted::new(i);
        if case.input_fails.contains(&i) { Err(item) } else { Ok(item) }
    }));
    let mut run = process_fallible_in_batches(call, items).threads(case.threads).on_error(policy);
    if let Some(batch_size) = case.batch_size {
        run = run.batch_size(batch_size);
    }
    if case.planned {
        run.plan().unwrap();
    }
    run.max_memory(case.budget)
}

fn check(case: &Case) {
    let failing: Vec<usize> =
        (0..case.items).filter(|i| case.fails.contains(i) || case.input_fails.contains(i)).collect();
    let values: Vec<usize> = (0..case.items).filter(|i| !failing.contains(i)).collect();
    let first = failing.first().copied();
    let before: Vec<usize> = (0..first.unwrap_or(case.items)).collect();
    let nothing_lives = || assert_eq!(ALIVE.load(Ordering::Relaxed), 0);
    let fits = case.budget > ByteSize::mib(1);

    // Batches, and the index of each value.
    let mut seen = Vec::new();
    let mut sink = |batch: amorsize::Batch<Counted>| {
        assert!(!batch.is_empty() && case.batch_size.is_none_or(|most| batch.len() <= most));
        assert_eq!(batch.indices().next(), Some(batch.first_index()));
        assert_eq!(batch.indices().len(), batch.len());
        seen.extend(batch.indices().zip(batch).map(|(index, value)| {
            assert_eq!(index, value.0);
            index
        }));
    };
    let outcome = run(case, Stop).for_each_batch(&mut sink);
    assert_eq!(outcome.as_ref().err().and_then(TryError::item), first);
    assert_eq!(outcome.is_ok(), first.is_none());
    drop(outcome);
    nothing_lives();
    let report = run(case, Skip).for_each_batch(&mut sink).unwrap();
    assert_eq!((report.items(), report.failed()), (values.len(), failing.len()));
    assert!(report.failures().iter().map(Failure::index).eq(failing.iter().copied().take(Report::MOST_FAILURES)));
    nothing_lives();
    let (report, failures) = run(case, Collect).for_each_batch(&mut sink).unwrap().into_parts();
    assert_eq!((report.items(), report.failed()), (values.len(), failing.len()));
    assert!(failures.iter().map(Failure::index).eq(failing.iter().copied()));
    assert!(failures.iter().all(|failure| failure.error().unwrap().0 == failure.index()));
    drop(failures);
    nothing_lives();
    assert_eq!(seen, [before.clone(), values.clone(), values.clone()].concat());

    // Collections.
    let indices = |all: &[Counted]| all.iter().map(|value| value.0).collect::<Vec<_>>();
    if fits {
        match run(case, Stop).collect::<Vec<_>>() {
            Ok(all) => assert_eq!((indices(&all), first), (before.clone(), None)),
            Err(error) => assert_eq!(error.item(), first),
        }
        assert_eq!(indices(&run(case, Skip).collect::<Vec<_>>().unwrap()), values);
        let outcome = run(case, Collect).collect::<Vec<_>>().unwrap();
        assert_eq!(indices(outcome.value()), values);
        assert!(outcome.failures().iter().map(Failure::index).eq(failing.iter().copied()));
        drop(outcome);
        nothing_lives();
    }

    // Iterators.
    let mut all: Vec<_> = run(case, Stop).into_iter().collect();
    let last = all.pop_if(|last| last.is_err());
    assert_eq!(last.and_then(|last| last.unwrap_err().item()), first);
    assert!(all.iter().map(|value| value.as_ref().unwrap().0).eq(before));
    drop(all);
    let mut iterator = run(case, Skip).into_iter();
    assert!(iterator.by_ref().map(|value| value.0).eq(values.iter().copied()));
    assert_eq!((iterator.failed(), iterator.failures().len()), (failing.len(), failing.len().min(16)));
    drop(iterator);
    let each = run(case, Collect).into_iter().map(|next| next.map_or_else(|failure| failure.index(), |value| value.0));
    assert!(each.eq(0..case.items));
    nothing_lives();
    let all: BTreeSet<_> = run(case, Skip)
        .unordered()
        .inspect(|(index, value)| assert_eq!(*index, value.0))
        .map(|(index, _)| index)
        .collect();
    assert!(all.into_iter().eq(values.iter().copied()));
    let all: Vec<_> = run(case, Collect).unordered().collect();
    assert_eq!(all.iter().filter(|next| next.is_err()).count(), failing.len());
    assert_eq!(all.len(), case.items);
    drop(all);
    let errors = run(case, Stop).unordered().filter(Result::is_err).count();
    assert_eq!(errors, usize::from(first.is_some()));
    // An iterator that is left half way.
    _ = run(case, Skip).into_iter().take(3).count();
    nothing_lives();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn indices_order_and_counts_are_those_of_a_loop(case in cases()) {
        if case.in_worker {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(case.threads).build().unwrap();
            pool.install(|| check(&case));
        } else {
            check(&case);
        }
    }
}
