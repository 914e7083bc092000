//! `in_flight`: at no moment are more items than this between the input and the sink, on every way
//! through a run. The run ends, with all results in order.

#[path = "common/caught.rs"]
mod caught;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Batched, DeepSize, Failure, OnPanic, batched, process_in_batches};
use caught::caught;
use proptest::prelude::*;

/// Counts the items in flight: taken from the input, and not yet handed over.
#[derive(Debug, Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Gauge {
    fn take(&self, index: usize) -> Token<'_> {
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        Token { gauge: self, index }
    }

    fn now(&self) -> usize {
        self.now.load(SeqCst)
    }

    /// The largest count since the last call of this.
    fn most(&self) -> usize {
        self.most.swap(self.now(), SeqCst)
    }
}

/// An item, and later its result: in flight until it is dropped.
#[derive(Debug)]
struct Token<'a> {
    gauge: &'a Gauge,
    index: usize,
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        self.gauge.now.fetch_sub(1, SeqCst);
    }
}

impl DeepSize for Token<'_> {
    fn heap_size(&self) -> usize {
        0
    }
}

/// The settings of a case.
#[derive(Clone, Debug)]
struct Case {
    in_flight: usize,
    items: usize,
    /// True if the input tells its length only as it ends.
    unknown_length: bool,
    threads: Option<usize>,
    batch_size: Option<usize>,
    sample_size: Option<usize>,
    planned: bool,
    /// Rounds of work per item: from nothing to some hundred microseconds.
    cost: u32,
    /// One in this many items panics, or fails; 0 stands for none.
    panics_every: usize,
    fails_every: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let in_flight = prop_oneof![1usize..=4, 5usize..=20, 21usize..=300];
    let items = prop_oneof![0usize..20, 20usize..400, Just(3_000)];
    let size = || prop::option::of(prop_oneof![1usize..10, 10usize..500]);
    let every = || prop_oneof![Just(0usize), 1usize..4, 4usize..50];
    (
        (in_flight, items, any::<bool>(), prop::option::of(1usize..=4), size(), size()),
        (any::<bool>(), prop_oneof![Just(0), 0u32..300, Just(10_000)], every(), every()),
    )
        .prop_map(|((in_flight, items, unknown_length, threads, batch_size, sample_size), rest)| {
            let (planned, cost, panics_every, fails_every) = rest;
            // Expensive items come in small numbers, so that a case takes milliseconds.
            let items = if cost > 1_000 { items.min(60) } else { items };
            Case {
                in_flight,
                items,
                unknown_length,
                threads,
                batch_size,
                sample_size,
                planned,
                cost,
                panics_every,
                fails_every,
            }
        })
}

fn is_one_of(index: usize, every: usize) -> bool {
    every > 0 && index % every == every - 1
}

impl Case {
    fn input<'a>(&self, gauge: &'a Gauge) -> Box<dyn Iterator<Item = Token<'a>> + 'a> {
        let tokens = (0..self.items).map(|index| gauge.take(index));
        if self.unknown_length { Box::new(tokens.filter(|_| true)) } else { Box::new(tokens) }
    }

    fn call(&self, token: &Token<'_>) {
        let mut state = token.index;
        for _ in 0..self.cost {
            state = std::hint::black_box(state.wrapping_mul(31) ^ (state >> 7));
        }
        if is_one_of(token.index, self.panics_every) {
            // Panics without a message on stderr.
            resume_unwind(Box::new("no result"));
        }
    }

    /// Gives a run the settings of the case.
    fn set<I: IntoIterator, R, C, P>(&self, run: Batched<I, R, C, P>) -> Batched<I, R, C, P> {
        let mut run = run.in_flight(self.in_flight).on_panic(OnPanic::Skip);
        if let Some(threads) = self.threads {
            run = run.threads(threads);
        }
        if let Some(batch_size) = self.batch_size {
            run = run.batch_size(batch_size);
        }
        if let Some(sample_size) = self.sample_size {
            run = run.sample_size(sample_size);
        }
        if self.planned {
            assert!(run.plan().unwrap().threads() <= self.in_flight);
        }
        run
    }

    /// Indices of the items that have a result.
    fn expected(&self, may_fail: bool) -> Vec<usize> {
        let fails = |index| may_fail && is_one_of(index, self.fails_every);
        (0..self.items).filter(|&index| !is_one_of(index, self.panics_every) && !fails(index)).collect()
    }

    /// Indices of the items that fail.
    fn failing(&self) -> Vec<usize> {
        let fails = |&index: &usize| is_one_of(index, self.fails_every) && !is_one_of(index, self.panics_every);
        (0..self.items).filter(fails).collect()
    }
}

