//! Warnings: problems that a plan or a report foresees or found.

use std::fmt;

use super::Plan;
use crate::adapt::learned::Learned;
use crate::adapt::situation::Situation;
#[cfg(feature = "durable")]
use crate::error::ErrorKind;
use crate::memory::deep_size::features::Unasked;
use crate::system::refused::Refused;
use crate::units::ByteSize;
use crate::units::measured_by::MeasuredBy;
use crate::units::seconds::Seconds;

/// A range of time says little if its upper end is more than this many times its lower one.
const WIDE_RANGE: f64 = 2.0;
/// The shortest time, in seconds, for which an unsure prediction is worth a warning: people notice
/// delays from here on.
const WAITED_FOR: f64 = 0.1;

/// A warning of a [`Plan`] or of a [`Report`](crate::Report): a stable code for programs and a text
/// for people.
///
/// # Examples
///
/// ```
/// use amorsize::{Warning, process_in_batches};
///
/// let mut run = process_in_batches(|i: u8| vec![i; 1 << 20], 0..100).max_memory("16MiB");
/// let mut warnings = run.plan()?.warnings().iter();
/// let is_too_much = warnings.any(|warning| warning.code() == Warning::RESULTS_EXCEED_BUDGET);
/// let mut count = 0;
/// if is_too_much {
///     run.for_each_batch(|batch| count += batch.len())?;
/// } else {
///     count = run.collect::<Vec<_>>()?.len();
/// }
/// assert_eq!(count, 100);
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    code: &'static str,
    message: String,
}

