//! The largest and the smallest numbers in every option: each gives an error that says so, or a run
//! that works. Nothing overflows, as debug assertions would show.

use std::thread;
use std::time::{Duration, Instant};

use amorsize::on_error::{Skip, Stop};
use amorsize::{ByteSize, OnPanic, Retry, batched, estimate_safe_batch_size, process_in_batches};

const ITEMS: usize = 150;

#[batched]
fn text(x: usize) -> String {
    thread::sleep(Duration::from_micros(100));
    x.to_string()
}

#[batched]
fn length(text: String) -> usize {
    text.len()
}

fn expected() -> Vec<String> {
    (0..ITEMS).map(|x| x.to_string()).collect()
}

type Run = amorsize::Batched<std::ops::Range<usize>, String, ()>;

/// Runs every terminal with the options of `set`, on the calling thread and on others.
fn every_terminal(name: &str, set: impl Fn(Run) -> Run + Sync) {
    for threads in [None, Some(2)] {
        let run = || {
            let run = set(text_batched(0..ITEMS));
            if let Some(threads) = threads { run.threads(threads) } else { run }
        };
        assert_eq!(run().collect::<Vec<_>>().unwrap(), expected(), "{name}");
        assert_eq!(run().into_iter().collect::<Vec<_>>(), expected(), "{name}");
        assert_eq!(run().unordered().count(), ITEMS, "{name}");
        let mut batched = Vec::new();
        let report = run().for_each_batch(|batch| batched.extend(batch)).unwrap();
        assert_eq!((batched, report.items()), (expected(), ITEMS), "{name}");
        assert!(!report.explain().is_empty() && !report.to_svg().is_empty() && !report.to_string().is_empty());
        let mut planned = run();
        let plan = planned.plan().unwrap();
        assert!(!plan.explain().is_empty() && !plan.to_string().is_empty(), "{name}");
        assert_eq!(planned.for_each_batch(drop).unwrap().items(), ITEMS, "{name}");
        let outer = |x: usize| set(text_batched(0..x)).collect::<Vec<_>>().unwrap().len();
        assert_eq!(process_in_batches(outer, [5; 3]).threads(2).collect::<Vec<_>>().unwrap(), [5; 3], "{name}");
        let mut pipeline = run().then(length_batched);
        assert_eq!(pipeline.for_each_batch(drop).unwrap().items(), ITEMS, "{name}");
    }
}

#[test]
fn sizes_of_batches_and_samples_and_items_in_flight() {
    for items in [1, ITEMS, usize::MAX / 2 + 1, usize::MAX] {
        every_terminal(&format!("batch_size({items})"), |run| run.batch_size(items));
        every_terminal(&format!("sample_size({items})"), |run| run.sample_size(items));
        every_terminal(&format!("in_flight({items})"), |run| run.in_flight(items));
        every_terminal(&format!("all({items})"), |run| run.batch_size(items).sample_size(items).in_flight(items));
    }
    // Batches that always close before they are full, and so could grow for ever.
    every_terminal("batch_size(usize::MAX).in_flight(2)", |run| run.batch_size(usize::MAX).in_flight(2));
}

#[test]
fn budgets() {
    for bytes in [u64::MAX, 1 << 63, i64::MAX as u64] {
        every_terminal(&format!("max_memory({bytes})"), |run| run.max_memory(ByteSize::new(bytes)));
    }
    every_terminal("max_memory(1.0)", |run| run.max_memory(1.0));
    // One byte is less than a single result: a collect can't keep any, and each batch has one item.
    for batch_size in [1, usize::MAX] {
        for threads in [1, 2] {
            let one_byte = text_batched(0..ITEMS).max_memory(ByteSize::new(1));
            let next_to_nothing = text_batched(0..ITEMS).max_memory(f64::MIN_POSITIVE);
            for run in [one_byte, next_to_nothing] {
                let mut run = run.batch_size(batch_size).threads(threads);
                let mut before = Vec::new();
                let error = run.collect_into(&mut before).unwrap_err();
                assert!(error.is_over_budget() && before.len() < ITEMS);
                assert_eq!(run.for_each_batch(drop).unwrap().items(), ITEMS - before.len());
            }
        }
    }
    for refused in [0.0, -1.0, 1.5, f64::NAN, f64::INFINITY] {
        assert!(text_batched(0..ITEMS).max_memory(refused).collect::<Vec<_>>().is_err(), "{refused}");
    }
    assert_eq!(estimate_safe_batch_size(ByteSize::new(1), ByteSize::new(u64::MAX)).unwrap(), usize::MAX);
    assert!(estimate_safe_batch_size(ByteSize::new(u64::MAX), ByteSize::new(u64::MAX)).unwrap() >= 1);
    assert!(estimate_safe_batch_size(ByteSize::new(u64::MAX), ByteSize::new(1)).is_ok_and(|items| items <= 1));
}

