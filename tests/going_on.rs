//! If a `collect` can't finish, the run goes on: nothing is lost, and nothing is run twice.

#[path = "common/alive.rs"]
mod alive;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use alive::Alive;
use amorsize::{Batched, ByteSize, DeepSize, Error, Oversize, batched};
use proptest::prelude::*;

/// A result that is counted while it lives.
#[derive(Debug, DeepSize)]
struct Page<'a> {
    index: usize,
    text: Vec<u8>,
    _alive: Alive<'a>,
}

struct Book {
    sizes: Vec<usize>,
    calls: Vec<AtomicUsize>,
    alive: AtomicIsize,
}

impl Book {
    fn new(sizes: Vec<usize>) -> Self {
        let calls = sizes.iter().map(|_| AtomicUsize::new(0)).collect();
        Self { sizes, calls, alive: AtomicIsize::new(0) }
    }

    fn every_page_was_made_once_and_dropped(&self) {
        assert!(self.calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
        assert_eq!(self.alive.load(Ordering::Relaxed), 0);
    }
}

#[batched]
fn page(index: usize, book: &Book) -> Page<'_> {
    book.calls[index].fetch_add(1, Ordering::Relaxed);
    Page { index, text: vec![1; book.sizes[index]], _alive: Alive::new(&book.alive) }
}

/// The ways to finish the rest of a run.
#[derive(Clone, Copy, Debug)]
enum Finish {
    Batches,
    Iterate,
    Unordered,
    CollectWithMore,
    CollectAgainAndAgain,
    PlanThenBatches,
    Drop,
}

const WAYS: [Finish; 7] = [
    Finish::Batches,
    Finish::Iterate,
    Finish::Unordered,
    Finish::CollectWithMore,
    Finish::CollectAgainAndAgain,
    Finish::PlanThenBatches,
    Finish::Drop,
];

