//! What is known of the stages of a pipeline: counted while it runs, told when it has.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::counted::Counted;
use crate::memory::Bytes;
use crate::seconds::Seconds;

/// What one stage of a pipeline has done so far. Workers add to it after each call of a pipeline's
/// chunk, so that it can be read while the run goes on.
///
/// It has a cache line of its own (64 bytes on most machines): workers that count for one stage
/// don't hinder those of another.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct StageCounts {
    pub(crate) name: &'static str,
    /// Items that it returned a result for that is no error.
    pub(crate) finished: AtomicU64,
    /// Items that ended in it: by an error or a panic.
    pub(crate) failed: AtomicU64,
    pub(crate) nanoseconds: AtomicU64,
    /// Bytes of what it returned.
    pub(crate) bytes: AtomicU64,
    /// The largest of those.
    pub(crate) largest: AtomicU64,
}

impl StageCounts {
    /// What a stage is called whose function has no name.
    const NAMELESS: &'static str = "closure";

    pub(crate) fn new(name: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self {
            name: name.unwrap_or(Self::NAMELESS),
            finished: 0.into(),
            failed: 0.into(),
            nanoseconds: 0.into(),
            bytes: 0.into(),
            largest: 0.into(),
        })
    }

    /// What it has come to before a part of the run that is reported for itself. What is largest
    /// counts anew.
    pub(crate) fn begin_part(&self) -> StageReport {
        let before = self.report();
        self.largest.store(0, Relaxed);
        before
    }

    /// What it has come to.
    pub(crate) fn report(&self) -> StageReport {
        StageReport {
            name: self.name,
            items: self.finished.load(Relaxed),
            failed: self.failed.load(Relaxed),
            nanoseconds: self.nanoseconds.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            largest: self.largest.load(Relaxed),
        }
    }
}

/// What one worker counted of one stage and has not added to the [`StageCounts`] yet.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) finished: u64,
    pub(crate) failed: u64,
    pub(crate) nanoseconds: u64,
    pub(crate) bytes: u64,
    pub(crate) largest: u64,
}

impl Tally {
    /// Counts a result of so many bytes.
    #[inline]
    pub(crate) fn finish(&mut self, bytes: u64) {
        self.finished += 1;
        self.bytes += bytes;
        self.largest = self.largest.max(bytes);
    }

    /// Adds what was counted, and begins anew.
    pub(crate) fn add_to(&mut self, counts: &StageCounts) {
        let Self { finished, failed, nanoseconds, bytes, largest } = std::mem::take(self);
        for (place, more) in [
            (&counts.finished, finished),
            (&counts.failed, failed),
            (&counts.nanoseconds, nanoseconds),
            (&counts.bytes, bytes),
        ] {
            if more > 0 {
                place.fetch_add(more, Relaxed);
            }
        }
        if largest > counts.largest.load(Relaxed) {
            counts.largest.fetch_max(largest, Relaxed);
        }
    }
}

/// What one stage of a pipeline did in a finished run, from
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
/// // A `Vec` of 24 bytes and the 1000 that it owns; a number of 4.
/// assert_eq!((read.bytes_per_item().as_u64(), sum.bytes_per_item().as_u64()), (1024, 4));
/// println!("{read}");
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StageReport {
    name: &'static str,
    items: u64,
    failed: u64,
    nanoseconds: u64,
    bytes: u64,
    largest: u64,
}

impl StageReport {
    /// The name of the stage's function; `"closure"` where it has none.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Leaves out what was done before.
    pub(crate) fn leave_out(&mut self, before: &Self) {
        self.items -= before.items;
        self.failed -= before.failed;
        self.nanoseconds -= before.nanoseconds;
        self.bytes -= before.bytes;
    }

    /// Items that the stage returned a result for, those that [`failed`](Self::failed) in it not
    /// counted. An item counts once more each time that a [`retry`](crate::Batched::retry) of the
    /// whole pipeline runs it again.
    #[must_use]
    pub fn items(&self) -> usize {
        self.items as usize
    }

    /// Items that ended in this stage: by a panic, or by an error where errors have a policy
    /// ([`on_error`](crate::Batched::on_error)); without one an error is a result like any other.
    /// Those that ended in a stage before never came here.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failed as usize
    }

    /// Seconds that the stage took in all, over all threads, with the calls that its own `retry`
    /// made again and the waits before them.
    ///
    /// Where the stages take less than 1 us each, one item in 16 is timed and stands for the
    /// others; and no stage is seen to take less than reading the clock does, some 30 ns.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.nanoseconds as f64 / 1e9
    }

    /// Seconds that the stage took for one item, on average, whether it failed or not.
    #[must_use]
    pub fn seconds_per_item(&self) -> f64 {
        self.seconds() / (self.items + self.failed).max(1) as f64
    }

    /// Bytes of what the stage returned for an item, on average: its deep size where the type tells
    /// it, and the size of the type otherwise.
    #[must_use]
    pub fn bytes_per_item(&self) -> Bytes {
        Bytes::new(self.bytes / self.items.max(1))
    }

    /// Bytes of the largest that the stage returned, measured in the same way.
    #[must_use]
    pub fn largest(&self) -> Bytes {
        Bytes::new(self.largest)
    }
}

/// One line, as the report has it for each stage.
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
        if self.failed > 0 {
            write!(f, "; {} failed", self.failed)?;
        }
        Ok(())
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
                        tally.add_to(counts);
                        tally.add_to(counts);
                    }
                });
            }
        });
        let report = counts.report();
        assert_eq!((report.items(), report.failed(), report.largest()), (8000, 4000, Bytes::new(400)));
        assert_eq!((report.bytes, report.nanoseconds), (1000 * 1010, 40_000));
        assert_eq!(report.to_string(), "decode: 8000 items, 3.3 ns and 126 B per item, at most 400 B; 4000 failed");
    }

    #[test]
    fn a_stage_that_did_nothing_divides_by_nothing() {
        let report = StageCounts::new(None).report();
        assert_eq!((report.name(), report.seconds_per_item(), report.bytes_per_item()), ("closure", 0.0, Bytes::ZERO));
        assert_eq!(report.to_string().lines().count(), 1);
    }
}
