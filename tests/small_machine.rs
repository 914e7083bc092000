//! A program on a machine with little memory, beside others that take memory while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use amorsize::{ByteSize, MemorySource, Warning, batched, with_memory_source};

#[batched]
fn page(index: usize, bytes: usize) -> Vec<u8> {
    // Long enough for the run to look at the system several times.
    std::thread::sleep(Duration::from_micros(300));
    vec![index as u8; bytes]
}

#[test]
fn a_fraction_is_of_what_there_is() {
    with_memory_source(ByteSize::mib(64), || {
        let report = page_batched(0..300, 1 << 20).for_each_batch(|_| ()).unwrap();
        assert_eq!(report.budget(), ByteSize::mib(32));
        assert!(report.peak_bytes() <= ByteSize::mib(32), "{report}");
        let error = page_batched(0..300, 1 << 20).max_memory(1.0).collect::<Vec<_>>().err().unwrap();
        assert!(error.is_over_budget(), "{error}");
    });
}

/// A machine with 64 MiB. Each result of a run takes its bytes of them at the moment at which it is
/// made.
struct Small {
    left: AtomicU64,
}

impl MemorySource for Small {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::new(self.left.load(Ordering::SeqCst)))
    }

    fn resident(&self) -> Option<ByteSize> {
        Some(ByteSize::mib(64) - self.available()?)
    }
}

#[batched]
fn page_of(index: usize, machine: &Small) -> Vec<u8> {
    let page = page(index, 1 << 20);
    machine.left.fetch_sub(1 << 20, Ordering::SeqCst);
    page
}

#[test]
fn a_budget_in_bytes_is_no_more_than_there_is() {
    let machine = Arc::new(Small { left: AtomicU64::new(64 << 20) });
    with_memory_source(Arc::clone(&machine), || {
        for (threads, is_planned) in [(2, true), (1, true), (2, false), (1, false)] {
            let mut run = page_of_batched(0..300, &machine).threads(threads).max_memory("1GiB");
            if is_planned {
                let warnings = run.plan().unwrap().warnings();
                let is_told = |warning: &Warning| warning.code() == Warning::BUDGET_EXCEEDS_AVAILABLE;
                assert!(warnings.iter().any(is_told), "{warnings:?}");
            }
            let mut finished = Vec::new();
            let text = run.collect_into(&mut finished).unwrap_err().to_string();
            assert!(text.contains("of 1.00 GiB (others left"), "{text}");
            // The run leaves a twentieth alone.
            assert!((50..=61).contains(&finished.len()), "{threads}: {text}");
            let count = finished.len();
            drop(finished);
            machine.left.fetch_add((count as u64) << 20, Ordering::SeqCst);
            let give_back = |batch: amorsize::Batch<Vec<u8>>| {
                let bytes = (batch.len() as u64) << 20;
                drop(batch);
                machine.left.fetch_add(bytes, Ordering::SeqCst);
            };
            let rest = run.for_each_batch(give_back).unwrap();
            assert_eq!(rest.items(), 300 - count);
        }
    });
}

/// A machine on which another program takes memory while a run goes on.
struct Neighbour {
    left: AtomicU64,
    /// The number of times that a run has looked, in all and before the neighbour took something.
    looks: AtomicUsize,
    looks_before: AtomicUsize,
    caller: ThreadId,
}

impl MemorySource for Neighbour {
    fn available(&self) -> Option<ByteSize> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Some(ByteSize::new(self.left.load(Ordering::Relaxed)))
    }
}

impl Neighbour {
    fn new() -> Arc<Self> {
        let (left, caller) = (AtomicU64::new(1 << 30), thread::current().id());
        Arc::new(Self { left, looks: AtomicUsize::new(0), looks_before: AtomicUsize::new(0), caller })
    }

