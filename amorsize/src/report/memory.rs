//! The bytes of a run.

use super::Report;
use crate::memory::Bytes;
use crate::memory::budget::Budget;
use crate::memory::measure::{Certainty, MeasuredBy};
use crate::memory::source;

impl Report {
    /// The most bytes that the run held of its budget at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{Bytes, batched};
    ///
    /// #[batched(max_memory = "64MiB")]
    /// fn page(i: u8) -> Vec<u8> {
    ///     vec![i; 1 << 20]
    /// }
    ///
    /// let report = page_batched(0..200).for_each_batch(|_| ())?;
    /// assert!(report.peak_bytes() >= Bytes::mib(1) && report.peak_bytes() <= Bytes::mib(64));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn peak_bytes(&self) -> Bytes {
        self.totals.peak
    }

    /// The memory budget of the run. A run that was over before it needed one works it out when this is asked for.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Bytes, process_in_batches};
    /// let report = process_in_batches(|x: u64| x + 1, 0..1000).max_memory("64MiB").for_each_batch(|_| ())?;
    /// assert_eq!(report.budget(), Bytes::mib(64));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn budget(&self) -> Bytes {
        match &self.totals.budget {
            Some(budget) => budget.bytes,
            // The run would have failed with a limit that can't be resolved.
            None => Budget::resolve(&self.totals.max_memory).map_or(Bytes::ZERO, |budget| budget.bytes),
        }
    }

    /// The most by which the process's resident memory had grown during the run; `None` where the system doesn't tell, and for a run
    /// that was over at once.
    #[must_use]
    pub fn peak_resident(&self) -> Option<Bytes> {
        self.totals.peak_resident
    }

    /// Bytes by which resident memory was still grown at the end, beside what the run still held: pages that the allocator keeps for
    /// what comes next, and whatever else the process did meanwhile. `None` like [`peak_resident`](Self::peak_resident).
    #[must_use]
    pub fn allocator_bytes(&self) -> Option<Bytes> {
        let held = self.totals.last_held.as_u64();
        self.totals.last_resident.map(|resident| Bytes::new(resident.as_u64().saturating_sub(held)))
    }

    /// Bytes that a result took, on average.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let report = process_in_batches(|x: u64| x + 1, 0..1000).for_each_batch(|_| ())?;
    /// assert_eq!(report.bytes_per_item(), 8);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn bytes_per_item(&self) -> Bytes {
        Bytes::new(self.totals.learned.bytes / self.totals.learned.items.max(1) as u64)
    }

    /// The most bytes that a call needed while it ran, beside its result: its working memory.
    ///
    /// [`Tracking`](crate::Tracking) counts it. Without it the process's resident memory tells, as it grew while calls ran;
    /// [`working_certainty`](Self::working_certainty) says which. It is zero where calls are so short that all of them together
    /// could need a 32nd of the budget at most. Of a pipeline it is at least what the stages handed to each other for one item.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Bytes, process_in_batches};
    /// // In a program without `Tracking`.
    /// let report = process_in_batches(|x: u64| x + 1, 0..1000).for_each_batch(|_| ())?;
    /// assert_eq!(report.working_bytes(), Bytes::ZERO);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn working_bytes(&self) -> Bytes {
        Bytes::new(self.totals.learned.working_of_part())
    }

    /// How sure [`working_bytes`](Self::working_bytes) is: [`Exact`](Certainty::Exact) with [`Tracking`](crate::Tracking),
    /// an [`Estimate`](Certainty::Estimate) from resident memory without it, and [`Unmeasured`](Certainty::Unmeasured) where that
    /// can't be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Certainty, process_in_batches};
    /// let report = process_in_batches(|x: u64| x + 1, 0..1000).for_each_batch(|_| ())?;
    /// assert_eq!(report.working_certainty(), Certainty::Estimate);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn working_certainty(&self) -> Certainty {
        Certainty::of_working(self.totals.measured_by, || source::current().resident().is_some())
    }

    /// Bytes that all results took together.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let report = process_in_batches(|x: u64| x + 1, 0..1000).for_each_batch(|_| ())?;
    /// assert_eq!(report.result_bytes(), 8000);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn result_bytes(&self) -> Bytes {
        Bytes::new(self.totals.learned.bytes)
    }

    /// How the bytes of results were measured.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{MeasuredBy, batched};
    ///
    /// #[batched]
    /// fn upper(word: &str) -> String {
    ///     word.to_uppercase()
    /// }
    ///
    /// let report = upper_batched(["a", "b"]).for_each_batch(|_| ())?;
    /// assert_eq!(report.measured_by(), MeasuredBy::DeepSize);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn measured_by(&self) -> MeasuredBy {
        self.totals.measured_by
    }
}
