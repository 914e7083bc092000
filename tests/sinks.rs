//! `write_to` with the caller's own sinks: the calls that they get, and when, for all policies.

#[path = "common/child.rs"]
mod child;
#[path = "common/folder.rs"]
mod folder;

use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::sink::Sink;
use amorsize::{Batch, CancelToken, Error, OnPanic, TryError, process_in_batches};
use child::{this_program, told};
use folder::Folder;

/// Notes the calls that it gets.
#[derive(Default)]
struct Noting<R> {
    values: Vec<(usize, R)>,
    told: Vec<&'static str>,
    /// The call that fails.
    fails_at: Option<&'static str>,
    batches: usize,
}

impl<R> Noting<R> {
    fn new() -> Self {
        Self { values: Vec::new(), told: Vec::new(), fails_at: None, batches: 0 }
    }

    fn failing_at(call: &'static str) -> Self {
        Self { fails_at: Some(call), ..Self::new() }
    }

    fn tell(&mut self, call: &'static str) -> Result<(), Failed> {
        if self.told.last() != Some(&call) {
            self.told.push(call);
        }
        if self.fails_at == Some(call) { Err(Failed::Sink(call)) } else { Ok(()) }
    }
}

#[derive(Debug)]
enum Failed {
    Sink(&'static str),
    Run(Error),
    Item(usize),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Run(error)
    }
}

impl<E> From<TryError<E>> for Failed {
    fn from(error: TryError<E>) -> Self {
        Self::Item(error.item().unwrap())
    }
}

impl<R> Sink<R> for Noting<R> {
    type Error = Failed;

    fn batch(&mut self, batch: Batch<R>) -> Result<(), Failed> {
        self.batches += 1;
        self.values.extend(batch.indices().zip(batch));
        self.tell("batch")
    }

    fn finish(&mut self) -> Result<(), Failed> {
        self.tell("finish")
    }

    fn begin(&mut self) -> Result<(), Failed> {
        self.tell("begin")
    }

    fn pause(&mut self) -> Result<(), Failed> {
        self.tell("pause")
    }
}

/// Fails for the fourth and the eighth of ten items.
fn call(x: usize) -> Result<usize, String> {
    if x % 4 == 3 { Err(format!("{x} is bad")) } else { Ok(x * x) }
}

fn squares(items: impl IntoIterator<Item = usize>) -> Vec<(usize, usize)> {
    items.into_iter().map(|x| (x, x * x)).collect()
}

const GOOD: [usize; 8] = [0, 1, 2, 4, 5, 6, 8, 9];

#[test]
fn results_as_they_are() {
    let mut sink = Noting::new();
    let report = process_in_batches(call, 0..10).batch_size(3).write_to(&mut sink).unwrap();
    assert_eq!((report.items(), report.batches(), sink.batches), (10, 4, 4));
    assert_eq!(sink.values, (0..10).map(|x| (x, call(x))).collect::<Vec<_>>());
    assert_eq!(sink.told, ["begin", "batch", "finish"]);
}

#[test]
fn with_skip_errors_are_left_out() {
    let mut sink = Noting::new();
    let report = process_in_batches(call, 0..10).on_error(Skip).batch_size(3).write_to(&mut sink).unwrap();
    assert_eq!((report.items(), report.failed()), (8, 2));
    assert_eq!(sink.values, squares(GOOD));
    assert_eq!(sink.told, ["begin", "batch", "finish"]);
}

#[test]
fn with_collect_errors_come_with_the_report() {
    let mut sink = Noting::new();
    let outcome = process_in_batches(call, 0..10).on_error(Collect).write_to(&mut sink).unwrap();
    let failed: Vec<_> = outcome.failures().iter().map(amorsize::Failure::index).collect();
    assert_eq!((failed, outcome.value().items()), (vec![3, 7], 8));
    assert_eq!(sink.values, squares(GOOD));
}

#[test]
fn with_stop_the_run_goes_on_behind_each_error() {
    let mut sink = Noting::new();
    let mut run = process_in_batches(call, 0..10).on_error(Stop).batch_size(2);
    for bad in [3, 7] {
        assert!(matches!(run.write_to(&mut sink).unwrap_err(), Failed::Item(item) if item == bad));
        assert_eq!(sink.told.pop(), Some("pause"));
    }
    run.write_to(&mut sink).unwrap();
    assert_eq!(sink.values, squares(GOOD));
    assert_eq!(sink.told.last(), Some(&"finish"));
    // A run that has ended as a whole gives nothing more, and tells a sink so again.
    run.write_to(&mut sink).unwrap();
    assert_eq!(sink.values.len(), 8);
}

