//! A directory keeps what a run to the end would have, and nothing else: no error that was to be
//! tried again, and none of the input.

#[path = "common/folder.rs"]
mod folder;

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use amorsize::sink::{JsonLines, Sink};
use amorsize::{Batch, Batched, CancelToken, Error, batched, process_in_batches};
use folder::Folder;

type Answer = Result<u64, String>;

/// Fails the first time that it is called, and cancels the run meanwhile.
fn once_busy<'a>(token: &'a CancelToken, calls: &'a AtomicUsize) -> impl Fn(u64) -> Answer + Sync + 'a {
    move |x| {
        if calls.fetch_add(1, SeqCst) == 0 {
            token.cancel();
            return Err("busy".to_owned());
        }
        Ok(x)
    }
}

/// A run with three tries that is cancelled in its first call, with what `keep` makes of it.
fn cancelled<'a, I: IntoIterator<Item = u64>>(
    input: I,
    (token, calls): (&'a CancelToken, &'a AtomicUsize),
) -> Batched<I, Answer, impl Fn(u64) -> Answer + Sync + 'a> {
    process_in_batches(once_busy(token, calls), input).version(1).retry(3).cancel_token(token)
}

#[test]
fn an_error_that_was_to_be_tried_again_is_no_result() {
    for threads in [1, 2] {
        let folder = Folder::new("tried_again");
        let (token, calls) = (CancelToken::new(), AtomicUsize::new(0));
        let mut run = cancelled(0..2, (&token, &calls)).threads(threads).checkpoint(folder.path());
        assert!(run.collect::<Vec<_>>().unwrap_err().is_cancelled());
        drop(run);
        let none = CancelToken::new();
        let mut run = cancelled(0..2, (&none, &calls)).threads(threads).checkpoint(folder.path());
        assert_eq!(run.collect::<Vec<_>>().unwrap(), [Ok(0), Ok(1)]);
    }
}

#[test]
fn so_it_is_in_a_stage_of_a_pipeline() {
    let folder = Folder::new("tried_again_stage");
    let (token, calls) = (CancelToken::new(), AtomicUsize::new(0));
    let run = |token: &CancelToken| {
        let before = process_in_batches(|x: u64| x, 0..2).version(1);
        let next = |items| process_in_batches(once_busy(token, &calls), items).version(1).retry(3);
        before.then(next).cancel_token(token).checkpoint(folder.path()).collect::<Vec<_>>()
    };
    assert!(run(&token).unwrap_err().is_cancelled());
    assert_eq!(run(&CancelToken::new()).unwrap(), [Ok(0), Ok(1)]);
}

#[test]
fn nor_is_its_item_done_when_the_sink_has_it() {
    let folder = Folder::new("tried_again_journal");
    let (token, calls) = (CancelToken::new(), AtomicUsize::new(0));
    let mut got = Vec::new();
    let mut run = cancelled(0..2, (&token, &calls)).journal(folder.path());
    assert!(run.for_each_batch(|batch| got.extend(batch)).unwrap_err().is_cancelled());
    drop(run);
    let none = CancelToken::new();
    let mut run = cancelled(0..2, (&none, &calls)).journal(folder.path());
    run.for_each_batch(|batch| got.extend(batch)).unwrap();
    got.retain(Result::is_ok);
    assert_eq!(got, [Ok(0), Ok(1)]);
}

#[batched(fallible_input)]
fn length(text: String) -> Result<usize, String> {
    Ok(text.len())
}

#[batched(fallible_input, key = |text: &String| text.len())]
fn length_by_key(text: String) -> Result<usize, String> {
    Ok(text.len())
}

fn texts(middle: Result<&str, &str>) -> [Result<String, String>; 3] {
    [Ok("a"), middle, Ok("bb")].map(|text| text.map(str::to_owned).map_err(str::to_owned))
}

#[test]
fn an_error_of_the_input_is_tried_again() {
    type Lengths = fn(&Path, Result<&str, &str>) -> Vec<Result<usize, String>>;
    let runs: [Lengths; 2] = [
        |folder, middle| length_batched(texts(middle)).checkpoint(folder).collect().unwrap(),
        |folder, middle| length_by_key_batched(texts(middle)).checkpoint(folder).collect().unwrap(),
    ];
    for run in runs {
        let folder = Folder::new("error_of_input");
        let error = || Err("unread".to_owned());
        assert_eq!(run(folder.path(), Err("unread")), [Ok(1), error(), Ok(2)]);
        assert_eq!(run(folder.path(), Err("unread")), [Ok(1), error(), Ok(2)]);
        assert_eq!(run(folder.path(), Ok("ccc")), [Ok(1), Ok(3), Ok(2)]);
        assert_eq!(run(folder.path(), Ok("ccc")), [Ok(1), Ok(3), Ok(2)]);
    }
}

