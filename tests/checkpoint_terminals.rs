//! Every terminal with every policy gives the same with a checkpoint as without one: the first
//! time, with half of the results stored, and with all.

#[path = "common/folder.rs"]
mod folder;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Batched, ByteSize, ErrorKind, OnPanic, TryError, batched, process_in_batches};
use folder::Folder;

const ITEMS: u64 = 300;
const HALF: u64 = 150;

type Outcome = Result<String, String>;
type Call<'a> = Box<dyn Fn(u64) -> Outcome + Sync + 'a>;
type Run<'a> = Batched<Range<u64>, Outcome, Call<'a>>;

/// Fails for some items, unless it must not.
fn call(x: u64, fails: bool) -> Outcome {
    if fails && x % 97 == 53 { Err(format!("{x} fails")) } else { Ok("x".repeat(x as usize % 7)) }
}

/// Is of a known size, which is not that on disk.
#[batched]
fn wide(x: u64) -> Vec<u64> {
    vec![x; 12_500]
}

#[test]
fn restored_results_count_in_reports_and_in_what_is_expected() {
    let folder = Folder::new("restored-bytes");
    let run = || wide_batched(0..80).checkpoint(folder.file("run"));
    let bytes = run().for_each_batch(|_| ()).unwrap().result_bytes();
    for threads in [1, 3] {
        let report = run().threads(threads).for_each_batch(|_| ()).unwrap();
        assert_eq!((report.restored(), report.result_bytes()), (80, bytes));
        assert_eq!(report.bytes_per_second(), bytes.as_u64() as f64 / report.seconds());
        assert!(report.to_string().contains(&format!("\n{bytes} of results, at most ")), "{report}");

        let error = run().threads(threads).max_memory("4MiB").collect::<Vec<_>>().unwrap_err();
        let ErrorKind::OverBudget { held, needed, expected: Some(expected), .. } = error.kind() else {
            panic!("{error}")
        };
        assert!(*expected >= *held && *expected >= bytes && *needed >= ByteSize::new(100_000), "{error}");
        assert!(*expected < ByteSize::mib(16), "{error}");
    }
}

fn errors_below(items: u64) -> usize {
    (0..items).filter(|&x| call(x, true).is_err()).count()
}

fn plain(items: u64, threads: usize, fails: bool, calls: &AtomicUsize) -> Run<'_> {
    let call: Call = Box::new(move |x| {
        calls.fetch_add(1, Relaxed);
        call(x, fails)
    });
    process_in_batches(call, 0..items).version(1).threads(threads)
}

/// Runs a terminal without a checkpoint, and with one in three ways, and checks that all give the
/// same. `run` makes the run over a number of items, in the directory if there is one.
fn compare<V: Debug + PartialEq>(
    name: &str,
    threads: usize,
    run: &dyn Fn(u64, Option<&Path>) -> V,
    first_half: &dyn Fn(&Path),
    calls: &AtomicUsize,
) {
    let name = format!("{name}, {threads} threads");
    let folder = Folder::new(&name.replace(' ', "-"));
    let expected = run(ITEMS, None);
    calls.store(0, Relaxed);
    assert_eq!(run(ITEMS, Some(&folder.file("whole"))), expected, "{name}, new");
    // If an error ends the run, nobody knows the number of calls behind it.
    let calls_all = !name.contains("by stop,");
    assert!(!calls_all || calls.swap(0, Relaxed) == ITEMS as usize);
    assert_eq!(run(ITEMS, Some(&folder.file("whole"))), expected, "{name}, restored");
    // Errors that a policy takes out are tried again, but nothing else.
    let again = calls.swap(0, Relaxed);
    assert!(!calls_all || again <= errors_below(ITEMS), "{name}: {again} calls are made again");
    first_half(&folder.file("half"));
    calls.store(0, Relaxed);
    assert_eq!(run(ITEMS, Some(&folder.file("half"))), expected, "{name}, restored in part");
    let called = calls.swap(0, Relaxed);
    let most = (ITEMS - HALF) as usize + errors_below(HALF);
    assert!(!calls_all || called <= most, "{name}: {called} calls are made for one half");
}

