//! Inputs of a run with a checkpoint: inputs that wait, inputs with equal items, and inputs that
//! allow few items in flight.

#[path = "common/folder.rs"]
mod folder;
#[path = "common/interview.rs"]
mod interview;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use amorsize::{Batched, Progress, batched, process_in_batches};
use folder::Folder;
use interview::interview;
use proptest::prelude::*;

/// Longer than any of these runs takes on the busiest machine: a run that has not ended then hangs.
const HANGS: Duration = Duration::from_secs(600);

#[test]
fn a_question_that_waits_for_the_last_answer_is_answered_from_the_directory() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    for (threads, in_flight) in [(1, None), (2, None), (2, Some(1)), (3, None), (4, Some(1))] {
        let folder = Folder::new(&format!("interview-{threads}-{in_flight:?}"));
        for count in [300, 500, 500] {
            let directory = folder.file("run");
            CALLS.store(0, Relaxed);
            let answered = interview(HANGS, count, move |questions, answers| {
                let call = |question: u64| {
                    CALLS.fetch_add(1, Relaxed);
                    question + 1
                };
                let mut run = process_in_batches(call, questions).version(1).threads(threads).checkpoint(directory);
                if let Some(items) = in_flight {
                    run = run.in_flight(items);
                }
                run.for_each_batch(|batch| batch.into_iter().for_each(|answer| answers.send(answer).unwrap())).unwrap();
            });
            assert_eq!(answered, count);
        }
        assert_eq!(CALLS.load(Relaxed), 0);
    }
}

#[test]
fn a_channel_that_is_filled_by_itself_goes_on() {
    let folder = Folder::new("channel");
    let calls = AtomicUsize::new(0);
    for (threads, count) in [(1, 1_000_u64), (2, 3_000), (4, 3_000), (3, 5_000)] {
        let (send, items) = mpsc::sync_channel(10);
        let sends = thread::spawn(move || (0..count).for_each(|item| send.send(item).unwrap()));
        let call = |x: u64| {
            calls.fetch_add(1, Relaxed);
            x * 2
        };
        let mut run = process_in_batches(call, items).version(1).checkpoint(folder.file("run")).threads(threads);
        assert!(run.collect::<Vec<_>>().unwrap().into_iter().eq((0..count).map(|x| x * 2)));
        sends.join().unwrap();
    }
    assert_eq!(calls.into_inner(), 5_000);
}

type Square = fn((u64, u64)) -> u64;

/// A run over items with one of three keys each, so that keys alone don't tell the items apart.
fn keyed(
    directory: &Path,
    items: u64,
) -> Batched<Vec<(u64, u64)>, u64, Square, amorsize::Keyed<amorsize::on_error::Each>> {
    let items = (0..items).map(|x| (x % 3, x)).collect();
    process_in_batches((|(_, x)| x * x) as Square, items)
        .version(1)
        .key(|item: &(u64, u64)| item.0)
        .checkpoint(directory)
}

#[test]
fn items_of_one_key_each_have_their_result() {
    let folder = Folder::new("same-key");
    for (items, threads) in [(100, 1), (1_000, 2), (1_000, 3), (2_500, 4)] {
        let mut run = keyed(&folder.file("run"), items).threads(threads);
        let mut values = Vec::new();
        let report = run.for_each_batch(|batch| values.extend(batch)).unwrap();
        assert!(values.into_iter().eq((0..items).map(|x| x * x)));
        assert_eq!(report.items(), items as usize);
    }
    // Only their order tells them apart. So a shorter input is refused, and swapping items of the
    // same key changes nothing.
    assert!(keyed(&folder.file("run"), 2_499).collect::<Vec<_>>().unwrap_err().is_changed());
}

#[test]
fn no_more_items_are_in_flight_than_asked_for() {
    let folder = Folder::new("in-flight");
    for (half, threads, most) in [(true, 2, 4), (false, 2, 4), (false, 4, 1)] {
        let (in_flight, most_seen) = (Rc::new(Cell::new(0_usize)), Cell::new(0));
        let counter = Rc::clone(&in_flight);
        let items = (0..if half { 500_u64 } else { 1_000 }).inspect(move |_| counter.set(counter.get() + 1));
        let call = |x: u64| {
            thread::sleep(Duration::from_micros(50));
            x + 1
        };
        let mut run = process_in_batches(call, items).version(1).checkpoint(folder.file("run"));
        run = run.in_flight(most).threads(threads);
        let seen = RefCell::new(Vec::new());
        run.for_each_batch(|batch| {
            if !batch.is_restored() {
                most_seen.set(most_seen.get().max(in_flight.get()));
            }
            in_flight.set(in_flight.get() - batch.len());
            seen.borrow_mut().extend(batch);
        })
        .unwrap();
        assert!(most_seen.get() <= most, "{} were in flight", most_seen.get());
        assert!(seen.into_inner().into_iter().eq(1..=if half { 500 } else { 1_000 }));
    }
}

