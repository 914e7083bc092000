//! `spill`: a `collect` that always fits, and that loses nothing when it ends early.

#[path = "common/child.rs"]
mod child;
#[path = "common/folder.rs"]
mod folder;
#[cfg(unix)]
#[path = "common/full.rs"]
mod full;

use std::fs;

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::sink::JsonLines;
use amorsize::{ByteSize, CancelToken, ErrorKind, Spilled, batched, process_in_batches};
use child::{is_inside, run_inside_with};
use folder::Folder;
use serde::{Deserialize, Serialize, Serializer};

/// A result of one or two kilobytes.
#[batched(max_memory = "4MiB")]
fn text(item: usize) -> String {
    line(item)
}

fn line(item: usize) -> String {
    format!("{item}{}", ".".repeat(1000 + item % 1000))
}

/// The same as `text`, but every hundredth call fails.
#[batched(max_memory = "4MiB")]
fn most(item: usize) -> Result<String, usize> {
    if item % 100 == 99 { Err(item) } else { Ok(line(item)) }
}

/// Items with 30 MB of results.
const ITEMS: usize = 20_000;

fn good() -> impl Iterator<Item = usize> + Clone {
    (0..ITEMS).filter(|item| item % 100 != 99)
}

/// Checks that all results are there, in order, by each way to them.
#[track_caller]
fn check(spilled: Spilled<String>, items: impl Iterator<Item = usize> + Clone) {
    assert_eq!(spilled.len(), items.clone().count());
    assert_eq!(spilled.is_empty(), items.clone().next().is_none());
    assert!(spilled.indices().eq(items.clone()));
    // Two iterators at once.
    let mut other = spilled.iter().skip(spilled.len() / 2);
    for (found, item) in (&spilled).into_iter().zip(items.clone()) {
        assert_eq!(found.unwrap(), line(item));
        other.next();
    }
    assert_eq!(spilled.iter().count(), spilled.len());
    for item in [0, 1, 98, 99, 100, 4_321, ITEMS - 2, ITEMS - 1, ITEMS] {
        let expected = items.clone().any(|other| other == item).then(|| line(item));
        assert_eq!(spilled.get(item).map(Result::unwrap), expected, "{item}");
    }
    assert!(spilled.into_iter().map(Result::unwrap).eq(items.map(line)));
}

#[test]
fn what_fits_stays_in_memory() {
    let spilled = text_batched(0..1000).spill().unwrap();
    assert_eq!(spilled.on_disk(), ByteSize::ZERO);
    check(spilled, 0..1000);
    let none = text_batched(0..0).spill().unwrap();
    assert!(none.is_empty() && none.get(0).is_none() && none.into_iter().next().is_none());
}

#[test]
fn what_does_not_fit_goes_to_the_disk() {
    let spilled = text_batched(0..ITEMS).spill().unwrap();
    // Each value takes its bytes and their length, without compression.
    let bytes: usize = (0..ITEMS).map(|item| line(item).len() + 2).sum();
    assert_eq!(spilled.on_disk(), ByteSize::new(bytes as u64));
    check(spilled, 0..ITEMS);
}

/// The input does not tell its length; or it does, and then it's known from the start that not all
/// fit.
#[test]
fn whatever_the_input_says_of_its_length() {
    check(text_batched((0..).take_while(|item| *item < ITEMS)).spill().unwrap(), 0..ITEMS);
    let numbers = process_in_batches(|x: u64| x, 0..1_000_000_u64).max_memory("1MiB").spill().unwrap();
    assert!(numbers.into_iter().map(Result::unwrap).eq(0..1_000_000));
}

