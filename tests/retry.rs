//! A call that returns an error is made again: as often as the user asked, with an equal item, and
//! counted. Every value is dropped once.

use std::fmt::Debug;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use amorsize::{ErrorKind, Retry, TryError, batched, process_in_batches};
use proptest::prelude::*;

/// That many further calls, without waiting.
const fn at_once(times: u32) -> Retry {
    Retry::new(times).backoff(Duration::ZERO)
}

/// The number of calls for each item.
struct Calls(Vec<AtomicU32>);

impl Calls {
    fn new(items: usize) -> Self {
        Self((0..items).map(|_| AtomicU32::new(0)).collect())
    }

    /// Counts one more, and returns the number of calls before it.
    fn count(&self, item: usize) -> u32 {
        self.0[item].fetch_add(1, Ordering::Relaxed)
    }

    fn all(&self) -> Vec<u32> {
        self.0.iter().map(|calls| calls.load(Ordering::Relaxed)).collect()
    }
}

#[test]
fn a_call_succeeds_on_the_nth_try_or_gives_its_last_error() {
    for threads in 1..=4 {
        let calls = Calls::new(100);
        // Item 0 succeeds at once, item 1 after one failure, and so on; item 4 would after four.
        let flaky = |item: usize| match calls.count(item) {
            call if call as usize == item % 5 => Ok(item),
            call => Err((item, call)),
        };
        let mut results = Vec::new();
        let mut run = process_in_batches(flaky, 0..100).retry(at_once(3)).threads(threads);
        let report = run.for_each_batch(|batch| results.extend(batch)).unwrap();
        let expected = |item: usize| if item % 5 == 4 { Err((item, 3)) } else { Ok(item) };
        assert_eq!(results, (0..100).map(expected).collect::<Vec<_>>());
        assert_eq!(calls.all(), (0..100).map(|item| [1, 2, 3, 4, 4][item % 5]).collect::<Vec<_>>());
        assert_eq!(report.retries(), 20 * (1 + 2 + 3 + 3));
        assert!(report.to_string().ends_with("\n180 calls were made again after an error"), "{report}");
    }
}

#[test]
fn a_report_without_retries_says_nothing_of_them() {
    let report = process_in_batches(Ok::<u8, ()>, 0..9).retry(1).for_each_batch(|_| ()).unwrap();
    assert_eq!(report.retries(), 0);
    assert!(!report.to_string().contains("again"));
}

#[test]
fn every_terminal_retries() {
    let flaky = |calls: &Calls, item: usize| if calls.count(item) < 2 { Err(item) } else { Ok(item) };
    let results: Vec<Result<usize, usize>> = (0..20).map(Ok).collect();
    let calls = Calls::new(20);
    let run = || {
        calls.0.iter().for_each(|calls| calls.store(0, Ordering::Relaxed));
        process_in_batches(|item| flaky(&calls, item), 0..20).retry(at_once(2))
    };
    assert_eq!(run().collect::<Vec<_>>().unwrap(), results);
    let mut into = Vec::new();
    run().collect_into(&mut into).unwrap();
    assert_eq!(into, results);
    assert_eq!(run().try_collect::<Vec<_>>().unwrap(), (0..20).collect::<Vec<_>>());
    assert_eq!(run().into_iter().collect::<Vec<_>>(), results);
    let mut unordered: Vec<_> = run().unordered().collect();
    unordered.sort_unstable_by_key(|&(index, _)| index);
    assert_eq!(unordered, (0..20).map(|index| (index, Ok(index))).collect::<Vec<_>>());
    let mut planned = run();
    planned.plan().unwrap();
    let report = planned.for_each_batch(|_| ()).unwrap();
    assert_eq!((report.items(), report.retries()), (20, 40), "the sample's retries count");
    let mut seen = Vec::new();
    let count = |batch: amorsize::Batch<_>| {
        seen.push(batch.len());
        Ok::<(), amorsize::Error>(())
    };
    run().try_for_each_batch(count).unwrap();
    assert_eq!(seen.iter().sum::<usize>(), 20);
}

