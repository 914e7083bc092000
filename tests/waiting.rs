//! A function that waits gets more threads than there are cores, as far as they pay; one that doesn't gets none.

#[path = "common/serial.rs"]
mod serial;

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use amorsize::{Batched, Bottleneck, Bytes, batched, process_in_batches};
use rayon::prelude::*;
// The process has only so many threads for waiting, and each test is to have its cores.
use serial::alone;

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// Whether this system tells what a function waits.
const TOLD: bool = cfg!(any(target_os = "linux", target_vendor = "apple"));

/// Calls in flight, now and at most.
#[derive(Default)]
struct Calls {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Call<'a>(&'a Calls);

impl Calls {
    fn begin(&self) -> Call<'_> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Call(self)
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

fn wait() {
    thread::sleep(Duration::from_millis(5));
}

/// Computes for some milliseconds.
fn compute(rounds: u64) -> u64 {
    (0..rounds).fold(1, |state: u64, round| black_box((state ^ (state >> 31)).wrapping_mul(0x9E37_79B9) + round))
}

/// Rounds that take about a millisecond.
fn millisecond() -> u64 {
    let best = (0..20)
        .map(|_| {
            let begun = Instant::now();
            black_box(compute(black_box(100_000)));
            begun.elapsed()
        })
        .min()
        .unwrap();
    (1e-3 / best.as_secs_f64() * 100_000.0) as u64
}

/// What many threads must at least have come to where all of them pay: far less than they do, for a machine that has other work.
const MANY: usize = 16;

#[test]
fn every_terminal_finds_threads_for_a_function_that_waits() {
    let _alone = alone();
    if !TOLD {
        return;
    }
    type Terminal = fn(Run<'_>);
    type Run<'a> = Batched<std::ops::Range<usize>, usize, Box<dyn Fn(usize) -> usize + Sync + 'a>>;
    let terminals: [(&str, Terminal); 4] = [
        ("for_each_batch", |run| {
            let mut next = 0;
            let report =
                run.for_each_batch(|batch| batch.iter().for_each(|&x| next += usize::from(x == next))).unwrap();
            assert_eq!(next, 1000);
            assert!(report.threads() >= MANY, "{report}");
            assert!(report.waiting_share().unwrap() > 0.5, "{report}");
        }),
        ("collect", |run| assert!(run.collect::<Vec<_>>().unwrap().into_iter().eq(0..1000))),
        ("into_iter", |run| assert!(run.into_iter().eq(0..1000))),
        ("unordered", |run| assert_eq!(run.unordered().map(|(index, _)| index).collect::<HashSet<_>>().len(), 1000)),
    ];
    for (name, terminal) in terminals {
        let calls = Calls::default();
        let call: Box<dyn Fn(usize) -> usize + Sync> = Box::new(|x| {
            let _call = calls.begin();
            wait();
            x
        });
        let begun = Instant::now();
        terminal(process_in_batches(call, 0..1000));
        assert!(calls.most() >= MANY, "{name}: {} calls at a time in {:?}", calls.most(), begun.elapsed());
    }
}

#[test]
fn a_function_that_computes_gets_no_more_threads_than_cores_on_a_busy_machine_either() {
    let _alone = alone();
    let rounds = millisecond();
    // Before, because on a system that doesn't tell why a thread does not run it is taken for waiting.
    let busy: &[usize] = if cfg!(target_os = "linux") { &[0, 2] } else { &[0] };
    for others in busy {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..others * cores() {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            for (items, milliseconds) in [(300, 1), (40, 10)] {
                let calls = Calls::default();
                let call = |_| {
                    let _call = calls.begin();
                    compute(milliseconds * rounds)
                };
                let report = process_in_batches(call, 0..items).for_each_batch(|_| ());
                stop.fetch_or(report.is_err(), Ordering::Relaxed);
                let report = report.unwrap();
                let most = calls.most();
                stop.fetch_or(most > cores(), Ordering::Relaxed);
                assert!(most <= cores(), "{most} calls at a time beside {others} times as many others: {report}");
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn a_mixed_function_gets_about_what_keeps_the_cores_busy() {
    let _alone = alone();
    if !TOLD {
        return;
    }
    let rounds = millisecond();
    let calls = Calls::default();
    let call = |_| {
        let _call = calls.begin();
        compute(rounds);
        thread::sleep(Duration::from_millis(4));
    };
    process_in_batches(call, 0..600).for_each_batch(|_| ()).unwrap();
    // Five for each core; a sleep that takes longer than asked for, or less to compute than was measured, makes it some more.
    assert!((cores() + 1..=15 * cores()).contains(&calls.most()), "{} at a time", calls.most());
}

/// Lets so many callers in at a time.
struct Permits(Mutex<usize>, Condvar);

impl Permits {
    fn with<R>(&self, body: impl FnOnce() -> R) -> R {
        let mut free = self.1.wait_while(self.0.lock().unwrap(), |free| *free == 0).unwrap();
        *free -= 1;
        drop(free);
        let result = body();
        *self.0.lock().unwrap() += 1;
        self.1.notify_one();
        result
    }
}

#[test]
fn a_device_that_takes_a_few_calls_at_a_time_ends_the_climb() {
    let _alone = alone();
    for permits in [1, 8] {
        let device = Permits(Mutex::new(permits), Condvar::new());
        let calls = Calls::default();
        let call = |_| {
            let _call = calls.begin();
            device.with(wait);
        };
        process_in_batches(call, 0..60 * permits).for_each_batch(|_| ()).unwrap();
        // A step of four times beyond what the device takes is tried; on a machine that has other work one may seem to pay that doesn't.
        let most = 8 * permits.max(cores()).next_multiple_of(cores());
        assert!(calls.most() <= most, "{} calls at a time for {permits} permits", calls.most());
    }
}

#[test]
fn an_iterators_batches_follow_its_threads() {
    let _alone = alone();
    if !TOLD {
        return;
    }
    let (calls, pauses) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let call = |x: usize| {
        calls.fetch_add(1, Ordering::SeqCst);
        wait();
        if calls.fetch_sub(1, Ordering::SeqCst) == 1 {
            pauses.fetch_add(1, Ordering::SeqCst);
        }
        x
    };
    assert!(process_in_batches(call, 0..1000).into_iter().eq(0..1000));
    // Its threads pause after each batch. With batches for the cores alone there are more than a hundred, and few for all threads.
    let pauses = pauses.into_inner();
    assert!(pauses <= 60, "{pauses} pauses");
}

#[test]
fn a_function_that_begins_to_compute_loses_the_threads() {
    let _alone = alone();
    let rounds = millisecond();
    let calls = Calls::default();
    let late = Calls::default();
    // Enough that compute for the run to come down again while other programs have the cores too.
    let (waiting, items) = (400, 2000);
    let call = |x| {
        let _call = calls.begin();
        if x < waiting {
            wait();
        } else {
            let _late = (x > items - 100).then(|| late.begin());
            compute(rounds);
        }
    };
    process_in_batches(call, 0..items).for_each_batch(|_| ()).unwrap();
    if TOLD {
        assert!(calls.most() >= MANY, "{}", calls.most());
    }
    assert!(late.most() <= 2 * cores(), "{} at the end", late.most());
}

#[batched(max_memory = "16MiB")]
fn page(number: usize, calls: &Calls) -> Vec<u8> {
    let _call = calls.begin();
    wait();
    vec![number as u8; 1 << 20]
}

#[test]
fn every_call_in_flight_has_credit() {
    let _alone = alone();
    let calls = Calls::default();
    let report = page_batched(0..200, &calls).for_each_batch(|batch| drop(black_box(batch))).unwrap();
    assert!(calls.most() <= 16, "{}", calls.most());
    if TOLD {
        assert!(calls.most() > cores(), "{}", calls.most());
    }
    assert!(report.peak_bytes() <= Bytes::mib(16) + Bytes::kib(64), "{report}");
}

#[test]
fn the_threads_that_are_asked_for_are_used_as_they_are() {
    let _alone = alone();
    let calls = Calls::default();
    let call = |_| {
        let _call = calls.begin();
        wait();
    };
    let mut run = process_in_batches(call, 0..100).threads(3);
    let plan = run.plan().unwrap();
    assert_eq!(plan.threads(), 3);
    if TOLD {
        assert!(plan.explain().contains("without `threads` the run finds how many more pay"), "{}", plan.explain());
    }
    let report = run.for_each_batch(|_| ()).unwrap();
    assert_eq!(report.threads(), 3);
    if TOLD {
        assert_eq!(report.bottleneck(), Bottleneck::Waiting, "{}", report.explain());
        assert!(report.explain().contains("without `threads`"), "{}", report.explain());
    }
    assert_eq!(calls.most(), 3);
}

#[test]
fn the_plan_says_that_the_function_waits_and_how_many_threads_there_may_be() {
    let _alone = alone();
    let mut run = process_in_batches(|_: usize| wait(), 0..1000);
    let plan = run.plan().unwrap();
    if TOLD {
        assert!(plan.waiting_share().unwrap() > 0.5);
        assert!(plan.threads() > 4 * cores() && plan.speedup() > 4.0 * cores() as f64, "{plan}");
        let text = plan.explain();
        assert!(text.contains("the function waits ") && text.contains(" % of its time: up to "), "{text}");
        // Whether that is so nobody knows before it was tried.
        let bears =
            format!("if all items are like the 5 sampled and what they wait for bears {} at a time", plan.threads());
        assert!(text.contains(&bears), "{text}");
    } else {
        assert_eq!(plan.waiting_share(), None);
    }
    let rounds = millisecond();
    let mut run = process_in_batches(|_| compute(2 * rounds), 0..1000);
    let plan = run.plan().unwrap();
    assert!(plan.threads() <= cores() && plan.speedup() <= cores() as f64, "{plan}");
    assert!(!plan.explain().contains("the function waits"), "{plan}");
}

/// Whether other programs have so much of the cores that this one's threads take half as long again.
fn is_busy(rounds: u64) -> bool {
    let begun = Instant::now();
    thread::scope(|scope| (0..cores()).for_each(|_| drop(scope.spawn(|| compute(20 * rounds)))));
    begun.elapsed() > Duration::from_millis(30)
}

/// Runs it, plan and all, and gives the calls at most and the plan's speed-up.
fn planned(items: usize, function: impl Fn(usize) -> u64 + Sync) -> (usize, f64) {
    let calls = Calls::default();
    let call = |x| {
        let _call = calls.begin();
        function(x)
    };
    let mut run = process_in_batches(call, 0..items);
    let speedup = run.plan().unwrap().speedup();
    run.for_each_batch(|_| ()).unwrap();
    (calls.most(), speedup)
}

#[test]
fn a_function_that_keeps_all_cores_busy_by_itself_is_not_multiplied() {
    let _alone = alone();
    let rounds = 3 * millisecond();
    let busy = is_busy(rounds / 3);
    let by_rayon = |_| (0..2 * cores() as u64).into_par_iter().map(|_| compute(rounds)).max().unwrap();
    let by_threads = |_| {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..cores()).map(|_| scope.spawn(|| compute(rounds))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
        })
    };
    for (name, (most, speedup)) in [("rayon", planned(100, by_rayon)), ("threads", planned(100, by_threads))] {
        // With some of the cores taken by other programs a step may be tried. With most of them more threads get the function more of
        // the cores, at the others' expense, and that can't be told from what pays.
        if busy || is_busy(rounds / 3) {
            println!("{name}: not judged on a busy machine");
            continue;
        }
        assert!(most <= 4 * cores(), "{name}: {most} calls at a time");
        assert!(speedup <= cores() as f64, "{name}: {speedup}");
    }
}

#[test]
fn in_a_pool_a_run_keeps_to_its_threads() {
    let _alone = alone();
    for threads in [1, 2, 3, 8] {
        let calls = Calls::default();
        let call = |_| {
            let _call = calls.begin();
            assert!(rayon::current_num_threads() == threads && rayon::current_thread_index().is_some());
            wait();
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            process_in_batches(call, 0..300).for_each_batch(|_| ()).unwrap();
            assert_eq!(process_in_batches(call, 0..100).into_iter().count(), 100);
        });
        assert!(calls.most() <= threads, "{} of {threads}", calls.most());
        // In a pool that is larger than the cores a function that waits gets all of it.
        if threads == 8 && cores() < 8 {
            assert!(calls.most() > cores(), "{} of {threads}", calls.most());
        }
    }
}

#[test]
fn in_a_busy_pool_all_runs_together_keep_to_its_threads_and_so_do_those_in_them() {
    let _alone = alone();
    let rounds = millisecond() / 4;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    // Threads in calls of the innermost runs, each counted once: a worker that waits may run another call meanwhile.
    let threads = Mutex::new(HashSet::new());
    let inner = |_| {
        threads.lock().unwrap().insert(thread::current().id());
        compute(rounds);
    };
    let outer = |_| process_in_batches(inner, 0..20).for_each_batch(|_| ()).unwrap().threads();
    pool.install(|| {
        let busy = || process_in_batches(outer, 0..20).collect::<Vec<_>>().unwrap();
        let (first, second) = rayon::join(busy, busy);
        assert!(first.into_iter().chain(second).all(|threads| threads <= 2));
    });
    let threads = threads.into_inner().unwrap().len();
    assert!(threads <= 2, "{threads}");
}

#[test]
fn a_run_within_a_call_that_waits_does_not_multiply() {
    let _alone = alone();
    let most = Calls::default();
    let inner = |_| {
        let _call = most.begin();
        wait();
    };
    let outer = |_| process_in_batches(inner, 0..12).for_each_batch(|_| ()).unwrap().threads();
    let threads: Vec<usize> = process_in_batches(outer, 0..60).collect().unwrap();
    assert!(threads.iter().all(|&threads| threads <= cores()), "{threads:?}");
    // Each outer call's thread, which begins inline, and the cores of the pool.
    assert!(most.most() <= 256.max(4 * cores()) + cores(), "{}", most.most());
}

#[test]
fn a_function_that_waits_finds_the_pool_that_it_would_without_a_run() {
    let _alone = alone();
    let expected = rayon::current_num_threads();
    let seen = Mutex::new(HashSet::new());
    let call = |x: u64| {
        wait();
        seen.lock().unwrap().insert(rayon::current_num_threads());
        (0..100).into_par_iter().map(|y| x * y).sum::<u64>()
    };
    let sums: Vec<u64> = process_in_batches(call, 0..400).collect().unwrap();
    assert!(sums.iter().enumerate().all(|(x, &sum)| sum == 4950 * x as u64));
    assert_eq!(seen.into_inner().unwrap(), HashSet::from([expected]));
}

#[test]
fn a_panic_and_a_sink_that_stops_end_a_run_on_many_threads() {
    let _alone = alone();
    let call = |x: usize| {
        wait();
        assert!(x != 700, "seven hundred");
        x
    };
    let outcome = std::panic::catch_unwind(|| process_in_batches(call, 0..1000).collect::<Vec<_>>());
    assert_eq!(*outcome.err().unwrap().downcast::<&str>().unwrap(), "seven hundred");
    let mut taken = 0;
    let run = process_in_batches(call, 0..100_000).batch_size(10);
    let stopped = run.try_for_each_batch(|batch| {
        taken += batch.len();
        if taken >= 500 { Err("enough".to_owned()) } else { Ok(()) }
    });
    assert!(stopped.is_err());
    assert_eq!(taken, 500);
    let sink = std::panic::catch_unwind(|| {
        let mut batches = 0;
        process_in_batches(call, 0..600).batch_size(10).for_each_batch(|_| {
            batches += 1;
            assert!(batches < 40, "the sink");
        })
    });
    assert!(sink.is_err());
}
