//! The results are those of a plain loop, in its order, for every length of the input, batch size,
//! number of threads, cost and result size.

use amorsize::{ByteSize, process_in_batches};
use proptest::prelude::*;

/// The settings of a case.
#[derive(Clone, Debug)]
struct Case {
    items: usize,
    /// True if the input tells its length only as it ends.
    unknown_length: bool,
    batch_size: Option<usize>,
    threads: Option<usize>,
    sample_size: usize,
    /// Rounds of work per item: from nothing to some hundred microseconds.
    cost: u32,
    /// One in this many items is a hundred times as heavy and as large.
    heavy_every: usize,
    result_len: usize,
    budget: ByteSize,
    planned: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let items = prop_oneof![0usize..20, 20usize..2_000, Just(20_000)];
    let budget = prop_oneof![Just(ByteSize::kib(1)), Just(ByteSize::kib(64)), Just(ByteSize::mib(64))];
    let batch_size = prop::option::of(prop_oneof![1usize..10, 10usize..5_000]);
    (
        (items, any::<bool>(), batch_size, prop::option::of(1usize..=4), 1usize..20),
        (prop_oneof![Just(0), 0u32..200, Just(20_000)], 1usize..300, 0usize..200, budget, any::<bool>()),
    )
        .prop_map(|((items, unknown_length, batch_size, threads, sample_size), rest)| {
            let (cost, heavy_every, result_len, budget, planned) = rest;
            // Expensive items, and batches of one item each, come in small numbers, so that a case
            // takes milliseconds.
            let most = if cost > 1_000 {
                200
            } else if budget == ByteSize::kib(1) {
                2_000
            } else {
                20_000
            };
            let items = items.min(most);
            Case {
                items,
                unknown_length,
                batch_size,
                threads,
                sample_size,
                cost,
                heavy_every,
                result_len,
                budget,
                planned,
            }
        })
}

fn call(case: &Case, index: usize) -> Vec<usize> {
    let heavy = if index % case.heavy_every == case.heavy_every - 1 { 100 } else { 1 };
    let mut state = index;
    for _ in 0..case.cost * heavy.min(20) {
        state = std::hint::black_box(state.wrapping_mul(31) ^ (state >> 7));
    }
    std::hint::black_box(state);
    vec![index; 1 + case.result_len * heavy as usize / 100]
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let expected: Vec<Vec<usize>> = (0..case.items).map(|index| call(case, index)).collect();
    let run = || {
        let items: Box<dyn Iterator<Item = usize>> =
            if case.unknown_length { Box::new((0..case.items).filter(|_| true)) } else { Box::new(0..case.items) };
        let mut run = process_in_batches(|index| call(case, index), items);
        run = run.max_memory(case.budget).sample_size(case.sample_size);
        if let Some(batch_size) = case.batch_size {
            run = run.batch_size(batch_size);
        }
        if let Some(threads) = case.threads {
            run = run.threads(threads);
        }
        if case.planned {
            run.plan().unwrap();
        }
        run
    };

    let collected: Vec<_> = run().max_memory(1.0).collect().unwrap();
    prop_assert!(collected == expected, "collect");

    let mut batched = Vec::new();
    let report = run()
        .for_each_batch(|batch| {
            assert_eq!(batch.first_index(), batched.len());
            assert!(case.batch_size.is_none_or(|most| batch.len() <= most) && !batch.is_empty());
            batched.extend(batch);
        })
        .unwrap();
    prop_assert!(batched == expected, "for_each_batch");
    prop_assert_eq!(report.items(), case.items);

    let iterated: Vec<_> = run().into_iter().collect();
    prop_assert!(iterated == expected, "into_iter");

    let mut unordered: Vec<_> = run().unordered().collect();
    unordered.sort_by_key(|(index, _)| *index);
    prop_assert!(unordered.into_iter().eq(expected.into_iter().enumerate()), "unordered");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn in_the_global_pool(case in cases()) {
        check(&case)?;
    }

    #[test]
    fn in_a_pool_of_the_callers(case in cases(), threads in 1usize..=4) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| check(&case))?;
    }

    #[test]
    fn inside_a_worker_that_others_wait_for(case in cases(), threads in 1usize..=4) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (left, right) = pool.install(|| rayon::join(|| check(&case), || check(&case)));
        left?;
        right?;
    }
}