#[test]
fn numbers_that_don_t_shrink() {
    let noise = |item: u64| (item + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let spilled = process_in_batches(noise, 0..1_000_000).max_memory("2MiB").spill().unwrap();
    assert!(spilled.on_disk() > ByteSize::mib(8));
    assert_eq!(spilled.get(777_777).unwrap().unwrap(), noise(777_777));
    assert!(spilled.into_iter().map(Result::unwrap).eq((0..1_000_000).map(noise)));
}

#[test]
fn all_policies() {
    check(most_batched(0..ITEMS).on_error(Skip).spill().unwrap(), good());
    check(most_batched(0..1000).on_error(Skip).spill().unwrap(), good().take_while(|item| *item < 1000));

    let (spilled, failures) = most_batched(0..ITEMS).on_error(Collect).spill().unwrap().into_parts();
    assert_eq!(failures.len(), ITEMS / 100);
    check(spilled, good());

    let as_they_are = most_batched(0..ITEMS).spill().unwrap();
    assert_eq!(as_they_are.iter().filter(|result| result.as_ref().unwrap().is_err()).count(), ITEMS / 100);

    let even = |item: usize| item.is_multiple_of(2).then(|| line(item));
    let spilled = process_in_batches(even, 0..ITEMS).max_memory("4MiB").flatten().spill().unwrap();
    check(spilled, (0..ITEMS).step_by(2));
}

#[test]
fn an_early_end_is_reported_with_the_part_in_memory() {
    #[batched(max_memory = "4MiB", threads = 1, on_error = "skip")]
    fn cancelled_half_way(item: usize, token: &CancelToken) -> Result<String, usize> {
        if item == ITEMS / 2 {
            token.cancel();
        }
        most(item)
    }
    let token = CancelToken::new();
    let run = cancelled_half_way_batched(0..ITEMS, &token);
    let mut run = run.cancel_token(&token);
    assert!(run.spill().unwrap_err().is_cancelled());
    let report = run.report().unwrap();
    assert_eq!(report.failures()[0].index(), 99);
    // A batch that was open at the end is not among the items; its failures were met.
    let ends = (1..=ITEMS).find(|ends| ends - ends / 100 >= report.items()).unwrap();
    assert!((ends / 100..=ITEMS / 200).contains(&report.failed()), "{report}");
    check(run.cancel_token(&CancelToken::new()).spill().unwrap(), good());
}

#[test]
fn with_stop_it_goes_on_behind_each_error() {
    let mut run = most_batched(0..ITEMS).on_error(Stop);
    for item in (99..ITEMS).step_by(100) {
        assert_eq!(run.spill().unwrap_err().into_item_error(), Some(item));
    }
    check(run.spill().unwrap(), good());
}

/// Results that were spilled before the end come first, in every terminal that goes on.
#[test]
fn after_an_early_end_any_terminal_goes_on() {
    /// A run that has spilled two thirds.
    macro_rules! ended {
        () => {{
            let token = CancelToken::new();
            let until = token.clone();
            let input = (0..ITEMS).inspect(move |item| {
                if *item == ITEMS / 3 * 2 {
                    until.cancel();
                }
            });
            let mut run = text_batched(input).cancel_token(&token);
            assert!(run.spill().unwrap_err().is_cancelled());
            run.cancel_token(&CancelToken::new())
        }};
    }
    check(ended!().spill().unwrap(), 0..ITEMS);

    let mut found = Vec::new();
    ended!().for_each_batch(|batch| found.extend(batch.indices().zip(batch))).unwrap();
    assert!(found.into_iter().eq((0..ITEMS).map(|item| (item, line(item)))));

    assert!(ended!().into_iter().eq((0..ITEMS).map(line)));

    let mut all: Vec<_> = ended!().unordered().collect();
    all.sort();
    assert!(all.into_iter().eq((0..ITEMS).map(|item| (item, line(item)))));

    // They did not fit before. The run still has all of them.
    let mut run = ended!();
    assert!(run.collect::<Vec<_>>().unwrap_err().is_over_budget());
    check(run.spill().unwrap(), 0..ITEMS);

    // A sink that then fails takes some, an iterator takes some, and another spill takes the
    // others.
    let mut run = ended!();
    let mut found = Vec::new();
    let failed = run.try_for_each_batch(|batch| {
        found.extend(batch);
        if found.len() > 2000 { Err(Box::<dyn std::error::Error>::from("full")) } else { Ok(()) }
    });
    assert_eq!(failed.unwrap_err().to_string(), "full");
    let mut iterator = run.into_iter();
    found.extend(iterator.by_ref().take(1234));
    let rest = iterator.into_run().spill().unwrap();
    assert!(rest.indices().eq(found.len()..ITEMS));
    assert!(found.into_iter().chain(rest.into_iter().map(Result::unwrap)).eq((0..ITEMS).map(line)));
}

#[test]
fn it_goes_into_a_sink() {
    let folder = Folder::new("it_goes_into_a_sink");
    for items in [100, ITEMS] {
        let spilled = most_batched(0..items).on_error(Skip).spill().unwrap();
        let path = folder.file("texts.jsonl");
        for _ in 0..2 {
            spilled.write_to(JsonLines::new(&path)).unwrap();
            let written = fs::read_to_string(&path).unwrap();
            let expected = good().take_while(|item| *item < items).map(|item| format!("{:?}", line(item)));
            assert!(written.lines().eq(expected));
        }
        let error = spilled.write_to(JsonLines::new(folder.file("no/such/folder"))).unwrap_err();
        assert!(error.is_storage());
    }
}

/// A type that can't be encoded: postcard has to know the length of a sequence in advance.
#[derive(Debug, PartialEq, Deserialize)]
struct Odd(Vec<usize>);

impl Serialize for Odd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0[0] == 7_777 { Err(serde::ser::Error::custom("it is odd")) } else { self.0.serialize(serializer) }
    }
}