#[test]
fn an_error_of_the_input_for_an_item_that_is_done_is_told_as_one() {
    let folder = Folder::new("unread_again");
    let run = |middle| length_batched(texts(middle)).checkpoint(folder.path()).collect::<Vec<_>>();
    run(Ok("ccc")).unwrap();
    let refused = run(Err("reset")).unwrap_err();
    assert!(refused.is_storage() && !refused.is_changed());
    assert!(refused.to_string().contains("the input: it gave an error for item 1, which is done"), "{refused}");
    assert!(run(Ok("dddd")).unwrap_err().is_changed());
    assert_eq!(run(Ok("ccc")).unwrap(), [Ok(1), Ok(3), Ok(2)]);
}

#[test]
fn no_batch_has_restored_results_and_new_ones_after_a_collect_that_gave_up() {
    let folder = Folder::new("kinds_after_collect");
    let run = |items: u64| {
        let run = process_in_batches(|x: u64| vec![x; 100], 0..items).version(1);
        run.weigh(|values| 8 * values.len()).checkpoint(folder.path())
    };
    run(100).for_each_batch(drop).unwrap();
    let mut rest = run(2_000).max_memory("256KiB");
    assert!(rest.collect::<Vec<_>>().unwrap_err().is_over_budget());
    let mut items = 0;
    rest.for_each_batch(|batch| {
        items += batch.len();
        assert!(batch.indices().all(|index| batch.is_restored() == (index < 100)), "{:?}", batch.indices());
    })
    .unwrap();
    assert_eq!(items, 2_000);
}

#[test]
fn a_collection_that_fits_does_not_give_up_for_bytes_that_the_disk_gets() {
    for threads in [1, 2] {
        let folder = Folder::new("bytes_for_the_disk");
        let run = process_in_batches(|_: u64| vec![u64::MAX; 40_000], 0..26).version(1).threads(threads);
        let mut run = run.weigh(|values| 8 * values.len()).max_memory("8MiB").checkpoint(folder.path());
        assert_eq!(run.collect::<Vec<_>>().unwrap().len(), 26);
    }
}

/// A function that cancels its run at an item.
fn until(item: u64, token: &CancelToken) -> impl Fn(u64) -> u64 + Sync {
    move |x| {
        if x == item {
            token.cancel();
        }
        x
    }
}

#[test]
fn a_run_with_a_journal_goes_on_with_a_new_sink_behind_the_last_line() {
    let folder = Folder::new("new_sink");
    let path = folder.file("out.jsonl");
    let token = CancelToken::new();
    let run = process_in_batches(until(500, &token), 0..1_000).version(1).batch_size(10);
    let mut run = run.journal(folder.file("runs")).cancel_token(&token);
    assert!(run.write_to(JsonLines::new(&path)).unwrap_err().is_cancelled());
    run.cancel_token(&CancelToken::new()).write_to(JsonLines::new(&path)).unwrap();
    let lines = std::fs::read_to_string(&path).unwrap();
    assert!(lines.lines().map(|line| line.parse::<u64>().unwrap()).eq(0..1_000));
}

/// A sink that holds rows until it has enough, and has places.
struct Buffered<'a> {
    durable: &'a Cell<Vec<u64>>,
    open: Vec<u64>,
    is_told_first: bool,
}

impl Sink<u64> for Buffered<'_> {
    type Error = Error;

    fn batch(&mut self, batch: Batch<u64>) -> Result<(), Error> {
        self.open.extend(batch);
        if self.open.len() >= 400 {
            let mut all = self.durable.take();
            all.append(&mut self.open);
            self.durable.set(all);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        let mut all = self.durable.take();
        all.append(&mut self.open);
        self.durable.set(all);
        Ok(())
    }

    fn place(&mut self) -> Option<u64> {
        let all = self.durable.take();
        let place = all.len() as u64;
        self.durable.set(all);
        let is_known = self.open.is_empty() && (place > 0 || self.is_told_first);
        is_known.then_some(place)
    }

    fn go_back(&mut self, place: u64) -> Result<(), Error> {
        let mut all = self.durable.take();
        all.truncate(place as usize);
        self.durable.set(all);
        self.open.clear();
        Ok(())
    }
}

#[test]
fn a_sink_that_holds_rows_back_loses_none() {
    let folder = Folder::new("buffered_sink");
    let durable = Cell::new(Vec::new());
    // Each sink stands for a process: it ends with the rows that it holds.
    for stop in [300, 700, 750, u64::MAX] {
        let token = CancelToken::new();
        let run = process_in_batches(until(stop, &token), 0..1_000).version(1).batch_size(10);
        let sink = Buffered { durable: &durable, open: Vec::new(), is_told_first: true };
        let ended = run.journal(folder.path()).cancel_token(&token).write_to(sink);
        assert_eq!(ended.is_ok(), stop == u64::MAX);
    }
    assert!(durable.take().into_iter().eq(0..1_000));
}

