//! What is learned of a function: seconds and bytes per item, from the sample at first and from the whole run after it.

use std::time::Duration;

use crate::waits::Waits;

/// A call that takes less than this is not timed alone: reading the clock twice costs about 46 ns, so it would be off by more
/// than a twentieth.
pub(crate) const TIMED_ALONE: Duration = Duration::from_micros(1);

/// What one stretch of consecutive items took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) items: usize,
    /// Seconds in the function.
    pub(crate) seconds: f64,
    /// Bytes of the results, each with its own size.
    pub(crate) bytes: u64,
    /// The largest result.
    pub(crate) largest: u64,
    /// The most that a call needed while it ran, beside what its result kept of it.
    pub(crate) working: u64,
}

/// Seconds and bytes per item as learned so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned {
    pub(crate) items: usize,
    /// Seconds that the function took in all, over all threads.
    pub(crate) seconds: f64,
    /// Bytes of all results.
    pub(crate) bytes: u64,
    /// The largest result seen.
    pub(crate) largest: u64,
    /// The most working memory of a call seen.
    pub(crate) most_working: u64,
    /// Bytes of working memory to expect of a call.
    expected_working: f64,
    /// Seconds per item of late.
    recent_seconds: f64,
    /// Bytes per item to expect.
    expected_bytes: f64,
    /// Seconds per item to take an item from the input and to hand its result over.
    pub(crate) handling: f64,
    /// How much of their time calls wait.
    pub(crate) waits: Waits,
    /// Seconds per item of the first and of the slowest stretch; their spread tells whether a mean can be trusted.
    fastest: f64,
    slowest: f64,
}

impl Learned {
    pub(crate) fn add(&mut self, stretch: Stretch) {
        if stretch.items == 0 {
            return;
        }
        let items = stretch.items as f64;
        let seconds = stretch.seconds / items;
        let bytes = stretch.bytes as f64 / items;
        let working = stretch.working as f64;
        if self.items == 0 {
            (self.recent_seconds, self.expected_bytes, self.expected_working) = (seconds, bytes, working);
            (self.fastest, self.slowest) = (seconds, seconds);
        } else {
            // A quarter of the new to three quarters of the old follows a change within a few chunks and still evens out
            // single outliers; joblib smooths its batch durations with a fifth.
            self.recent_seconds += 0.25 * (seconds - self.recent_seconds);
            // Too few bytes expected would start too many items, so growth is believed at once and shrinking slowly.
            let follow = |expected: &mut f64, seen: f64| {
                let weight = if seen > *expected { 1.0 } else { 0.125 };
                *expected += weight * (seen - *expected);
            };
            follow(&mut self.expected_bytes, bytes);
            follow(&mut self.expected_working, working);
            self.fastest = self.fastest.min(seconds);
            self.slowest = self.slowest.max(seconds);
        }
        self.items += stretch.items;
        self.seconds += stretch.seconds;
        self.bytes += stretch.bytes;
        self.largest = self.largest.max(stretch.largest);
        self.most_working = self.most_working.max(stretch.working);
    }

    /// Replaces the bytes per item by what resident memory says.
    pub(crate) fn expect_bytes(&mut self, bytes: f64) {
        self.expected_bytes = bytes;
    }

    /// Seconds per item over everything so far.
    pub(crate) fn seconds_per_item(&self) -> f64 {
        if self.items == 0 { 0.0 } else { self.seconds / self.items as f64 }
    }

    /// Seconds per item of late.
    pub(crate) fn recent_seconds(&self) -> f64 {
        self.recent_seconds
    }

    /// Bytes to take credit for, per item.
    pub(crate) fn expected_bytes(&self) -> u64 {
        self.expected_bytes.ceil() as u64
    }

    /// Bytes to take credit for beside that, for each call in flight.
    pub(crate) fn expected_working(&self) -> u64 {
        self.expected_working.ceil() as u64
    }

    /// Whether single items differ so much that a mean says little.
    pub(crate) fn is_uneven(&self) -> bool {
        // Amorsize calls a workload heterogeneous from a coefficient of variation of 0.5; for two values that is a ratio of 3.
        self.slowest > 3.0 * self.fastest && self.slowest > TIMED_ALONE.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(items: usize, seconds: f64, bytes: u64) -> Stretch {
        Stretch { items, seconds, bytes, largest: bytes / items as u64, working: 0 }
    }

    #[test]
    fn the_mean_is_over_all_and_the_recent_over_the_last() {
        let mut learned = Learned::default();
        learned.add(stretch(10, 1.0, 100));
        for _ in 0..50 {
            learned.add(stretch(10, 3.0, 100));
        }
        assert!((learned.seconds_per_item() - 151.0 / 510.0).abs() < 1e-9);
        assert!((learned.recent_seconds() - 0.3).abs() < 1e-3);
    }

    #[test]
    fn growing_results_are_believed_at_once() {
        let mut learned = Learned::default();
        learned.add(stretch(5, 1.0, 50));
        learned.add(stretch(5, 1.0, 50_000));
        assert_eq!(learned.expected_bytes(), 10_000);
        learned.add(stretch(5, 1.0, 50));
        assert!(learned.expected_bytes() > 8_000);
    }

    #[test]
    fn working_memory_is_believed_at_once_too() {
        let mut learned = Learned::default();
        for working in [100, 5_000, 100] {
            learned.add(Stretch { working, ..stretch(1, 1.0, 8) });
        }
        assert!((4_000..5_000).contains(&learned.expected_working()));
        assert_eq!(learned.most_working, 5_000);
    }

    #[test]
    fn an_uneven_sample_is_known_as_such() {
        let mut learned = Learned::default();
        learned.add(stretch(1, 1e-3, 1));
        assert!(!learned.is_uneven());
        learned.add(stretch(1, 5e-3, 1));
        assert!(learned.is_uneven());
    }
}
