//! Tests of whole runs by a clock that their functions, inputs and sinks move. Decisions and
//! reports by time come out the same on every machine, however busy it is.
//!
//! One clock serves all threads, so the times of calls that run together add up. In tests that
//! depend on which threads run while time passes, a call or a sink waits until nothing else runs.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::on_error::Stop;
use crate::system::cores;
use crate::system::sync::Clock;
use crate::{
    BatchTime, Bottleneck, ByteSize, CancelToken, Error, ErrorKind, MemorySource, Report, process_in_batches,
    with_memory_source,
};

const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Counts the items that the sink of a run was given, for calls that wait for them.
#[derive(Default)]
struct HandedOver(Mutex<usize>, Condvar);

impl HandedOver {
    fn add(&self, items: usize) {
        *self.0.lock().unwrap() += items;
        self.1.notify_all();
    }

    fn wait_for(&self, items: usize) {
        // The limit only ends a hang.
        let most = Duration::from_secs(600);
        let given = self.0.lock().unwrap();
        let (given, late) = self.1.wait_timeout_while(given, most, |given| *given < items).unwrap();
        assert!(!late.timed_out(), "{given} of {items} were handed over");
    }
}

/// Checks facts that hold for every report.
fn check(report: &Report) {
    let time = report.time_use();
    let parts = [time.calls(), time.memory(), time.sink(), time.input(), time.ends(), time.handling()];
    assert!(parts.iter().all(|&seconds| seconds >= 0.0), "{time:?}");
    assert!((parts.iter().sum::<f64>() - time.total()).abs() < 1e-9, "{time:?}");
    assert!((report.inline_seconds() + report.threads_seconds() - report.seconds()).abs() < 1e-9);
    assert!(report.sink_seconds() <= report.seconds() && report.input_seconds() <= report.threads_seconds());

    let timeline = report.timeline();
    assert!(timeline.moments().iter().all(|moment| moment.seconds() <= report.seconds() + 1e-9));
    assert!(timeline.moments().is_sorted_by(|a, b| a.seconds() <= b.seconds() && a.items() <= b.items()));
    let is_within = |batch: &BatchTime| batch.sink_seconds() <= batch.ended() - batch.begun() + 1e-9;
    assert!(timeline.batches().iter().all(|batch| batch.begun() <= batch.ended() && is_within(batch)));
}

fn assert_seconds(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} s, expected {expected}");
}

/// The time of a call in microseconds, on the calling thread and on others, and a note of where
/// each call ran.
struct Places {
    clock: Clock,
    caller: ThreadId,
    times: [u64; 2],
    /// The most results that other threads make before the first of them is handed over.
    ahead: usize,
    own: Vec<AtomicBool>,
    given: HandedOver,
}

impl Places {
    fn call(&self, item: usize) {
        let is_caller = thread::current().id() == self.caller;
        self.own[item].store(is_caller, SeqCst);
        if !is_caller {
            // The calling thread keeps up with the others, so that it watches their pace.
            self.given.wait_for(item.saturating_sub(self.ahead));
        }
        self.clock.run(Duration::from_micros(self.times[usize::from(!is_caller)]));
    }
}

/// True for each item that the calling thread made. Results claim `bytes` bytes; `None` is for a
/// closure with results that can't tell.
fn made_by_the_caller(items: usize, bytes: Option<usize>, times: [u64; 2]) -> Vec<bool> {
    // Results are handed over when their chunk has ended, which takes 2 ms.
    let ahead = usize::try_from(4000 / times[0]).unwrap().max(1);
    let clock = Clock::standing();
    let _moved = clock.enter();
    let own = (0..items).map(|_| AtomicBool::new(false)).collect();
    let places = Places { clock, caller: thread::current().id(), times, ahead, own, given: HandedOver::default() };
    match bytes {
        Some(bytes) => {
            let run = process_in_batches(|item| places.call(item), 0..items).weigh(move |()| bytes);
            run.threads(2).batch_size(1).max_memory("64MiB").for_each_batch(|batch| places.given.add(batch.len()))
        }
        None => {
            let call = |item| {
                places.call(item);
                Box::new(item)
            };
            let run = process_in_batches(call, 0..items);
            run.threads(2).batch_size(1).max_memory("64MiB").for_each_batch(|batch| places.given.add(batch.len()))
        }
    }
    .unwrap();
    places.own.into_iter().map(AtomicBool::into_inner).collect()
}

