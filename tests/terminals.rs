//! Each terminal does what DESIGN promises, by comparison with a plain loop.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use amorsize::{ByteSize, ErrorKind, execute, optimize, process_in_batches};

fn slow(x: u64) -> u64 {
    std::thread::sleep(Duration::from_micros(200));
    x * 3
}

#[test]
fn collect_is_in_input_order() {
    let fast: Vec<u64> = process_in_batches(|x: u64| x * 3, 0..100_000).collect().unwrap();
    assert!(fast.iter().enumerate().all(|(i, &x)| x == 3 * i as u64));
    let threads: Vec<u64> = process_in_batches(slow, 0..2_000).threads(4).collect().unwrap();
    assert!(threads.iter().enumerate().all(|(i, &x)| x == 3 * i as u64));
    assert_eq!(threads.len(), 2_000);
}

#[test]
fn collect_takes_any_collection() {
    let set: std::collections::BTreeSet<u64> = process_in_batches(|x| x % 7, 0..1_000u64).collect().unwrap();
    assert_eq!(set.len(), 7);
    let text: String = process_in_batches(|c: char| c.to_ascii_uppercase(), "amorsize".chars()).collect().unwrap();
    assert_eq!(text, "AMORSIZE");
}

#[test]
fn an_empty_input_gives_an_empty_result() {
    let none: Vec<u64> = process_in_batches(slow, []).collect().unwrap();
    assert!(none.is_empty());
    let report = process_in_batches(slow, []).for_each_batch(|_| panic!("there is no batch")).unwrap();
    assert_eq!((report.items(), report.batches()), (0, 0));
    assert_eq!(process_in_batches(slow, []).into_iter().count(), 0);
    assert_eq!(process_in_batches(slow, []).unordered().count(), 0);
    assert_eq!(process_in_batches(slow, []).plan().unwrap().warnings()[0].code(), amorsize::Warning::EMPTY_INPUT);
}

#[test]
fn batches_are_as_large_as_asked_for_and_in_order() {
    for (items, batch_size) in [(1_000, 64), (10, 100), (100, 1), (64, 64)] {
        let mut next = 0;
        let mut sizes = Vec::new();
        let report = process_in_batches(slow, 0..items)
            .threads(3)
            .batch_size(batch_size)
            .for_each_batch(|batch| {
                assert_eq!(batch.first_index(), next);
                next += batch.len();
                sizes.push(batch.len());
                assert!(batch.iter().zip(batch.first_index() as u64..).all(|(&x, i)| x == 3 * i));
            })
            .unwrap();
        assert_eq!(next, items as usize);
        let (last, full) = sizes.split_last().unwrap();
        assert!(full.iter().all(|&size| size == batch_size) && *last <= batch_size, "{sizes:?}");
        assert_eq!((report.items(), report.batches()), (items as usize, sizes.len()));
    }
}

#[test]
fn a_run_that_is_soon_over_is_one_batch_in_order() {
    // Around the ends of its stretches, which have 1, 16 and about a thousand items.
    for items in [1, 2, 3, 16, 17, 18, 100, 1_000] {
        let mut batches = Vec::new();
        let report = process_in_batches(|x: usize| x.to_string(), 0..items)
            .for_each_batch(|batch| batches.push(batch.into_vec()))
            .unwrap();
        // On a busy machine there may be a second batch.
        assert_eq!(report.batches(), batches.len());
        assert!(batches.iter().flatten().map(String::as_str).eq((0..items).map(|x| x.to_string())), "{batches:?}");
    }
}

#[test]
fn the_sinks_first_error_comes_back_as_it_is() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Full(usize),
        Run(String),
    }
    impl From<amorsize::Error> for Mine {
        fn from(error: amorsize::Error) -> Self {
            Self::Run(error.to_string())
        }
    }
    let mut calls = 0;
    let error = process_in_batches(slow, 0..10_000)
        .batch_size(10)
        .try_for_each_batch(|batch| {
            calls += 1;
            if batch.first_index() >= 50 { Err(Mine::Full(batch.first_index())) } else { Ok(()) }
        })
        .unwrap_err();
    assert_eq!((error, calls), (Mine::Full(50), 6));
    let error = process_in_batches(slow, 0..10).threads(0).try_for_each_batch(|_| Ok::<(), Mine>(())).unwrap_err();
    assert_eq!(error, Mine::Run("`threads` can't be 0: use 1 or more, or leave it out and let the run decide".into()));
}

