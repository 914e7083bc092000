//! A panic in any code of the user's, not only in the function: no result has a wrong index, none
//! is missing, nothing hangs, and the payload reaches the caller. The table is in
//! `amorsize/src/error/failure.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use amorsize::on_error::Skip;
use amorsize::{ByteSize, CancelToken, DeepSize, MemorySource, batched, process_in_batches, with_memory_source};
use proptest::prelude::*;

#[derive(Debug, PartialEq)]
struct MyPayload(u64);

fn payload_of<T>(outcome: std::thread::Result<T>) -> MyPayload {
    let payload = outcome.err().expect("it panics");
    *payload.downcast().expect("the user's own payload")
}

/// A value that can't be measured if `bad` is its number.
#[derive(Debug, PartialEq)]
struct Measured {
    number: u64,
    bad: u64,
}

/// The heap bytes of each value that can be measured.
const HEAP: usize = 64;

impl DeepSize for Measured {
    fn heap_size(&self) -> usize {
        if self.number == self.bad {
            panic_any(MyPayload(self.number));
        }
        HEAP
    }
}

#[batched]
fn measured(number: u64, bad: u64, rounds: u32) -> Measured {
    let mut state = number;
    for _ in 0..rounds {
        state = std::hint::black_box(state.wrapping_mul(31) ^ (state >> 7));
    }
    std::hint::black_box(state);
    Measured { number, bad }
}

/// An item that can't be measured if `bad` is its number.
struct Item(Measured);

impl DeepSize for Item {
    fn heap_size(&self) -> usize {
        self.0.heap_size()
    }
}

#[batched]
fn number_of(item: Item) -> u64 {
    item.0.number
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn a_result_that_cant_be_measured_stays_under_its_index(
        (items, bad) in (1..3_000u64).prop_flat_map(|items| (Just(items), 0..items)),
        threads in prop::option::of(1..=3usize),
        rounds in prop::sample::select(vec![0u32, 200, 2_000]),
        batch_size in prop::option::of(1..500usize),
        collects in any::<bool>(),
    ) {
        let run = || {
            let mut run = measured_batched(0..items, bad, rounds).on_panic(amorsize::OnPanic::Skip);
            if let Some(threads) = threads { run = run.threads(threads); }
            if let Some(items) = batch_size { run = run.batch_size(items); }
            run
        };
        let results = if collects {
            run().collect::<Vec<_>>().unwrap()
        } else {
            let mut results = Vec::new();
            let report = run().for_each_batch(|batch| {
                assert_eq!(batch.first_index(), results.len());
                results.extend(batch);
            }).unwrap();
            prop_assert_eq!((report.items() as u64, report.panicked()), (items, 0));
            // It counts as much as the largest result before it, unless threads began with it
            // before there was one.
            let unmeasured = items * (HEAP + size_of::<Measured>()) as u64 - report.result_bytes().as_u64();
            let has_one_before = bad > 0 && threads.is_none_or(|threads| threads == 1);
            prop_assert!(unmeasured == 0 || unmeasured == HEAP as u64 && !has_one_before, "{} B", unmeasured);
            results
        };
        prop_assert!(results.iter().map(|result| result.number).eq(0..items));

        // If panics go on to the caller, finished results come first, and that result is among
        // them.
        let mut seen = 0;
        let mut run = measured_batched(0..items, bad, rounds).threads(threads.unwrap_or(2));
        let outcome = catch_unwind(AssertUnwindSafe(|| run.for_each_batch(|batch| {
            assert!(batch.iter().map(|result| result.number).eq(seen..seen + batch.len() as u64));
            seen += batch.len() as u64;
        })));
        prop_assert_eq!(payload_of(outcome), MyPayload(bad));
        prop_assert!(seen > bad);
    }

    #[test]
    fn an_item_that_cant_be_measured_is_run(
        (items, bad) in (1..2_000u64).prop_flat_map(|items| (Just(items), 0..items)),
        threads in 1..=3usize,
    ) {
        let input = || (0..items).map(move |number| Item(Measured { number, bad }));
        let outcome = catch_unwind(|| number_of_batched(input()).threads(threads).collect::<Vec<_>>());
        // A run that never uses threads does not measure its items.
        prop_assert!(outcome.is_err() || outcome.unwrap().unwrap().into_iter().eq(0..items));
        // The caller of `plan` can go on.
        let mut run = number_of_batched(input()).threads(threads);
        while catch_unwind(AssertUnwindSafe(|| run.plan().map(|_| ()))).is_err() {}
        let (mut seen, mut results) = (0, run.into_iter());
        while let Ok(Some(number)) = catch_unwind(AssertUnwindSafe(|| results.next())) {
            prop_assert_eq!(number, seen);
            seen += 1;
        }
    }
}

