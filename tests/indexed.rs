//! Of a range of integers and of a slice workers make the items themselves: no result tells it from another iterator over the same
//! items.

#[path = "common/caught.rs"]
mod caught;

use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use amorsize::{Batched, Bytes, OnPanic, Retry, batched, process_in_batches};
use caught::caught;
use proptest::prelude::*;

/// What a case runs with.
#[derive(Clone, Debug)]
struct Case {
    /// Where the range begins, counted from an end of its type, and how many items it has at most.
    from: u64,
    from_the_end: bool,
    items: u64,
    /// Rounds of work per item: from nothing to some microseconds, so that many a run goes on threads.
    cost: u32,
    threads: usize,
    batch_size: Option<usize>,
    /// Too little for most collections.
    budget: Bytes,
    /// After so many results an iterator is left.
    stop_at: usize,
    one_by_one: bool,
    /// Whether the rest of a collect that found too little memory is given more.
    more: bool,
    /// Which type of integer.
    integer: u8,
}

fn cases() -> impl Strategy<Value = Case> {
    let items = prop_oneof![Just(0), 0u64..20, 20u64..3_000, 3_000u64..20_000];
    let from = prop_oneof![Just(0), 0u64..300, any::<u64>()];
    let run = (prop_oneof![Just(0u32), 0u32..100, 500u32..1_500], 1usize..=3, prop::option::of(1usize..3_000));
    (from, any::<bool>(), items, run, 1u64..64, 0usize..5_000, (any::<bool>(), any::<bool>(), 0u8..=9)).prop_map(
        |(from, from_the_end, items, (cost, threads, batch_size), kib, stop_at, (one_by_one, more, integer))| Case {
            from,
            from_the_end,
            // Expensive items come in small numbers, so that a case takes milliseconds.
            items: if cost > 100 { items.min(2_000) } else { items },
            cost,
            threads,
            batch_size,
            budget: Bytes::kib(kib),
            stop_at,
            one_by_one,
            more,
            integer,
        },
    )
}

fn work(cost: u32) {
    (0..cost).for_each(|round| {
        std::hint::black_box(round);
    });
}

/// Compares all terminals over these items with the items themselves. Results are the items, so that none can hide another.
fn check_items<I>(case: &Case, items: I) -> Result<(), TestCaseError>
where
    I: Iterator<Item: Copy + Send + Debug + PartialEq> + Clone,
{
    let expected: Vec<I::Item> = items.clone().collect();
    let call = |item| {
        work(case.cost);
        item
    };
    check_runs(case, &expected, || process_in_batches(call, items.clone()))
}

/// Compares what all terminals of such runs give.
fn check_runs<I, R, C>(case: &Case, expected: &[R], run: impl Fn() -> Batched<I, R, C>) -> Result<(), TestCaseError>
where
    I: IntoIterator,
    R: Clone + Send + Debug + PartialEq,
{
    let run = || {
        let mut run = run().threads(case.threads);
        if let Some(batch_size) = case.batch_size {
            run = run.batch_size(batch_size);
        }
        // A run that may be interrupted looks before each call.
        if case.one_by_one { run.timeout(Duration::from_secs(3600)) } else { run }
    };
    // No `prop_assert_eq!`, which would print all of them.
    prop_assert!(run().collect::<Vec<_>>().unwrap() == expected);
    let mut handed = Vec::new();
    let report = run().max_memory(case.budget).for_each_batch(|batch| {
        assert_eq!(batch.first_index(), handed.len());
        handed.extend(batch);
    });
    prop_assert_eq!(report.unwrap().items(), expected.len());
    prop_assert!(handed == expected);
    prop_assert!(run().into_iter().eq(expected.iter().cloned()));
    let left = run().into_iter().take(case.stop_at);
    prop_assert!(left.eq(expected.iter().take(case.stop_at).cloned()));
    let mut any_order: Vec<_> = run().unordered().collect();
    any_order.sort_by_key(|&(index, _)| index);
    prop_assert!(any_order.into_iter().eq(expected.iter().cloned().enumerate()));

    let mut all = Vec::new();
    let mut rest = run().max_memory(case.budget);
    while let Err(error) = rest.collect_into(&mut all) {
        prop_assert!(error.is_over_budget(), "{}", error);
        // The rest is finished with more, or the same once again.
        rest = if case.more { rest.max_memory("1GiB") } else { rest };
    }
    prop_assert!(all == expected);
    Ok(())
}