#[test]
fn a_run_that_takes_longer_on_threads_goes_back_to_the_calling_thread() {
    let own = made_by_the_caller(180, Some(4 << 20), [1_000, 2_500]);
    let on_threads = own.iter().filter(|&&own| !own).count();
    // Finding that they are slower takes 6 ms, which is three calls.
    assert!((3..20).contains(&on_threads), "{on_threads} of 180 on threads");
    assert!(own[30..].iter().all(|&own| own), "{own:?}");
}

#[test]
fn so_does_one_with_short_calls_whose_results_own_little_or_can_t_tell() {
    for bytes in [Some(9000), None] {
        let own = made_by_the_caller(3000, bytes, [40, 100]);
        let on_threads = own.iter().filter(|&&own| !own).count();
        // The same 7 ms are 70 calls. By then others may be in chunks that wait for the threads.
        assert!((30..900).contains(&on_threads), "{on_threads} of 3000 on threads, {bytes:?}");
        assert!(own[1000..].iter().all(|&own| own), "{on_threads}, {bytes:?}");
    }
}

#[test]
fn a_run_that_is_faster_on_threads_stays_there() {
    let own = made_by_the_caller(180, Some(4 << 20), [2_500, 1_000]);
    assert!(own[10..].iter().all(|&own| !own), "{own:?}");
}

#[test]
fn a_run_on_the_calling_thread_is_bound_by_it_or_by_its_sink() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let make = |_: u32| clock.run(milliseconds(1));
    let report = process_in_batches(make, 0..20).threads(1).for_each_batch(|_| ()).unwrap();
    check(&report);
    assert_eq!(report.bottleneck(), Bottleneck::CallingThread, "{}", report.explain());
    assert_eq!((report.threads(), report.threads_seconds()), (1, 0.0));
    assert_seconds(report.seconds(), 0.02);

    let mut run = process_in_batches(make, 0..20).threads(1).batch_size(4);
    let report = run.for_each_batch(|_| clock.pass(milliseconds(20))).unwrap();
    check(&report);
    assert_eq!(report.bottleneck(), Bottleneck::Sink, "{}", report.explain());
    assert_seconds(report.seconds(), 0.12);
    assert!(report.time_use().sink() > 0.07, "{}", report.explain());

    // The time of a sink with the last batch, which only the end closes, or an error.
    let mut run = process_in_batches(make, 0..20).threads(1).batch_size(100);
    let report = run.for_each_batch(|_| clock.pass(milliseconds(20))).unwrap();
    check(&report);
    assert_seconds(report.seconds(), 0.04);
    let fail = |item: u32| {
        make(item);
        if item == 10 { Err("no result") } else { Ok(()) }
    };
    let mut run = process_in_batches(fail, 0..20).threads(1).batch_size(100).on_error(Stop);
    run.for_each_batch(|_| clock.pass(milliseconds(20))).unwrap_err();
    let report = run.report().unwrap();
    check(report);
    assert_seconds(report.seconds(), 0.031);
}

#[test]
fn a_run_on_threads_is_bound_by_its_sink() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    // With five in flight nothing runs while the sink has five.
    let mut run = process_in_batches(|_: u32| clock.run(milliseconds(2)), 0..60).threads(2).batch_size(5).in_flight(5);
    let report = run.for_each_batch(|_| clock.pass(milliseconds(20))).unwrap();
    check(&report);
    assert_eq!(report.bottleneck(), Bottleneck::Sink, "{}", report.explain());
    assert_seconds(report.sink_seconds(), report.batches() as f64 * 0.02);
    assert!(report.batches() >= 12, "{}", report.explain());
}

