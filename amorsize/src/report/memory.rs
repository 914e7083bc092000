//! A report's figures of bytes.

use super::Report;
use super::totals::Totals;
use crate::memory::budget::Budget;
use crate::units::ByteSize;
use crate::units::measured_by::{Certainty, MeasuredBy};

impl Report {
    /// The most bytes of its budget that the run held at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{ByteSize, batched};
    ///
    /// #[batched(max_memory = "64MiB")]
    /// fn page(i: u8) -> Vec<u8> {
    ///     vec![i; 1 << 20]
    /// }
    ///
    /// let report = page_batched(0..200).for_each_batch(|_| ())?;
    /// assert!(report.peak_bytes() >= ByteSize::mib(1) && report.peak_bytes() <= ByteSize::mib(64));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn peak_bytes(&self) -> ByteSize {
        self.totals.peak
    }

    /// The memory budget of the run. If a run ended before it needed one, the first call works it
    /// out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{ByteSize, process_in_batches};
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..1000).max_memory("64MiB");
    /// let report = run.for_each_batch(|_| ())?;
    /// assert_eq!(report.budget(), ByteSize::mib(64));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn budget(&self) -> ByteSize {
        let Totals { budget, max_memory, source, .. } = &self.totals;
        // No lock is held while the source's code runs, which may ask for this budget itself.
        let ask = || {
            // The run would have failed with a limit that can't be resolved.
            let asked =
                Budget::resolve(max_memory, source, ByteSize::ZERO).map_or(ByteSize::ZERO, |budget| budget.bytes);
            *budget.get_or_init(|| asked)
        };
        budget.get().copied().unwrap_or_else(ask)
    }

    /// The most by which the process's resident memory grew during the run; `None` if the system
    /// doesn't tell, and for a run that ended at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let bytes = |x: u8| vec![x; 1 << 20];
    /// let report = process_in_batches(bytes, 0..100).max_memory("64MiB").for_each_batch(|_| ())?;
    /// if let (Some(peak), Some(kept)) = (report.peak_resident(), report.allocator_bytes()) {
    ///     println!("{peak} at most, {kept} at the end");
    /// }
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn peak_resident(&self) -> Option<ByteSize> {
        self.totals.peak_resident
    }

    /// The growth of resident memory that remained at the end, beside the bytes that the run still
    /// held: pages that the allocator keeps for later, and changes by the rest of the process.
    /// `None` like [`peak_resident`](Self::peak_resident).
    ///
    /// # Examples
    ///
    /// See [`peak_resident`](Self::peak_resident).
    #[must_use]
    pub fn allocator_bytes(&self) -> Option<ByteSize> {
        let last = self.totals.last?;
        last.resident().map(|resident| resident - last.held())
    }

    /// Mean bytes of a result that a call gave.
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
    pub fn bytes_per_item(&self) -> ByteSize {
        ByteSize::new(self.totals.learned.bytes / self.totals.learned.items.max(1) as u64)
    }

    /// The most working memory of a call: bytes that it needed while it ran, beside its result.
    ///
    /// [`Tracking`](crate::Tracking) counts it. Without it, the growth of the process's resident
    /// memory while calls ran tells it; [`working_certainty`](Self::working_certainty) says which.
    /// It is zero if calls are so short that all of them together could need at most a 32nd of the
    /// budget. For a pipeline it is at least the bytes that the stages passed to each other for one
    /// item.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// # use amorsize::{ByteSize, process_in_batches};
    /// // In a program without `Tracking`.
    /// let report = process_in_batches(|x: u64| x + 1, 0..1000).for_each_batch(|_| ())?;
    /// assert_eq!(report.working_bytes(), ByteSize::ZERO);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn working_bytes(&self) -> ByteSize {
        ByteSize::new(self.totals.learned.part_working)
    }

    /// The certainty of [`working_bytes`](Self::working_bytes): [`Exact`](Certainty::Exact) with
    /// [`Tracking`](crate::Tracking), an [`Estimate`](Certainty::Estimate) from resident memory
    /// without it, and [`Unmeasured`](Certainty::Unmeasured) if that can't be read.
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
        let Totals { measured_by, reads_resident, source, .. } = &self.totals;
        // No lock is held while the source's code runs: a child made by `fork` would find it held.
        let ask = || {
            let is_told = source.resident().is_some();
            _ = reads_resident.set(is_told);
            is_told
        };
        Certainty::of_working(*measured_by, || reads_resident.get().copied().unwrap_or_else(ask))
    }

    /// The bytes of all results together, with those of restored items.
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
    pub fn result_bytes(&self) -> ByteSize {
        ByteSize::new(self.totals.learned.bytes + self.totals.restored_bytes)
    }

    /// The means by which the bytes of results were measured.
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