#[test]
fn a_result_that_can_t_be_stored_is_named_and_nothing_is_lost() {
    let odd = |item: usize| Odd(vec![item; 100]);
    // In memory nothing is encoded.
    let all = process_in_batches(odd, 7_700..7_800).spill().unwrap();
    assert_eq!(all.len(), 100);

    // In the first input the odd one is among the first that don't fit, in the second among those
    // that follow.
    for items in [7_770..9_000, 0..9_000] {
        // Memory that other tests have freed does not grow when these results take it.
        let bytes = |odd: &Odd| size_of_val(&odd.0[..]);
        let mut run = process_in_batches(odd, items.clone()).weigh(bytes).max_memory("256KiB");
        for _ in 0..2 {
            let error = run.spill().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unwritable { item: Some(_), .. }), "{error}");
            assert_eq!(error.item(), Some(7_777 - items.start));
            assert!(error.to_string().ends_with("it is odd") || error.to_string().contains("Serde"), "{error}");
        }
        let mut found = Vec::new();
        run.for_each_batch(|batch| found.extend(batch)).unwrap();
        assert!(found.into_iter().eq(items.map(odd)));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_that_is_memory_is_refused_before_any_call() {
    if fs::read_to_string("/proc/mounts").is_ok_and(|mounts| mounts.contains(" /dev/shm tmpfs ")) {
        run_inside_with("inside_memory", &[("TMPDIR", "/dev/shm")]);
    }
}

#[test]
#[ignore = "its directory is that of the whole process"]
fn inside_memory() {
    if is_inside() {
        let mut run = process_in_batches(|_: usize| -> usize { unreachable!("not called") }, 0..10);
        let error = run.spill().unwrap_err();
        assert!(error.is_invalid_option());
        assert!(error.to_string().starts_with("`spill_dir` can't be `/dev/shm`, which is memory"), "{error}");
    }
}

#[test]
#[cfg(unix)]
fn when_the_disk_is_full_nothing_is_lost_and_no_name_is_left() {
    let folder = Folder::new("when_the_disk_is_full");
    run_inside_with("inside_full", &[("TMPDIR", folder.path().to_str().unwrap())]);
    assert!(folder.names().is_empty());
}

#[test]
#[cfg(unix)]
#[ignore = "its limit is that of the whole process"]
fn inside_full() {
    if !is_inside() {
        return;
    }
    let noise = |item: u64| (item + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for limit in [1_000, 2_000_000] {
        let full = || {
            full::limit_files(limit);
            let mut run = process_in_batches(noise, 0..400_000).max_memory("1MiB");
            for _ in 0..2 {
                let error = run.spill().unwrap_err();
                let ErrorKind::Storage { operation: "written", needed: Some(needed), free: Some(_), .. } = error.kind()
                else {
                    panic!("{error:#?}")
                };
                assert!(*needed >= ByteSize::kib(8) && error.to_string().contains("free space"), "{error}");
            }
            run
        };
        let all = || (0..400_000).map(noise);
        // There is room again.
        let mut run = full();
        full::limit_files(u64::MAX);
        assert!(run.spill().unwrap().into_iter().map(Result::unwrap).eq(all()));
        // There is no room, and a sink takes them.
        let mut found = Vec::new();
        full().for_each_batch(|batch| found.extend(batch)).unwrap();
        assert!(found.into_iter().eq(all()));
        assert!(full().into_iter().eq(all()));
    }
}