#[test]
fn none_is_left_out_by_flatten() {
    let mut sink = Noting::new();
    process_in_batches(|x: usize| call(x).ok(), 0..10).flatten().write_to(&mut sink).unwrap();
    assert_eq!(sink.values, squares(GOOD));
}

#[test]
fn a_pipeline_writes_what_its_last_stage_gives() {
    let mut sink = Noting::new();
    let run = process_in_batches(|x: usize| x + 1, 0..9);
    run.then(|numbers| process_in_batches(|x: usize| x * x, numbers)).write_to(&mut sink).unwrap();
    assert_eq!(sink.values, (0..9).map(|x| (x, (x + 1) * (x + 1))).collect::<Vec<_>>());
}

#[test]
fn a_sink_that_can_t_begin_ends_the_run_before_any_call() {
    let mut sink = Noting::failing_at("begin");
    let mut run = process_in_batches(|x: usize| x * x, (0..10).inspect(|_| panic!("nothing is taken")));
    assert!(matches!(run.write_to(&mut sink).unwrap_err(), Failed::Sink("begin")));
    assert_eq!(sink.told, ["begin"]);
}

#[test]
fn the_run_goes_on_behind_the_batch_of_which_the_sink_failed() {
    let mut sink = Noting::failing_at("batch");
    let mut run = process_in_batches(|x: usize| x * x, 0..10).batch_size(4);
    assert!(matches!(run.write_to(&mut sink).unwrap_err(), Failed::Sink("batch")));
    assert_eq!(sink.values, squares(0..4));
    assert_eq!(sink.told, ["begin", "batch", "pause"]);
    sink.fails_at = None;
    run.write_to(&mut sink).unwrap();
    assert_eq!(sink.values, squares(0..10));
}

#[test]
fn a_sink_that_can_t_finish_is_asked_again() {
    let calls = AtomicUsize::new(0);
    let call = |x: usize| {
        calls.fetch_add(1, Ordering::Relaxed);
        x * x
    };
    let mut sink = Noting::failing_at("finish");
    let mut run = process_in_batches(call, 0..10);
    assert!(matches!(run.write_to(&mut sink).unwrap_err(), Failed::Sink("finish")));
    sink.fails_at = None;
    run.write_to(&mut sink).unwrap();
    assert_eq!((sink.values, calls.into_inner()), (squares(0..10), 10));
    assert_eq!(sink.told, ["begin", "batch", "finish", "begin", "finish"]);
}

#[test]
fn the_failures_of_a_sink_that_can_t_finish_are_kept() {
    let mut sink = Noting::failing_at("finish");
    let mut run = process_in_batches(call, 0..10).on_error(Collect);
    run.write_to(&mut sink).unwrap_err();
    assert_eq!(run.take_failures().len(), 2);
}

#[test]
fn an_option_that_is_refused_pauses_the_sink() {
    let mut sink = Noting::new();
    let error = process_in_batches(|x: usize| x * x, 0..10).threads(0).write_to(&mut sink).unwrap_err();
    assert!(matches!(error, Failed::Run(error) if error.is_invalid_option()));
    assert_eq!(sink.told, ["begin", "pause"]);
}

#[test]
fn a_token_ends_it_early_and_it_goes_on() {
    let token = CancelToken::new();
    let mut sink = Noting::new();
    let call = |x: usize| {
        if x == 6 {
            token.cancel();
        }
        x * x
    };
    // On another thread the item may still be under way when the run ends.
    let mut run = process_in_batches(call, 0..10_000).threads(1).cancel_token(&token);
    assert!(matches!(run.write_to(&mut sink).unwrap_err(), Failed::Run(error) if error.is_cancelled()));
    let before = sink.values.len();
    assert!((7..10_000).contains(&before), "{before}");
    assert_eq!(sink.told.last(), Some(&"pause"));
    run.cancel_token(&CancelToken::new()).write_to(&mut sink).unwrap();
    assert_eq!(sink.values, squares(0..10_000));
}

#[test]
fn a_panic_of_the_function_pauses_the_sink() {
    let call = |x: usize| if x == 5 { panic!("too dark") } else { x * x };
    let mut sink = Noting::new();
    let mut run = process_in_batches(call, 0..10).batch_size(2);
    catch_unwind(AssertUnwindSafe(|| run.write_to(&mut sink))).map(|_| ()).unwrap_err();
    assert_eq!(sink.told, ["begin", "batch", "pause"]);
    run.write_to(&mut sink).unwrap();
    assert_eq!(sink.values, squares((0..10).filter(|x| *x != 5)));

    let mut sink = Noting::new();
    let report = process_in_batches(call, 0..10).on_panic(OnPanic::Skip).write_to(&mut sink).unwrap();
    assert_eq!((report.panicked(), sink.values.len()), (1, 9));
}

