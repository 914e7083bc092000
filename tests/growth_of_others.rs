//! If a process grows by more than its run can have added, as with the memory that a sanitizer
//! keeps beside each allocation, that growth does not count as held by the results.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use amorsize::{ByteSize, MemorySource, process_in_batches, with_memory_source};

/// Grows by 20 GiB at once, after `grows_after` looks.
struct Sanitized {
    looks: AtomicUsize,
    grows_after: usize,
}

impl MemorySource for Sanitized {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::gib(64))
    }

    fn resident(&self) -> Option<ByteSize> {
        let looks = self.looks.fetch_add(1, Relaxed);
        Some(if looks < self.grows_after { ByteSize::mib(50) } else { ByteSize::gib(20) })
    }
}

#[test]
fn small_results_do_not_hold_what_the_process_grew_by() {
    for threads in [1, 2, 4] {
        for grows_after in [1, 2, 3, 5, 20, 60] {
            let memory = Sanitized { looks: AtomicUsize::new(0), grows_after };
            let results = with_memory_source(memory, || {
                let call = |item: u64| {
                    let begun = Instant::now();
                    while begun.elapsed() < Duration::from_micros(20) {
                        std::hint::spin_loop();
                    }
                    vec![item; 10]
                };
                process_in_batches(call, 0..4_000).threads(threads).max_memory("64MiB").collect::<Vec<_>>()
            });
            assert_eq!(results.unwrap().len(), 4_000, "{threads} threads, {grows_after} looks");
        }
    }
}