#[test]
fn iterating_is_in_order_and_lazy() {
    let pulled = Rc::new(RefCell::new(0));
    let counter = Rc::clone(&pulled);
    // Neither the input's iterator nor the consumer is `Send`.
    let input = (0..).inspect(move |_| *counter.borrow_mut() += 1);
    let mut results = process_in_batches(slow, input).threads(2).into_iter();
    assert_eq!(*pulled.borrow(), 0);
    for i in 0..500 {
        assert_eq!(results.next(), Some(3 * i));
    }
    assert!(*pulled.borrow() < 5_000, "{}", pulled.borrow());
    drop(results);
}

#[test]
fn an_endless_input_works_with_batches() {
    let mut seen = 0;
    let outcome: Result<_, String> = process_in_batches(|x: u64| x + 1, 0..).try_for_each_batch(|batch| {
        seen += batch.len();
        if seen > 1_000_000 { Err("enough".to_owned()) } else { Ok(()) }
    });
    assert_eq!(outcome.unwrap_err(), "enough");
}

#[test]
fn unordered_gives_each_result_once_with_its_index() {
    let mut seen = vec![0; 3_000];
    for (index, result) in process_in_batches(slow, 0..3_000).threads(4).unordered() {
        assert_eq!(result, 3 * index as u64);
        seen[index] += 1;
    }
    assert!(seen.iter().all(|&count| count == 1));
}

#[test]
fn wrappers_compose() {
    let first = process_in_batches(|x: u64| x + 1, 0..10_000);
    let second = process_in_batches(|x: u64| x * 2, first);
    let sum: u64 = second.into_iter().sum();
    assert_eq!(sum, (1..=10_000).map(|x| 2 * x).sum::<u64>());
}

#[test]
fn planning_and_running_calls_the_function_once_per_item() {
    type Terminal = fn(amorsize::Batched<std::ops::Range<usize>, usize, &(dyn Fn(usize) -> usize + Sync)>) -> usize;
    let terminals: [Terminal; 4] = [
        |mut run| run.collect::<Vec<_>>().unwrap().len(),
        |mut run| run.for_each_batch(|_| ()).unwrap().items(),
        |run| run.into_iter().count(),
        |run| run.unordered().count(),
    ];
    for terminal in terminals {
        for planned in [false, true] {
            for items in [0, 1, 3, 5, 6, 1_000] {
                let calls: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                let count = |i: usize| {
                    calls[i].fetch_add(1, Ordering::Relaxed);
                    slow(1);
                    i
                };
                let mut run = process_in_batches(&count as &(dyn Fn(usize) -> usize + Sync), 0..items);
                if planned {
                    run.plan().unwrap();
                    run.plan().unwrap();
                }
                assert_eq!(terminal(run), items);
                assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
            }
        }
    }
}

#[test]
fn a_plan_runs_the_sample_alone() {
    let calls = AtomicUsize::new(0);
    let count = |x: u64| {
        calls.fetch_add(1, Ordering::Relaxed);
        x
    };
    let mut run = process_in_batches(count, 0..100).sample_size(7);
    assert_eq!(run.plan().unwrap().budget(), run.plan().unwrap().budget());
    assert_eq!(calls.load(Ordering::Relaxed), 7);
    let mut run = optimize(count, 0..100);
    assert_eq!(calls.load(Ordering::Relaxed), 12);
    assert!(run.plan().unwrap().threads() >= 1);
    assert_eq!(calls.load(Ordering::Relaxed), 12);
}