#[test]
fn the_first_error_of_a_try_collect_is_one_that_was_retried() {
    let calls = Calls::new(50);
    let run = process_in_batches(|item: usize| if item == 7 { Err(calls.count(item)) } else { Ok(item) }, 0..50);
    let TryError::Item { item, error, .. } = run.retry(at_once(4)).try_collect::<Vec<_>>().unwrap_err() else {
        panic!()
    };
    assert_eq!((item, error), (7, 4));
}

#[test]
fn zero_is_refused_before_any_call_and_the_last_setting_counts() {
    let called = AtomicBool::new(false);
    let call = |_: u8| {
        called.store(true, Ordering::Relaxed);
        Err::<(), _>(())
    };
    let error = process_in_batches(call, [1]).retry(3).retry(0).collect::<Vec<_>>().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidOption { option: "retry", .. }), "{error}");
    assert!(error.to_string().starts_with("`retry` can't be 0"), "{error}");
    assert!(!called.load(Ordering::Relaxed));
    let report = process_in_batches(call, [1]).retry(0).retry(at_once(2)).for_each_batch(|_| ()).unwrap();
    assert_eq!(report.retries(), 2);
}

#[test]
fn a_sink_that_fails_does_not_wait_for_calls_that_wait() {
    let (begun, told) = (Mutex::new(false), Condvar::new());
    let hour = Duration::from_secs(3600);
    let call = |item: u32| {
        std::thread::sleep(Duration::from_millis(5));
        if item < 4 {
            return Ok(item);
        }
        *begun.lock().unwrap() = true;
        told.notify_all();
        Err("never")
    };
    let run = process_in_batches(call, 0..10).threads(2).batch_size(1);
    // The call after the last one that succeeds begins by itself on the other thread. If the sink's
    // error waited for it, this would take an hour.
    let outcome = run.retry(Retry::new(1).backoff(hour).max_backoff(hour)).try_for_each_batch(|batch| {
        if batch.first_index() < 3 {
            return Ok(());
        }
        let most = Duration::from_secs(600);
        let (_begun, late) = told.wait_timeout_while(begun.lock().unwrap(), most, |begun| !*begun).unwrap();
        assert!(!late.timed_out(), "no call failed");
        Err(io::Error::other("full"))
    });
    assert_eq!(outcome.unwrap_err().to_string(), "full");
}

// ---- clones and drops ----

/// The place where one item panics, if any.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Panic {
    Never,
    InCall(u32),
    InClone(u32),
    InDropOfItem(u32),
    InDropOfError(u32),
}

#[derive(Debug)]
struct Script {
    /// The number of times that each item fails before it succeeds.
    failures: Vec<u32>,
    /// The item with code that panics, and the place.
    panics: (usize, Panic),
    calls: Calls,
    clones: Calls,
    dropped: Calls,
    dropped_errors: Calls,
    alive: AtomicIsize,
}

impl Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.all().fmt(f)
    }
}

struct MyPayload;

impl Script {
    fn new(failures: Vec<u32>, panics: (usize, Panic)) -> Self {
        let counts = || Calls::new(failures.len());
        let (calls, clones, dropped, dropped_errors) = (counts(), counts(), counts(), counts());
        Self { failures, panics, calls, clones, dropped, dropped_errors, alive: AtomicIsize::new(0) }
    }

    fn item(&self, index: usize) -> Item<'_> {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Item { script: self, index, text: index.to_string() }
    }

    fn value(&self, index: usize, failed: bool) -> Value<'_> {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Value { script: self, index, failed }
    }

    fn panic_if(&self, index: usize, panic: Panic) {
        if self.panics == (index, panic) {
            panic_any(MyPayload);
        }
    }

    fn call(&self, item: &Item<'_>) -> Result<Value<'_>, Value<'_>> {
        assert_eq!(item.text, item.index.to_string(), "each try gets an equal item");
        let call = self.calls.count(item.index);
        self.panic_if(item.index, Panic::InCall(call));
        let failed = call < self.failures[item.index];
        let value = self.value(item.index, failed);
        if failed { Err(value) } else { Ok(value) }
    }
}

struct Item<'a> {
    script: &'a Script,
    index: usize,
    text: String,
}

impl Clone for Item<'_> {
    fn clone(&self) -> Self {
        let clone = self.script.clones.count(self.index);
        self.script.panic_if(self.index, Panic::InClone(clone));
        assert_eq!(self.text, self.index.to_string());
        self.script.item(self.index)
    }
}