impl Warning {
    /// The results, if collected, won't fit the memory budget.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Warning, batched};
    /// #[batched(max_memory = "16MiB")]
    /// fn page(i: u8) -> Vec<u8> {
    ///     vec![i; 1 << 20]
    /// }
    ///
    /// let mut run = page_batched(0..100);
    /// let mut warnings = run.plan()?.warnings().iter();
    /// assert!(warnings.any(|warning| warning.code() == Warning::RESULTS_EXCEED_BUDGET));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const RESULTS_EXCEED_BUDGET: &'static str = "results-exceed-budget";
    /// The budget is larger than the available memory; the run won't use more than is available.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{ByteSize, Warning, process_in_batches, with_memory_source};
    /// with_memory_source(ByteSize::mib(64), || {
    ///     let mut run = process_in_batches(|x: u64| x + 1, 0..100).max_memory("1GiB");
    ///     let mut warnings = run.plan()?.warnings().iter();
    ///     assert!(warnings.any(|warning| warning.code() == Warning::BUDGET_EXCEEDS_AVAILABLE));
    ///     Ok::<(), amorsize::Error>(())
    /// })?;
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const BUDGET_EXCEEDS_AVAILABLE: &'static str = "budget-exceeds-available";
    /// A single result takes a large part of the memory budget.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Warning, batched};
    /// #[batched(max_memory = "3MiB")]
    /// fn page(i: u8) -> Vec<u8> {
    ///     vec![i; 1 << 20]
    /// }
    ///
    /// let mut run = page_batched(0..100);
    /// let mut warnings = run.plan()?.warnings().iter();
    /// assert!(warnings.any(|warning| warning.code() == Warning::RESULT_NEAR_BUDGET));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const RESULT_NEAR_BUDGET: &'static str = "result-near-budget";
    /// The function is so fast that threads would only slow it down.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Warning, process_in_batches};
    /// let numbers: Vec<u64> = (0..1_000_000).collect();
    /// // One by one this may be too fast for threads; by the thousand there is enough to do.
    /// let mut run = process_in_batches(|x: &u64| x + 1, &numbers).sample_size(10_000);
    /// if run.plan()?.warnings().iter().any(|warning| warning.code() == Warning::TOO_FAST) {
    ///     println!("by the thousand");
    /// }
    /// let mut run = process_in_batches(|part: &[u64]| part.iter().sum::<u64>(), numbers.chunks(1000));
    /// let sums = run.collect::<Vec<_>>()?;
    /// assert_eq!(sums.len(), 1000);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const TOO_FAST: &'static str = "too-fast-for-threads";
    /// The work is too little to gain from threads, or every item is in the sample, so no work is
    /// left for threads.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Warning, process_in_batches};
    /// # let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    /// # let plan = |n| pool.install(|| process_in_batches(|x: u64| x + 1, 0..n).plan().cloned());
    /// // Six additions, on a machine of two cores.
    /// let plan = plan(6)?;
    /// assert!(plan.warnings().iter().any(|warning| warning.code() == Warning::TOO_LITTLE_WORK));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const TOO_LITTLE_WORK: &'static str = "too-little-work-for-threads";
    /// The items of the sample took very different times.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Warning, process_in_batches};
    /// let nap = |millis: u64| std::thread::sleep(std::time::Duration::from_millis(millis));
    /// let mut run = process_in_batches(nap, [1, 1, 100, 1, 1, 1, 1]);
    /// let mut warnings = run.plan()?.warnings().iter();
    /// assert!(warnings.any(|warning| warning.code() == Warning::UNEVEN_SAMPLE));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const UNEVEN_SAMPLE: &'static str = "uneven-sample";
    /// The sample says little about how long the run will take.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Warning, process_in_batches};
    /// let nap = |millis: u64| std::thread::sleep(std::time::Duration::from_millis(millis));
    /// // One call was timed beside the first.
    /// let mut run = process_in_batches(nap, [3; 100]).threads(1).sample_size(2);
    /// let plan = run.plan()?;
    /// assert!(plan.warnings().iter().any(|warning| warning.code() == Warning::TIME_UNSURE));
    /// assert_eq!(plan.seconds_range(), None);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const TIME_UNSURE: &'static str = "time-unsure";
    /// The bytes of results can't be told exactly.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Warning, process_in_batches};
    /// // A closure's result can't tell what it owns.
    /// let mut run = process_in_batches(|x: u64| x.to_string(), 0..100);
    /// let mut warnings = run.plan()?.warnings().iter();
    /// assert!(warnings.any(|warning| warning.code() == Warning::BYTES_UNSURE));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const BYTES_UNSURE: &'static str = "bytes-unsure";
    /// The results' type can't tell its bytes, and resident memory can't be read, so nothing counts
    /// the bytes that results own.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{ByteSize, MemorySource, Warning, process_in_batches, with_memory_source};
    ///
    /// /// A system that tells nothing of the process.
    /// struct Silent;
    ///
    /// impl MemorySource for Silent {
    ///     fn available(&self) -> Option<ByteSize> {
    ///         None
    ///     }
    ///
    ///     fn resident(&self) -> Option<ByteSize> {
    ///         None
    ///     }
    /// }
    ///
    /// with_memory_source(Silent, || {
    ///     let mut run = process_in_batches(|x: u64| x.to_string(), 0..100);
    ///     let mut warnings = run.plan()?.warnings().iter();
    ///     assert!(warnings.any(|warning| warning.code() == Warning::UNMEASURED));
    ///     Ok::<(), amorsize::Error>(())
    /// })?;
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const UNMEASURED: &'static str = "unmeasured";
    /// Nothing was sampled because the input is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Warning, process_in_batches};
    /// let mut run = process_in_batches(|x: u64| x + 1, []);
    /// assert_eq!(run.plan()?.warnings()[0].code(), Warning::EMPTY_INPUT);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const EMPTY_INPUT: &'static str = "empty-input";
    /// A feature of amorsize would count results or items of another crate's type, and it is off.
    /// So the run estimates them from resident memory.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Warning, process_in_batches};
    /// // The standard library's types need no feature.
    /// let mut run = process_in_batches(|x: u64| x.to_string(), 0..100);
    /// let mut warnings = run.plan()?.warnings().iter();
    /// assert!(warnings.all(|warning| warning.code() != Warning::FEATURE_MISSING));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const FEATURE_MISSING: &'static str = "feature-missing";
    /// The system refused threads that the run asked for, so the run goes on with fewer, or on the
    /// calling thread alone. The text says how many it has. If [`threads`](crate::Batched::threads)
    /// sets a number, this is an error instead.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Warning, process_in_batches};
    /// let report = process_in_batches(|x: u64| x + 1, 0..100).for_each_batch(|_| ())?;
    /// // Nothing was refused.
    /// assert!(report.warnings().iter().all(|warning| warning.code() != Warning::THREADS_REFUSED));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const THREADS_REFUSED: &'static str = "threads-refused";
    /// In a report: the process's resident memory grew by more than the run's budget.
    ///
    /// The text says by how much, and the likely reason by the run's figures;
    /// [`Report::explain`](crate::Report::explain) adds the lines that install
    /// [`Tracking`](crate::Tracking) as the program's allocator, which counts every byte.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{Warning, process_in_batches};
    ///
    /// // A sink that keeps all results: the run holds them no longer, but the process does.
    /// let mut kept = Vec::new();
    /// let mut run = process_in_batches(|i: u8| vec![i; 1 << 20], 0..64).max_memory("4MiB");
    /// let report = run.for_each_batch(|batch| kept.extend(batch))?;
    /// if report.warnings().iter().any(|warning| warning.code() == Warning::RESIDENT_OVER_BUDGET) {
    ///     println!("{}", report.explain());
    /// }
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const RESIDENT_OVER_BUDGET: &'static str = "resident-over-budget";

