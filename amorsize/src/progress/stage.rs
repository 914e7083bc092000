//! The figures of a pipeline's stages: counted while the pipeline runs, reported when it has ended.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::system::thread_time::TIMED_ALONE;
use crate::units::ByteSize;
use crate::units::counted::Counted;
use crate::units::seconds::Seconds;

/// The figures of one stage: of a worker's chunk, or of all workers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Items with a result of the stage that is no error.
    pub(crate) finished: u64,
    /// Items that ended in the stage, by an error or a panic.
    pub(crate) failed: u64,
    pub(crate) nanoseconds: u64,
    /// Bytes of the stage's results.
    pub(crate) bytes: u64,
    /// Bytes of the largest result.
    pub(crate) largest: u64,
}

impl Tally {
    /// Counts a result of `bytes` bytes.
    #[inline]
    pub(crate) fn finish(&mut self, bytes: u64) {
        self.finished += 1;
        self.bytes += bytes;
        self.largest = self.largest.max(bytes);
    }

    fn add(&mut self, more: Self) {
        self.finished += more.finished;
        self.failed += more.failed;
        self.nanoseconds += more.nanoseconds;
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.largest = self.largest.max(more.largest);
    }
}

/// The figures of one stage so far. Workers add theirs after each call of a pipeline's chunk, so
/// they can be read while the run goes on.
///
/// They have cache lines of their own (64 bytes on most machines), so workers that count for one
/// stage don't hinder those of another.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct StageCounts {
    name: &'static str,
    /// The figures before the part of the run that is reported, and those of the part.
    tallies: Mutex<[Tally; 2]>,
}

impl StageCounts {
    /// The name of a stage without a named function.
    const NAMELESS: &'static str = "closure";

    pub(crate) fn new(name: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self { name: name.unwrap_or(Self::NAMELESS), tallies: Mutex::default() })
    }

    fn tallies(&self) -> MutexGuard<'_, [Tally; 2]> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, tally: Tally) {
        self.tallies()[1].add(tally);
    }

    /// Begins a part of the run with a report of its own.
    pub(crate) fn begin_part(&self) {
        let [before, part] = &mut *self.tallies();
        before.add(std::mem::take(part));
    }

    /// The figures of the part of the run that is reported.
    pub(crate) fn report(&self) -> StageReport {
        StageReport { name: self.name, tally: self.tallies()[1] }
    }

    /// The figures of the run so far.
    pub(crate) fn so_far(&self) -> StageReport {
        let [mut tally, part] = *self.tallies();
        tally.add(part);
        StageReport { name: self.name, tally }
    }
}

/// The figures of one stage of a pipeline in a finished run, from
/// [`Report::stages`](crate::Report::stages).
///
/// # Examples
///
/// ```
/// use amorsize::batched;
///
/// #[batched]
/// fn read(index: u8) -> Vec<u8> {
///     vec![index; 1000]
/// }
///
/// #[batched]
/// fn sum(bytes: Vec<u8>) -> u32 {
///     bytes.into_iter().map(u32::from).sum()
/// }
///
/// let report = read_batched(0..100).then(sum_batched).for_each_batch(|_| ())?;
/// let [read, sum] = report.stages() else { panic!("there are two") };
/// assert_eq!((read.name(), read.items(), sum.name(), sum.items()), ("read", 100, "sum", 100));
/// // A `Vec` has 24 bytes and owns 1000; a number has 4.
/// assert_eq!((read.bytes_per_item().as_u64(), sum.bytes_per_item().as_u64()), (1024, 4));
/// assert_eq!((read.failed(), sum.largest().as_u64()), (0, 4));
/// println!("{:.9} seconds in all, {:.9} for an item", read.seconds(), read.seconds_per_item());
/// println!("{read}");
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StageReport {
    pub(crate) name: &'static str,
    pub(crate) tally: Tally,
}

impl StageReport {
    /// The name of the stage's function, or `"closure"` if it has none.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The number of items with a result of the stage, without those that [`failed`](Self::failed)
    /// in it. An item counts again each time that a [`retry`](crate::Batched::retry) of the whole
    /// pipeline runs it again.
    #[must_use]
    pub fn items(&self) -> usize {
        self.tally.finished as usize
    }

