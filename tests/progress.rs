//! The progress that a run reports while it goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Batched, ByteSize, CancelToken, Phase, Progress, batched, process_in_batches};

/// For runs that hang, and no others.
const HANG: Duration = Duration::from_secs(600);

#[batched(max_memory = "64MiB")]
fn work(item: u32) -> Result<Vec<u8>, u32> {
    thread::sleep(Duration::from_micros(200));
    if item % 10 == 9 { Err(item) } else { Ok(vec![1; 10_000]) }
}

/// A run of many items on two threads, and the progress that it reports.
fn listened<I: IntoIterator, R, C, P>(run: Batched<I, R, C, P>) -> (Batched<I, R, C, P>, Receiver<Progress>) {
    let (told, progress) = mpsc::channel();
    (run.threads(2).progress(move |progress| told.send(progress.clone()).unwrap()), progress)
}

/// Checks the reports in order, and returns the last.
fn checked(progress: &Receiver<Progress>, total: Option<usize>) -> Progress {
    let told: Vec<_> = progress.try_iter().collect();
    assert_eq!((told[0].phase(), told[0].done()), (Phase::Sampling, 0));
    for pair in told.windows(2) {
        assert!(pair[0].done() <= pair[1].done());
        assert!(pair[0].seconds() <= pair[1].seconds());
        assert!(pair[0].result_bytes() <= pair[1].result_bytes());
        assert!(matches!(
            (pair[0].phase(), pair[1].phase()),
            (Phase::Sampling | Phase::Planned, _) | (Phase::Running, Phase::Running | Phase::Done | Phase::Stopped)
        ));
    }
    for progress in &told {
        assert_eq!(progress.total(), total);
        assert_eq!(progress.budget(), ByteSize::mib(64));
        assert!(progress.bytes() <= progress.budget());
    }
    assert!(told.iter().any(|progress| progress.phase() == Phase::Running));
    told.into_iter().last().unwrap()
}

#[test]
fn every_terminal_tells_from_the_first_item_to_the_last() {
    let all = |progress: &Receiver<Progress>| {
        let last = checked(progress, Some(500));
        assert_eq!((last.phase(), last.done(), last.fraction()), (Phase::Done, 500, Some(1.0)));
        assert_eq!(last.remaining_seconds(), Some(0.0));
        assert!(last.result_bytes() >= ByteSize::new(450 * 10_000));
    };
    let run = || listened(work_batched(0..500));

    let (mut run1, progress) = run();
    assert_eq!(run1.collect::<Vec<_>>().unwrap().len(), 500);
    all(&progress);
    let (mut run1, progress) = run();
    run1.for_each_batch(|_| ()).unwrap();
    all(&progress);
    let (run1, progress) = run();
    assert_eq!(run1.into_iter().count(), 500);
    all(&progress);
    let (run1, progress) = run();
    assert_eq!(run1.unordered().count(), 500);
    all(&progress);
    let (run1, progress) = run();
    run1.on_error(Skip).for_each_batch(|_| ()).unwrap();
    all(&progress);
    let (run1, progress) = run();
    assert_eq!(run1.on_error(Collect).collect::<Vec<_>>().unwrap().failures().len(), 50);
    all(&progress);
    let (mut run1, progress) = run();
    run1.plan().unwrap();
    run1.for_each_batch(|_| ()).unwrap();
    all(&progress);
}

#[test]
fn an_input_without_a_length_has_no_total() {
    let (mut run, progress) = listened(work_batched((0..).take_while(|&item| item < 300)));
    run.for_each_batch(|_| ()).unwrap();
    let last = checked(&progress, None);
    assert_eq!((last.phase(), last.done(), last.fraction()), (Phase::Done, 300, None));
}

#[test]
fn a_run_that_ends_early_tells_that_it_stopped() {
    let stopped = |progress: &Receiver<Progress>| {
        let last = checked(progress, Some(5000));
        assert_eq!(last.phase(), Phase::Stopped);
        assert!(last.done() < 5000);
    };
    let run = || listened(work_batched(0..5000));

    let (run1, progress) = run();
    let mut batches = 0;
    let sink = |_| {
        batches += 1;
        if batches == 3 { Err(std::io::Error::other("enough")) } else { Ok(()) }
    };
    let _ = run1.batch_size(10).try_for_each_batch(sink).err().unwrap();
    stopped(&progress);

    let (run1, progress) = run();
    let _ = run1.on_error(Stop).collect::<Vec<_>>().err().unwrap();
    stopped(&progress);

    let (run1, progress) = run();
    let token = CancelToken::new();
    let _ = run1.cancel_token(&token).batch_size(10).for_each_batch(|_| token.cancel()).unwrap_err();
    stopped(&progress);
}

#[test]
fn a_callback_that_a_run_gets_later_is_told_of_no_sample() {
    for threads in [1, 2] {
        let mut run = work_batched(0..300).threads(threads).batch_size(10);
        let mut batches = 0;
        let sink = |_| {
            batches += 1;
            if batches == 10 { Err(std::io::Error::other("enough")) } else { Ok(()) }
        };
        let _ = run.try_for_each_batch(sink).err().unwrap();
        let (told, progress) = mpsc::channel();
        let mut run = run.progress(move |progress| told.send((progress.phase(), progress.done())).unwrap());
        run.for_each_batch(|_| ()).unwrap();
        let told: Vec<_> = progress.try_iter().collect();
        assert!(told[0].0 == Phase::Running && told[0].1 >= 100, "{told:?}");
        assert!(!told.iter().any(|(phase, _)| *phase == Phase::Sampling), "{told:?}");
        assert_eq!(told.last(), Some(&(Phase::Done, 300)));
    }
}