    fn takes_all_but(&self, bytes: ByteSize) {
        self.left.store(bytes.as_u64(), Ordering::Relaxed);
        self.looks_before.store(self.looks.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Waits until the run knows that the neighbour took memory: it has looked twice since then,
    /// and used the first look before the second. The calling thread, which looks, waits for
    /// nobody.
    fn wait_until_it_is_seen(&self) {
        let begun = Instant::now();
        while thread::current().id() != self.caller
            && self.looks.load(Ordering::SeqCst) < self.looks_before.load(Ordering::SeqCst) + 2
        {
            assert!(begun.elapsed() < Duration::from_secs(600), "nobody looks");
            thread::sleep(Duration::from_micros(100));
        }
    }
}

#[batched(max_memory = 0.5, threads = 2)]
fn page_beside(index: usize, machine: &Neighbour) -> Vec<u8> {
    machine.wait_until_it_is_seen();
    page(index, 100_000)
}

#[test]
fn a_neighbour_that_takes_memory_shrinks_the_run() {
    let machine = Neighbour::new();
    let (mut most_late, mut late) = (0, 0);
    with_memory_source(Arc::clone(&machine), || {
        let report = page_beside_batched(0..3_000, &machine)
            .batch_size(2_000)
            .for_each_batch(|batch| {
                if batch.first_index() == 0 {
                    machine.takes_all_but(ByteSize::mib(8));
                } else {
                    late += 1;
                    // The first two have results that were made before.
                    if late > 2 {
                        most_late = most_late.max(batch.len());
                    }
                }
            })
            .unwrap();
        assert_eq!((report.items(), report.budget()), (3_000, ByteSize::mib(512)));
    });
    // A batch of 2,000 would hold 190 MiB; the run may now use 4 MiB more than it holds.
    assert!((1..1_000).contains(&most_late), "{most_late}");
}

#[test]
fn a_collect_that_a_neighbour_leaves_no_memory_fails_and_keeps_what_it_has() {
    let machine = Neighbour::new();
    with_memory_source(Arc::clone(&machine), || {
        let input = (0..3_000).inspect(|&i| {
            if i == 1_000 {
                machine.takes_all_but(ByteSize::new(0));
            }
        });
        let mut run = page_beside_batched(input, &machine);
        let mut all = Vec::new();
        let text = run.collect_into(&mut all).unwrap_err().to_string();
        assert!(text.contains("others left"), "{text}");
        assert!((100..2_999).contains(&all.len()), "{text}");
        machine.takes_all_but(ByteSize::gib(1));
        run.collect_into(&mut all).unwrap();
        assert!(all.iter().enumerate().all(|(i, page)| page.len() == 100_000 && page[0] == i as u8));
        assert_eq!(all.len(), 3_000);
    });
}

#[test]
fn a_source_that_panics_ends_the_run_with_its_panic() {
    struct Broken(AtomicUsize);

    impl MemorySource for Broken {
        fn available(&self) -> Option<ByteSize> {
            Some(ByteSize::gib(1))
        }

        fn resident(&self) -> Option<ByteSize> {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) < 20, "no figures today");
            Some(ByteSize::mib(10))
        }
    }

    for threads in 1..=3 {
        let outcome = std::panic::catch_unwind(|| {
            with_memory_source(Broken(AtomicUsize::new(0)), || {
                page_batched(0.., 1_000).threads(threads).for_each_batch(|_| ()).unwrap();
            });
        });
        assert_eq!(outcome.unwrap_err().downcast_ref::<&str>(), Some(&"no figures today"));
    }
}

#[batched]
fn inner(index: usize) -> Vec<u8> {
    vec![index as u8; 100_000]
}

#[batched]
fn outer(index: usize) -> usize {
    // Half of the available memory, as for the outer run: three or four such budgets would be too
    // many.
    let report = inner_batched(0..200).for_each_batch(drop).unwrap();
    assert!(report.budget() <= ByteSize::mib(16), "{report}");
    index + report.items()
}

#[test]
fn a_wrapper_within_a_wrapper_has_no_more_than_the_outer_one() {
    with_memory_source(ByteSize::mib(32), || {
        let report = outer_batched(0..40).threads(3).for_each_batch(|batch| assert!(batch[0] >= 200)).unwrap();
        assert_eq!(report.budget(), ByteSize::mib(16));
        // The bytes that the inner runs hold count for the outer one too.
        assert!(report.peak_bytes() >= ByteSize::kib(100), "{report}");
        assert!(report.peak_bytes() <= ByteSize::mib(16) + ByteSize::new(3 * 100_024), "{report}");
    });
}
