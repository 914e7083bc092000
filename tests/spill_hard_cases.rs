//! `spill` against obstacles: directories, sizes, panics, other runs.

#[path = "common/folder.rs"]
mod folder;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use amorsize::on_error::Skip;
use amorsize::{ByteSize, CancelToken, DeepSize, ErrorKind, Oversize, Spilled, Warning, batched, process_in_batches};
use folder::Folder;
use serde::{Deserialize, Serialize};

fn noise(item: usize) -> Vec<u64> {
    (0..500_u64).map(|at| (at + item as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect()
}

#[batched(max_memory = "1MiB")]
fn numbers(item: usize) -> Vec<u64> {
    noise(item)
}

#[batched(max_memory = "1MiB", max_disk = "2MiB", spill_dir = "/var/tmp")]
fn few_numbers(item: usize) -> Vec<u64> {
    noise(item)
}

const ITEMS: usize = 2_000;

#[track_caller]
fn check(spilled: Spilled<Vec<u64>>) {
    assert!(spilled.indices().eq(0..ITEMS));
    assert!(spilled.into_iter().map(Result::unwrap).eq((0..ITEMS).map(noise)));
}

#[test]
fn a_directory_that_can_t_be_used_is_told_before_any_call() {
    let folder = Folder::new("a_directory_that_can_t_be_used");
    std::fs::write(folder.file("file"), "").unwrap();
    for directory in ["missing", "file"] {
        let directory = folder.file(directory);
        let mut run = process_in_batches(|_: usize| -> usize { unreachable!("not called") }, 0..10);
        run = run.spill_dir(&directory);
        let error = run.spill().unwrap_err();
        assert!(error.is_storage() && error.to_string().contains(&*directory.to_string_lossy()), "{error}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_without_room_for_files_loses_nothing_and_another_one_goes_on() {
    // Nobody can make a file there.
    let mut run = numbers_batched(0..ITEMS).spill_dir("/proc");
    let error = run.spill().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Storage { operation: "made", .. }), "{error}");
    let folder = Folder::new("a_directory_without_room");
    check(run.spill_dir(folder.path()).spill().unwrap());
    assert!(folder.names().is_empty());
}

#[test]
fn max_disk_is_kept_and_a_larger_one_goes_on() {
    let mut run = few_numbers_batched(0..ITEMS);
    for _ in 0..2 {
        let error = run.spill().unwrap_err();
        let ErrorKind::Storage { needed: Some(needed), free: Some(free), .. } = error.kind() else { panic!("{error}") };
        assert!(needed > free && error.to_string().contains("`max_disk` of 2.00 MiB has "), "{error}");
    }
    let mut run = run.max_disk("20MiB");
    let spilled = run.spill().unwrap();
    assert!(spilled.on_disk() > ByteSize::mib(2) && spilled.on_disk() <= ByteSize::mib(20));
    check(spilled);
}

#[test]
#[cfg(target_os = "linux")]
fn memory_that_is_stated_is_taken_with_a_warning() {
    if !Path::new("/dev/shm").is_dir() {
        return;
    }
    let mut run = numbers_batched(0..ITEMS).spill_dir("/dev/shm");
    let warnings = run.plan().unwrap().warnings();
    let warning = warnings.iter().find(|warning| warning.code() == Warning::SPILL_DIR_IS_MEMORY).unwrap();
    assert!(warning.message().starts_with("`spill_dir` is `/dev/shm`, which is memory"), "{warning}");
    check(run.spill().unwrap());

    let mut run = numbers_batched(0..ITEMS).spill_dir(env!("CARGO_TARGET_TMPDIR"));
    let warnings = run.plan().unwrap().warnings();
    assert!(warnings.iter().all(|warning| warning.code() != Warning::SPILL_DIR_IS_MEMORY));
}

#[test]
fn nothing_and_results_of_no_size() {
    assert!(numbers_batched(0..0).spill().unwrap().into_iter().next().is_none());
    let units = process_in_batches(|_: u32| (), 0..100_000).max_memory("64KiB").spill().unwrap();
    assert_eq!((units.len(), units.iter().map(Result::unwrap).count()), (100_000, 100_000));
    let units = process_in_batches(|x: u32| x.checked_sub(99_999).map(|_| ()), 0..100_000).flatten().spill().unwrap();
    assert!(units.indices().eq([99_999]) && units.get(99_999).is_some() && units.get(0).is_none());
}

/// Results that are larger than the budget are made alone, and go to the disk.
#[test]
fn results_larger_than_the_budget() {
    let large = |item: usize| vec![item as u64; if item % 5 == 2 { 400_000 } else { 10 }];
    let spilled = process_in_batches(large, 0..20).max_memory("1MiB").spill().unwrap();
    for _ in 0..2 {
        assert!(spilled.iter().map(Result::unwrap).eq((0..20).map(large)));
    }
    assert_eq!(spilled.get(12).unwrap().unwrap(), large(12));
    assert!(spilled.into_iter().map(Result::unwrap).eq((0..20).map(large)));

    // Or the policy makes them an error, and then nothing before it is lost.
    let large = |item: usize| vec![item as u64; 400_000];
    let mut run = process_in_batches(large, 0..20).max_memory("1MiB").oversize(Oversize::Error);
    let mut found = 0;
    for _ in 0..3 {
        match run.spill() {
            Err(error) => assert!(error.is_over_budget(), "{error}"),
            Ok(spilled) => found += spilled.len(),
        }
    }
    let mut run = run.oversize(Oversize::Alone);
    run.for_each(|numbers| {
        assert_eq!(numbers, large(found));
        found += 1;
    })
    .unwrap();
    assert_eq!(found, 20);
}

#[test]
fn a_thousand_gaps_and_more() {
    let odd = |item: u64| if item.is_multiple_of(2) { Err(item) } else { Ok(item) };
    let spilled = process_in_batches(odd, 0..400_000_u64).max_memory("256KiB").on_error(Skip).spill();
    // An `Err` needs a text.
    let spilled: Spilled<u64> = spilled.unwrap();
    assert!(spilled.on_disk() > 0 && spilled.len() == 200_000);
    assert!(spilled.indices().eq((1..400_000).step_by(2)));
    assert_eq!(spilled.get(399_999).unwrap().unwrap(), 399_999);
    assert!(spilled.get(399_998).is_none());
    assert!(spilled.into_iter().map(Result::unwrap).eq((1..400_000).step_by(2)));
}

#[test]
fn many_readers_at_once() {
    let spilled = numbers_batched(0..ITEMS).spill().unwrap();
    thread::scope(|scope| {
        for reader in 0..4_usize {
            let spilled = &spilled;
            scope.spawn(move || {
                assert!(spilled.iter().map(Result::unwrap).eq((0..ITEMS).map(noise)));
                for at in (reader..ITEMS).step_by(397) {
                    assert_eq!(spilled.get(at).unwrap().unwrap(), noise(at));
                }
            });
        }
    });
    let sent = thread::spawn(move || check(spilled));
    sent.join().unwrap();
}

/// Panics when the result of item 1000 is made from its bytes, once each time that it is wanted.
#[derive(Clone, Debug, PartialEq, DeepSize, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
struct Shy(Vec<u64>);

#[batched(max_memory = "1MiB")]
fn shy(item: usize) -> Shy {
    Shy(noise(item))
}

static IS_SHY: AtomicBool = AtomicBool::new(false);

impl From<Vec<u64>> for Shy {
    fn from(numbers: Vec<u64>) -> Self {
        assert!(numbers != noise(1000) || !IS_SHY.swap(false, Ordering::Relaxed), "too shy");
        Self(numbers)
    }
}

impl From<Shy> for Vec<u64> {
    fn from(shy: Shy) -> Self {
        shy.0
    }
}

#[test]
fn a_result_that_panics_when_it_is_read_hides_no_other() {
    let spilled = shy_batched(0..ITEMS).spill().unwrap();
    fn all(mut results: impl Iterator<Item = Result<Shy, amorsize::Error>>) -> Vec<Shy> {
        let mut found = Vec::new();
        let mut panics = 0;
        IS_SHY.store(true, Ordering::Relaxed);
        loop {
            match catch_unwind(AssertUnwindSafe(|| results.next())) {
                Ok(Some(result)) => found.push(result.unwrap()),
                Ok(None) => break,
                Err(_) => panics += 1,
            }
        }
        assert_eq!(panics, 1);
        found
    }
    let expected: Vec<_> = (0..ITEMS).map(shy).collect();
    assert!(all(spilled.iter()) == expected && all(spilled.into_iter()) == expected);

    // The same happens when a run reads the results that its spill has stored.
    let token = CancelToken::new();
    let until = token.clone();
    let input = (0..ITEMS).inspect(move |item| {
        if *item == ITEMS - 10 {
            until.cancel();
        }
    });
    let mut run = shy_batched(input).cancel_token(&token);
    assert!(run.spill().unwrap_err().is_cancelled());
    let mut run = run.cancel_token(&CancelToken::new());
    let mut found = Vec::new();
    IS_SHY.store(true, Ordering::Relaxed);
    let panicked = catch_unwind(AssertUnwindSafe(|| run.for_each_batch(|batch| found.extend(batch))));
    assert!(panicked.is_err() && found.len() < 1001);
    run.for_each_batch(|batch| found.extend(batch)).unwrap();
    assert!(found == expected);
}

/// The item whose value or error panics when it is dropped, once.
static PANICS: AtomicUsize = AtomicUsize::new(usize::MAX);

/// A value or an error with a `Drop` of its own.
#[derive(Debug, PartialEq, DeepSize, Serialize, Deserialize)]
struct Fragile(usize, Vec<u64>);

impl Drop for Fragile {
    fn drop(&mut self) {
        let is_it = PANICS.compare_exchange(self.0, usize::MAX, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        assert!(!is_it || thread::panicking(), "too fragile");
    }
}

impl std::fmt::Display for Fragile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is fragile", self.0)
    }
}

#[batched(max_memory = "1MiB", on_error = "skip")]
fn fragile(item: usize) -> Result<Fragile, Fragile> {
    let it = Fragile(item, noise(item));
    if item % 7 == 3 { Err(it) } else { Ok(it) }
}

#[test]
fn a_value_or_an_error_that_panics_when_it_is_dropped_takes_no_other_along() {
    // Some of them are dropped when the memory is full, and some later, from a batch.
    for bad in [0, 3, 25, 38, 101, 700, 703, ITEMS - 1] {
        let mut run = fragile_batched(0..ITEMS).threads(2);
        PANICS.store(bad, Ordering::Relaxed);
        let first = catch_unwind(AssertUnwindSafe(|| run.spill().unwrap()));
        assert_eq!(PANICS.load(Ordering::Relaxed), usize::MAX);
        // The report tells the panic of a skipped error.
        assert_eq!(first.is_ok(), bad % 7 == 3, "{bad}");
        let spilled = first.unwrap_or_else(|_| run.spill().unwrap());
        let values = || (0..ITEMS).filter(|item| item % 7 != 3);
        assert!(spilled.indices().eq(values()), "{bad}: {} of {}", spilled.len(), values().count());
        assert!(spilled.iter().map(Result::unwrap).eq(values().map(|item| Fragile(item, noise(item)))));
    }
}

/// A run that has spilled most of its results before it was cancelled.
macro_rules! ended {
    () => {{
        let token = CancelToken::new();
        let until = token.clone();
        let input = (0..ITEMS).inspect(move |item| {
            if *item == ITEMS / 4 * 3 {
                until.cancel();
            }
        });
        let mut run = numbers_batched(input).cancel_token(&token);
        assert!(run.spill().unwrap_err().is_cancelled());
        run
    }};
}

#[test]
fn with_more_memory_a_collect_reads_what_was_spilled() {
    let mut run = ended!().cancel_token(&CancelToken::new()).max_memory("64MiB");
    assert!(run.collect::<Vec<_>>().unwrap().into_iter().eq((0..ITEMS).map(noise)));

    // With too little memory, `collect_into` reads as many of them as fit.
    let mut run = ended!().cancel_token(&CancelToken::new());
    let mut found = Vec::new();
    let error = run.collect_into(&mut found).unwrap_err();
    assert!(error.is_over_budget() && error.to_string().contains("from disk with `spill`"), "{error}");
    run.for_each_batch(|batch| found.extend(batch)).unwrap();
    assert!(found.into_iter().eq((0..ITEMS).map(noise)));
}

#[test]
fn a_token_ends_reading_too() {
    let token = CancelToken::new();
    let mut run = ended!().cancel_token(&token);
    let mut found = Vec::new();
    let error = run.for_each_batch(|batch| {
        found.extend(batch);
        token.cancel();
    });
    assert!(error.unwrap_err().is_cancelled() && found.len() < ITEMS / 2);
    run.cancel_token(&CancelToken::new()).for_each_batch(|batch| found.extend(batch)).unwrap();
    assert!(found.into_iter().eq((0..ITEMS).map(noise)));
}

#[test]
fn a_run_that_is_dropped_and_an_iterator_that_is() {
    drop(ended!());
    let spilled = numbers_batched(0..ITEMS).spill().unwrap();
    assert_eq!(spilled.iter().take(3).count(), 3);
    assert_eq!(spilled.into_iter().take(3).count(), 3);
}

#[test]
fn of_a_pipeline_and_within_calls_of_another_run() {
    #[batched]
    fn sum(numbers: Vec<u64>) -> Vec<u64> {
        vec![numbers.iter().fold(0, |sum, number| sum.wrapping_add(*number)); 300]
    }
    let expected = |item: usize| sum(noise(item));
    let spilled = numbers_batched(0..ITEMS).then(sum_batched).max_memory("1MiB").spill().unwrap();
    assert!(spilled.on_disk() > 0);
    assert!(spilled.into_iter().map(Result::unwrap).eq((0..ITEMS).map(expected)));

    let within = |item: usize| {
        let spilled = numbers_batched(0..400).max_memory("300KiB").spill().unwrap();
        spilled.iter().map(|numbers| numbers.unwrap()[item]).fold(0, u64::wrapping_add)
    };
    let sums: Vec<u64> = process_in_batches(within, 0..8).max_memory("4MiB").collect().unwrap();
    let expected = |item: usize| (0..400).map(|at| noise(at)[item]).fold(0, u64::wrapping_add);
    assert!(sums.into_iter().eq((0..8).map(expected)));
}

#[test]
fn several_spills_stay_apart() {
    let one = numbers_batched(0..ITEMS).max_memory("64MiB").spill().unwrap();
    let two = numbers_batched(0..ITEMS).max_memory("512KiB").spill().unwrap();
    assert!(one.on_disk() == ByteSize::ZERO && two.on_disk() > 0);
    assert!(one.iter().zip(&two).all(|(one, two)| one.unwrap() == two.unwrap()));
    check(one);
    check(two);
}

/// The bytes don't tell their type, so such values can't be read back. The run finds that out
/// before it frees anything.
#[test]
fn what_could_not_be_read_back_is_refused_and_nothing_is_lost() {
    #[derive(Debug, PartialEq, DeepSize, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }

    #[derive(Debug, PartialEq, DeepSize, Serialize, Deserialize)]
    struct Sparse {
        numbers: Vec<u64>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        note: Option<u64>,
        last: u64,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        all: std::collections::HashMap<u64, u64>,
    }

    #[batched(max_memory = "256KiB")]
    fn either(item: u64) -> Either {
        if item.is_multiple_of(2) { Either::Number(item) } else { Either::Text(item.to_string().repeat(100)) }
    }

    #[batched(max_memory = "256KiB")]
    fn sparse(item: u64) -> Sparse {
        Sparse { numbers: vec![item; 100], note: (item != 1_234).then_some(item), last: item }
    }

    // Also where all of them fit: with more of them the same type would be refused.
    for budget in ["256KiB", "64MiB"] {
        let mut run = either_batched(0..5_000).max_memory(budget);
        let error = run.spill().unwrap_err();
        assert!(error.is_unwritable() && error.item() == Some(0), "{error}");
        assert!(error.to_string().contains("return a type without these"), "{error}");
        let mut all = Vec::new();
        run.for_each_batch(|batch| all.extend(batch)).unwrap();
        assert!(all.into_iter().eq((0..5_000).map(either)));
    }
    // It can't even be written: a map without a length.
    let mut run = process_in_batches(|x: u64| Flat { all: [(x, x)].into() }, 0..9);
    assert!(run.spill().unwrap_err().is_unwritable());
    assert_eq!(run.collect::<Vec<_>>().unwrap().len(), 9);
    // With a policy that takes out failures before the first value.
    let mut run = process_in_batches(|x: u64| if x < 3 { Err(x) } else { Ok(either(x)) }, 0..100).on_error(Skip);
    assert_eq!(run.spill().unwrap_err().item(), Some(3));
    assert!(run.collect::<Vec<_>>().unwrap().into_iter().eq((3..100).map(either)));

    let mut run = sparse_batched(0..5_000);
    let error = run.spill().unwrap_err();
    assert!(error.is_unwritable() && error.item() == Some(1_234), "{error}");
    assert!(error.to_string().contains("it leaves out its field `note`, as by `skip_serializing_if`"), "{error}");
    let mut all = Vec::new();
    run.for_each_batch(|batch| all.extend(batch)).unwrap();
    assert!(all.into_iter().eq((0..5_000).map(sparse)));

    let folder = Folder::new("what_could_not_be_read_back");
    let error = sparse_batched(0..5_000).checkpoint(folder.file("runs")).for_each_batch(|_| ()).unwrap_err();
    assert!(error.to_string().contains("`skip_serializing_if`"), "{error}");
}

/// Reads fewer fields than it writes.
#[derive(Debug, Serialize, Deserialize)]
struct Short {
    a: u32,
    #[serde(skip_deserializing)]
    b: u32,
}

#[test]
fn a_type_that_reads_less_than_it_writes_is_refused() {
    for budget in ["2MiB", "1GiB"] {
        let mut run = process_in_batches(|i: u32| Short { a: 1000 + i, b: 7 }, 0..500_000).max_memory(budget);
        let refused = run.spill().unwrap_err();
        assert!(refused.is_unwritable() && refused.to_string().contains("1 bytes are left over"), "{refused}");
        // Nothing is lost.
        let mut next = 1000;
        let mut sum = 0;
        run.for_each_batch(|batch| {
            for short in batch {
                assert_eq!(short.a, next);
                (next, sum) = (next + 1, sum + short.b);
            }
        })
        .unwrap();
        assert_eq!((next, sum), (501_000, 3_500_000));
    }
}

/// A number that can't be written if it is 5.
#[derive(Debug, PartialEq, Deserialize)]
struct NotFive(u32);

impl Serialize for NotFive {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 5 { Err(serde::ser::Error::custom("it is 5")) } else { serializer.serialize_u32(self.0) }
    }
}

#[test]
fn a_result_in_memory_that_can_t_be_copied_is_an_error_in_its_place() {
    let all = process_in_batches(NotFive, 0..10).spill().unwrap();
    let read: Vec<_> = all.iter().map(|result| result.ok().map(|number| number.0)).collect();
    assert_eq!(read, (0..10).map(|x| Some(x).filter(|&x| x != 5)).collect::<Vec<_>>());
    assert!(all.get(5).unwrap().is_err() && all.get(6).unwrap().is_ok());
}

#[test]
fn a_disk_that_is_full_between_two_batches_of_a_chunk_keeps_their_indices() {
    let folder = Folder::new("spill-between-batches");
    for _ in 0..5 {
        let run = process_in_batches(|index: usize| vec![index; 1000], 0..4000).threads(2).batch_size(1);
        let mut run = run.max_memory("1MiB").spill_dir(folder.path()).max_disk("1000KiB");
        assert!(run.spill().is_err());
        run.for_each_batch(|batch| assert!(batch.indices().eq(batch.iter().map(|result| result[0])))).unwrap();
    }
}