    /// The directory for results that don't fit the memory is memory itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(all(feature = "durable", target_os = "linux"))] {
    /// # use amorsize::{Warning, process_in_batches};
    /// // Where Linux has it, it is memory.
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..100).spill_dir("/dev/shm");
    /// let plan = run.plan()?;
    /// let is_memory = plan.warnings().iter().any(|warning| warning.code() == Warning::SPILL_DIR_IS_MEMORY);
    /// # assert_eq!(is_memory, std::path::Path::new("/dev/shm").is_dir());
    /// # }
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const SPILL_DIR_IS_MEMORY: &'static str = "spill-dir-is-memory";

    /// A run gave everything and was to remove its directory, and files of it could not be removed.
    /// They no longer count, and the next run in that directory removes them.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "durable")] {
    /// # use amorsize::{Warning, process_in_batches};
    /// # let runs = std::env::temp_dir().join(format!("amorsize-not-removed-{}", std::process::id()));
    /// let run = process_in_batches(|x: u64| x + 1, 0..100).version(1).checkpoint(&runs);
    /// let report = run.remove_when_done(true).for_each_batch(|_| ())?;
    /// if let Some(left) = report.warnings().iter().find(|warning| warning.code() == Warning::NOT_REMOVED) {
    ///     eprintln!("{left}");
    /// }
    /// # assert!(!runs.exists());
    /// # }
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const NOT_REMOVED: &'static str = "not-removed";

    pub(crate) fn new(code: &'static str, message: String) -> Self {
        Self { code, message }
    }

    /// A warning for a run with results that nothing counts.
    pub(crate) fn unmeasured() -> Self {
        let message = "what results own is not counted, as their type doesn't tell and the process's resident memory can't be read: derive or implement `DeepSize` for the result, or install `Tracking`";
        Self::new(Self::UNMEASURED, message.into())
    }

    /// A warning for a run with files that could not be removed.
    #[cfg(feature = "durable")]
    pub(crate) fn not_removed(error: &crate::error::Error) -> Self {
        let cause = match error.kind() {
            ErrorKind::Storage { path, operation, cause, .. } => {
                format!("`{}` could not be {operation}: {cause}", path.display())
            }
            _ => error.to_string(),
        };
        let message = format!("{cause}; it no longer counts, and the next run in that directory removes it");
        Self::new(Self::NOT_REMOVED, message)
    }

    /// A warning for a run that has fewer threads than it asked for.
    pub(crate) fn of_refused(refused: Refused) -> Self {
        let Refused { wanted, given } = refused;
        let has = match given {
            1 => "so the run is on the calling thread alone".to_owned(),
            given => format!("so the run has {given}"),
        };
        let message = format!(
            "the system refused the process a pool of {wanted} threads, {has}: raise what limits them, which is the number of the \
             user's processes (`ulimit -u`), `pids.max` of a cgroup, or the address space (`ulimit -v`)"
        );
        Self::new(Self::THREADS_REFUSED, message)
    }

    /// A warning for each feature that is off and would count these types.
    pub(crate) fn of_features(types: Unasked) -> impl Iterator<Item = Self> {
        types.missing().into_iter().map(|(feature, krate)| {
            let message = format!(
                "there are types of the crate `{krate}`, and amorsize's feature `{feature}` is off, so their bytes are told from \
                 resident memory: with `features = [\"{feature}\"]` in Cargo.toml those of an annotated function are counted"
            );
            Self::new(Self::FEATURE_MISSING, message)
        })
    }

    /// The code, one of this type's constants; it stays the same between releases.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{Warning, process_in_batches};
    ///
    /// let mut run = process_in_batches(|x: u64| x + 1, []);
    /// assert_eq!(run.plan()?.warnings()[0].code(), "empty-input");
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The text, with its numbers.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(|x: u64| x + 1, []);
    /// let message = run.plan()?.warnings()[0].message();
    /// assert_eq!(message, "the input is empty, so there is nothing to measure");
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)
    }
}