#[test]
fn the_input_is_timed() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let made = HandedOver::default();
    // Nothing runs while the input takes its time.
    let slow = (0..60).inspect(|&item| {
        made.wait_for(item);
        clock.pass(milliseconds(5));
    });
    let make = |_: usize| {
        clock.run(milliseconds(2));
        made.add(1);
    };
    let report = process_in_batches(make, slow).threads(2).for_each_batch(|_| ()).unwrap();
    check(&report);
    assert!(report.input_seconds() > 0.28, "{}", report.explain());
}

#[test]
fn a_run_on_threads_is_bound_by_its_budget() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let make = |_: u32| {
        clock.run(milliseconds(2));
        [1_u8; 16 << 10]
    };
    // A budget of 24 KiB has room for one call at a time.
    let run = || process_in_batches(make, 0..60).threads(2).batch_size(5);
    let small = |_: usize| {
        let report = run().max_memory("24KiB").for_each_batch(|_| ()).unwrap();
        check(&report);
        assert_eq!(report.bottleneck(), Bottleneck::Memory, "{}", report.explain());
        assert!(report.peak_bytes() <= ByteSize::kib(24), "{}", report.explain());
        report
    };
    // On a busy machine the other thread may have a core between calls only, and finds room.
    assert!((0..1_000).map(small).any(|report| report.credit_waits() > 0));

    let report = run().max_memory("8MiB").for_each_batch(|_| ()).unwrap();
    check(&report);
    assert!(report.time_use().calls() > 0.1 && report.time_use().memory() == 0.0, "{}", report.explain());
}

#[test]
fn a_run_on_threads_is_bound_by_its_last_items() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let given = HandedOver::default();
    // One item that takes as long as all others comes last, when those are done.
    let call = |item: usize| {
        if item == 59 {
            given.wait_for(59);
        }
        clock.run(milliseconds(if item == 59 { 200 } else { 2 }));
    };
    let report = with_memory_source(Untold, || {
        let mut run = process_in_batches(call, 0..60).threads(2).batch_size(1);
        run.for_each_batch(|batch| given.add(batch.len())).unwrap()
    });
    check(&report);
    assert_eq!(report.bottleneck(), Bottleneck::LastItems, "{}", report.explain());
    assert_seconds(report.time_use().ends(), 0.2);
}

#[test]
fn the_sample_is_told_beside_what_all_took() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    // The first items are far cheaper than the rest.
    let took = |item: u64| clock.run(milliseconds(if item < 5 { 1 } else { 5 }));
    let mut run = process_in_batches(took, 0..40).sample_size(5).threads(1);
    run.plan().unwrap();
    let report = run.for_each_batch(|_| ()).unwrap();
    check(&report);
    assert_seconds(report.sampled_seconds_per_item(), 1e-3);
    assert_seconds(report.seconds_per_item(), 4.5e-3);
    assert!(report.sampled_speedup() < 0.6 * report.speedup(), "{}", report.explain());
}

#[test]
fn a_sample_that_was_unlike_the_rest_says_nothing_of_a_loop() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    // The first call loads something. Judged by it, 20,000 calls would take an hour.
    let load = |item: u32| clock.run(milliseconds(if item == 0 { 200 } else { 0 }));
    for threads in [1, 2] {
        let report = process_in_batches(load, 0..20_000).threads(threads).for_each_batch(|_| ()).unwrap();
        let text = report.explain();
        assert!(report.sampled_speedup() <= report.speedup() && report.speedup() <= 1.0 + 1e-9, "{text}");
        assert!(!text.contains(" times by the sample") && text.contains("the sample says nothing of that"), "{text}");
    }
    let even = |_: u32| clock.run(milliseconds(2));
    let report = process_in_batches(even, 0..40).threads(1).for_each_batch(|_| ()).unwrap();
    assert!(report.explain().contains(" times by the sample\n"), "{}", report.explain());
}