#[batched]
fn pass<'a>(token: Token<'a>, case: &Case) -> Token<'a> {
    case.call(&token);
    token
}

/// The token ends with the call, since results that a collection keeps are not in flight.
#[batched]
fn index_of(token: Token<'_>, case: &Case) -> usize {
    case.call(&token);
    token.index
}

#[batched]
fn try_pass<'a>(token: Token<'a>, case: &Case) -> Result<Token<'a>, usize> {
    case.call(&token);
    if is_one_of(token.index, case.fails_every) { Err(token.index) } else { Ok(token) }
}

#[batched]
fn try_index_of(token: Token<'_>, case: &Case) -> Result<usize, usize> {
    case.call(&token);
    if is_one_of(token.index, case.fails_every) { Err(token.index) } else { Ok(token.index) }
}

/// Checks that the bound was kept, and that nothing is in flight now.
fn check_gauge(case: &Case, gauge: &Gauge, terminal: &str) -> Result<(), TestCaseError> {
    let (most, now) = (gauge.most(), gauge.now());
    prop_assert!(most <= case.in_flight && now == 0, "{}: {} in flight, {} at the end", terminal, most, now);
    Ok(())
}

fn indices<'t, 'a: 't>(tokens: impl IntoIterator<Item = &'t Token<'a>>) -> impl Iterator<Item = usize> {
    tokens.into_iter().map(|token| token.index)
}

fn check_all(case: &Case) -> Result<(), TestCaseError> {
    let gauge = &Gauge::default();
    let expected = case.expected(false);
    let run = || case.set(pass_batched(case.input(gauge), case));

    let most_in_batch = case.batch_size.unwrap_or(usize::MAX).min(case.in_flight);
    let mut taken = Vec::new();
    let report = run().for_each_batch(|batch| {
        assert!((1..=most_in_batch).contains(&batch.len()), "{} in a batch", batch.len());
        taken.extend(indices(&batch));
    });
    prop_assert_eq!(report.unwrap().items(), expected.len());
    prop_assert_eq!(&taken, &expected);
    check_gauge(case, gauge, "for_each_batch")?;

    let taken: Vec<_> = run().into_iter().map(|token| token.index).collect();
    prop_assert_eq!(&taken, &expected);
    check_gauge(case, gauge, "into_iter")?;

    let mut taken: Vec<_> = run().unordered().map(|(index, token)| (index, token.index)).collect();
    taken.sort_unstable();
    prop_assert!(taken.into_iter().eq(expected.iter().map(|&index| (index, index))));
    check_gauge(case, gauge, "unordered")?;

    let half = expected.len() / 2;
    let taken: Vec<_> = run().into_iter().take(half).map(|token| token.index).collect();
    prop_assert_eq!(&taken, &expected[..half]);
    check_gauge(case, gauge, "into_iter, dropped early")?;

    let taken: Vec<_> = case.set(index_of_batched(case.input(gauge), case)).collect().unwrap();
    prop_assert_eq!(&taken, &expected);
    check_gauge(case, gauge, "collect")?;

    let mut taken = Vec::new();
    let run = pass_batched(case.input(gauge), case).then(|tokens| pass_batched(tokens, case));
    case.set(run).for_each_batch(|batch| taken.extend(indices(&batch))).unwrap();
    prop_assert_eq!(&taken, &expected);
    check_gauge(case, gauge, "then")
}