type Run<'a> = Batched<std::ops::Range<usize>, Page<'a>, (&'a Book,)>;

/// Finishes the rest after the pages before `next`, and returns the number of all pages.
fn finish(rest: Run<'_>, way: Finish, mut next: usize) -> Result<usize, Error> {
    let first = next;
    let mut in_order = |index| {
        assert_eq!(index, next);
        next += 1;
    };
    match way {
        Finish::Batches => {
            let report = rest.batch_size(7).for_each_batch(|batch| {
                assert_eq!(batch.first_index(), batch[0].index);
                batch.into_iter().for_each(|page| in_order(page.index));
            })?;
            assert_eq!(report.items(), next - first);
        }
        Finish::Iterate => rest.into_iter().for_each(|page| in_order(page.index)),
        Finish::Unordered => {
            let all: BTreeMap<_, _> = rest.unordered().map(|(index, page)| (index, page.index)).collect();
            assert!(all.iter().all(|(index, page)| index == page));
            all.into_keys().for_each(in_order);
        }
        Finish::CollectWithMore => {
            let pages: Vec<_> = rest.max_memory("1GiB").collect()?;
            pages.iter().for_each(|page| in_order(page.index));
        }
        Finish::CollectAgainAndAgain => {
            let mut rest = rest;
            loop {
                let mut pages = Vec::new();
                let outcome = rest.collect_into(&mut pages);
                pages.iter().for_each(|page| in_order(page.index));
                match outcome {
                    Ok(_) => break,
                    Err(error) => assert!(error.is_over_budget() && !pages.is_empty(), "{error}"),
                }
            }
        }
        Finish::PlanThenBatches => {
            let mut rest = rest;
            rest.plan()?;
            rest.for_each_batch(|batch| batch.into_iter().for_each(|page| in_order(page.index)))?;
        }
        Finish::Drop => drop(rest),
    }
    Ok(next)
}

fn check(sizes: Vec<usize>, threads: usize, budget: u64, way: Finish) {
    let book = Book::new(sizes);
    let items = book.sizes.len();
    let mut run = page_batched(0..items, &book).threads(threads).max_memory(ByteSize::new(budget));
    let mut finished = Vec::new();
    let outcome = run.collect_into(&mut finished);
    let pages = match outcome {
        Ok(report) => {
            assert_eq!(report.items(), items);
            std::mem::take(&mut finished).len()
        }
        Err(error) => {
            assert!(error.is_over_budget(), "{error}");
            assert!(finished.iter().map(|page| page.index).eq(0..finished.len()));
            assert!(error.item().is_some_and(|item| item <= items), "{error}");
            let next = finished.len();
            drop(finished);
            finish(run, way, next).unwrap()
        }
    };
    check_kept(threads, budget, way, &book.sizes);
    if matches!(way, Finish::Drop) {
        assert!(book.calls.iter().all(|calls| calls.load(Ordering::Relaxed) <= 1));
        assert_eq!(book.alive.load(Ordering::Relaxed), 0);
    } else {
        assert_eq!(pages, items);
        book.every_page_was_made_once_and_dropped();
    }
}

/// If a `collect` fails, the next terminal gives its finished results; this tries each kind of
/// terminal.
fn check_kept(threads: usize, budget: u64, way: Finish, sizes: &[usize]) {
    let book = Book::new(sizes.to_vec());
    let items = book.sizes.len();
    let mut run = page_batched(0..items, &book).threads(threads).max_memory(ByteSize::new(budget));
    match run.collect::<Vec<_>>() {
        Ok(pages) => assert_eq!(pages.len(), items),
        Err(error) => {
            assert!(error.is_over_budget(), "{error}");
            // A second call fails in the same way.
            assert!(run.collect::<Vec<_>>().unwrap_err().is_over_budget());
            let next = finish(run, way, 0).unwrap();
            assert!(next == items || matches!(way, Finish::Drop));
        }
    }
    assert!(book.calls.iter().all(|calls| calls.load(Ordering::Relaxed) <= 1));
    assert_eq!(book.alive.load(Ordering::Relaxed), 0);
}

#[test]
fn a_run_that_has_ended_whole_gives_nothing_more() {
    for threads in 1..=3 {
        let mut run = amorsize::process_in_batches(|x: usize| vec![x; 100], 0..2_000).threads(threads);
        assert_eq!(run.collect::<Vec<_>>().unwrap().len(), 2_000);
        assert!(run.collect::<Vec<_>>().unwrap().is_empty());
        let report = run.for_each_batch(|_| unreachable!("there are no results")).unwrap();
        assert_eq!((report.items(), report.batches()), (0, 0));
        let mut more = vec![vec![7]];
        assert_eq!(run.collect_into(&mut more).unwrap().items(), 0);
        assert_eq!(more, [[7]]);
        assert!(run.report().is_none());
        assert!(run.into_iter().next().is_none());
    }
}

#[test]
fn a_sink_that_fails_or_panics_loses_its_own_batch_alone() {
    for threads in 1..=3 {
        for size in [1, 7, 1_000] {
            let mut run = amorsize::process_in_batches(|x: usize| vec![x; 100], 0..2_000).threads(threads);
            run = run.batch_size(size);
            let (mut seen, mut calls) = (Vec::new(), 0);
            loop {
                let mut taken = |batch: amorsize::Batch<Vec<usize>>| {
                    assert_eq!(batch.first_index(), batch[0][0]);
                    seen.extend(batch.iter().map(|result| result[0]));
                    calls += 1;
                    calls
                };
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    run.try_for_each_batch(|batch| match taken(batch) {
                        count if count % 5 == 3 => Err("full".to_owned()),
                        count if count % 7 == 4 => std::panic::resume_unwind(Box::new("broken")),
                        _ => Ok(()),
                    })
                }));
                match ended {
                    Ok(Ok(report)) => {
                        assert!(report.items() <= 2_000);
                        break;
                    }
                    Ok(Err(error)) => assert_eq!(error, "full"),
                    Err(payload) => assert_eq!(payload.downcast_ref(), Some(&"broken")),
                }
                assert!(run.report().is_some());
            }
            assert!(seen.iter().copied().eq(0..2_000), "{seen:?}");
        }
    }
}

#[test]
fn an_iterator_gives_its_run_back() {
    for threads in 1..=3 {
        for taken in [0, 1, 50, 777] {
            let run = amorsize::process_in_batches(|x: usize| vec![x; 100], 0..1_000).threads(threads);
            let mut results = run.into_iter();
            let mut all: Vec<_> = results.by_ref().take(taken).collect();
            results.into_run().collect_into(&mut all).unwrap();
            assert!(all.iter().map(|result| result[0]).eq(0..1_000));
        }
    }
}

#[test]
fn an_input_that_panics_loses_nothing_either() {
    for threads in 1..=3 {
        let mut left = 3;
        let input = (0..1_000).inspect(|item| {
            if [100, 500, 501].contains(item) && left > 0 {
                left -= 1;
                std::panic::resume_unwind(Box::new("no item"));
            }
        });
        let mut run = amorsize::process_in_batches(|x: usize| vec![x; 100], input).threads(threads);
        let (mut all, mut panics) = (Vec::new(), 0);
        while std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.collect_into(&mut all).unwrap())).is_err() {
            panics += 1;
        }
        assert_eq!(panics, 3, "{threads} {}", all.len());
        // The input panicked instead of giving these items.
        assert!(all.iter().map(|result| result[0]).eq((0..1_000).filter(|item| ![100, 500, 501].contains(item))));
    }
}