impl Drop for Item<'_> {
    fn drop(&mut self) {
        self.script.alive.fetch_sub(1, Ordering::Relaxed);
        let dropped = self.script.dropped.count(self.index);
        if !std::thread::panicking() {
            self.script.panic_if(self.index, Panic::InDropOfItem(dropped));
        }
    }
}

struct Value<'a> {
    script: &'a Script,
    index: usize,
    failed: bool,
}

impl Drop for Value<'_> {
    fn drop(&mut self) {
        self.script.alive.fetch_sub(1, Ordering::Relaxed);
        if self.failed {
            let dropped = self.script.dropped_errors.count(self.index);
            if !std::thread::panicking() {
                self.script.panic_if(self.index, Panic::InDropOfError(dropped));
            }
        }
    }
}

#[test]
fn a_clone_is_made_for_each_call_that_may_be_followed_by_another() {
    let script = Script::new(vec![0, 1, 2, 3, 9], (0, Panic::Never));
    let items = || (0..5).map(|index| script.item(index));
    process_in_batches(|item: Item<'_>| script.call(&item), items()).retry(at_once(3)).for_each_batch(|_| ()).unwrap();
    assert_eq!(script.calls.all(), [1, 2, 3, 4, 4]);
    assert_eq!(script.clones.all(), [1, 2, 3, 3, 3]);
    // Without `retry` nothing is cloned.
    process_in_batches(|item: Item<'_>| script.call(&item), items()).for_each_batch(|_| ()).unwrap();
    assert_eq!(script.clones.all(), [1, 2, 3, 3, 3]);
    // Nor are borrowed items.
    let owned: Vec<_> = items().collect();
    process_in_batches(|item: &Item<'_>| script.call(item), &owned).retry(1).for_each_batch(|_| ()).unwrap();
    assert_eq!(script.clones.all(), [1, 2, 3, 3, 3]);
    drop(owned);
    assert_eq!(script.alive.load(Ordering::Relaxed), 0);
}

fn panics() -> impl Strategy<Value = Panic> {
    prop_oneof![
        2 => Just(Panic::Never),
        2 => (0..4u32).prop_map(Panic::InCall),
        2 => (0..3u32).prop_map(Panic::InClone),
        3 => (0..6u32).prop_map(Panic::InDropOfItem),
        2 => (0..3u32).prop_map(Panic::InDropOfError),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_value_is_dropped_once(
        failures in prop::collection::vec(0..6u32, 1..60),
        at: prop::sample::Index,
        panic in panics(),
        (times, threads) in (1..4u32, 1..=4usize),
        (batch_size, micros) in (1..20usize, prop::sample::select(vec![0u64, 20, 200])),
    ) {
        let items = failures.len();
        let script = Script::new(failures, (at.index(items), panic));
        let mut seen = Vec::new();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let call = |item: Item<'_>| {
                std::thread::sleep(Duration::from_micros(micros));
                let result = script.call(&item);
                // rustc leaks what a function returns when one of its parameters panics in `Drop`.
                drop(item);
                result
            };
            let run = process_in_batches(call, (0..items).map(|index| script.item(index)));
            let mut run = run.retry(at_once(times)).threads(threads).batch_size(batch_size);
            run.for_each_batch(|batch| for result in batch {
                let failed = result.is_err();
                let value = result.unwrap_or_else(|error| error);
                assert_eq!(value.failed, failed);
                seen.push((value.index, failed));
                // A panic here would be the sink's.
                if failed && script.panics == (value.index, Panic::InDropOfError(times)) {
                    script.dropped_errors.count(value.index);
                }
            })
        }));
        let alive = script.alive.load(Ordering::Relaxed);
        prop_assert_eq!(alive, 0, "what is alive after all");
        let expected: Vec<_> = script.failures.iter().map(|&failures| failures > times).enumerate().collect();
        match outcome {
            Ok(report) => {
                prop_assert_eq!(seen, expected);
                let again: u32 = script.failures.iter().map(|&failures| failures.min(times)).sum();
                prop_assert_eq!(report.unwrap().retries(), again as usize);
                let calls: Vec<_> = script.failures.iter().map(|&failures| failures.min(times) + 1).collect();
                prop_assert_eq!(script.calls.all(), calls);
            }
            Err(payload) => {
                prop_assert!(payload.is::<MyPayload>());
                prop_assert_eq!(&seen[..], &expected[..seen.len()]);
                prop_assert_eq!(seen.len(), script.panics.0);
            }
        }
    }
}

