//! The part of a report about a run's results on disk.

use super::Report;
use crate::units::ByteSize;

impl Report {
    /// The number of items with a result from an earlier process: they were not run again. With a
    /// journal, the items that the sink had already, which are not handed over again.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// # let directory = std::env::temp_dir().join(format!("amorsize-restored-{}", std::process::id()));
    /// let squares = || process_in_batches(|x: u64| x * x, 0..1000).version(1).checkpoint(&directory);
    /// assert_eq!(squares().for_each_batch(|_| ())?.restored(), 0);
    /// let report = squares().for_each_batch(|_| ())?;
    /// assert_eq!((report.items(), report.restored()), (1000, 1000));
    /// # std::fs::remove_dir_all(&directory).unwrap();
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn restored(&self) -> usize {
        self.kept.restored
    }

    /// The number of frames of the directory that were found damaged, by this call or an earlier
    /// one. Their items are run again once; the count stays in the calls after that.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// # let directory = std::env::temp_dir().join(format!("amorsize-damaged-{}", std::process::id()));
    /// let mut run = process_in_batches(|x: u64| x * x, 0..1000).version(1).checkpoint(&directory);
    /// assert_eq!(run.for_each_batch(|_| ())?.damaged(), 0);
    /// # std::fs::remove_dir_all(&directory).unwrap();
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.kept.damaged
    }

    /// Bytes that the run keeps on disk: those of all its segments, when it was opened or has
    /// ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// # let directory = std::env::temp_dir().join(format!("amorsize-stored-{}", std::process::id()));
    /// let mut run = process_in_batches(|x: u64| x * x, 0..1000).version(1).checkpoint(&directory);
    /// assert!(run.for_each_batch(|_| ())?.stored_bytes() > 1000);
    /// # std::fs::remove_dir_all(&directory).unwrap();
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn stored_bytes(&self) -> ByteSize {
        ByteSize::new(self.kept.bytes)
    }
}