impl Plan {
    /// Warns that the system refused threads, and of features that are off and would count the run's
    /// types.
    pub(crate) fn warn_of(&mut self, refused: Option<Refused>, types: Unasked) {
        self.warnings.extend(refused.map(Warning::of_refused));
        self.warnings.extend(Warning::of_features(types));
    }

    /// Warns that results would be spilled to memory, once.
    #[cfg(feature = "durable")]
    pub(crate) fn warn_of_spill_dir(&mut self, directory: &std::path::Path) {
        if self.warnings.iter().any(|warning| warning.code == Warning::SPILL_DIR_IS_MEMORY) {
            return;
        }
        let message = format!(
            "`spill_dir` is `{}`, which is memory (tmpfs or ramfs): what `spill` writes there frees none",
            directory.display()
        );
        self.warnings.push(Warning::new(Warning::SPILL_DIR_IS_MEMORY, message));
    }

    pub(super) fn warn(&mut self, learned: &Learned, situation: &Situation, too_fast: bool, by_memory: bool) {
        let all = self.sampled_all();
        let mut warn = |code, message| self.warnings.push(Warning { code, message });
        if self.sampled == 0 && situation.taken > 0 {
            return;
        }
        if self.sampled == 0 {
            return warn(Warning::EMPTY_INPUT, "the input is empty, so there is nothing to measure".into());
        }
        if let Some(total) = self.result_bytes.filter(|&total| total > self.budget) {
            warn(
                Warning::RESULTS_EXCEED_BUDGET,
                format!(
                    "all results together would take {total} of memory, more than the budget of {}: \
                     use `for_each_batch` or iterate instead of collecting",
                    self.budget
                ),
            );
        }
        if let Some(available) = situation.available_now.filter(|&available| available < self.budget) {
            warn(
                Warning::BUDGET_EXCEEDS_AVAILABLE,
                format!("the budget of {} is more than the {available} of memory that are available", self.budget),
            );
        }
        let largest = ByteSize::new(learned.largest + learned.most_working_by_any_means());
        if largest * 4 > self.budget {
            warn(
                Warning::RESULT_NEAR_BUDGET,
                format!(
                    "one call takes {largest} of a memory budget of {}: few of them can run at a time",
                    self.budget
                ),
            );
        }
        let cost = Seconds(self.seconds_per_item);
        if too_fast && self.sizes.threads == 1 {
            warn(
                Warning::TOO_FAST,
                format!(
                    "the function takes {cost} per item, too little to gain from threads: give each item more work"
                ),
            );
        } else if self.sizes.threads == 1 && situation.threads > 1 && situation.remaining.is_some() && !by_memory {
            let message = if situation.remaining == Some(0) {
                format!(
                    "{all}, so nothing is left for threads: where calls take long, a smaller `sample_size` leaves some"
                )
            } else {
                format!("{cost} per item over so few items is too little work to gain from threads")
            };
            warn(Warning::TOO_LITTLE_WORK, message);
        }
        if learned.is_uneven() {
            warn(
                Warning::UNEVEN_SAMPLE,
                "the sampled items took very different times, so the expected times are unsure: a larger `sample_size` helps"
                    .into(),
            );
        }
        let remaining = situation.remaining.unwrap_or(0) as f64;
        let is_wide = learned.spread.ends(remaining).is_some_and(|(least, most)| most > WIDE_RANGE * least);
        match (self.seconds, self.seconds_range) {
            (Some(seconds), None) if seconds > WAITED_FOR => warn(
                Warning::TIME_UNSURE,
                "the sample is too small to say how long the run will take: a larger `sample_size` helps".into(),
            ),
            (_, Some((least, most))) if most > WAITED_FOR && is_wide => warn(
                Warning::TIME_UNSURE,
                format!(
                    "by its sample the run can take {} as well as {}: a larger `sample_size` helps",
                    Seconds(least),
                    Seconds(most)
                ),
            ),
            _ => {}
        }
        match self.measured_by {
            MeasuredBy::Resident => warn(
                Warning::BYTES_UNSURE,
                "bytes are told from the process's resident memory, which other work changes too: \
                 derive or implement `DeepSize` for the result, or install `Tracking`, to have them counted"
                    .into(),
            ),
            MeasuredBy::Unmeasured => self.warnings.push(Warning::unmeasured()),
            _ => {}
        }
    }
}
