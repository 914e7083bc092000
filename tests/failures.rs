//! Panics, cancels and deadlines at any item, in every terminal. Finished results are handed over,
//! no value is lost or dropped twice, nothing hangs, and the rest of the run can go on.

#[path = "common/caught.rs"]
mod caught;
#[cfg(target_os = "linux")]
#[path = "common/child.rs"]
mod child;
#[path = "common/counted.rs"]
mod counted;

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use amorsize::on_error::Skip;
use amorsize::{Batch, CancelToken, Error, OnPanic, Report, process_in_batches};
use caught::caught;
use counted::Counted;
use proptest::prelude::*;

/// Fails the test instead of hanging with it.
fn watched<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    let (send, receive) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if receive.recv_timeout(Duration::from_secs(600)) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("a run hangs");
                std::process::abort();
            }
        });
        let result = body();
        drop(send);
        result
    })
}

/// The events of one case, and the terminal.
#[derive(Clone, Debug)]
struct Story {
    items: usize,
    panics: BTreeSet<usize>,
    cancel_at: Option<usize>,
    timeout: Option<Duration>,
    threads: usize,
    in_worker: bool,
    tolerant: bool,
    terminal: Terminal,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Terminal {
    Collect,
    /// The variants with `GoOn` go on with the run until it is finished.
    CollectAndGoOn,
    CollectIntoAndGoOn,
    ForEachBatch,
    ForEachBatchAndGoOn,
    TryForEachBatch,
    Iterate,
    IterateAndGoOn,
    Unordered,
}

impl Terminal {
    fn goes_on(self) -> bool {
        matches!(
            self,
            Self::CollectAndGoOn | Self::CollectIntoAndGoOn | Self::ForEachBatchAndGoOn | Self::IterateAndGoOn
        )
    }
}

/// The end of a run.
#[derive(Debug)]
enum End {
    Finished,
    Panicked(usize),
    Interrupted,
}

struct Stage {
    alive: AtomicIsize,
    calls: Vec<AtomicUsize>,
    token: CancelToken,
    /// Calls that started although the token was already cancelled.
    late: AtomicUsize,
}

struct MyPayload(usize);

impl Story {
    fn call<'a>(&self, stage: &'a Stage, item: Counted<'_>) -> Counted<'a> {
        let index = item.index;
        if stage.token.is_cancelled() {
            stage.late.fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(stage.calls[index].fetch_add(1, Ordering::Relaxed), 0, "item {index} is called once");
        let until = Instant::now() + Duration::from_micros(20);
        while Instant::now() < until {}
        if self.cancel_at == Some(index) {
            stage.token.cancel();
        }
        if self.panics.contains(&index) {
            std::panic::panic_any(MyPayload(index));
        }
        Counted::new(&stage.alive, index)
    }

    fn end_of(outcome: Result<Report, Error>) -> End {
        match outcome {
            Ok(_) => End::Finished,
            Err(error) if error.is_cancelled() || error.is_timed_out() => End::Interrupted,
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs to the end. If a terminal leaves a rest after an interrupt or a panic, a second
    /// terminal runs it. Returns the first one's end and the indices of all results.
    fn run(&self, stage: &Stage) -> (End, Vec<usize>) {
        let mut seen = Vec::new();
        let of = |items: Range<usize>| {
            let items = items.map(|index| Counted::new(&stage.alive, index));
            process_in_batches(|item: Counted<'_>| self.call(stage, item), items).threads(self.threads)
        };
        // Takes the place of a run that an iterator took.
        let another = || of(0..0);
        let mut run = of(0..self.items).batch_size(7).cancel_token(&stage.token);
        if let Some(timeout) = self.timeout {
            run = run.timeout(timeout);
        }
        if self.tolerant {
            run = run.on_panic(OnPanic::Collect);
        }
        let mut collected = Vec::new();
        let mut iterated = None;
        let end = caught(|| match self.terminal {
            Terminal::Collect | Terminal::CollectAndGoOn => match run.collect::<Vec<_>>() {
                Ok(all) => {
                    seen.extend(all.iter().map(|result| result.index));
                    End::Finished
                }
                Err(error) => Self::end_of(Err(error)),
            },
            Terminal::CollectIntoAndGoOn => Self::end_of(run.collect_into(&mut collected)),
            Terminal::ForEachBatch | Terminal::ForEachBatchAndGoOn => Self::end_of(run.for_each_batch(|batch| {
                assert_eq!(batch.first_index(), batch[0].index);
                seen.extend(batch.iter().map(|result| result.index));
            })),
            Terminal::TryForEachBatch => Self::end_of(run.try_for_each_batch(|batch| -> Result<(), Error> {
                seen.extend(batch.iter().map(|result| result.index));
                Ok(())
            })),
            Terminal::Iterate | Terminal::IterateAndGoOn => {
                let results = iterated.insert(std::mem::replace(&mut run, another()).into_iter());
                seen.extend(results.by_ref().map(|result| result.index));
                if results.error().is_some() { End::Interrupted } else { End::Finished }
            }
            Terminal::Unordered => {
                let mut results = std::mem::replace(&mut run, another()).unordered();
                seen.extend(results.by_ref().map(|(index, result)| {
                    assert_eq!(index, result.index);
                    index
                }));
                if results.error().is_some() { End::Interrupted } else { End::Finished }
            }
        });
        let end = end.unwrap_or_else(|payload| {
            End::Panicked(payload.downcast_ref::<MyPayload>().expect("the function's own payload").0)
        });
        seen.extend(collected.iter().map(|result| result.index));
        if let Some(iterated) = iterated {
            run = iterated.into_run();
        }
        while self.terminal.goes_on() && !matches!(end, End::Finished) {
            // The next calls may panic, too.
            run = run.cancel_token(&CancelToken::new()).timeout(Duration::from_secs(60));
            let sink = |batch: Batch<Counted<'_>>| seen.extend(batch.iter().map(|result| result.index));
            if caught(|| run.for_each_batch(sink).unwrap()).is_ok() {
                break;
            }
        }
        (end, seen)
    }

    fn check(&self) {
        let stage = Stage {
            alive: AtomicIsize::new(0),
            calls: (0..self.items).map(|_| AtomicUsize::new(0)).collect(),
            token: CancelToken::new(),
            late: AtomicUsize::new(0),
        };
        let (end, mut seen) = if self.in_worker {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).build().unwrap();
            pool.install(|| self.run(&stage))
        } else {
            self.run(&stage)
        };
        assert_eq!(stage.alive.load(Ordering::Relaxed), 0, "every value is dropped once");
        let late = stage.late.load(Ordering::Relaxed);
        let has_rest = self.terminal.goes_on();
        // A call may have passed the last check just before the cancel.
        assert!(has_rest || late <= self.threads + 1, "{late} items started after the token was cancelled");
        if self.terminal == Terminal::Unordered {
            seen.sort_unstable();
            assert!(seen.is_sorted_by(|a, b| a < b), "no result is given twice");
        }
        let good = |upto: usize| (0..upto).filter(|index| !self.panics.contains(index));
        match end {
            _ if has_rest => assert!(seen.iter().copied().eq(good(self.items)), "the rest completes it: {seen:?}"),
            End::Finished => {
                assert!(self.tolerant || self.panics.is_empty());
                assert!(seen.iter().copied().eq(good(self.items)), "everything is there: {seen:?}");
            }
            End::Panicked(item) => {
                assert!(!self.tolerant && self.panics.contains(&item));
                // Without an interrupt it is the first one by input order.
                assert!(self.cancel_at.is_some() || self.timeout.is_some() || self.panics.first() == Some(&item));
                if !matches!(self.terminal, Terminal::Collect | Terminal::Unordered) {
                    assert!(seen.iter().copied().eq(good(item)), "everything before it is there: {seen:?}");
                }
            }
            End::Interrupted => {
                assert!(self.cancel_at.is_some() || self.timeout.is_some());
                if self.terminal != Terminal::Unordered {
                    assert!(seen.iter().copied().eq(good(self.items).take(seen.len())), "a prefix is there: {seen:?}");
                }
            }
        }
    }
}

const TERMINALS: [Terminal; 9] = [
    Terminal::Collect,
    Terminal::CollectAndGoOn,
    Terminal::CollectIntoAndGoOn,
    Terminal::ForEachBatch,
    Terminal::ForEachBatchAndGoOn,
    Terminal::TryForEachBatch,
    Terminal::Iterate,
    Terminal::IterateAndGoOn,
    Terminal::Unordered,
];

fn story() -> impl Strategy<Value = Story> {
    let items = 1usize..400;
    items
        .prop_flat_map(|items| {
            let panics = prop_oneof![
                2 => Just(BTreeSet::new()),
                3 => prop::collection::btree_set(0..items, 0..8),
                1 => prop::collection::btree_set(0..items, 0..items),
            ];
            let cancel_at = prop_oneof![2 => Just(None), 1 => (0..items).prop_map(Some)];
            let timeout =
                prop_oneof![3 => Just(None), 1 => (0u64..8_000).prop_map(|us| Some(Duration::from_micros(us)))];
            (
                Just(items),
                panics,
                cancel_at,
                timeout,
                1usize..=4,
                any::<bool>(),
                any::<bool>(),
                prop::sample::select(&TERMINALS),
            )
        })
        .prop_map(|(items, panics, cancel_at, timeout, threads, in_worker, tolerant, terminal)| Story {
            items,
            panics,
            cancel_at,
            timeout,
            threads,
            in_worker,
            tolerant,
            terminal,
        })
}

/// Prevents the printing of panics, since they are expected here.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<MyPayload>() {
                before(info);
            }
        }));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_whatever_happens(story in story()) {
        quiet();
        watched(|| story.check());
    }
}

