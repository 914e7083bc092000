//! Waits within a sink for calls of other threads.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Waits until other threads have made at least `least` calls. Returns false if they make no call
/// for `patience`.
pub(crate) fn are_made(calls: &AtomicUsize, least: usize, patience: Duration) -> bool {
    let (mut seen, mut since) = (calls.load(Relaxed), Instant::now());
    while seen < least {
        if since.elapsed() > patience {
            return false;
        }
        thread::sleep(Duration::from_micros(100));
        let now = calls.load(Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    true
}