/// A case with a range of one type and with the same items from an iterator that nobody knows.
fn check(case: &Case) -> Result<(), TestCaseError> {
    macro_rules! check_type {
        ($integer:ty) => {{
            let (least, most) = (<$integer>::MIN as i128, <$integer>::MAX as i128);
            let from = i128::from(case.from).min(most - least);
            let start = if case.from_the_end { most - from } else { least + from };
            let end = (start + i128::from(case.items)).min(most);
            let (start, end) = (start as $integer, end as $integer);
            check_items(case, start..end)?;
            check_items(case, (start..end).filter(|_| true))?;
            check_items(case, start..=end)
        }};
    }
    match case.integer {
        0 => check_type!(u8),
        1 => check_type!(i8),
        2 => check_type!(u16),
        3 => check_type!(i16),
        4 => check_type!(u32),
        5 => check_type!(i32),
        6 => check_type!(u64),
        7 => check_type!(i64),
        8 => check_type!(usize),
        _ => check_type!(isize),
    }
}

/// Elements of a size that no integer has.
type Element = [u8; 3];

#[batched]
fn same(item: &Element, cost: u32) -> &Element {
    work(cost);
    item
}

/// A case with a slice, as the macro knows it, and with another iterator over the same items.
fn check_elements(case: &Case) -> Result<(), TestCaseError> {
    let elements: Vec<Element> = (0..case.items).map(|item| [item as u8, (item >> 8) as u8, 7]).collect();
    let expected: Vec<&Element> = elements.iter().collect();
    check_runs(case, &expected, || same_batched(&elements, case.cost))?;
    check_runs(case, &expected, || same_batched(elements.iter().filter(|_| true), case.cost))?;
    let from = usize::from(case.integer).min(elements.len());
    check_runs(case, &expected[from..], || same_batched(elements[from..].iter(), case.cost))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_slice_gives_what_any_iterator_over_its_elements_gives(case in cases()) {
        check_elements(&case)?;
    }

    #[test]
    fn a_range_gives_what_any_iterator_over_its_items_gives(case in cases()) {
        check(&case)?;
    }
}

#[test]
fn ranges_at_the_ends_of_their_types() {
    let case = |integer, from, from_the_end, items| Case {
        integer,
        from,
        from_the_end,
        items,
        cost: 300,
        threads: 2,
        batch_size: None,
        budget: Bytes::kib(4),
        stop_at: 100,
        one_by_one: false,
        more: true,
    };
    for integer in 0..=9 {
        // `250..255` of `u8`, `MIN..0` of `i8`, and whatever else there is at an end.
        for (from, from_the_end, items) in [(5, true, 5), (0, false, 128), (0, true, 9), (2_000, true, 5_000)] {
            check(&case(integer, from, from_the_end, items)).unwrap();
        }
    }
}

#[test]
fn a_range_that_has_no_end_to_speak_of_is_taken_from_its_front() {
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
    // Backwards, and empty since it was used up.
    let mut used_up = 3u8..=4;
    assert!(used_up.by_ref().eq(3..=4));
    assert!(process_in_batches(|x| x, used_up).collect::<Vec<_>>().unwrap().is_empty());
    #[expect(clippy::reversed_empty_ranges, reason = "it is what is tested")]
    let backwards = 9i32..-9;
    assert!(process_in_batches(|x| x, backwards).collect::<Vec<_>>().unwrap().is_empty());
}

#[test]
fn calls_are_made_again_with_the_same_integer() {
    let tries: Vec<_> = (0..3_000).map(|_| AtomicU32::new(0)).collect();
    let flaky = |item: u16| {
        work(500);
        let index = usize::from(item) - 60_000;
        if tries[index].fetch_add(1, Ordering::Relaxed) < u32::from(item % 3) { Err("again") } else { Ok(item) }
    };
    let mut run = process_in_batches(flaky, 60_000u16..63_000).threads(2).retry(Retry::new(2).backoff(Duration::ZERO));
    assert!(run.try_collect::<Vec<_>>().unwrap().into_iter().eq(60_000..63_000));
    assert!(tries.iter().zip(60_000u32..).all(|(tries, item)| tries.load(Ordering::Relaxed) == 1 + item % 3));
}