// ---- the attribute ----

type Parsed<T> = Result<T, std::num::ParseIntError>;

const TRIES: u32 = 2;
const PATIENT: Retry = Retry::new(2).backoff(Duration::ZERO).max_backoff(Duration::ZERO);

#[batched(retry = 2)]
fn owned(text: String, calls: &AtomicUsize) -> Parsed<u32> {
    calls.fetch_add(1, Ordering::Relaxed);
    text.parse()
}

#[batched(retry = TRIES)]
fn borrowed<'a>(text: &'a str, calls: &AtomicUsize) -> io::Result<&'a str> {
    if calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { Err(io::Error::other("odd")) } else { Ok(text) }
}

#[batched(retry = PATIENT, threads = 2, batch_size = 3)]
fn patient(item: [u8; 3], calls: &AtomicUsize) -> Result<u8, ()> {
    if calls.fetch_add(1, Ordering::Relaxed) % 3 == 2 { Ok(item[0]) } else { Err(()) }
}

#[batched(retry = Retry::new(1).backoff(Duration::from_micros(1)))]
fn generic<T: Debug, E>(item: Option<T>, error: fn() -> E) -> Result<String, E> {
    item.map(|item| format!("{item:?}")).ok_or_else(error)
}

#[batched(retry = 1)]
fn anything(item: impl ToString, calls: &AtomicUsize) -> Result<String, ()> {
    if calls.fetch_add(1, Ordering::Relaxed) == 0 { Err(()) } else { Ok(item.to_string()) }
}

struct Server<const N: u32> {
    calls: AtomicU32,
}

impl<const N: u32> Server<N> {
    #[batched(retry = N)]
    fn ask(&self, question: &str) -> Result<usize, u32> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if call < N { Err(call) } else { Ok(question.len()) }
    }

    #[batched(retry = 1, in_impl)]
    fn echo(question: &str) -> Result<&str, ()> {
        Ok(question)
    }
}

#[test]
fn the_attribute_retries() {
    let calls = AtomicUsize::new(0);
    let numbers = owned_batched(["1", "two", "3"].map(String::from), &calls).collect::<Vec<_>>().unwrap();
    assert!(numbers[1].is_err());
    assert_eq!((numbers[2].clone(), calls.swap(0, Ordering::Relaxed)), (Ok(3), 5));
    // The run can replace the values of the attribute.
    let report = owned_batched(["one".into()], &calls).retry(at_once(5)).for_each_batch(|_| ()).unwrap();
    assert_eq!((report.retries(), calls.swap(0, Ordering::Relaxed)), (5, 6));

    let text = String::from("a b c");
    let words = borrowed_batched(text.split(' '), &calls).try_collect::<Vec<_>>().unwrap();
    assert_eq!((words, calls.swap(0, Ordering::Relaxed)), (vec!["a", "b", "c"], 6));

    let report = patient_batched([[7; 3]], &calls).for_each_batch(|batch| assert_eq!(*batch, [Ok(7)])).unwrap();
    assert_eq!((report.retries(), calls.swap(0, Ordering::Relaxed)), (2, 3));

    let texts = generic_batched([Some(1), None], || "none").collect::<Vec<_>>().unwrap();
    assert_eq!(texts, [Ok("1".into()), Err("none")]);
    assert_eq!(anything_batched([1.5], &calls).try_collect::<Vec<_>>().unwrap(), ["1.5"]);
}

#[test]
fn methods_retry() {
    let server = Server::<2> { calls: AtomicU32::new(0) };
    assert_eq!(server.ask_batched(["why?", "how?!"]).try_collect::<Vec<_>>().unwrap(), [4, 5]);
    let server = Server::<2> { calls: AtomicU32::new(0) };
    let error = server.ask_batched(["why?"]).retry(at_once(1)).try_collect::<Vec<_>>().unwrap_err();
    assert!(matches!(error, TryError::Item { item: 0, error: 1, .. }));
    assert_eq!(Server::<2>::echo_batched(["a"]).try_collect::<Vec<_>>().unwrap(), ["a"]);
}