fn check_policies(case: &Case) -> Result<(), TestCaseError> {
    let gauge = &Gauge::default();
    let (expected, failing) = (case.expected(true), case.failing());
    let run = || case.set(try_pass_batched(case.input(gauge), case));

    let mut taken = Vec::new();
    let report = run().on_error(Skip).for_each_batch(|batch| taken.extend(indices(&batch))).unwrap();
    prop_assert_eq!(report.failed(), failing.len());
    prop_assert_eq!(&taken, &expected);
    check_gauge(case, gauge, "skip")?;

    let taken: Vec<_> = run().on_error(Skip).into_iter().map(|token| token.index).collect();
    prop_assert_eq!(&taken, &expected);
    check_gauge(case, gauge, "skip, into_iter")?;

    let mut taken = Vec::new();
    let outcome = run().on_error(Collect).for_each_batch(|batch| taken.extend(indices(&batch))).unwrap();
    prop_assert!(outcome.failures().iter().map(Failure::index).eq(failing.iter().copied()));
    prop_assert_eq!(&taken, &expected);
    check_gauge(case, gauge, "collect failures")?;

    let first = failing.first().copied();
    let before = expected.iter().copied().filter(|&index| first.is_none_or(|first| index < first));
    let mut taken = Vec::new();
    let outcome = run().on_error(Stop).for_each_batch(|batch| taken.extend(indices(&batch)));
    prop_assert_eq!(outcome.err().and_then(|error| error.item()), first);
    prop_assert!(taken.into_iter().eq(before.clone()));
    check_gauge(case, gauge, "stop")?;

    let fallible = case.set(try_index_of_batched(case.input(gauge), case));
    let (taken, failures) = fallible.on_error(Collect).collect::<Vec<_>>().unwrap().into_parts();
    prop_assert_eq!((&taken, failures.len()), (&expected, failing.len()));
    check_gauge(case, gauge, "collect failures and values")?;

    // The rest of a run that stopped goes on within the same bound.
    let mut stopping = case.set(try_index_of_batched(case.input(gauge), case)).on_error(Stop);
    let (mut taken, mut failed) = (Vec::new(), Vec::new());
    while let Err(error) = stopping.collect_into(&mut taken) {
        failed.extend(error.item());
    }
    drop(stopping);
    prop_assert_eq!((&taken, &failed), (&expected, &failing));
    check_gauge(case, gauge, "collect_into")?;

    // So does the rest of a run with calls that panicked. It has no plan before, since a plan's
    // sample would go on without the items that panic.
    let unplanned = Case { planned: false, ..case.clone() };
    let run = unplanned.set(try_pass_batched(case.input(gauge), case)).on_error(Skip);
    let mut panicking = run.on_panic(OnPanic::Propagate);
    let mut taken = Vec::new();
    while caught(|| panicking.for_each_batch(|batch| taken.extend(indices(&batch))).unwrap()).is_err() {}
    drop(panicking);
    prop_assert_eq!(&taken, &expected);
    check_gauge(case, gauge, "for_each_batch after panics")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn no_more_than_that_in_the_global_pool(case in cases()) {
        check_all(&case)?;
    }

    #[test]
    fn no_more_than_that_whatever_becomes_of_errors(case in cases()) {
        check_policies(&case)?;
    }

    #[test]
    fn no_more_than_that_in_a_pool_of_the_callers(case in cases(), threads in 1usize..=4) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| check_all(&case))?;
    }

    #[test]
    fn no_more_than_that_inside_a_worker_that_others_wait_for(case in cases(), threads in 1usize..=4) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (left, right) = pool.install(|| rayon::join(|| check_all(&case), || check_policies(&case)));
        left?;
        right?;
    }
}

/// A run with this bound on these threads, in which nothing fails.
fn plain(in_flight: usize, threads: usize, items: usize) -> Case {
    Case {
        in_flight,
        items,
        unknown_length: false,
        threads: Some(threads),
        batch_size: None,
        sample_size: None,
        planned: false,
        cost: 2_000,
        panics_every: 0,
        fails_every: 0,
    }
}

#[test]
fn a_batch_counts_until_its_sink_returns() {
    let gauge = &Gauge::default();
    for (in_flight, batch_size, threads) in [(1, None, 4), (4, None, 4), (8, Some(8), 2), (8, Some(100), 2)] {
        let case = Case { batch_size, ..plain(in_flight, threads, 2_000) };
        let mut items = 0;
        let report = case.set(pass_batched(case.input(gauge), &case)).for_each_batch(|batch| {
            // The sink keeps these until the end of its call.
            let tokens = batch.into_vec();
            std::thread::sleep(Duration::from_micros(10));
            items += tokens.len();
            assert!((tokens.len()..=in_flight).contains(&gauge.now()));
        });
        assert_eq!((items, report.unwrap().items()), (2_000, 2_000));
        assert!(gauge.most() <= in_flight);
    }
}