#[test]
fn on_panic_counts_and_keeps() {
    quiet();
    let call = |i: usize| if i % 10 == 3 { std::panic::panic_any(MyPayload(i)) } else { i };
    for threads in 1..=3 {
        let report =
            process_in_batches(call, 0..1_000).threads(threads).on_panic(OnPanic::Skip).for_each_batch(|_| ()).unwrap();
        assert_eq!((report.items(), report.panicked(), report.panics().len()), (900, 100, 16));
        let report = process_in_batches(call, 0..1_000)
            .threads(threads)
            .on_panic(OnPanic::Collect)
            .for_each_batch(|_| ())
            .unwrap();
        let items: Vec<_> = report.panics().iter().map(amorsize::Failure::index).collect();
        assert_eq!(items, (0..100).map(|i| 10 * i + 3).collect::<Vec<_>>());
        assert!(report.to_string().contains("100 items panicked"), "{report}");
    }
    let all: Vec<usize> = process_in_batches(call, 0..20).on_panic(OnPanic::Skip).collect().unwrap();
    assert_eq!(all.len(), 18);
}

/// A batch has consecutive items, unless a policy for errors makes its results tell their indices.
#[test]
fn a_panic_that_is_skipped_ends_its_batch_where_there_is_no_policy() {
    let call = |x: usize| if x == 5 { resume_unwind(Box::new("as planned")) } else { Ok::<_, String>(x) };
    for threads in 1..=2 {
        let run = || process_in_batches(call, 0..12).threads(threads).batch_size(4).on_panic(OnPanic::Skip);
        let mut batches: Vec<Vec<usize>> = Vec::new();
        run().for_each_batch(|batch| batches.push(batch.indices().collect())).unwrap();
        assert_eq!(batches, [vec![0, 1, 2, 3], vec![4], vec![6, 7, 8, 9], vec![10, 11]]);
        batches.clear();
        run().on_error(Skip).for_each_batch(|batch| batches.push(batch.indices().collect())).unwrap();
        assert_eq!(batches, [vec![0, 1, 2, 3], vec![4, 6, 7, 8], vec![9, 10, 11]]);
    }
}

