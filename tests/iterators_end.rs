//! An iterator over a run tells why it ended, whatever failed before, and gives nothing more. It
//! removes the directory of the run only if it has given everything.

#[path = "common/caught.rs"]
mod caught;
#[path = "common/folder.rs"]
mod folder;

use std::ops::Range;
use std::panic::resume_unwind;
use std::path::Path;
use std::time::Instant;

use amorsize::on_error::{Collect, Each, Skip, Stop};
use amorsize::{Batched, CancelToken, Error, IntoIter, TryError, Unordered, process_in_batches};
use caught::caught;
use folder::Folder;

const ITEMS: u64 = 1_000;

type Outcome = Result<u64, String>;
type Run<P = Each> = Batched<Range<u64>, Outcome, fn(u64) -> Outcome, P>;

/// Gives values with bytes that can't be compressed.
fn good(x: u64) -> Outcome {
    Ok(x.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn some_fail(x: u64) -> Outcome {
    if x % 100 == 3 { Err(format!("{x} fails")) } else { good(x) }
}

fn one_panics(x: u64) -> Outcome {
    if x == 700 { resume_unwind(Box::new("as planned")) } else { good(x) }
}

fn run(call: fn(u64) -> Outcome, items: u64) -> Run {
    process_in_batches(call, 0..items).threads(1).version(1)
}

/// The number of values that a directory has.
fn stored(directory: &Path) -> usize {
    run(good, ITEMS).on_error(Stop).checkpoint(directory).for_each_batch(drop).unwrap().restored()
}

#[test]
fn a_full_disk_is_told_behind_items_that_failed() {
    let folder = Folder::new("full-behind-failed");
    let skips = || run(some_fail, ITEMS).on_error(Skip).checkpoint(folder.file("skip")).max_disk("1KiB");
    let collects = || run(some_fail, ITEMS).on_error(Collect).checkpoint(folder.file("collect")).max_disk("1KiB");
    let options = process_in_batches(|x: u64| some_fail(x).ok(), 0..ITEMS).version(1).flatten();
    for payload in [
        caught(|| skips().into_iter().count()),
        caught(|| skips().unordered().count()),
        caught(|| collects().into_iter().count()),
        caught(|| collects().unordered().count()),
        caught(|| options.checkpoint(folder.file("flatten")).max_disk("1KiB").into_iter().count()),
    ] {
        let text = *payload.unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains("`max_disk` of 1.00 KiB has "), "{text}");
    }
}

#[test]
fn the_directory_goes_although_items_failed() {
    let folder = Folder::new("goes-although-failed");
    let directory = folder.file("run");
    let skipped = run(some_fail, ITEMS).on_error(Skip).checkpoint(&directory).remove_when_done(true);
    assert_eq!(skipped.into_iter().count(), 990);
    assert!(!directory.exists());
    let collected = run(some_fail, ITEMS).on_error(Collect).checkpoint(&directory).remove_when_done(true);
    assert_eq!(collected.unordered().filter(Result::is_err).count(), 10);
    assert!(!directory.exists());
    let options = process_in_batches(|x: u64| some_fail(x).ok(), 0..ITEMS).version(1).flatten();
    assert_eq!(options.checkpoint(&directory).remove_when_done(true).into_iter().count(), 990);
    assert!(!directory.exists());
}

/// Checks that an error of the run is the last item.
fn ends_by_an_error<V, N: Iterator<Item = Result<V, TryError<String>>>>(
    mut values: N,
    error: impl Fn(&N) -> Option<&Error>,
) {
    assert!(matches!(values.by_ref().last(), Some(Err(TryError::Run(_)))));
    assert!(values.next().is_none());
    assert!(error(&values).is_some());
}

#[test]
fn the_directory_of_a_run_that_an_error_ended_stays() {
    let token = CancelToken::new();
    token.cancel();
    let reasons: [&dyn Fn(Run<Stop>) -> Run<Stop>; 3] =
        [&|run| run.cancel_token(&token), &|run| run.deadline(Instant::now()), &|run| run.max_disk("1KiB")];
    for reason in reasons {
        let folder = Folder::new("stays-behind-error");
        let directory = folder.file("run");
        run(good, 500).on_error(Stop).checkpoint(&directory).for_each_batch(drop).unwrap();
        let begun = || reason(run(good, ITEMS).on_error(Stop).checkpoint(&directory).remove_when_done(true));
        ends_by_an_error(begun().into_iter(), IntoIter::error);
        ends_by_an_error(begun().unordered(), Unordered::error);
        assert_eq!(stored(&directory), 500);
    }
}

/// Checks that a panic is what comes last.
fn ends_by_a_panic(mut values: impl Iterator) {
    let payload = loop {
        match caught(|| values.next().is_some()) {
            Ok(is_some) => assert!(is_some, "it ended without a panic"),
            Err(payload) => break payload,
        }
    };
    assert_eq!(payload.downcast_ref(), Some(&"as planned"));
    assert!(values.next().is_none());
}

#[test]
fn the_directory_of_a_run_that_a_panic_ended_stays() {
    let folder = Folder::new("stays-behind-panic");
    let (values, results) = (folder.file("values"), folder.file("results"));
    let begun = || run(one_panics, ITEMS);
    ends_by_a_panic(begun().on_error(Stop).checkpoint(&values).remove_when_done(true).into_iter());
    ends_by_a_panic(begun().on_error(Skip).checkpoint(&values).remove_when_done(true).unordered());
    ends_by_a_panic(begun().on_error(Collect).checkpoint(&values).remove_when_done(true).into_iter());
    assert_eq!(stored(&values), 700);
    ends_by_a_panic(begun().checkpoint(&results).remove_when_done(true).into_iter());
    assert_eq!(run(good, ITEMS).checkpoint(&results).for_each_batch(drop).unwrap().restored(), 700);
}