#[test]
fn a_plan_samples_no_more_than_that() {
    let gauge = &Gauge::default();
    for in_flight in 1..=7 {
        let case = Case { planned: true, sample_size: Some(6), ..plain(in_flight, 4, 100) };
        let mut run = case.set(pass_batched(case.input(gauge), &case));
        assert_eq!((gauge.now(), gauge.most()), (in_flight.min(6), in_flight.min(6)));
        let text = run.plan().unwrap().explain();
        let bound = if in_flight == 1 { "at most 1 item in flight" } else { "items in flight, as asked for" };
        assert!(text.contains(bound), "{text}");
        // A new bound applies to the items that are taken from then on.
        let taken: Vec<_> = run.in_flight(2).into_iter().map(|token| token.index).collect();
        assert!(taken.into_iter().eq(0..100));
        assert!(gauge.most() <= in_flight.max(2));
    }
}

#[test]
fn as_many_calls_run_at_a_time_as_it_allows() {
    for (in_flight, threads, at_once) in [(4, 4, 4), (3, 4, 3), (40, 4, 4)] {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let begun = Instant::now();
        // From item 50 on a call waits until `at_once` calls run. Ten minutes pass only if that
        // never happens.
        let call = |item: usize| {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            std::thread::sleep(Duration::from_micros(300));
            while item >= 50 && most.load(SeqCst) < at_once && begun.elapsed() < Duration::from_secs(600) {
                std::thread::yield_now();
            }
            now.fetch_sub(1, SeqCst);
        };
        process_in_batches(call, 0..200).in_flight(in_flight).threads(threads).for_each_batch(|_| ()).unwrap();
        assert_eq!(most.into_inner(), at_once, "{in_flight} in flight on {threads} threads");
    }
}

#[test]
fn a_pipeline_has_the_least_of_its_stages() {
    let gauge = &Gauge::default();
    let case = plain(usize::MAX, 4, 1_000);
    for (first, next) in [(Some(3), Some(5)), (Some(5), Some(3)), (None, Some(3)), (Some(3), None)] {
        let bound = |run: Batched<_, _, _>, items: Option<usize>| match items {
            Some(items) => run.in_flight(items),
            None => run,
        };
        let run = bound(pass_batched(case.input(gauge), &case), first);
        let run = run.then(|tokens| match next {
            Some(items) => pass_batched(tokens, &case).in_flight(items),
            None => pass_batched(tokens, &case),
        });
        assert_eq!(run.threads(4).for_each_batch(|_| ()).unwrap().items(), 1_000);
        assert!(gauge.most() <= 3);
    }
}

/// Set in a process that runs a test with few descriptors.
#[cfg(target_os = "linux")]
const FEW_FILES: &str = "AMORSIZE_TEST_FEW_FILES";

/// Each item of the input has a descriptor.
#[cfg(target_os = "linux")]
#[test]
fn twenty_thousand_open_files_are_items_where_a_process_may_have_256() {
    use std::fs::File;
    use std::io::{self, Read};
    use std::process::Command;

    const FILES: usize = 20_000;
    if std::env::var_os(FEW_FILES).is_none() {
        if !Command::new("prlimit").arg("--version").output().is_ok_and(|output| output.status.success()) {
            println!("skipped, there is no prlimit");
            return;
        }
        let mut command = Command::new("prlimit");
        command.arg("--nofile=256").arg(std::env::current_exe().unwrap());
        command.args(["twenty_thousand_open_files_are_items_where_a_process_may_have_256", "--exact", "--nocapture"]);
        let output = command.env(FEW_FILES, "1").output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && out.contains("1 passed"), "{}\n{out}\n{err}", output.status);
        return;
    }
    let files = || (0..FILES).map(|_| File::open("/proc/self/limits"));
    let read = |file: io::Result<File>| -> io::Result<usize> {
        let mut first = [0; 5];
        file?.read_exact(&mut first)?;
        Ok(usize::from(first == *b"Limit"))
    };
    let counted = |results: Vec<io::Result<usize>>| results.into_iter().map(|result| result.unwrap()).sum::<usize>();
    let run = || process_in_batches(read, files()).in_flight(64);
    assert_eq!(counted(run().collect().unwrap()), FILES);
    assert_eq!(counted(run().threads(4).into_iter().collect()), FILES);

    // Here the results still have the descriptors.
    let keep = |file: io::Result<File>| file.unwrap();
    let mut kept = 0;
    let mut run = process_in_batches(keep, files()).in_flight(64).threads(4);
    run.for_each_batch(|batch| kept += batch.iter().filter(|file| file.metadata().is_ok()).count()).unwrap();
    assert_eq!(kept, FILES);
    // A bound above the number of descriptors shows that there are no more.
    let failed = process_in_batches(|file: io::Result<File>| file, files()).in_flight(1_000).threads(4);
    assert!(failed.into_iter().any(|file| file.is_err()));
}