    /// The number of items that ended in this stage: by a panic, or by an error if the run has a
    /// policy for errors ([`on_error`](crate::Batched::on_error)); without one an error is a result
    /// like any other. Items that ended in an earlier stage are not counted.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.tally.failed as usize
    }

    /// Seconds in the stage, summed over all threads, with the calls that its own `retry` made
    /// again and the waits before them.
    ///
    /// If the stages take less than 1 us each, one item in 16 is timed and stands for the others.
    /// No stage appears to take less than reading the clock does, some 30 ns.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.tally.nanoseconds as f64 / 1e9
    }

    /// Mean seconds of the stage for one item, failed ones included.
    #[must_use]
    pub fn seconds_per_item(&self) -> f64 {
        self.seconds() / (self.tally.finished + self.tally.failed).max(1) as f64
    }

    /// Mean bytes of the stage's result for one item: its deep size if the type tells it, otherwise
    /// the size of the type.
    #[must_use]
    pub fn bytes_per_item(&self) -> ByteSize {
        ByteSize::new(self.tally.bytes / self.tally.finished.max(1))
    }

    /// Bytes of the stage's largest result, measured in the same way.
    #[must_use]
    pub fn largest(&self) -> ByteSize {
        ByteSize::new(self.tally.largest)
    }
}

/// One line, as in the report.
impl fmt::Display for StageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}, {} and {} per item, at most {}",
            self.name,
            Counted::items(self.items()),
            Seconds(self.seconds_per_item()),
            self.bytes_per_item(),
            self.largest()
        )?;
        if self.failed() > 0 {
            write!(f, "; {} failed", self.failed())?;
        }
        Ok(())
    }
}

/// Stages that are too short to be timed well have one item in this many timed: reading the clock
/// takes some 30 ns, so each reading costs an item 2 ns.
const TIMED_ONE_IN: u32 = 16;

/// Chooses the items that are timed.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Items left to skip before the next one is timed.
    left_out: u32,
    /// True if items are being skipped.
    leaves_out: bool,
}

impl Pace {
    /// The number of items that the next one stands for, if it is timed.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.left_out > 0 {
            self.left_out -= 1;
            return None;
        }
        Some(if self.leaves_out { TIMED_ONE_IN.into() } else { 1 })
    }

    /// Learns the time that a timed item took in `stages` stages.
    #[inline]
    pub(crate) fn learn(&mut self, took: Duration, stages: u32) {
        self.leaves_out = took < TIMED_ALONE * stages;
        self.left_out = if self.leaves_out { TIMED_ONE_IN - 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_workers_counted_is_added() {
        let counts = StageCounts::new(Some("decode"));
        std::thread::scope(|scope| {
            for worker in 1..=4u64 {
                let counts = &counts;
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let mut tally = Tally { failed: 1, nanoseconds: 10, ..Tally::default() };
                        tally.finish(worker);
                        tally.finish(100 * worker);
                        counts.add(tally);
                    }
                });
            }
        });
        let report = counts.report();
        assert_eq!((report.items(), report.failed(), report.largest()), (8000, 4000, ByteSize::new(400)));
        assert_eq!((report.tally.bytes, report.tally.nanoseconds), (1000 * 1010, 40_000));
        assert_eq!(report.to_string(), "decode: 8000 items, 3.3 ns and 126 B per item, at most 400 B; 4000 failed");
    }

    #[test]
    fn a_stage_that_did_nothing_divides_by_nothing() {
        let report = StageCounts::new(None).report();
        assert_eq!(
            (report.name(), report.seconds_per_item(), report.bytes_per_item()),
            ("closure", 0.0, ByteSize::ZERO)
        );
        assert_eq!(report.to_string().lines().count(), 1);
    }

    #[test]
    fn slow_items_are_all_timed_and_of_fast_ones_each_stands_for_those_before_it() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            assert_eq!(pace.next(), Some(1));
            pace.learn(Duration::from_micros(2), 2);
        }
        assert_eq!(pace.next(), Some(1));
        pace.learn(Duration::from_nanos(1999), 2);
        for _ in 0..3 {
            assert_eq!((0..15).find_map(|_| pace.next()), None);
            assert_eq!(pace.next(), Some(16));
            pace.learn(Duration::ZERO, 2);
        }
        assert_eq!((0..15).find_map(|_| pace.next()), None);
        assert_eq!(pace.next(), Some(16));
        pace.learn(Duration::from_secs(1), 2);
        assert_eq!(pace.next(), Some(1));
    }
}
