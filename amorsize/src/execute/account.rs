//! Accounts for the time that a run's threads wait.
//!
//! Between two changes of a run on threads, the number of idle threads and their reason to be idle
//! stay the same. The next change books that time. Threads that only have to wake up are not idle.
//! Two stopwatches tell how much of it the calling thread spent in the sink and in the input: the
//! calling thread starts and stops them.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::report::time_use::TimeUse;

/// The reason why threads have nothing to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Chunks wait for credit.
    NoCredit,
    /// No chunk waits, and there may be more items.
    NoItems,
    /// Chunks wait, but the calling thread has its core for the sink.
    Spared,
    /// No item is left to start.
    Ended,
}

/// A clock that one thread starts and stops, and others read.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    origin: Instant,
    /// Nanoseconds in total up to the last stop.
    total: AtomicU64,
    /// Nanoseconds from the origin to the last start, or 0 while it is stopped.
    since: AtomicU64,
}

impl Stopwatch {
    pub(crate) fn new(origin: Instant) -> Self {
        Self { origin, total: AtomicU64::new(0), since: AtomicU64::new(0) }
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_nanos() as u64
    }

    pub(crate) fn start(&self, now: Instant) {
        self.since.store(self.nanoseconds(now).max(1), Relaxed);
    }

    pub(crate) fn stop(&self, now: Instant) {
        let since = self.since.swap(0, Relaxed);
        if since > 0 {
            self.total.fetch_add(self.nanoseconds(now).saturating_sub(since), Relaxed);
        }
    }

    /// Sets it to zero. The calling thread must not start it at the same time.
    pub(crate) fn reset(&self) {
        self.total.store(0, Relaxed);
        self.since.store(0, Relaxed);
    }

    /// The time that it has counted until `now`.
    pub(crate) fn read(&self, now: Instant) -> Duration {
        // If it is stopped between the two loads, an interval counts twice or not at all. The next
        // reading corrects that.
        let (total, since) = (self.total.load(Relaxed), self.since.load(Relaxed));
        let running = if since > 0 { self.nanoseconds(now).saturating_sub(since) } else { 0 };
        Duration::from_nanos(total + running)
    }
}

/// The waits of threads so far, in seconds over all threads.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The instant up to which time is booked, while the run is on threads.
    at: Option<Instant>,
    sink: Duration,
    input: Duration,
    pub(crate) waited: TimeUse,
    /// The number of times that a thread found no credit.
    pub(crate) credit_waits: usize,
}

impl Account {
    /// Begins, or goes on after a pause.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.at = Some(now);
    }

    /// Ends. Time up to the next `begin` is not the run's.
    pub(crate) fn end(&mut self) {
        self.at = None;
    }

    /// Books the time since the last change. In that time `idle` of `threads` threads had nothing
    /// to run, and no chunk waited that they could start.
    pub(crate) fn book(
        &mut self,
        now: Instant,
        (idle, threads): (usize, usize),
        why: Idle,
        sink: &Stopwatch,
        input: &Stopwatch,
    ) {
        let Some(at) = self.at else { return };
        let passed = now.saturating_duration_since(at).as_secs_f64();
        self.at = Some(at.max(now));
        let (sink, input) = (sink.read(now), input.read(now));
        let in_sink = sink.saturating_sub(std::mem::replace(&mut self.sink, sink)).as_secs_f64().min(passed);
        let in_input =
            input.saturating_sub(std::mem::replace(&mut self.input, input)).as_secs_f64().min(passed - in_sink);
        let waited = &mut self.waited;
        let (idle, threads) = (idle as f64, threads as f64);
        waited.total += threads * passed;
        match why {
            // Results in the sink hold credit too.
            Idle::NoCredit => {
                waited.sink += idle * in_sink;
                waited.memory += idle * (passed - in_sink);
            }
            Idle::NoItems => {
                waited.sink += idle * in_sink;
                waited.input += idle * in_input;
            }
            Idle::Spared => waited.sink += idle * passed,
            // Once nothing runs, the remaining results wait for the sink alone.
            Idle::Ended => {
                let for_sink = if idle >= threads { in_sink } else { 0.0 };
                waited.sink += idle * for_sink;
                waited.ends += idle * (passed - for_sink);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_spared_for_the_sink_waits_for_it() {
        let begun = Instant::now();
        let (sink, input) = (Stopwatch::new(begun), Stopwatch::new(begun));
        let mut account = Account::default();
        account.begin(begun);
        account.book(begun + Duration::from_millis(4), (1, 2), Idle::Spared, &sink, &input);
        assert_eq!((account.waited.sink, account.waited.total), (4e-3, 8e-3));
    }

    #[test]
    fn idle_threads_are_booked_by_what_the_caller_does() {
        let begun = Instant::now();
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let (sink, input) = (Stopwatch::new(begun), Stopwatch::new(begun));
        let mut account = Account::default();
        account.begin(begun);
        let mut book = |milliseconds, idle, why| account.book(at(milliseconds), (idle, 2), why, &sink, &input);

        book(10, 0, Idle::NoCredit);
        sink.start(at(12));
        // 2 ms before the sink, 8 ms in it, and it goes on.
        book(20, 2, Idle::NoCredit);
        sink.stop(at(25));
        input.start(at(26));
        input.stop(at(28));
        book(30, 1, Idle::NoItems);
        book(40, 0, Idle::NoItems);
        book(50, 2, Idle::Ended);

        let milliseconds = |seconds: f64| (seconds * 1e3).round() as u64;
        let waited = account.waited;
        assert_eq!(milliseconds(waited.memory), 2 * 2);
        assert_eq!(milliseconds(waited.sink), 2 * 8 + 5);
        assert_eq!(milliseconds(waited.input), 2);
        assert_eq!(milliseconds(waited.ends), 2 * 10);
        assert_eq!(milliseconds(waited.total), 2 * 50);
    }

    #[test]
    fn a_change_that_was_seen_late_books_nothing_twice() {
        let begun = Instant::now();
        let (sink, input) = (Stopwatch::new(begun), Stopwatch::new(begun));
        let mut account = Account::default();
        let later = begun + Duration::from_millis(2);
        account.book(later, (1, 1), Idle::Ended, &sink, &input);
        assert_eq!(account.waited.total, 0.0);
        account.begin(begun);
        account.book(later, (1, 1), Idle::Ended, &sink, &input);
        account.book(begun + Duration::from_millis(1), (1, 1), Idle::Ended, &sink, &input);
        account.book(later, (1, 1), Idle::Ended, &sink, &input);
        assert!((account.waited.ends - 2e-3).abs() < 1e-9);
    }
}