#[test]
fn every_way_to_finish_goes_on_where_it_ended() {
    for way in WAYS {
        for threads in 1..=4 {
            check(vec![10_000; 1_000], threads, 1 << 20, way);
            // Not even the first page fits.
            check(vec![10_000; 20], threads, 1_000, way);
        }
    }
}

#[test]
fn results_larger_in_number_than_the_budget_are_refused_before_any_call() {
    let calls = AtomicUsize::new(0);
    let run = amorsize::process_in_batches(|x: u64| (calls.fetch_add(1, Ordering::Relaxed), [x; 32]), 0..1_000_000);
    let mut run = run.max_memory("4MiB");
    let mut finished = Vec::new();
    assert!(run.collect_into(&mut finished).unwrap_err().is_over_budget());
    assert_eq!((finished.len(), calls.load(Ordering::Relaxed)), (0, 0));
    let mut next = 0;
    run.for_each_batch(|batch| {
        for (_, result) in batch {
            assert_eq!(result, [next; 32]);
            next += 1;
        }
    })
    .unwrap();
    assert_eq!((next, calls.load(Ordering::Relaxed)), (1_000_000, 1_000_000));
}

#[test]
fn a_refused_option_gives_the_whole_run_back() {
    let book = Book::new(vec![10; 100]);
    let mut run = page_batched(0..100, &book).batch_size(0);
    assert!(run.collect::<Vec<_>>().unwrap_err().is_invalid_option());
    let pages: Vec<_> = run.batch_size(10).collect().unwrap();
    assert_eq!(pages.len(), 100);
    drop(pages);
    book.every_page_was_made_once_and_dropped();
}

#[test]
fn it_says_what_is_kept_and_goes_with_the_question_mark() {
    fn all(book: &Book) -> Result<usize, Error> {
        Ok(page_batched(0..1_000, book).max_memory("1MiB").collect::<Vec<_>>()?.len())
    }
    let book = Book::new(vec![10_000; 1_000]);
    let error = all(&book).unwrap_err();
    assert!(error.is_over_budget());
    let text = error.to_string();
    assert!(text.contains("don't fit the memory budget") && text.contains("of 1.00 MiB"), "{text}");
    assert!(text.ends_with("the run keeps what is finished: a terminal that is called again begins with it"), "{text}");
    assert!(size_of::<Result<Vec<Page<'_>>, Error>>() <= 24);
}

#[test]
fn an_item_expected_to_exceed_the_budget_is_refused_where_that_is_asked_for() {
    for threads in 1..=3 {
        let started = Mutex::new(Vec::new());
        let mut seen = Vec::new();
        let call = |i: usize| {
            started.lock().unwrap().push(i);
            Document(vec![1; if i < 10 { 1_000 } else { 3 << 20 }])
        };
        let mut run = document_batched(0..100, &call).threads(threads).max_memory("1MiB").oversize(Oversize::Error);
        let error = run.for_each_batch(|batch| seen.extend(batch.into_iter().map(|d| d.0.len()))).unwrap_err();
        let started = started.into_inner().unwrap();
        assert!(error.is_over_budget(), "{error}");
        let item = error.item().unwrap();
        // Nobody can foresee the first large one on each thread, and its size is averaged with the
        // small ones before it. The run refuses the one after these.
        assert!((11..=11 + threads).contains(&item), "{error}");
        assert!(!started.contains(&item), "{error}");
        assert_eq!(seen.len(), item);
        assert!(error.to_string().contains("more than the budget of 1.00 MiB"), "{error}");
    }
}

struct Document(Vec<u8>);

impl DeepSize for Document {
    fn heap_size(&self) -> usize {
        self.0.heap_size()
    }
}

#[batched(oversize = "alone")]
fn document(index: usize, make: &(dyn Fn(usize) -> Document + Sync)) -> Document {
    make(index)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_whatever_the_sizes(
        sizes in prop::collection::vec(prop_oneof![9 => 0usize..2_000, 1 => 0usize..300_000], 1..600),
        threads in 1usize..=4,
        budget in prop_oneof![Just(20_000u64), Just(200_000), Just(2 << 20)],
        way in prop::sample::select(&WAYS),
    ) {
        check(sizes, threads, budget, way);
    }
}