/// A sink that panicked may be half done, so the run asks it for nothing more.
#[test]
fn a_sink_that_panics_is_not_paused() {
    struct Panicking(Vec<&'static str>);

    impl Sink<usize> for Panicking {
        type Error = Error;

        fn batch(&mut self, _: Batch<usize>) -> Result<(), Error> {
            panic!("of the sink")
        }

        fn finish(&mut self) -> Result<(), Error> {
            self.0.push("finish");
            Ok(())
        }

        fn pause(&mut self) -> Result<(), Error> {
            self.0.push("pause");
            Ok(())
        }
    }

    let mut sink = Panicking(Vec::new());
    let mut run = process_in_batches(|x: usize| x, 0..10);
    let panic = catch_unwind(AssertUnwindSafe(|| run.write_to(&mut sink))).map(|_| ()).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"of the sink"));
    assert_eq!(sink.0, [""; 0]);

    // It may have stored a part of the batch, which is not done.
    let folder = Folder::new("a_sink_that_panics");
    let run = || process_in_batches(|x: usize| x, 0..10).batch_size(2).version(1).journal(folder.file("run"));
    let mut first = run();
    assert!(catch_unwind(AssertUnwindSafe(|| first.write_to(&mut sink))).is_err());
    let mut next = Noting::new();
    let Err(Failed::Run(error)) = first.write_to(&mut next) else { panic!("it can't go on") };
    assert_eq!(next.told, [""; 0]);
    assert!(error.to_string().contains("gone on with after an error or a panic of the sink"), "{error}");
    drop(first);
    let mut sink = Noting::new();
    run().write_to(&mut sink).unwrap();
    assert_eq!(sink.values.len(), 10);
}

#[test]
fn sinks_of_other_error_types() {
    struct Full;

    impl<R> Sink<R> for Full {
        type Error = io::Error;

        fn batch(&mut self, _: Batch<R>) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn finish(&mut self) -> io::Result<()> {
            unreachable!("it has not all results")
        }
    }

    let error = process_in_batches(|x: usize| x, 0..10).write_to(Full).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    // As a trait object, too: a program may choose its sink as it runs.
    let sink: &mut dyn Sink<usize, Error = io::Error> = &mut Full;
    assert_eq!(process_in_batches(|x: usize| x, 0..10).write_to(sink).unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
#[should_panic(expected = "this sink has places, but can't go back to one: 7")]
fn a_sink_without_places_can_t_go_back() {
    let mut sink = Noting::<u32>::new();
    assert_eq!(sink.place(), None);
    let _ = sink.go_back(7);
}

/// Appends lines to a file, and keeps those that are there. Its place is the file's length.
struct Appending {
    path: PathBuf,
    /// The process ends within the batch with this number.
    dies_in: Option<usize>,
    batches: usize,
}

impl Appending {
    fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }
}

impl Sink<u64> for Appending {
    type Error = io::Error;

    fn batch(&mut self, batch: Batch<u64>) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&self.path)?;
        batch.iter().try_for_each(|value| writeln!(file, "{value}"))?;
        self.batches += 1;
        if self.dies_in == Some(self.batches) {
            std::process::abort();
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn place(&mut self) -> Option<u64> {
        Some(self.length())
    }

    fn go_back(&mut self, place: u64) -> io::Result<()> {
        fs::OpenOptions::new().write(true).open(&self.path)?.set_len(place)
    }
}

#[test]
fn a_sink_goes_back_however_early_the_process_died() {
    for dies_in in [1, 3] {
        let folder = Folder::new(&format!("died_early_{dies_in}"));
        let path = folder.file("lines");
        // Lines of another run stay.
        fs::write(&path, "before\n").unwrap();
        let told = format!("{dies_in} {}", folder.path().display());
        let status = this_program()
            .args(["inside_a_process_that_dies", "--exact", "--ignored"])
            .env("AMORSIZE_TEST_INSIDE", told)
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(!status.success());
        append(folder.path(), None);
        let expected: String = (0..100).map(|x| format!("{x}\n")).collect();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("before\n{expected}"));
    }
}

fn append(folder: &Path, dies_in: Option<usize>) {
    let run = process_in_batches(|x: u64| x, 0..100).version(1).batch_size(10).journal(folder.join("runs"));
    let sink = Appending { path: folder.join("lines"), dies_in, batches: 0 };
    { run }.write_to(sink).unwrap();
}

#[test]
#[ignore = "it ends the process"]
fn inside_a_process_that_dies() {
    let Some(told) = told() else { return };
    let (dies_in, folder) = told.split_once(' ').unwrap();
    append(Path::new(folder), Some(dies_in.parse().unwrap()));
}