#[test]
fn a_loop_would_take_the_time_of_input_and_sink_too() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    // On one thread a run is a loop, wherever its time goes.
    let slow = || (0..20).inspect(|_| clock.pass(milliseconds(2)));
    let call = |_: u32| clock.run(Duration::from_micros(100));
    let by_input = process_in_batches(call, slow()).threads(1).for_each_batch(|_| ()).unwrap();
    let mut run = process_in_batches(call, 0..20).threads(1).batch_size(1);
    let by_sink = run.for_each_batch(|_| clock.pass(milliseconds(2))).unwrap();
    for report in [by_input, by_sink] {
        check(&report);
        assert_seconds(report.seconds(), 0.042);
        assert!((0.9..=1.001).contains(&report.speedup()), "{}", report.explain());
        assert!((0.9..=1.001).contains(&report.sampled_speedup()), "{}", report.explain());
    }

    let mut run =
        process_in_batches(|_: u32| clock.run(milliseconds(2)), slow().chain(slow()).chain(slow())).threads(2);
    let report = run.for_each_batch(|_| clock.pass(milliseconds(1))).unwrap();
    check(&report);
    let of_loop = report.speedup() * report.seconds();
    assert!(of_loop > report.input_seconds() + report.sink_seconds() - 1e-9, "{}", report.explain());
    assert!(report.input_seconds() > 0.05, "{}", report.explain());
}

#[test]
fn the_time_of_a_sink_is_none_of_the_first_calls() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let took = Duration::from_nanos(100);
    for batch_items in [1, 10] {
        let mut run = process_in_batches(|_: u32| clock.run(took), 0..40).batch_size(batch_items);
        let report = run.for_each_batch(|_| clock.pass(milliseconds(2))).unwrap();
        check(&report);
        assert_seconds(report.sampled_seconds_per_item(), took.as_secs_f64());
        assert_seconds(report.seconds_per_item(), took.as_secs_f64());
        // Threads for the calls would gain less than their start takes.
        assert_eq!((report.threads(), report.threads_seconds()), (1, 0.0), "{}", report.explain());
        assert!((0.9..=1.001).contains(&report.speedup()), "{}", report.explain());
    }
}

#[test]
fn the_time_between_two_parts_of_a_run_is_none_of_its() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let token = CancelToken::new();
    let make = |_: u32| clock.run(milliseconds(2));
    let mut run = process_in_batches(make, 0..60).threads(2).batch_size(5).cancel_token(&token);
    let mut before = 0;
    let cancelled = run.for_each_batch(|batch| {
        before += batch.len();
        if batch.first_index() >= 20 {
            token.cancel();
        }
    });
    assert!(cancelled.unwrap_err().is_cancelled());
    clock.pass(Duration::from_secs(3600));
    let report = run.cancel_token(&CancelToken::new()).for_each_batch(|_| ()).unwrap();
    check(&report);
    assert_eq!(report.items(), 60 - before);
    // All calls of the whole run take the same time.
    assert!(report.seconds() <= 0.12 + 1e-9, "{}", report.explain());
    assert!(report.time_use().total() <= 0.24 + 1e-9, "{}", report.explain());
}

/// The seconds that the error of a passed deadline tells.
fn seconds_of(error: &Error) -> f64 {
    let ErrorKind::TimedOut { seconds, .. } = error.kind() else { panic!("{error}") };
    *seconds
}

#[test]
fn a_timeout_of_an_iterator_tells_the_time_of_all_its_parts() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    for threads in [1, 2] {
        let run = process_in_batches(|_: u32| clock.wait(milliseconds(1)), 0..).threads(threads);
        let mut results = run.batch_size(5).timeout(milliseconds(50)).into_iter();
        assert!(results.by_ref().count() <= 52);
        let seconds = seconds_of(results.error().unwrap());
        assert!((0.05 - 1e-9..0.053).contains(&seconds), "{threads}: {seconds}");
    }
}

