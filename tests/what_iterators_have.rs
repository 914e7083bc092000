//! Features that users of iterators look for: `batched` behind an iterator, `for_each`, `fold`,
//! `reduce`, and functions that return an `Option`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Batched, ByteSize, IntoBatched, MeasuredBy, OnPanic, batched, process_in_batches};

const ITEMS: u64 = 3_000;

fn sevens(x: u64) -> Result<u64, String> {
    if x % 7 == 3 { Err(format!("{x} is bad")) } else { Ok(x) }
}

fn good() -> impl Iterator<Item = u64> {
    (0..ITEMS).filter(|x| x % 7 != 3)
}

#[test]
fn each_value_comes_in_input_order() {
    for threads in 1..=3 {
        let mut seen = Vec::new();
        let report = (0..ITEMS).batched(|x: u64| x).threads(threads).for_each(|x| seen.push(x)).unwrap();
        assert_eq!(report.items() as u64, ITEMS);
        assert!(seen.iter().copied().eq(0..ITEMS));

        seen.clear();
        let mut skipping = (0..ITEMS).batched(sevens).on_error(Skip).threads(threads);
        let report = skipping.for_each(|x| seen.push(x)).unwrap();
        assert!(seen.iter().copied().eq(good()));
        assert_eq!(report.items() + report.failed(), ITEMS as usize);

        seen.clear();
        let mut stopping = (0..ITEMS).batched(sevens).on_error(Stop).threads(threads);
        while stopping.for_each(|x| seen.push(x)).is_err() {}
        assert!(seen.iter().copied().eq(good()));
    }
}

#[test]
fn a_fold_sees_all_values_in_order_and_an_outcome_holds_it() {
    for threads in 1..=3 {
        let text = (0..20).batched(|x: u64| x.to_string()).threads(threads).fold(String::new(), |all, x| all + &x);
        assert_eq!(text.unwrap(), (0..20).map(|x| x.to_string()).collect::<String>());
        let outcome = (0..ITEMS).batched(sevens).on_error(Collect).threads(threads).fold(0, |sum, x| sum + x).unwrap();
        assert_eq!(*outcome.value(), good().sum::<u64>());
        assert_eq!(outcome.failures().len() as u64, ITEMS - good().count() as u64);
        let first = (0..ITEMS).batched(sevens).on_error(Stop).threads(threads).fold(0, |sum, x| sum + x);
        assert_eq!(first.unwrap_err().item(), Some(3));
        let most = (0..ITEMS).batched(sevens).on_error(Skip).threads(threads).reduce(u64::max).unwrap();
        assert_eq!(most, good().max());
    }
    assert_eq!((0..0).batched(|x: u64| x).reduce(|a, _| a).unwrap(), None);
}

#[test]
fn a_fold_holds_no_results() {
    #[batched(max_memory = "4MiB")]
    fn page(kib: usize) -> Vec<u8> {
        vec![1; kib << 10]
    }
    let bytes = page_batched([100; 500]).fold(0, |bytes, page| bytes + page.len()).unwrap();
    assert_eq!(bytes, 500 * (100 << 10));
}

#[batched]
fn even_half(x: u64) -> Option<u64> {
    x.is_multiple_of(2).then_some(x / 2)
}

#[test]
fn what_is_none_is_left_out_by_every_terminal() {
    let halves = || 0..ITEMS / 2;
    for threads in 1..=3 {
        let run = || even_half_batched(0..ITEMS).flatten().threads(threads).batch_size(7);
        assert!(run().collect::<Vec<_>>().unwrap().into_iter().eq(halves()));
        let mut into = vec![7];
        let report = run().collect_into(&mut into).unwrap();
        assert_eq!((report.items() as u64, report.failed()), (ITEMS / 2, 0));
        assert!(into[1..].iter().copied().eq(halves()));
        let mut pairs = Vec::new();
        let report = run().for_each_batch(|batch| pairs.extend(batch.indices().zip(batch))).unwrap();
        assert_eq!((report.items() as u64, report.failed()), (ITEMS / 2, 0));
        assert!(pairs.iter().all(|&(index, half)| index as u64 == 2 * half));
        assert!(run().into_iter().eq(halves()));
        let unordered: BTreeMap<_, _> = run().unordered().collect();
        assert!(unordered.into_values().eq(halves()));
        // In a pipeline a `None` goes no further.
        let calls = AtomicUsize::new(0);
        let count = |x: u64| {
            calls.fetch_add(1, Ordering::Relaxed);
            x + 1
        };
        let more = run().then(|x| process_in_batches(count, x)).collect::<Vec<_>>().unwrap();
        assert!(more.into_iter().eq(1..=ITEMS / 2));
        assert_eq!(calls.into_inner() as u64, ITEMS / 2);
        let twice = process_in_batches(|x: u64| x, 0..ITEMS).then(|x| even_half_batched(x).flatten());
        let twice = twice.then(|x| even_half_batched(x).flatten()).collect::<Vec<_>>().unwrap();
        assert!(twice.into_iter().eq(0..ITEMS / 4));
    }
}

