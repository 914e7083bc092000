//! A function that waits gets more threads than there are cores, as long as they pay.
//!
//! Runs here go on until the expected number of calls were in flight, however long that takes on a
//! busy machine. Tests with clocks that they move, in `amorsize/src/adapt/climbing.rs` and
//! `clocked.rs`, show what ends a climb, and that a function gets no further thread that computes.
//! `cargo bench --bench waiting` measures it.

#[path = "common/serial.rs"]
mod serial;

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use amorsize::{Batched, ByteSize, batched, process_in_batches};
use rayon::prelude::*;
// The process has a limited number of threads for waiting, and each test needs its cores.
use serial::alone;

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// True if this system tells how long a function waits.
const TOLD: bool = cfg!(any(target_os = "linux", target_vendor = "apple"));

/// The number of calls in flight, now and at most.
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

fn compute(rounds: u64) -> u64 {
    (0..rounds).fold(1, |state: u64, round| black_box((state ^ (state >> 31)).wrapping_mul(0x9E37_79B9) + round))
}

/// More threads than a run begins with: it gets them only by steps that paid.
fn many() -> usize {
    2 * cores() + 8
}

/// The limit for runs that hang: no machine takes this long for anything here.
const HANG: Duration = Duration::from_secs(600);

/// An input that goes on until `has_come` is true, however long that takes.
fn until(has_come: impl Fn() -> bool) -> impl Iterator<Item = usize> {
    let begun = Instant::now();
    (0..).take_while(move |items| {
        assert!(begun.elapsed() < HANG, "it has not come after {items} items");
        !has_come()
    })
}

#[test]
fn every_terminal_finds_threads_for_a_function_that_waits() {
    let _alone = alone();
    if !TOLD {
        return;
    }
    type Terminal = fn(Run<'_>);
    type Run<'a> = Batched<Box<dyn Iterator<Item = usize> + 'a>, usize, Box<dyn Fn(usize) -> usize + Sync + 'a>>;
    let terminals: [(&str, Terminal); 4] = [
        ("for_each_batch", |mut run| {
            let mut next = 0;
            let report =
                run.for_each_batch(|batch| batch.iter().for_each(|&x| next += usize::from(x == next))).unwrap();
            assert_eq!(next, report.items());
            assert!(report.threads() >= many(), "{report}");
            assert!(report.waiting_share().unwrap() > 0.5, "{report}");
        }),
        ("collect", |mut run| {
            let all = run.collect::<Vec<_>>().unwrap();
            assert!(all.iter().copied().eq(0..all.len()));
        }),
        ("into_iter", |run| assert!(run.into_iter().enumerate().all(|(index, x)| index == x))),
        ("unordered", |run| {
            let seen: HashSet<_> = run.unordered().collect();
            assert!((0..seen.len()).all(|index| seen.contains(&(index, index))));
        }),
    ];
    for (name, terminal) in terminals {
        println!("{name}");
        let calls = Calls::default();
        let call: Box<dyn Fn(usize) -> usize + Sync> = Box::new(|x| {
            let _call = calls.begin();
            wait();
            x
        });
        let input: Box<dyn Iterator<Item = usize>> = Box::new(until(|| calls.most() >= many()));
        terminal(process_in_batches(call, input));
    }
}

#[test]
fn an_iterators_batches_follow_its_threads() {
    let _alone = alone();
    if !TOLD {
        return;
    }
    // Its threads pause after each batch. Between two pauses there are as many calls as a batch
    // has, which are few in a batch for the cores alone.
    let (calls, since, longest) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let call = |x: usize| {
        calls.fetch_add(1, Ordering::SeqCst);
        wait();
        longest.fetch_max(since.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        if calls.fetch_sub(1, Ordering::SeqCst) == 1 {
            since.store(0, Ordering::SeqCst);
        }
        x
    };
    let enough = 8 * many();
    let input = until(|| longest.load(Ordering::SeqCst) >= enough);
    assert!(process_in_batches(call, input).into_iter().enumerate().all(|(index, x)| index == x));
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
    // More calls than a run begins with, if the budget has room for them.
    let enough = if TOLD { (2 * cores()).clamp(1, 12) } else { 1 };
    let input = until(|| calls.most() >= enough);
    let report = page_batched(input, &calls).for_each_batch(|batch| drop(black_box(batch))).unwrap();
    assert!(calls.most() <= 16, "{}", calls.most());
    assert!(report.peak_bytes() <= ByteSize::mib(16) + ByteSize::kib(64), "{report}");
}

#[test]
fn the_threads_that_are_asked_for_are_used_as_they_are() {
    let _alone = alone();
    let calls = Calls::default();
    let call = |_| {
        let _call = calls.begin();
        wait();
    };
    let mut run = process_in_batches(call, until(|| calls.most() >= 3)).threads(3);
    let plan = run.plan().unwrap();
    assert_eq!(plan.threads(), 3);
    if TOLD {
        assert!(plan.explain().contains("without `threads` the run finds how many more pay"), "{}", plan.explain());
    }
    let report = run.for_each_batch(|_| ()).unwrap();
    assert_eq!((report.threads(), calls.most()), (3, 3));
}

#[test]
fn the_plan_says_that_the_function_waits() {
    let _alone = alone();
    // Long enough that the other costs on a core are small beside it.
    let mut run = process_in_batches(|_: usize| thread::sleep(Duration::from_millis(50)), 0..1000);
    let plan = run.plan().unwrap();
    if TOLD {
        assert!(plan.waiting_share().unwrap() > 0.5);
        let text = plan.explain();
        assert!(text.contains("the function waits ") && text.contains(" % of its time: up to "), "{text}");
    } else {
        assert_eq!(plan.waiting_share(), None);
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
        // If a pool has more threads than there are cores, a function that waits gets more of them
        // than cores.
        let enough = if threads == 8 && cores() < 8 && TOLD { cores() + 1 } else { 1 };
        pool.install(|| {
            process_in_batches(call, until(|| calls.most() >= enough)).for_each_batch(|_| ()).unwrap();
            process_in_batches(call, 0..300).for_each_batch(|_| ()).unwrap();
            assert_eq!(process_in_batches(call, 0..100).into_iter().count(), 100);
        });
        assert!(calls.most() <= threads, "{} of {threads}", calls.most());
    }
}

#[test]
fn in_a_busy_pool_all_runs_together_keep_to_its_threads_and_so_do_those_in_them() {
    let _alone = alone();
    let rounds = 100_000;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    // The threads with calls of the innermost runs, each counted once: a worker that waits may run
    // another call meanwhile.
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
    // The thread of each outer call, which begins inline, and the cores of the pool.
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
    let mut run = process_in_batches(call, 0..100_000).batch_size(10);
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
