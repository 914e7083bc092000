use std::fmt;

use crate::execute::Totals;
use crate::memory::Bytes;
use crate::memory::budget::Budget;
use crate::memory::measure::MeasuredBy;
use crate::plan::Seconds;

/// What a finished run measured.
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
///
/// let report = process_in_batches(|x: u64| x.pow(3), 0..1000).batch_size(100).for_each_batch(|_| ())?;
/// assert_eq!((report.items(), report.batches(), report.batch_size()), (1000, 10, 100));
/// assert!(report.peak_bytes() <= report.budget());
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    totals: Totals,
    items: usize,
    batches: usize,
    retries: usize,
}

impl Report {
    pub(crate) fn new(totals: Totals, items: usize, batches: usize) -> Self {
        Self { totals, items, batches, retries: 0 }
    }

    pub(crate) fn with_retries(self, retries: usize) -> Self {
        Self { retries, ..self }
    }

    /// Items whose results were handed over.
    #[must_use]
    pub fn items(&self) -> usize {
        self.items
    }

    /// Batches that were handed over.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// Calls that were made again after an error, where [`retry`](crate::Batched::retry) is set.
    #[must_use]
    pub fn retries(&self) -> usize {
        self.retries
    }

    /// Seconds from the start to the end of the run, its sample and its sink included.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.totals.seconds
    }

    /// The most bytes that the run held of its budget at a time.
    #[must_use]
    pub fn peak_bytes(&self) -> Bytes {
        self.totals.peak
    }

    /// The memory budget of the run. A run that was over before it needed one works it out when this is asked for.
    #[must_use]
    pub fn budget(&self) -> Bytes {
        match &self.totals.budget {
            Some(budget) => budget.bytes,
            // The run would have failed with a limit that can't be resolved.
            None => Budget::resolve(&self.totals.max_memory).map_or(Bytes::ZERO, |budget| budget.bytes),
        }
    }

    /// Workers that the run used.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.totals.threads
    }

    /// Items that a worker took at a time, on average.
    #[must_use]
    pub fn chunk_size(&self) -> usize {
        self.totals.learned.items / self.totals.chunks.max(1)
    }

    /// Items per batch, on average.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.items / self.batches.max(1)
    }

    /// How many seconds of calls the run did in each second: what it gained over a plain loop.
    #[must_use]
    pub fn speedup(&self) -> f64 {
        if self.totals.seconds > 0.0 { self.totals.learned.seconds / self.totals.seconds } else { 1.0 }
    }

    /// Seconds that the function took for one item, on average, with the calls that were made again and the waits before them.
    #[must_use]
    pub fn seconds_per_item(&self) -> f64 {
        self.totals.learned.seconds_per_item()
    }

    /// Bytes that a result took, on average.
    #[must_use]
    pub fn bytes_per_item(&self) -> Bytes {
        Bytes::new(self.totals.learned.bytes / self.totals.learned.items.max(1) as u64)
    }

    /// The most bytes that a call needed while it ran, beside its result. Zero where that is not measured: only
    /// [`Tracking`](crate::Tracking) does.
    #[must_use]
    pub fn working_bytes(&self) -> Bytes {
        Bytes::new(self.totals.learned.most_working)
    }

    /// Bytes that all results took together.
    #[must_use]
    pub fn result_bytes(&self) -> Bytes {
        Bytes::new(self.totals.learned.bytes)
    }

    /// How the bytes of results were measured.
    #[must_use]
    pub fn measured_by(&self) -> MeasuredBy {
        self.totals.measured_by
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} items in {} batches, {}", self.items, self.batches, Seconds(self.seconds()))?;
        writeln!(
            f,
            "{} per item, {:.2} times a plain loop on {} threads",
            Seconds(self.seconds_per_item()),
            self.speedup(),
            self.threads()
        )?;
        write!(
            f,
            "{} of results, at most {} held of a budget of {} (by {}: {})",
            self.result_bytes(),
            self.peak_bytes(),
            self.budget(),
            self.measured_by(),
            self.measured_by().certainty()
        )?;
        match self.retries {
            0 => Ok(()),
            1 => write!(f, "\n1 call was made again after an error"),
            retries => write!(f, "\n{retries} calls were made again after an error"),
        }
    }
}