/// All terminals of each policy.
macro_rules! terminals {
    ($policy:literal, $fails:expr, $run:ident => $with:expr) => {
        for threads in 1..=4 {
            let calls = AtomicUsize::new(0);
            let make = |items: u64, directory: Option<&Path>| {
                let $run = plain(items, threads, $fails, &calls);
                let run = $with;
                if let Some(directory) = directory { run.checkpoint(directory) } else { run }
            };
            let half = |directory: &Path| {
                let mut run = make(HALF, Some(directory));
                _ = run.for_each_batch(drop);
            };
            let check = |name: &str, terminal: &dyn Fn(u64, Option<&Path>) -> String| {
                compare(&format!("{} by {}", name, $policy), threads, terminal, &half, &calls);
            };
            check("collect", &|items, at| format!("{:?}", make(items, at).collect::<Vec<_>>().map_err(text)));
            check("collect into a set", &|items, at| {
                format!("{:?}", make(items, at).collect::<BTreeSet<_>>().map_err(text))
            });
            check("collect_into", &|items, at| {
                let mut all = Vec::new();
                let outcome = make(items, at).collect_into(&mut all).map(drop).map_err(text);
                format!("{outcome:?} {all:?}")
            });
            check("for_each_batch", &|items, at| {
                let mut all = Vec::new();
                let mut run = make(items, at).batch_size(7);
                let outcome = run.for_each_batch(|batch| all.extend(batch.indices().zip(batch)));
                format!("{:?} {all:?}", outcome.map(drop).map_err(text))
            });
            check("try_for_each_batch", &|items, at| {
                let mut all = Vec::new();
                let mut run = make(items, at);
                let outcome = run.try_for_each_batch(|batch| {
                    all.extend(batch.indices().zip(batch));
                    Ok::<(), Mine>(())
                });
                format!("{:?} {all:?}", outcome.map(drop))
            });
            check("for_each", &|items, at| {
                let mut all = Vec::new();
                let outcome = make(items, at).for_each(|value| all.push(value)).map(drop).map_err(text);
                format!("{outcome:?} {all:?}")
            });
            check("fold", &|items, at| {
                let folded = make(items, at).fold(String::new(), |all, value| format!("{all}{value:?}"));
                format!("{:?}", folded.map_err(text))
            });
            check("reduce", &|items, at| {
                format!("{:?}", make(items, at).reduce(|one, other| one.max(other)).map_err(text))
            });
            check("into_iter", &|items, at| {
                format!("{:?}", make(items, at).into_iter().map(|item| format!("{item:?}")).collect::<Vec<_>>())
            });
            check("a plan and collect", &|items, at| {
                let mut run = make(items, at);
                run.plan().unwrap();
                format!("{:?}", run.collect::<Vec<_>>().map_err(text))
            });
        }
    };
}

fn text<E: Debug>(error: E) -> String {
    format!("{error:?}")
}