#[batched]
fn letters(count: usize) -> String {
    "a".repeat(count)
}

#[batched]
fn length(text: String) -> usize {
    text.len()
}

#[test]
fn stages_tell_their_figures_so_far_when_a_run_goes_on() {
    let (told, progress) = mpsc::channel();
    let counts = std::iter::once(1000).chain(1..100);
    let run = letters_batched(counts).then(length_batched).batch_size(10);
    let mut run = run.progress(move |progress| told.send(progress.stages()[0].clone()).unwrap());
    let _ = run.try_for_each_batch(|_| Err(std::io::Error::other("enough"))).err().unwrap();
    let rest = run.for_each_batch(|_| ()).unwrap();
    let told: Vec<_> = progress.try_iter().collect();
    for pair in told.windows(2) {
        assert!(pair[0].items() <= pair[1].items() && pair[0].largest() <= pair[1].largest(), "{told:?}");
    }
    let last = told.last().unwrap();
    assert!(last.items() == 100 && last.largest() >= 1000, "{last}");
    // The report is of the rest alone.
    let rest = &rest.stages()[0];
    assert!(rest.items() < 100 && rest.largest() < 1000, "{rest}");
}

#[test]
fn a_run_too_short_for_threads_tells_all_the_same() {
    for items in [0, 1, 3, 100] {
        let (told, progress) = mpsc::channel();
        let tell = move |progress: &Progress| told.send((progress.phase(), progress.done())).unwrap();
        process_in_batches(|item: u32| item, 0..items).progress(tell).collect::<Vec<_>>().unwrap();
        let told: Vec<_> = progress.try_iter().collect();
        assert_eq!((told[0], *told.last().unwrap()), ((Phase::Sampling, 0), (Phase::Done, items as usize)));
    }
}

#[test]
fn it_is_told_while_the_sink_takes_its_time() {
    let (told, progress) = mpsc::channel();
    let here = thread::current().id();
    let tell = move |progress: &Progress| {
        if thread::current().id() != here {
            let _ = told.send(progress.done());
        }
    };
    let (mut seen, begun) = (None, (Mutex::new(false), Condvar::new()));
    let sink = |batch: amorsize::Batch<_>| {
        if batch.first_index() == 0 {
            let _told_before = progress.try_iter().last();
            *begun.0.lock().unwrap() = true;
            begun.1.notify_all();
            seen = progress.recv_timeout(HANG).ok();
        }
    };
    let slow = |item: u32| {
        // A call that ends while the sink has the first batch lasts, from then on, longer than the
        // time between two reports, on slow machines too.
        if item > 1 && thread::current().id() != here {
            drop(begun.1.wait_timeout_while(begun.0.lock().unwrap(), HANG, |begun| !*begun).unwrap());
        }
        thread::sleep(Duration::from_millis(60));
        item
    };
    process_in_batches(slow, 0..32).threads(2).batch_size(2).progress(tell).for_each_batch(sink).unwrap();
    // A report need not know yet of the call on the thread that sends it.
    assert!(seen >= Some(1), "{seen:?}");
}

#[test]
fn a_panic_of_the_callback_ends_the_run_and_reaches_its_caller() {
    for at in [Phase::Sampling, Phase::Running, Phase::Done] {
        let run = process_in_batches(|item: u32| thread::sleep(Duration::from_micros(item.into())), 0..400);
        let mut run = run.threads(2).progress(move |progress| assert_ne!(progress.phase(), at, "enough"));
        let panic = catch_unwind(AssertUnwindSafe(|| run.for_each_batch(|_| ()))).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("enough"));
    }
}

static TOLD: AtomicUsize = AtomicUsize::new(0);

fn tell(progress: &Progress) {
    TOLD.fetch_max(progress.done(), Relaxed);
}

#[batched(progress = tell)]
fn told(item: u32) -> u32 {
    item
}

#[batched(progress)]
fn shown(item: u32) -> u32 {
    item
}

#[batched(progress = false)]
fn quiet(item: u32) -> u32 {
    item
}

#[test]
fn the_attribute_names_a_function_or_shows_a_bar() {
    assert_eq!(told_batched(0..77).collect::<Vec<_>>().unwrap().len(), 77);
    assert_eq!(TOLD.load(Relaxed), 77);
    // The run's own callback replaces it.
    told_batched(0..100).progress(|_| ()).for_each_batch(|_| ()).unwrap();
    assert_eq!(TOLD.load(Relaxed), 77);
    assert_eq!(shown_batched(0..77).verbose(false).collect::<Vec<_>>().unwrap().len(), 77);
    assert_eq!(quiet_batched(0..77).collect::<Vec<_>>().unwrap().len(), 77);
}

#[test]
fn an_iterator_tells_it_no_more_often_than_other_terminals() {
    let (told, progress) = mpsc::channel();
    let begun = Instant::now();
    let run = process_in_batches(|x: u64| x + 1, 0..2_000).batch_size(1).sample_size(1);
    let results = run.progress(move |progress| told.send(progress.clone()).unwrap()).into_iter();
    assert!(results.eq(1..=2_000));
    let most = 5 + (begun.elapsed().as_secs_f64() * 25.0) as usize;
    let told: Vec<_> = progress.try_iter().collect();
    assert!(told.len() <= most, "{} times, {most} at most", told.len());
    assert_eq!((told[0].phase(), told.last().unwrap().phase()), (Phase::Sampling, Phase::Done));
}