#[test]
fn refused_options_come_back_before_any_call() {
    let never = |_: u32| -> u32 { panic!("called") };
    for (run, option) in [
        (process_in_batches(never, 0..9).max_memory(0.0), "max_memory"),
        (process_in_batches(never, 0..9).max_memory(-0.5), "max_memory"),
        (process_in_batches(never, 0..9).max_memory(1.5), "max_memory"),
        (process_in_batches(never, 0..9).max_memory(f64::NAN), "max_memory"),
        (process_in_batches(never, 0..9).max_memory("12 bananas"), "max_memory"),
        (process_in_batches(never, 0..9).max_memory(ByteSize::ZERO), "max_memory"),
        (process_in_batches(never, 0..9).batch_size(0), "batch_size"),
        (process_in_batches(never, 0..9).sample_size(0), "sample_size"),
        (process_in_batches(never, 0..9).threads(0), "threads"),
    ] {
        let mut run = run;
        let error = run.plan().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidOption { option: refused, .. } if *refused == option));
        assert!(run.for_each_batch(|_| ()).unwrap_err().is_invalid_option());
    }
}

#[test]
#[should_panic(expected = "`max_memory` can't be 2")]
fn an_iterator_panics_with_the_refusal() {
    let _ = process_in_batches(slow, 0..9).max_memory(2.0).into_iter();
}

#[test]
fn results_that_do_not_fit_are_an_error_and_not_a_kill() {
    let error = process_in_batches(|x: u64| [x; 1024], 0..1_000).max_memory("1MiB").collect::<Vec<_>>().unwrap_err();
    assert!(error.is_over_budget());
    let error =
        process_in_batches(|x: u64| [x; 1024], (0..1_000).filter(|_| true)).max_memory("1MiB").collect::<Vec<_>>();
    let error = error.unwrap_err();
    let ErrorKind::OverBudget { item, items_done, held, budget, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(*budget, ByteSize::mib(1));
    // One item is taken from the input to find out if there is one.
    let most = *budget + ByteSize::new(size_of::<u64>() as u64);
    assert!(*held <= most && *items_done == *item && (126..=128).contains(item), "{error:#?}");
    // An endless input can't be collected, and says so at once.
    assert!(process_in_batches(|x: u8| x, std::iter::repeat(1)).collect::<Vec<_>>().unwrap_err().is_over_budget());
}

#[test]
fn execute_gives_all_results() {
    assert_eq!(execute(|x: i32| -x, vec![1, 2, 3]).unwrap(), [-1, -2, -3]);
}

#[test]
fn safe_batch_sizes() {
    let safe = |bytes: usize, memory: &str| amorsize::estimate_safe_batch_size(bytes, memory);
    assert_eq!(safe(1 << 20, "64MiB").unwrap(), 64);
    assert_eq!(safe(1 << 30, "64MiB").unwrap(), 1);
    assert!(safe(0, "64MiB").unwrap_err().is_invalid_option());
    assert!(amorsize::estimate_safe_batch_size(1, f64::NAN).unwrap_err().is_invalid_option());
    assert!(amorsize::estimate_safe_batch_size(50 * 1024 * 1024, 0.5).unwrap() >= 1);
    // The size can be that of a value as the standard library tells it, a literal, or bytes.
    let result = [0_u64; 1000];
    assert_eq!(amorsize::estimate_safe_batch_size(size_of_val(&result), "80kB").unwrap(), 10);
    assert_eq!(amorsize::estimate_safe_batch_size(8_000, "80kB").unwrap(), 10);
    assert_eq!(amorsize::estimate_safe_batch_size(ByteSize::new(8_000), "80kB").unwrap(), 10);
}

#[test]
#[cfg(target_os = "linux")]
fn results_of_an_unknown_size_are_told_by_resident_memory() {
    let large = |x: u64| vec![x as u8 | 1; 1 << 20];
    let run = || process_in_batches(large, 0..500).max_memory("64MiB").threads(2);
    let error = run().collect::<Vec<_>>().unwrap_err();
    assert!(error.is_over_budget(), "{error}");
    let report = run().for_each_batch(|batch| assert!(batch.iter().all(|result| result.len() == 1 << 20))).unwrap();
    assert_eq!((report.items(), report.measured_by()), (500, amorsize::MeasuredBy::Resident));
    assert!(report.peak_bytes() <= report.budget(), "{report}");
}

#[test]
fn any_batch_size_is_taken() {
    let call = |number: u64| {
        std::thread::sleep(std::time::Duration::from_micros(100));
        number
    };
    let report = process_in_batches(call, 0..300).batch_size(usize::MAX).threads(2).for_each_batch(drop).unwrap();
    assert_eq!((report.items(), report.batches()), (300, 1));
}