#[cfg(feature = "durable")]
#[test]
fn a_deadline_tells_no_time_between_two_terminals() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let token = CancelToken::new();
    let make = |item: u8| {
        clock.wait(milliseconds(100));
        if item == 99 {
            token.cancel();
        }
        vec![item; 1 << 10]
    };
    let run = process_in_batches(make, 0..200).weigh(Vec::capacity).threads(1).max_memory("16KiB");
    let mut run = run.spill_dir(std::env::temp_dir()).cancel_token(&token);
    assert!(run.spill().unwrap_err().is_cancelled());
    clock.pass(Duration::from_secs(60));
    // The first results of the next terminal are those that the spill has stored.
    let mut run = run.cancel_token(&CancelToken::new()).deadline(crate::system::sync::now());
    assert_seconds(seconds_of(&run.for_each_batch(drop).unwrap_err()), 10.0);
}

#[test]
fn the_time_before_a_panic_is_the_runs() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let call = |item: u32| {
        clock.run(milliseconds(if item < 4 { 1000 } else { 1 }));
        if item == 3 {
            resume_unwind(Box::new("as planned"));
        }
    };
    let mut run = process_in_batches(call, 0..20).threads(1);
    catch_unwind(AssertUnwindSafe(|| run.plan().is_ok())).unwrap_err();
    let report = run.for_each_batch(drop).unwrap();
    check(&report);
    assert_seconds(report.seconds(), 4.016);

    let input = (0..20).inspect(|&item| {
        clock.pass(milliseconds(1));
        if item == 10 {
            resume_unwind(Box::new("as planned"));
        }
    });
    let mut run = process_in_batches(|_: u32| clock.run(milliseconds(1)), input).threads(1);
    catch_unwind(AssertUnwindSafe(|| run.for_each_batch(drop).is_ok())).unwrap_err();
    let report = run.report().unwrap();
    check(report);
    assert_seconds(report.seconds(), 0.021);
}

/// Keeps `threads` threads in calls while time passes: all calls begin and end together. A limit
/// ends a hang.
struct Together {
    threads: usize,
    arrived: Mutex<usize>,
    told: Condvar,
}

impl Together {
    fn of(threads: usize) -> Self {
        Self { threads, arrived: Mutex::new(0), told: Condvar::new() }
    }

    fn meet(&self) {
        let mut arrived = self.arrived.lock().unwrap();
        *arrived += 1;
        self.told.notify_all();
        let all = arrived.next_multiple_of(self.threads);
        let most = Duration::from_secs(600);
        let (arrived, late) = self.told.wait_timeout_while(arrived, most, |arrived| *arrived < all).unwrap();
        assert!(!late.timed_out(), "{arrived} of {all} came");
    }
}

/// A process that does not tell its memory, so that calls run on all threads at the same time.
struct Untold;

impl MemorySource for Untold {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::gib(64))
    }

    fn resident(&self) -> Option<ByteSize> {
        None
    }
}

/// Runs one call alone, and then 20 calls on each of `threads` threads. All threads are in calls
/// while `call` lets time pass.
fn on_all(threads: usize, clock: &Clock, call: impl Fn() + Sync) -> Report {
    let (caller, together) = (thread::current().id(), Together::of(threads));
    let call = |_: usize| {
        if thread::current().id() == caller {
            return call();
        }
        together.meet();
        call();
        together.meet();
    };
    let _moved = clock.enter();
    let run = || process_in_batches(call, 0..=20 * threads).threads(threads).for_each_batch(|_| ()).unwrap();
    let report = with_memory_source(Untold, run);
    check(&report);
    assert_eq!(report.threads(), threads);
    report
}

#[test]
fn a_timeout_hands_over_what_was_made_by_then() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let nap = |item: usize| {
        clock.wait(milliseconds(1));
        item
    };
    let run = || process_in_batches(nap, 0..).threads(1).timeout(milliseconds(50));
    let mut done = 0;
    let error = run().for_each_batch(|batch| done += batch.len()).unwrap_err();
    assert!(error.is_timed_out() && done == 50, "{done}: {error}");
    let mut finished = Vec::new();
    assert!(run().collect_into(&mut finished).unwrap_err().is_timed_out());
    assert!(finished.iter().copied().eq(0..50), "{finished:?}");

    // On threads, too, no call begins after the deadline. Two that had begun may end. If a thread
    // is held up before its call, the results behind that item are not next in order.
    let calls = AtomicUsize::new(0);
    let counted = |item| {
        calls.fetch_add(1, Relaxed);
        nap(item)
    };
    let mut finished = Vec::new();
    let mut run = process_in_batches(counted, 0..).threads(2).timeout(milliseconds(50));
    let error = run.for_each_batch(|batch| finished.extend(batch)).unwrap_err();
    let calls = calls.into_inner();
    assert!(error.is_timed_out() && (50..=52).contains(&calls), "{calls}: {error}");
    assert!(finished.len() <= calls && finished.iter().copied().eq(0..finished.len()), "{finished:?}");
}