#[test]
fn a_panic_loses_its_integer_alone() {
    let call = |item: i32| {
        work(500);
        assert!(item % 1_000 != -7, "seven before a thousand");
        item
    };
    let all = -3_000..3_000;
    let mut results = Vec::new();
    let mut run = process_in_batches(call, all.clone()).threads(2);
    while caught(|| run.collect_into(&mut results).unwrap()).is_err() {
        let last = results.last().expect("a thousand before each panic");
        assert_eq!((last + 1) % 1_000, -7);
    }
    assert!(results.into_iter().eq(all.filter(|item| item % 1_000 != -7)));
}

#[batched]
fn flaky(tries: &AtomicU32) -> Result<u32, u32> {
    work(500);
    let before = tries.fetch_add(1, Ordering::Relaxed);
    if before % 3 < 2 { Err(before) } else { Ok(before) }
}

#[test]
fn calls_are_made_again_with_the_same_element() {
    let tries: Vec<_> = (0..3_000).map(|item| AtomicU32::new(item % 3)).collect();
    let mut run = flaky_batched(&tries).threads(2).retry(Retry::new(2).backoff(Duration::ZERO));
    let results: Vec<_> = run.try_collect().unwrap();
    assert_eq!(results, [2; 3_000]);
    assert!(tries.iter().all(|tries| tries.load(Ordering::Relaxed) == 3));
}

#[batched]
fn unless_seven(item: &u32) -> u32 {
    work(500);
    assert!(item % 1_000 != 7, "seven after a thousand");
    *item
}

#[test]
fn a_panic_loses_its_element_alone() {
    let items: Vec<u32> = (0..3_000).collect();
    let mut results = Vec::new();
    let report =
        unless_seven_batched(&items).threads(2).on_panic(OnPanic::Skip).for_each_batch(|batch| results.extend(batch));
    assert_eq!(report.unwrap().panicked(), 3);
    assert!(results.into_iter().eq((0..3_000).filter(|item| item % 1_000 != 7)));
}

#[batched]
fn address(item: &()) -> usize {
    std::ptr::from_ref(item).addr()
}

#[test]
fn elements_of_no_size_are_taken_too() {
    let items = vec![(); 100_000];
    let results: Vec<_> = address_batched(&items).threads(2).collect().unwrap();
    assert_eq!(results, vec![items.as_ptr().addr(); 100_000]);
}

#[batched]
fn length<T: AsRef<str> + Sync>(item: &T) -> usize {
    work(300);
    item.as_ref().len()
}

#[test]
fn elements_may_borrow_and_be_of_a_type_that_the_caller_chooses() {
    let text = "a rose is a rose is a rose ".repeat(200);
    let words: Vec<&str> = text.split(' ').collect();
    let lengths: Vec<usize> = length_batched(&words).threads(2).collect().unwrap();
    assert!(lengths.into_iter().eq(words.iter().map(|word| word.len())));
}

#[test]
fn stages_take_elements() {
    let elements: Vec<Element> = (0..5_000u32).map(|item| [item as u8, (item >> 8) as u8, 1]).collect();
    let mut run = same_batched(&elements, 300)
        .then(|items| process_in_batches(|item: &Element| u32::from(item[0]) + 256 * u32::from(item[1]), items))
        .threads(2);
    assert!(run.collect::<Vec<_>>().unwrap().into_iter().eq(0..5_000));
}

#[test]
fn stages_take_integers() {
    let widen = |item: u32| {
        work(300);
        u64::from(item)
    };
    let mut run =
        process_in_batches(widen, 0..5_000).then(|items| process_in_batches(|item| item * 2, items)).threads(2);
    assert!(run.collect::<Vec<_>>().unwrap().into_iter().eq((0..5_000).map(|item| item * 2)));
}
