//! Calls take credit for the memory that they need while they run, without an allocator of ours:
//! the process's resident memory tells it.
//!
//! The tests have made-up memory: a call adds to a number, and a memory source tells it. A call
//! ends only when the run has looked at that number, so nothing depends on the machine's speed.

#[path = "common/made.rs"]
mod made;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use amorsize::{ByteSize, Certainty, MemorySource, Report, batched, process_in_batches, with_memory_source};
use made::Overlap;

const MIB: u64 = 1 << 20;
const BUDGET: ByteSize = ByteSize::mib(256);

/// Memory that calls take and give back, and the number of looks that a run has taken at it.
#[derive(Default)]
struct MadeUp {
    taken: AtomicU64,
    most: AtomicU64,
    looks: AtomicU64,
    running: AtomicU64,
    most_running: AtomicU64,
}

impl MemorySource for MadeUp {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::gib(8))
    }

    fn resident(&self) -> Option<ByteSize> {
        self.looks.fetch_add(1, SeqCst);
        Some(ByteSize::mib(100) + ByteSize::new(self.taken.load(SeqCst)))
    }
}

/// The memory of the calls, and the calling thread. Nobody looks at the memory while that thread
/// runs a call.
#[derive(Clone, Copy)]
struct Place<'a> {
    memory: &'a MadeUp,
    caller: ThreadId,
}

/// Takes `mib` for a while.
#[batched]
fn take(mib: u64, place: &Place<'_>) -> u64 {
    let Place { memory, caller } = *place;
    let taken = memory.taken.fetch_add(mib * MIB, SeqCst) + mib * MIB;
    memory.most.fetch_max(taken, SeqCst);
    let running = memory.running.fetch_add(1, SeqCst) + 1;
    memory.most_running.fetch_max(running, SeqCst);
    // Long enough for real memory: 100 MB take 2.5 ms at the very least.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(5) {
        std::hint::spin_loop();
    }
    let looks = memory.looks.load(SeqCst);
    while thread::current().id() != caller && memory.looks.load(SeqCst) < looks + 2 {
        std::hint::spin_loop();
    }
    memory.running.fetch_sub(1, SeqCst);
    memory.taken.fetch_sub(mib * MIB, SeqCst);
    mib
}

/// Runs calls with these needs. Returns the most MiB that they had together, the most calls at a
/// time, and the report.
fn run(needs: impl IntoIterator<Item = u64>, threads: usize) -> (u64, u64, Report) {
    let memory = Arc::new(MadeUp::default());
    let report = with_memory_source(Arc::clone(&memory), || {
        let place = Place { memory: &memory, caller: thread::current().id() };
        take_batched(needs, &place).max_memory(BUDGET).threads(threads).for_each_batch(drop).unwrap()
    });
    (memory.most.load(SeqCst) / MIB, memory.most_running.load(SeqCst), report)
}

#[test]
fn as_many_calls_are_in_flight_as_fit() {
    for threads in [2, 16] {
        let (most, at_a_time, report) = run([72; 30], threads);
        assert!(most <= 256, "{most} MiB on {threads} threads");
        assert!(at_a_time <= 2, "{at_a_time} at a time");
        let working = report.working_bytes().as_u64() / MIB;
        assert!((70..=80).contains(&working), "{report}");
        assert_eq!(report.working_certainty(), Certainty::Estimate);
    }
}

#[test]
fn calls_that_need_more_than_the_first_ones_are_fewer() {
    let (most, ..) = run([8; 12].into_iter().chain([60; 40]), 16);
    assert!(most <= 256 + 60, "{most} MiB");
}

#[test]
fn calls_of_all_sizes_in_turn_keep_the_budget_but_for_one() {
    let (most, ..) = run([8, 30, 90, 15].into_iter().cycle().take(60), 16);
    assert!(most <= 256 + 90, "{most} MiB");
}

#[test]
fn a_call_that_alone_needs_more_than_the_budget_runs_alone() {
    let (most, at_a_time, report) = run([400; 6], 4);
    assert_eq!(report.items(), 6);
    // Two are in flight before anybody knows.
    assert!(most <= 2 * 400 && at_a_time <= 2, "{most} MiB");
}

#[test]
fn calls_that_need_little_are_not_held_back() {
    let (.., report) = run([0; 200], 4);
    assert_eq!((report.items(), report.working_bytes()), (200, ByteSize::ZERO));
    assert_eq!(report.credit_waits(), 0);
}

#[test]
fn a_run_on_a_worker_goes_on_where_one_call_at_a_time_fits() {
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (most, _, report) = pool.install(|| run([200; 12], threads));
        assert_eq!(report.items(), 12);
        assert!(most <= 400, "{most} MiB");
    }
}

/// Owns bytes that nobody can measure.
struct Opaque(Vec<u8>);

#[batched(max_memory = "256MiB", threads = 1)]
fn reserve(_: usize) -> Vec<u8> {
    Vec::with_capacity(10 << 20)
}

#[test]
fn runs_within_the_calls_of_a_collect_give_back_what_they_held() {
    let call = |byte: u8| {
        reserve_batched(0..20).for_each_batch(drop).unwrap();
        Opaque(vec![byte; 1 << 16])
    };
    let all = process_in_batches(call, 0..200).threads(2).max_memory("1GiB").collect::<Vec<_>>().unwrap();
    assert!(all.iter().enumerate().all(|(index, opaque)| opaque.0[0] as usize == index));
}

#[test]
fn calls_go_on_while_the_sink_waits_whatever_resident_memory_says() {
    // Another part of the program takes more than the budget from the second call on.
    let memory = Arc::new(MadeUp::default());
    let (calls, place) = (AtomicUsize::new(0), Arc::clone(&memory));
    let mut overlap = Overlap::default();
    let call = |number: u64| {
        place.taken.store(900 * MIB, SeqCst);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        calls.fetch_add(1, SeqCst);
        number
    };
    with_memory_source(Arc::clone(&memory), || {
        let mut run = process_in_batches(call, 0..60).threads(2).batch_size(10).max_memory("64MiB");
        run.for_each_batch(|batch| {
            let least = batch.first_index() + batch.len() + 5;
            // The last batch has none after it.
            if least <= 60 {
                overlap.wait_for(&calls, least);
            }
        })
        .unwrap();
    });
    assert_eq!(calls.into_inner(), 60);
    // See tests/overlap.rs for a sink that finds all calls made, and then no further ones.
    assert!(overlap.batches > 0);
}