#[test]
fn claims_that_no_memory_has_are_an_error_at_most() {
    #[derive(Debug)]
    struct Huge;

    impl DeepSize for Huge {
        fn heap_size(&self) -> usize {
            usize::MAX
        }
    }

    #[batched(max_memory = "16MiB")]
    fn huge(_item: u64) -> Huge {
        Huge
    }

    #[derive(Debug, DeepSize)]
    struct Several(Vec<Huge>, (Huge, BTreeMap<u8, Huge>), Box<Huge>);

    #[batched(max_memory = "16MiB")]
    fn several(_item: u64) -> Several {
        let huge = || vec![Huge, Huge];
        Several(huge(), (Huge, (0..).zip(huge()).collect()), Box::new(Huge))
    }

    for threads in [1, 2] {
        assert!(several_batched(0..500).threads(threads).collect::<Vec<_>>().unwrap_err().is_over_budget());
        let mut seen = 0;
        let report = huge_batched(0..500).threads(threads).for_each_batch(|batch| seen += batch.len()).unwrap();
        assert_eq!((report.items(), seen), (500, 500));
        assert!(huge_batched(0..500).threads(threads).collect::<Vec<_>>().unwrap_err().is_over_budget());
    }
}

#[test]
fn of_panics_that_are_skipped_sixteen_are_kept() {
    struct Alive(Arc<AtomicUsize>);

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Relaxed);
        }
    }

    for threads in [1, 2] {
        let alive = Arc::new(AtomicUsize::new(0));
        let call = |item: u64| {
            if item % 2 == 1 {
                alive.fetch_add(1, Relaxed);
                std::panic::resume_unwind(Box::new(Alive(Arc::clone(&alive))));
            }
            item
        };
        let mut seen = 0;
        let mut run = process_in_batches(call, 0..20_000).threads(threads).on_panic(amorsize::OnPanic::Skip);
        let report = run.for_each_batch(|batch| seen += batch.len()).unwrap();
        assert_eq!((seen, report.items(), report.panicked(), report.panics().len()), (10_000, 10_000, 10_000, 16));
        let indices: Vec<_> = report.panics().iter().map(amorsize::Failure::index).collect();
        assert_eq!(indices, (0..16).map(|index| 2 * index + 1).collect::<Vec<_>>());
        assert_eq!(alive.load(Relaxed), 16);
        drop(report);
        assert_eq!(alive.load(Relaxed), 0);
    }
}

#[test]
fn a_payload_may_panic_when_it_is_dropped() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new(0));
            }
        }
    }

    for threads in [1, 2] {
        let call = |item: u64| if item.is_multiple_of(3) { std::panic::resume_unwind(Box::new(Bomb)) } else { item };
        let mut run = process_in_batches(call, 0..3_000).threads(threads).on_panic(amorsize::OnPanic::Skip);
        let report = run.for_each_batch(|_| ()).unwrap();
        assert_eq!((report.items(), report.panicked()), (2_000, 1_000));
        // Dropping the report would drop the payloads that it kept, which panic.
        std::mem::forget(report);
    }
}