/// With many threads on fewer cores most calls are queued, which is no gain over a loop.
#[test]
fn being_queued_by_the_runs_own_threads_is_no_speed() {
    let (clock, cores) = (Clock::standing(), cores::usable());
    let report = on_all(8 * cores, &clock, || clock.run(milliseconds(1)));
    // As on a machine with one core: each call takes the time of all.
    let by_clock = report.time_use().calls() / report.seconds();
    assert!(by_clock > 6.0 * cores as f64, "{}", report.explain());
    // The clock goes on while a calling thread without a core is in the sink or the input. The
    // report adds that time to a loop's, too.
    let beside_calls = report.totals.beside_calls / report.seconds();
    assert!(report.speedup() - beside_calls < 1.1 * cores as f64, "{}", report.explain());
    assert_eq!(report.waiting_share(), Some(0.0));
}

#[test]
fn a_run_on_the_threads_that_were_asked_for_is_bound_by_what_it_waits_for() {
    let clock = Clock::standing();
    let report = on_all(3, &clock, || clock.wait(milliseconds(5)));
    assert_eq!(report.bottleneck(), Bottleneck::Waiting, "{}", report.explain());
    assert_eq!(report.waiting_share(), Some(1.0));
    assert!(report.explain().contains("without `threads`"), "{}", report.explain());
}

/// Counts the most calls at the same time.
#[derive(Default)]
struct Most(Mutex<(usize, usize)>);

impl Most {
    fn during(&self, call: impl FnOnce()) {
        let mut counts = self.0.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        drop(counts);
        call();
        self.0.lock().unwrap().0 -= 1;
    }

    fn of_all(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

#[test]
fn a_function_that_computes_gets_no_more_threads_than_cores_on_a_busy_machine_either() {
    let (clock, cores) = (Clock::standing(), cores::usable());
    let _moved = clock.enter();
    // Other programs have the cores for `others` times as long as calls do.
    for others in [0, 2, 20] {
        for (items, milliseconds) in [(300, 1), (40, 10)] {
            let most = Most::default();
            let call = |_| {
                most.during(|| {
                    clock.run(Duration::from_millis(milliseconds));
                    clock.pass(Duration::from_millis(others * milliseconds));
                });
            };
            let mut run = process_in_batches(call, 0..items);
            let plan = run.plan().unwrap();
            assert!(plan.threads() <= cores && plan.speedup() <= cores as f64, "{plan}");
            assert!(!plan.explain().contains("the function waits"), "{plan}");
            let report = run.for_each_batch(|_| ()).unwrap();
            assert!(most.of_all() <= cores, "{} calls at a time beside {others}: {report}", most.of_all());
        }
    }
}

#[test]
fn a_plan_says_how_many_threads_a_function_may_have_that_waits() {
    let (clock, cores) = (Clock::standing(), cores::usable());
    let _moved = clock.enter();
    let mut run = process_in_batches(|_: u32| clock.wait(milliseconds(5)), 0..1000);
    let plan = with_memory_source(Untold, || run.plan()).unwrap();
    assert_eq!(plan.waiting_share(), Some(1.0));
    assert!(plan.threads() > cores && plan.speedup() > cores as f64, "{plan}");
    let text = plan.explain();
    assert!(text.contains("the function waits 100 % of its time: up to "), "{text}");
    // Only a trial can show that.
    let bears =
        format!("if all items are like the 5 sampled and what they wait for bears {} at a time", plan.threads());
    assert!(text.contains(&bears), "{text}");
}