/// A sink's error.
#[derive(Debug)]
struct Mine(#[expect(dead_code, reason = "its text is compared by `Debug`")] String);

impl From<amorsize::Error> for Mine {
    fn from(error: amorsize::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<TryError<String>> for Mine {
    fn from(error: TryError<String>) -> Self {
        Self(error.to_string())
    }
}

#[test]
fn results_as_they_are() {
    terminals!("none", true, run => run);
    terminals!("none without an error", false, run => run);
}

#[test]
fn the_first_error_ends_the_run() {
    terminals!("stop", true, run => run.on_error(Stop));
    terminals!("stop without an error", false, run => run.on_error(Stop));
}

#[test]
fn errors_are_skipped() {
    terminals!("skip", true, run => run.on_error(Skip));
}

#[test]
fn errors_are_collected() {
    terminals!("collect", true, run => run.on_error(Collect));
    terminals!("collect with panics", true, run => run.on_error(Collect).on_panic(OnPanic::Collect));
}

#[test]
fn only_values_are_stored_where_errors_are_taken_out() {
    // `io::Error` is not `Serialize`.
    let folder = Folder::new("io-errors");
    let call = |x: u64| if x == 3 { Err(std::io::Error::other("no")) } else { Ok(x) };
    for _ in 0..2 {
        let mut run = process_in_batches(call, 0..9).version(1).on_error(Skip).checkpoint(folder.file("run"));
        assert_eq!(run.collect::<Vec<_>>().unwrap(), [0, 1, 2, 4, 5, 6, 7, 8]);
    }
}

#[test]
fn the_first_error_of_a_run_that_has_no_policy() {
    for threads in 1..=4 {
        let (folder, calls) = (Folder::new("try-collect"), AtomicUsize::new(0));
        let run = |fails| plain(ITEMS, threads, fails, &calls).checkpoint(folder.file("run"));
        for _ in 0..2 {
            let error = run(true).try_collect::<Vec<_>>().unwrap_err();
            assert_eq!(error.to_string(), "item 53 failed: 53 fails");
        }
        // The item is tried again.
        assert_eq!(run(false).try_collect::<Vec<_>>().unwrap().len(), ITEMS as usize);
    }
}

#[test]
fn the_results_that_are_there_come_first_where_order_is_of_no_matter() {
    for threads in 1..=4 {
        let (folder, calls) = (Folder::new("unordered"), AtomicUsize::new(0));
        let run = |items| plain(items, threads, false, &calls).checkpoint(folder.file("run"));
        assert_eq!(run(HALF).unordered().count(), HALF as usize);
        calls.store(0, Relaxed);
        let mut all: Vec<_> = run(ITEMS).unordered().collect();
        assert_eq!(calls.swap(0, Relaxed), (ITEMS - HALF) as usize);
        assert!(all[..HALF as usize].iter().map(|(index, _)| *index).eq(0..HALF as usize));
        all.sort_by_key(|(index, _)| *index);
        assert!(all.into_iter().eq((0..ITEMS).map(|x| (x as usize, call(x, false)))));
        assert!(run(ITEMS).unordered().map(|(index, _)| index).eq(0..ITEMS as usize));
        assert_eq!(calls.swap(0, Relaxed), 0);
    }
}

#[test]
fn options_may_differ_between_calls() {
    let (folder, calls) = (Folder::new("options"), AtomicUsize::new(0));
    let run = |threads| plain(ITEMS, threads, true, &calls).checkpoint(folder.file("run"));
    let expected: Vec<_> = (0..ITEMS).map(|x| call(x, true)).collect();
    assert_eq!(run(1).batch_size(7).collect::<Vec<_>>().unwrap(), expected);
    calls.store(0, Relaxed);
    assert_eq!(run(2).max_memory("1MiB").sample_size(3).collect::<Vec<_>>().unwrap(), expected);
    assert_eq!(run(3).in_flight(2).retry(2).timeout(std::time::Duration::MAX).collect::<Vec<_>>().unwrap(), expected);
    assert_eq!(run(4).on_panic(OnPanic::Skip).progress(|_| ()).collect::<Vec<_>>().unwrap(), expected);
    assert_eq!(calls.into_inner(), 0);
}

#[test]
fn results_that_are_none_are_left_out() {
    for threads in 1..=4 {
        let (folder, calls) = (Folder::new("flatten"), AtomicUsize::new(0));
        for _ in 0..2 {
            let call = |x: u64| {
                calls.fetch_add(1, Relaxed);
                (x % 10 != 3).then_some(x)
            };
            let run = process_in_batches(call, 0..ITEMS).version(1).threads(threads);
            let values: Vec<_> = run.flatten().checkpoint(folder.file("run")).collect().unwrap();
            assert!(values.into_iter().eq((0..ITEMS).filter(|x| x % 10 != 3)));
        }
        // Nothing of them is stored, so their items are called again.
        assert_eq!(calls.into_inner(), ITEMS as usize + 30);
    }
}