#[test]
fn the_length_of_an_input_that_goes_on_counts_what_is_there() {
    let folder = Folder::new("progress");
    let run = |items: u64| process_in_batches(|x: u64| x, 0..items).version(1).checkpoint(folder.file("run"));
    run(600).collect::<Vec<_>>().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    let tell = move |progress: &Progress| teller.lock().unwrap().push((progress.done(), progress.total()));
    run(1_000).progress(tell).for_each_batch(drop).unwrap();
    let (items, total) = *told.lock().unwrap().last().unwrap();
    assert_eq!((items, total), (1_000, Some(1_000)));
}

#[test]
fn results_that_are_there_come_in_several_batches() {
    let folder = Folder::new("batches");
    let run = || {
        let call = |x: u64| vec![x as u8; 1 << 10];
        process_in_batches(call, 0..5_000).version(1).checkpoint(folder.file("run"))
    };
    run().for_each_batch(drop).unwrap();
    // Although they come fast, 5 MiB are not one batch.
    let report = run().for_each_batch(|batch| assert!(batch.len() < 2_000 && batch.is_restored())).unwrap();
    assert_eq!((report.items(), report.restored()), (5_000, 5_000));
    // A stated batch size takes precedence.
    let report = run().batch_size(4_000).for_each_batch(drop).unwrap();
    assert_eq!(report.batches(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn an_input_of_any_kind_goes_on(
        lengths in prop::collection::vec(0u64..2_000, 1..4),
        threads in 1usize..=4,
        is_open in any::<bool>(),
        in_flight in prop::option::of(1usize..20),
        batch in prop::option::of(1usize..100),
    ) {
        let folder = Folder::new("any-kind");
        let calls = AtomicUsize::new(0);
        let mut lengths = lengths;
        lengths.sort_unstable();
        for &length in &lengths {
            let call = |x: u64| {
                calls.fetch_add(1, Relaxed);
                vec![x; x as usize % 9]
            };
            // An open input does not say that it has items left.
            let items = (0..).take_while(|&x| x < length).chain(0..0);
            let known: Box<dyn Iterator<Item = u64>> = if is_open { Box::new(items) } else { Box::new(0..length) };
            let mut run = process_in_batches(call, known).version(1).checkpoint(folder.file("run")).threads(threads);
            if let Some(items) = in_flight { run = run.in_flight(items); }
            if let Some(items) = batch { run = run.batch_size(items); }
            let mut values = Vec::new();
            run.for_each_batch(|batch| values.extend(batch)).unwrap();
            prop_assert!(values.into_iter().eq((0..length).map(|x| vec![x; x as usize % 9])));
        }
        prop_assert_eq!(calls.into_inner() as u64, lengths.last().copied().unwrap_or(0));
    }
}

/// `f64` is not `Hash`.
struct Photo {
    id: u64,
    exposure: f64,
}

fn photos(items: u64) -> impl Iterator<Item = Photo> {
    (0..items).map(|id| Photo { id, exposure: id as f64 })
}

#[batched(key = |photo: &Photo| photo.id)]
fn stops(photo: Photo) -> f64 {
    CALLS.fetch_add(1, Relaxed);
    2.0 * photo.exposure
}

#[batched(key = |photo: &Photo| photo.id, on_error = "skip")]
fn checked(photo: Photo) -> Result<f64, String> {
    if photo.id == 3 { Err("too dark".into()) } else { Ok(photo.exposure) }
}

#[batched]
fn doubled(x: f64) -> f64 {
    2.0 * x
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn the_key_of_an_attribute_serves_a_directory_that_is_known_later() {
    let folder = Folder::new("key-of-attribute");
    let run = |items| stops_batched(photos(items)).checkpoint(folder.file("run")).collect::<Vec<_>>();
    assert_eq!(run(100).unwrap().len(), 100);
    assert_eq!(run(110).unwrap()[109], 218.0);
    assert_eq!(CALLS.load(Relaxed), 110);
    let others = photos(110).map(|photo| Photo { id: photo.id + 1, ..photo });
    assert!(stops_batched(others).checkpoint(folder.file("run")).collect::<Vec<_>>().unwrap_err().is_changed());
    // With a policy, in a pipeline, and by a journal.
    let kept = || checked_batched(photos(9)).checkpoint(folder.file("checked")).collect::<Vec<_>>().unwrap();
    assert_eq!((kept().len(), kept().len()), (8, 8));
    let mut both = stops_batched(photos(9)).then(doubled_batched).checkpoint(folder.file("both"));
    assert_eq!(both.collect::<Vec<_>>().unwrap()[8], 32.0);
    stops_batched(photos(9)).journal(folder.file("journal")).for_each_batch(drop).unwrap();
}
