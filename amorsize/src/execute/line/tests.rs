use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::system::sync::Clock;
use crate::{ByteSize, MemorySource, process_in_batches, with_memory_source};

/// Counts the slow calls, and those since the last look at resident memory.
#[derive(Default)]
struct Slow {
    made: AtomicUsize,
    at_the_last_look: AtomicUsize,
    most_unseen: AtomicUsize,
}

impl MemorySource for &'static Slow {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::gib(1))
    }

    fn resident(&self) -> Option<ByteSize> {
        self.at_the_last_look.store(self.made.load(SeqCst), SeqCst);
        Some(ByteSize::mib(100))
    }
}

/// Results without a known size that come quickly, and then far more slowly, may be far larger.
#[test]
fn results_that_nobody_measures_are_looked_at_soon_after_their_calls_become_slower() {
    let slow: &'static Slow = Box::leak(Box::default());
    let clock = Clock::standing();
    let _moved = clock.enter();
    let make = |item: u32| {
        if item < 20_000 {
            clock.run(Duration::from_nanos(100));
        } else {
            clock.run(Duration::from_millis(1));
            let made = slow.made.fetch_add(1, SeqCst) + 1;
            slow.most_unseen.fetch_max(made.saturating_sub(slow.at_the_last_look.load(SeqCst)), SeqCst);
        }
        vec![item]
    };
    let run = || process_in_batches(make, 0..22_000).threads(1).max_memory("64MiB").for_each_batch(|_| ());
    with_memory_source(slow, run).unwrap();
    assert_eq!(slow.made.load(SeqCst), 2_000);
    // 16 calls are made before a look at the clock.
    let unseen = slow.most_unseen.load(SeqCst);
    assert!(unseen <= 20, "{unseen}");
}
