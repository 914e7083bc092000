//! Waits within a sink for calls of other threads.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Counts the batches that were made while a sink waited for them.
#[derive(Default)]
pub(crate) struct Overlap {
    pub(crate) batches: usize,
    stalls: usize,
}

impl Overlap {
    /// Waits until other threads have made at least `least` calls. It gives up after five seconds
    /// without a call, and waits no longer once that happened three times.
    pub(crate) fn wait_for(&mut self, calls: &AtomicUsize, least: usize) {
        let patience = Duration::from_secs(if self.stalls < 3 { 5 } else { 0 });
        let (mut seen, mut since) = (calls.load(Relaxed), Instant::now());
        while seen < least {
            if since.elapsed() > patience {
                self.stalls += 1;
                return;
            }
            thread::sleep(Duration::from_micros(100));
            let now = calls.load(Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
        self.batches += 1;
    }
}