#[test]
fn an_input_that_panics_in_a_plan_loses_no_item() {
    for at in 0..8 {
        for known in [false, true] {
            let mut asked = 0;
            let input = std::iter::from_fn(|| {
                asked += 1;
                if asked == at + 1 {
                    panic_any(MyPayload(at));
                }
                Some(asked - 1 - u64::from(asked > at))
            });
            let input: Box<dyn Iterator<Item = u64>> =
                if known { Box::new((0..100).zip(input).map(|(_, item)| item)) } else { Box::new(input.take(100)) };
            let mut run = process_in_batches(Ok::<u64, String>, input);
            let outcome = catch_unwind(AssertUnwindSafe(|| run.plan().map(|_| ())));
            if at < 5 {
                assert_eq!(payload_of(outcome), MyPayload(at));
                run.plan().unwrap();
            }
            let all = catch_unwind(AssertUnwindSafe(|| run.try_collect::<Vec<u64>>()));
            if at < 5 {
                // `zip` or `take` had already counted an item when the input panicked, and may lose
                // that one.
                let all = all.unwrap().unwrap();
                assert!(all.len() >= 99 && all.iter().copied().eq(0..all.len() as u64), "{at}: {all:?}");
            } else {
                assert_eq!(payload_of(all), MyPayload(at));
            }
        }
    }
}

/// An input that panics when it is asked for its length for the first time.
struct Unsure {
    items: std::ops::Range<u64>,
    asked: AtomicUsize,
}

impl Iterator for Unsure {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.items.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.asked.fetch_add(1, Relaxed) == 0 {
            panic_any(MyPayload(7));
        }
        self.items.size_hint()
    }
}

#[test]
fn a_length_that_panics_leaves_the_run_its_callback() {
    for terminal in 0..3 {
        let (told, progress) = std::sync::mpsc::channel();
        let input = Unsure { items: 0..100, asked: AtomicUsize::new(0) };
        let mut run = process_in_batches(|x: u64| x, input).progress(move |now| told.send(now.done()).unwrap());
        let outcome = catch_unwind(AssertUnwindSafe(|| match terminal {
            0 => _ = run.plan(),
            1 => _ = run.collect::<Vec<_>>(),
            _ => _ = run.for_each_batch(drop),
        }));
        assert_eq!(payload_of(outcome), MyPayload(7));
        assert!(run.collect::<Vec<_>>().unwrap().into_iter().eq(0..100));
        assert_eq!(progress.try_iter().last(), Some(100));
    }
}

#[test]
fn clones_and_drops_on_threads_end_the_run_with_their_payload() {
    struct Shared(u64, AtomicUsize);

    impl Clone for Shared {
        fn clone(&self) -> Self {
            if self.1.fetch_add(1, Relaxed) == 700 {
                panic_any(MyPayload(1));
            }
            Self(self.0, AtomicUsize::new(0))
        }
    }

    #[batched(threads = 2)]
    fn add(item: u64, shared: Shared) -> u64 {
        item + shared.0
    }

    let outcome = catch_unwind(|| add_batched(0..2_000, Shared(3, AtomicUsize::new(0))).collect::<Vec<_>>());
    assert_eq!(payload_of(outcome), MyPayload(1));
    let skipped = add_batched(0..2_000, Shared(3, AtomicUsize::new(0)))
        .on_panic(amorsize::OnPanic::Skip)
        .collect::<Vec<_>>()
        .unwrap();
    assert_eq!(skipped.len(), 1_999);

    struct Bomb(u64);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 == 900 && !std::thread::panicking() {
                panic_any(MyPayload(2));
            }
        }
    }

    let run = || process_in_batches(|bomb: Bomb| bomb.0, (0..2_000).map(Bomb)).threads(2);
    assert_eq!(payload_of(catch_unwind(|| run().collect::<Vec<_>>())), MyPayload(2));
    assert_eq!(run().on_panic(amorsize::OnPanic::Skip).collect::<Vec<_>>().unwrap().len(), 1_999);
}

