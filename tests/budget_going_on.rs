//! The budget of a run that goes on: after a collection that did not fit, within a call of another
//! run, and with results that are there already.

#[path = "common/folder.rs"]
mod folder;
#[path = "common/silent.rs"]
mod silent;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use amorsize::{
    Batched, ByteSize, CancelToken, DeepSize, ErrorKind, MemorySource, batched, process_in_batches, with_memory_source,
};
use folder::Folder;
use silent::Silent;

const MIB: u64 = 1 << 20;

/// The bytes that all blocks claim to own.
static LIVE: AtomicU64 = AtomicU64::new(0);

/// Claims 64 MiB, without taking any.
#[derive(Debug)]
struct Block;

impl Block {
    const BYTES: u64 = 64 * MIB;

    fn new() -> Self {
        LIVE.fetch_add(Self::BYTES, SeqCst);
        Self
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        LIVE.fetch_sub(Self::BYTES, SeqCst);
    }
}

impl DeepSize for Block {
    fn heap_size(&self) -> usize {
        Self::BYTES as usize
    }
}

/// A machine with 1 GiB for this process.
struct Machine;

impl MemorySource for Machine {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::new(1024 * MIB - LIVE.load(SeqCst)))
    }

    fn resident(&self) -> Option<ByteSize> {
        Some(ByteSize::new(100 * MIB + LIVE.load(SeqCst)))
    }
}

#[batched]
fn block(_: u64) -> Block {
    thread::sleep(Duration::from_micros(500));
    Block::new()
}

#[test]
fn a_collection_that_did_not_fit_goes_on_with_more_memory() {
    with_memory_source(Machine, || {
        for threads in [1, 2] {
            let mut run = block_batched(0..12).threads(threads).max_memory(0.5);
            let error = run.collect::<Vec<_>>().unwrap_err();
            let ErrorKind::OverBudget { items_done, budget, .. } = error.kind() else { panic!("{error}") };
            // The first result may be there before the budget is worked out.
            assert!((6..=8).contains(items_done) && *budget <= ByteSize::mib(512), "{error}");
            // The results that it holds are no memory that others took.
            let all = run.max_memory(0.9).collect::<Vec<_>>().unwrap();
            assert_eq!(all.len(), 12);
            drop(all);
            let mut run = block_batched(0..12).threads(threads).max_memory("512MiB");
            assert!(run.collect::<Vec<_>>().unwrap_err().is_over_budget());
            assert_eq!(run.max_memory("900MiB").collect::<Vec<_>>().unwrap().len(), 12);
        }
        assert_eq!(LIVE.load(SeqCst), 0);
    });
}

#[batched]
fn page(index: usize) -> Vec<u8> {
    vec![index as u8; 1 << 20]
}

#[test]
fn a_collection_within_a_call_takes_no_more_than_there_is() {
    with_memory_source(ByteSize::mib(64), || {
        let outer = |_: u8| {
            let error = page_batched(0..200).threads(1).max_memory("1GiB").collect::<Vec<_>>().unwrap_err();
            let ErrorKind::OverBudget { items_done, .. } = error.kind() else { panic!("{error}") };
            *items_done
        };
        let done = process_in_batches(outer, 0..2).threads(1).collect::<Vec<_>>().unwrap();
        // The memory is seen to be short once some results are there, which this machine leaves out.
        assert!(done.iter().all(|done| (50..=70).contains(done)), "{done:?}");
    });
}

#[test]
fn a_sample_after_a_collection_within_a_call_keeps_the_outer_budget() {
    let inner = |_: u8| {
        let token = CancelToken::new();
        token.cancel();
        let mut run = page_batched(0..100).threads(1).sample_size(64).max_memory("64MiB").cancel_token(&token);
        assert!(run.collect::<Vec<_>>().unwrap_err().is_cancelled());
        let mut run = run.cancel_token(&CancelToken::new());
        run.plan().unwrap();
        run.for_each_batch(drop).unwrap().items()
    };
    let mut run = process_in_batches(inner, 0..2).threads(1).max_memory("16MiB");
    let report = run.for_each_batch(|batch| assert!(batch.iter().all(|&items| items == 100))).unwrap();
    assert!(report.peak_bytes() <= ByteSize::mib(18), "{report}");
}

/// The first items of a run with a checkpoint have no results yet. All others do.
const LEFT: usize = 40;
const ITEMS: usize = 1_000;
const BYTES: usize = 16 << 10;

type Call = fn(usize) -> String;

fn run(folder: &Folder) -> Batched<std::ops::Range<usize>, String, Call> {
    let call: Call = |item| {
        if item < LEFT {
            thread::sleep(Duration::from_millis(1));
        }
        format!("{item:0>BYTES$}")
    };
    let run = process_in_batches(call, 0..ITEMS).version(1).weigh(String::capacity);
    run.checkpoint(folder.file("run"))
}

#[test]
fn restored_results_keep_the_budget_of_a_run_on_threads() {
    for threads in [1, 2, 3] {
        let limited = |folder: &Folder| {
            run(folder).skip_first(LEFT).for_each_batch(drop).unwrap();
            run(folder).threads(threads).max_memory("2MiB")
        };
        let folder = Folder::new(&format!("restored_and_collected_{threads}"));
        let error = limited(&folder).collect::<Vec<_>>().unwrap_err();
        let ErrorKind::OverBudget { held, .. } = error.kind() else { panic!("{error}") };
        assert!(*held <= ByteSize::mib(3), "{error}");

        let folder = Folder::new(&format!("restored_by_batches_{threads}"));
        let mut next = 0;
        let report = limited(&folder).batch_size(ITEMS).for_each_batch(|batch| {
            for text in batch {
                assert_eq!(text.trim_start_matches('0').parse().unwrap_or(0), next);
                next += 1;
            }
        });
        let report = report.unwrap();
        assert_eq!(next, ITEMS);
        assert!(report.peak_bytes() <= ByteSize::mib(3), "{threads}: {report}");
    }
}

#[test]
fn a_run_counts_for_the_call_in_which_it_starts() {
    let page = |seed: u8| vec![seed; 1 << 20];
    let pages = move || process_in_batches(page, 0..20_u8).weigh(Vec::len).max_memory("16MiB");
    let made_before = (0..4).map(|_| pages()).collect::<Vec<_>>();
    let own_peak = |mut run: Batched<_, _, _>| run.for_each_batch(|_| ()).unwrap().peak_bytes();
    let mut inner = ByteSize::ZERO;
    // Without resident memory, the outer run knows of no other bytes that its calls need.
    let report = with_memory_source(Silent, || {
        let mut outer = process_in_batches(own_peak, made_before).max_memory("64MiB");
        outer.for_each(|peak| inner = inner.max(peak)).unwrap()
    });
    assert!(inner >= ByteSize::mib(1) && report.peak_bytes() >= inner, "{inner}: {report}");
    // A run that a call only made is no part of it, and its budget no part of that one's.
    with_memory_source(Silent, || {
        let mut outer = process_in_batches(|_: u8| pages().max_memory(0.5), 0..2).max_memory("2MiB");
        let mut made = outer.collect::<Vec<_>>().unwrap();
        let report = made[0].for_each_batch(|_| ()).unwrap();
        assert_eq!((report.items(), report.budget()), (20, ByteSize::gib(2)));
    });
}