#[test]
fn a_run_that_flattens_goes_on_too() {
    let call = |x: u64| {
        if x == 500 { std::panic::resume_unwind(Box::new("as planned")) } else { Some(x).filter(|x| x % 3 > 0) }
    };
    for threads in 1..=3 {
        let mut run = process_in_batches(call, 0..1_000).flatten().threads(threads);
        let mut all = Vec::new();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.collect_into(&mut all)));
        assert!(ended.is_err());
        run.collect_into(&mut all).unwrap();
        assert!(all.iter().copied().eq((0..1_000).filter(|x| x % 3 > 0 && *x != 500)));
    }
}

/// Stands for a type of another crate.
struct Raster(Vec<u8>);

#[test]
fn results_that_cant_be_asked_are_weighed() {
    let make = |kib: usize| Raster(vec![1; kib << 10]);
    let run = || process_in_batches(make, [64; 200]).weigh(|raster: &Raster| raster.0.len());
    let mut plan = run();
    assert_eq!(plan.plan().unwrap().measured_by(), MeasuredBy::DeepSize);
    let most = ByteSize::mib(2);
    for threads in 1..=3 {
        let report = run().max_memory(most).threads(threads).for_each_batch(|_| ()).unwrap();
        assert_eq!(report.measured_by(), MeasuredBy::DeepSize);
        assert!(report.peak_bytes() <= most && report.peak_bytes() > ByteSize::kib(64), "{report}");
        assert_eq!(report.result_bytes(), ByteSize::new(200 * ((64 << 10) + size_of::<Raster>() as u64)));
        assert!(run().max_memory(most).threads(threads).collect::<Vec<_>>().err().unwrap().is_over_budget());
    }
    // The results of a pipeline are those of its last stage.
    let mut pipeline = process_in_batches(|x: usize| x, [64; 200])
        .then(|sizes| process_in_batches(make, sizes).weigh(|raster| raster.0.len()));
    let plan = pipeline.plan().unwrap();
    assert_eq!(plan.measured_by(), MeasuredBy::DeepSize, "{plan}");
    // A weight that panics is like a `heap_size` that panics: the result stays.
    let broken = process_in_batches(make, [1; 50]).weigh(|raster| raster.0.len() / usize::from(raster.0[0] != 1));
    assert_eq!(broken.on_panic(OnPanic::Skip).collect::<Vec<_>>().unwrap().len(), 50);
}

#[test]
fn items_may_be_borrowed_mutably() {
    let mut texts: Vec<String> = (0..ITEMS).map(|x| x.to_string()).collect();
    let lengths: Vec<usize> = texts
        .iter_mut()
        .batched(|text: &mut String| {
            text.push('!');
            text.len()
        })
        .collect()
        .unwrap();
    assert!(texts.iter().map(String::len).eq(lengths));
    assert!(texts.iter().all(|text| text.ends_with('!')));
}

/// The iterator's `collect` gives no `Result`: its caller keeps the values, and the run's budget
/// counts only those that are on their way.
#[test]
fn an_iterator_collects_without_an_error() {
    #[batched(max_memory = "1MiB")]
    fn page(x: u64) -> Vec<u64> {
        vec![x; 1 << 10]
    }
    let run = || page_batched(0..500);
    assert!(run().collect::<Vec<_>>().is_err_and(|error| error.is_over_budget()));
    let pages: Vec<Vec<u64>> = run().into_iter().collect();
    assert!(pages.iter().map(|page| page[0]).eq(0..500));
}

/// A wrapper takes items of its function's own type: what they are made of is converted on the way.
#[test]
fn items_are_lent_as_what_the_function_takes() {
    #[batched]
    fn first_word(text: &str) -> &str {
        text.split(' ').next().unwrap_or_default()
    }
    #[batched]
    fn depth(path: &Path) -> usize {
        path.components().count()
    }
    let texts: Vec<String> = (0..ITEMS).map(|x| format!("{x} items")).collect();
    let words: Vec<&str> = first_word_batched(texts.iter().map(String::as_str)).collect().unwrap();
    assert!(words.iter().enumerate().all(|(index, word)| index.to_string() == *word));
    // A type that can be lent as several is told by the function's parameter.
    let same: Vec<&str> = first_word_batched(texts.iter().map(AsRef::as_ref)).collect().unwrap();
    assert_eq!(words, same);
    // A call in a closure converts by itself.
    assert_eq!(texts.iter().batched(|text| first_word(text)).collect::<Vec<_>>().unwrap(), words);

    let paths = ["a", "a/b", "a/b/c"].map(PathBuf::from);
    assert_eq!(depth_batched(paths.iter().map(PathBuf::as_path)).collect::<Vec<_>>().unwrap(), [1, 2, 3]);
    assert_eq!(paths.iter().batched(|path| depth(path)).collect::<Vec<_>>().unwrap(), [1, 2, 3]);
    assert_eq!(paths.into_iter().batched(|path| depth(&path)).collect::<Vec<_>>().unwrap(), [1, 2, 3]);
}

#[test]
fn a_run_of_anything_that_iterates_has_the_type_that_it_has_by_the_function() {
    let double: fn(u64) -> u64 = |x| 2 * x;
    let run: Batched<Vec<u64>, u64, fn(u64) -> u64> = vec![1, 2].batched(double);
    let mut same: Batched<Vec<u64>, u64, fn(u64) -> u64> = process_in_batches(double, vec![1, 2]);
    assert_eq!({ run }.collect::<Vec<_>>().unwrap(), same.collect::<Vec<_>>().unwrap());
}