#[test]
fn times() {
    for timeout in [Duration::MAX, Duration::from_secs(i64::MAX as u64)] {
        every_terminal(&format!("timeout({timeout:?})"), |run| run.timeout(timeout));
    }
    let long_gone = Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or_else(Instant::now);
    assert!(text_batched(0..ITEMS).deadline(long_gone).collect::<Vec<_>>().unwrap_err().is_timed_out());
    assert!(text_batched(0..ITEMS).timeout(Duration::ZERO).collect::<Vec<_>>().unwrap_err().is_timed_out());
}

#[test]
fn retries() {
    let failed = std::sync::Mutex::new(std::collections::HashSet::new());
    // Some calls fail once.
    let call = |x: u32| if x % 50 == 49 && failed.lock().unwrap().insert(x) { Err("busy") } else { Ok(x) };
    for times in [1, u32::MAX - 1, u32::MAX] {
        for backoff in [Duration::ZERO, Duration::from_nanos(1)] {
            let retry = Retry::new(times).backoff(backoff).max_backoff(Duration::MAX);
            failed.lock().unwrap().clear();
            let run = process_in_batches(call, 0..300).retry(retry).threads(2);
            assert_eq!(run.on_error(Stop).collect::<Vec<_>>().unwrap().len(), 300);
        }
    }
    // The longest possible wait ends when the run does.
    let token = amorsize::CancelToken::new();
    let fails = |x: u32| {
        token.cancel();
        Err::<u32, _>(x)
    };
    let retry = Retry::new(u32::MAX).backoff(Duration::MAX).max_backoff(Duration::MAX);
    let run = process_in_batches(fails, 0..300).retry(retry).cancel_token(&token);
    assert!(run.on_error(Skip).collect::<Vec<_>>().unwrap_err().is_cancelled());
}

#[test]
fn no_threads_are_refused() {
    assert!(text_batched(0..ITEMS).threads(0).collect::<Vec<_>>().is_err());
}

/// An input that reports the length that it is given.
struct Hints<I>(I, (usize, Option<usize>));

impl<I: Iterator> Iterator for Hints<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.1
    }
}

#[test]
fn lengths_that_inputs_promise() {
    for hint in [(0, Some(usize::MAX)), (0, None), (usize::MAX, None), (usize::MAX, Some(usize::MAX))] {
        for threads in [1, 2] {
            let run = || text_batched(Hints(0..ITEMS, hint)).threads(threads);
            assert_eq!(run().for_each_batch(drop).unwrap().items(), ITEMS, "{hint:?}");
            assert_eq!(run().into_iter().collect::<Vec<_>>(), expected(), "{hint:?}");
            assert_eq!(run().unordered().count(), ITEMS, "{hint:?}");
            let mut planned = run().progress(|progress| assert!(progress.total() != Some(0))).verbose(true);
            assert!(!planned.plan().unwrap().explain().is_empty());
            assert_eq!(planned.for_each_batch(drop).unwrap().items(), ITEMS, "{hint:?}");
            let mut ends = run()
                .on_panic(OnPanic::Skip)
                .progress(|progress| _ = (progress.fraction(), progress.remaining_seconds()));
            assert_eq!(ends.for_each_batch(drop).unwrap().items(), ITEMS, "{hint:?}");
            // An input that promises more items than there is room for is refused.
            match run().collect::<Vec<_>>() {
                Ok(results) => assert_eq!(results, expected(), "{hint:?}"),
                Err(error) => assert!(error.is_over_budget() && hint.0 == usize::MAX, "{hint:?}: {error}"),
            }
        }
    }
}

#[test]
fn ranges_without_an_end_to_speak_of() {
    for results in [
        process_in_batches(|x: u64| x, 0..=u64::MAX).threads(2).into_iter().take(30_000).collect::<Vec<_>>(),
        process_in_batches(|x: i64| x.abs_diff(i64::MIN), i64::MIN..=i64::MAX)
            .threads(2)
            .into_iter()
            .take(30_000)
            .collect(),
    ] {
        assert!(results.into_iter().eq(0..30_000));
    }
}

#[test]
fn ranges_at_the_ends_of_their_types() {
    let last: Vec<_> = process_in_batches(|x: u64| x, u64::MAX - 999..=u64::MAX).threads(2).collect().unwrap();
    assert!(last.into_iter().eq(u64::MAX - 999..=u64::MAX));
    let all: Vec<_> = process_in_batches(|x: i8| x, i8::MIN..=i8::MAX).threads(2).collect().unwrap();
    assert!(all.into_iter().eq(i8::MIN..=i8::MAX));
    #[expect(clippy::reversed_empty_ranges, reason = "it is what is tested")]
    let backwards = 9i32..-9;
    assert!(process_in_batches(|x| x, backwards).collect::<Vec<_>>().unwrap().is_empty());
}

#[batched]
fn address(item: &()) -> usize {
    std::ptr::from_ref(item).addr()
}

#[test]
fn elements_of_no_size() {
    let items = vec![(); 100_000];
    let results: Vec<_> = address_batched(&items).threads(2).collect().unwrap();
    assert_eq!(results, vec![items.as_ptr().addr(); 100_000]);
}