/// A source of memory that panics from the tenth look on.
struct Blind(AtomicUsize);

impl MemorySource for Blind {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::gib(1))
    }

    fn resident(&self) -> Option<ByteSize> {
        if self.0.fetch_add(1, Relaxed) >= 10 {
            panic_any(MyPayload(3));
        }
        Some(ByteSize::mib(64))
    }
}

#[test]
fn a_memory_source_that_panics_ends_the_run_with_its_payload() {
    for threads in [1, 2] {
        let outcome = catch_unwind(|| {
            with_memory_source(Blind(AtomicUsize::new(0)), || {
                let slow = |item: u64| {
                    std::thread::sleep(std::time::Duration::from_micros(200));
                    vec![item; 100]
                };
                process_in_batches(slow, 0..2_000).threads(threads).max_memory("64MiB").for_each_batch(|_| ())
            })
        });
        assert_eq!(payload_of(outcome), MyPayload(3));
    }
}

#[test]
fn a_callback_and_a_collection_that_panic_reach_the_caller() {
    for threads in [1, 2] {
        let slow = |item: u64| {
            std::thread::sleep(std::time::Duration::from_micros(200));
            item
        };
        let run = process_in_batches(slow, 0..1_000).threads(threads);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            run.progress(|progress| {
                if progress.done() > 100 {
                    panic_any(MyPayload(4));
                }
            })
            .for_each_batch(|_| ())
        }));
        assert_eq!(payload_of(outcome), MyPayload(4));

        struct Never;

        impl FromIterator<u64> for Never {
            fn from_iter<I: IntoIterator<Item = u64>>(items: I) -> Self {
                assert_eq!(items.into_iter().count(), 1_000);
                panic_any(MyPayload(5));
            }
        }

        let mut run = process_in_batches(slow, 0..1_000).threads(threads);
        assert_eq!(payload_of(catch_unwind(AssertUnwindSafe(|| run.collect::<Never>().is_ok()))), MyPayload(5));
    }
}

#[test]
fn a_token_may_be_cancelled_by_a_call_that_panics() {
    let token = CancelToken::new();
    let call = |item: u64| {
        if item == 500 {
            token.cancel();
            panic_any(MyPayload(6));
        }
        item
    };
    let mut run = process_in_batches(call, 0..2_000).threads(2).on_panic(amorsize::OnPanic::Skip).cancel_token(&token);
    assert!(run.for_each_batch(|_| ()).unwrap_err().is_cancelled());
}

/// An error that panics when it is told, or when it is dropped.
struct Stubborn {
    told: bool,
    dropped: bool,
}

impl fmt::Display for Stubborn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.told, "no text");
        f.write_str("a text")
    }
}

impl Drop for Stubborn {
    fn drop(&mut self) {
        // Within another panic this one would abort.
        assert!(!self.dropped || std::thread::panicking(), "no end");
    }
}

#[test]
fn skipped_errors_that_panic_take_no_results_along() {
    for (threads, told, dropped) in [(1, true, false), (1, false, true), (2, true, true), (4, false, true)] {
        let call = |x: u32| if x % 40 == 3 { Err(Stubborn { told, dropped }) } else { Ok(x) };
        let run = || process_in_batches(call, 0..2_000).threads(threads).on_error(Skip);
        let all: Vec<u32> = (0..2_000).filter(|x| x % 40 != 3).collect();

        let mut given = Vec::new();
        let report = run().for_each_batch(|batch| given.extend(batch.indices().zip(batch))).unwrap();
        assert!(given.into_iter().eq(all.iter().map(|&x| (x as usize, x))));
        assert_eq!((report.failed(), report.failures().len()), (50, 16));
        let expected = format!("item 3 failed: its error panicked: {}", if dropped { "no end" } else { "no text" });
        assert_eq!(report.failures()[0].to_string(), expected);

        assert_eq!(run().collect::<Vec<_>>().unwrap(), all);
        assert_eq!(run().into_iter().collect::<Vec<_>>(), all);
    }
}