#[test]
fn a_token_that_is_cancelled_from_outside_ends_waiting_workers_soon() {
    let token = CancelToken::new();
    let begun = AtomicBool::new(false);
    watched(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !begun.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                token.cancel();
            });
            let call = |i: usize| {
                begun.store(true, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
                i
            };
            // The input is endless, so only the token ends the run.
            let error =
                process_in_batches(call, 0..).threads(3).cancel_token(&token).for_each_batch(|_| ()).unwrap_err();
            assert!(error.is_cancelled(), "{error}");
        });
    });
}

/// A value that panics in its drop if its flag is set.
struct Bomb<'a>(&'a AtomicIsize, bool);

impl Drop for Bomb<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        if self.1 && !std::thread::panicking() {
            std::panic::panic_any(MyPayload(0));
        }
    }
}

#[test]
fn a_drop_that_panics_neither_hangs_nor_loses_the_others() {
    quiet();
    for threads in 1..=3 {
        for at in [0, 5, 300] {
            // The result panics, in the sink.
            let alive = AtomicIsize::new(0);
            let outcome = watched(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    let call = |i: usize| {
                        std::thread::sleep(Duration::from_micros(30));
                        alive.fetch_add(1, Ordering::Relaxed);
                        Bomb(&alive, i == at)
                    };
                    process_in_batches(call, 0..600).threads(threads).batch_size(10).for_each_batch(drop).unwrap();
                }))
                .is_err()
            });
            assert_eq!((outcome, alive.load(Ordering::Relaxed)), (true, 0));
            // The item panics, in the call.
            let alive = AtomicIsize::new(0);
            let outcome = watched(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    let items = (0..600).map(|i| {
                        alive.fetch_add(1, Ordering::Relaxed);
                        Bomb(&alive, i == at)
                    });
                    let report = process_in_batches(
                        |item: Bomb<'_>| {
                            std::thread::sleep(Duration::from_micros(30));
                            drop(item);
                        },
                        items,
                    );
                    report.threads(threads).for_each_batch(|_| ()).unwrap();
                }))
                .is_err()
            });
            assert_eq!((outcome, alive.load(Ordering::Relaxed)), (true, 0));
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn no_thread_is_left_behind() {
    child::run_inside("inside_a_process_of_cancelled_runs");
}

#[test]
#[ignore = "the test above starts it in a process of its own"]
#[cfg(target_os = "linux")]
fn inside_a_process_of_cancelled_runs() {
    if !child::is_inside() {
        return;
    }
    quiet();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let run = || {
        let token = CancelToken::new();
        let call = |i: usize| {
            if i == 200 {
                token.cancel();
            }
            std::thread::sleep(Duration::from_micros(50));
            i
        };
        process_in_batches(call, 0..1_000).threads(2).cancel_token(&token).for_each_batch(|_| ()).unwrap_err();
    };
    run();
    let before = threads();
    for _ in 0..20 {
        run();
    }
    // The pool is the same one, and the last run's watcher may not have ended.
    assert!(threads() <= before + 2, "{} after {before}", threads());
}