#[test]
fn what_a_sink_had_before_a_journal_knew_it_stays() {
    let folder = Folder::new("had_before");
    // A table with rows of another program.
    let durable = Cell::new(vec![7; 3]);
    let run = |items, stop| {
        let token = CancelToken::new();
        let run = process_in_batches(until(stop, &token), 0..items).version(1).batch_size(10);
        let mut run = run.journal(folder.path()).cancel_token(&token);
        if items == 0 {
            return run.for_each_batch(drop).is_ok();
        }
        run.write_to(Buffered { durable: &durable, open: Vec::new(), is_told_first: true }).is_ok()
    };
    // The first process has no item, and the sink of the second begins behind these rows.
    assert_eq!([(0, 0), (1_000, 200), (1_000, u64::MAX)].map(|(items, stop)| run(items, stop)), [true, false, true]);
    assert!(durable.take().into_iter().eq([7; 3].into_iter().chain(0..1_000)));
}

#[test]
fn a_sink_that_tells_a_place_too_late_is_refused_before_it_lacks_rows() {
    let folder = Folder::new("late_place");
    let durable = Cell::new(Vec::new());
    let mut ends = [300, u64::MAX].map(|stop| {
        let token = CancelToken::new();
        let run = process_in_batches(until(stop, &token), 0..1_000).version(1).batch_size(10);
        let sink = Buffered { durable: &durable, open: Vec::new(), is_told_first: false };
        run.journal(folder.path()).cancel_token(&token).write_to(sink).unwrap_err().to_string()
    });
    let refused = std::mem::take(&mut ends[1]);
    assert!(refused.contains("another sink, which has results that this one lacks"), "{refused}");
}

/// The same, which cancels the run once it has this many rows.
struct Cancelling<'a> {
    sink: Buffered<'a>,
    token: &'a CancelToken,
    after: usize,
}

impl Sink<u64> for Cancelling<'_> {
    type Error = Error;

    fn batch(&mut self, batch: Batch<u64>) -> Result<(), Error> {
        self.after = self.after.saturating_sub(batch.len());
        if self.after == 0 {
            self.token.cancel();
        }
        self.sink.batch(batch)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.sink.finish()
    }

    fn place(&mut self) -> Option<u64> {
        self.sink.place()
    }

    fn go_back(&mut self, place: u64) -> Result<(), Error> {
        self.sink.go_back(place)
    }
}

/// The same, which looks whether the journal has the place at which it began.
struct Looking<'a>(Buffered<'a>, &'a Path);

impl Sink<u64> for Looking<'_> {
    type Error = Error;

    fn batch(&mut self, batch: Batch<u64>) -> Result<(), Error> {
        assert!(self.1.join("000001.amz").exists());
        self.0.batch(batch)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.0.finish()
    }

    fn place(&mut self) -> Option<u64> {
        self.0.place()
    }

    fn go_back(&mut self, place: u64) -> Result<(), Error> {
        self.0.go_back(place)
    }
}

#[test]
fn a_journal_has_the_place_at_which_its_sink_begins_before_that_gets_a_row() {
    for is_planned in [false, true] {
        let folder = Folder::new(&format!("begins_{is_planned}"));
        let durable = Cell::new(vec![7; 3]);
        let mut run = process_in_batches(|x: u64| x, 0..1_000).version(1).journal(folder.path());
        if is_planned {
            run.plan().unwrap();
        }
        let sink = Buffered { durable: &durable, open: Vec::new(), is_told_first: true };
        run.write_to(Looking(sink, folder.path())).unwrap();
        assert!(durable.take().into_iter().eq([7; 3].into_iter().chain(0..1_000)));
    }
}

#[test]
fn a_new_sink_of_the_same_run_is_refused_where_it_would_lack_rows() {
    // The first sink tells 0 or 400, and then holds rows back. Another one has none of them.
    for after in [200, 500] {
        let folder = Folder::new(&format!("new_sink_{after}"));
        let (first, second) = (Cell::new(Vec::new()), Cell::new(Vec::new()));
        let buffered = |durable| Buffered { durable, open: Vec::new(), is_told_first: true };
        let token = CancelToken::new();
        let run = process_in_batches(|x: u64| x, 0..100_000).version(1).batch_size(10);
        let mut run = run.journal(folder.path()).cancel_token(&token);
        let mut sink = Cancelling { sink: buffered(&first), token: &token, after };
        assert!(run.write_to(&mut sink).unwrap_err().is_cancelled());
        let mut run = run.cancel_token(&CancelToken::new());
        let refused = run.write_to(buffered(&second)).unwrap_err().to_string();
        assert!(refused.contains("another sink, which has results that this one lacks"), "{refused}");
        // The first one goes on.
        sink.after = usize::MAX;
        run.write_to(&mut sink).unwrap();
        assert!(first.take().into_iter().eq(0..100_000));
    }
}
