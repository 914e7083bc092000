//! Figures of a run: its [`Report`] when it has ended, and its [`Progress`] while it goes on. The
//! guide's page [`watching_a_run`](crate::guide::watching_a_run) says how to read them.

pub(crate) mod bottleneck;
pub(crate) mod extremes;
#[cfg(feature = "durable")]
mod kept;
mod memory;
mod overrun;
mod text;
pub(crate) mod time_use;
pub(crate) mod timeline;
pub(crate) mod totals;

pub use bottleneck::Bottleneck;
pub use time_use::TimeUse;
pub use timeline::{BatchTime, Moment, Timeline};

pub use crate::plan::Warning;
#[cfg(feature = "progress")]
pub use crate::progress::bar::progress_bar;
pub use crate::progress::stage::StageReport;
pub use crate::progress::{Phase, Progress};

use std::sync::Arc;

use once_cell::race::OnceBox;

#[cfg(feature = "durable")]
use self::totals::KeptFigures;
use self::totals::Totals;
use crate::error::failure::Failure;
use crate::error::outcome::Failures;
use crate::system::cores;
use crate::units::counted::Counted;

/// Something is most of a whole, or explains it, from this part on: half, so that all others
/// together are no more.
const MOST: f64 = 0.5;

/// The measurements of a finished run.
///
/// Each terminal of a run that ended early and goes on has a report of its own part.
/// [`Batched::report`](crate::Batched::report) gives the report of a terminal that ended early. It
/// counts the results that were handed over and the calls that were made in that part. It repeats
/// the figures of the sample, and working memory that only the process's resident memory tells.
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
///
/// let mut run = process_in_batches(|x: u64| x.pow(3), 0..1000).batch_size(100);
/// let report = run.for_each_batch(|_| ())?;
/// assert_eq!((report.items(), report.batches(), report.batch_size()), (1000, 10, 100));
/// assert!(report.peak_bytes() <= report.budget());
/// assert_eq!((report.name(), report.stages().len()), (None, 0));
/// println!("{:.0} items and {:.0} bytes a second", report.items_per_second(), report.bytes_per_second());
/// println!("{:.3} s alone, {:.3} s on threads", report.inline_seconds(), report.threads_seconds());
/// println!("{:.3} s in the sink, {:.3} s for the input", report.sink_seconds(), report.input_seconds());
/// println!("{:e} s in the sample, {} chunks", report.sampled_seconds_per_item(), report.chunks());
/// println!("{:?}, {} waits, {:?}", report.time_use(), report.credit_waits(), report.timeline().batches());
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    pub(crate) totals: Totals,
    items: usize,
    batches: usize,
    /// Shared, because a report can be cloned; `None` if no item failed.
    failures: Option<Arc<Failures>>,
    /// True if the terminal ended whole: then nothing is left.
    pub(crate) is_whole: bool,
    pub(crate) retries: usize,
    pub(crate) stages: Vec<StageReport>,
    /// Files of the run that it could not remove.
    not_removed: Option<Warning>,
    /// Zeros for a run that keeps nothing.
    #[cfg(feature = "durable")]
    pub(crate) kept: KeptFigures,
    /// The task of an array that was done before, so that nothing ran.
    #[cfg(feature = "array")]
    pub(crate) done_task: Option<usize>,
}

impl Report {
    pub(crate) fn new(totals: Totals, items: usize, batches: usize) -> Self {
        Self {
            totals,
            items,
            batches,
            retries: 0,
            failures: None,
            is_whole: false,
            stages: Vec::new(),
            not_removed: None,
            #[cfg(feature = "durable")]
            kept: KeptFigures::default(),
            #[cfg(feature = "array")]
            done_task: None,
        }
    }

    /// The report of this run and of the next one, which calls the same function for other items.
    #[cfg(feature = "array")]
    pub(crate) fn and(self, next: Self) -> Self {
        let failures = [&self.failures, &next.failures].map(|failures| failures.as_deref());
        let failures = failures.into_iter().flatten().fold(Failures::new(), Failures::and);
        Self {
            totals: self.totals.and(next.totals),
            items: self.items + next.items,
            batches: self.batches + next.batches,
            failures: (failures.count() > 0).then(|| Arc::new(failures)),
            is_whole: self.is_whole && next.is_whole,
            // These count on from one run to the next.
            retries: next.retries,
            stages: next.stages,
            not_removed: self.not_removed.or(next.not_removed),
            kept: self.kept.and(next.kept),
            done_task: None,
        }
    }

    pub(crate) fn set_not_removed(&mut self, warning: Option<Warning>) {
        self.not_removed = warning;
    }

    /// Makes it the report of a run that leaves errors out, and hands `items` values over.
    pub(crate) fn set_values(&mut self, items: usize, failures: Failures) {
        self.items = items;
        self.failures = (failures.count() > 0).then(|| Arc::new(failures));
    }

    /// Takes the panics with their payloads. The report keeps their messages.
    pub(crate) fn take_panics(&mut self) -> Vec<Failure> {
        // All reports share a single empty `Arc`.
        if self.totals.panics.is_empty() {
            return Vec::new();
        }
        let panics = Arc::get_mut(&mut self.totals.panics).expect("nobody has a report before it is made");
        panics
            .iter_mut()
            .map(|panic| {
                let told = panic.told();
                std::mem::replace(panic, told)
            })
            .collect()
    }

    /// The most failures in [`failures`](Self::failures): 16, enough to see their kinds. With
    /// [`Collect`](crate::on_error::Collect) the run keeps all.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{Report, on_error::Skip, process_in_batches};
    ///
    /// let mut run = process_in_batches(str::parse::<u32>, ["one"; 100]).on_error(Skip);
    /// let report = run.for_each_batch(|_| ())?;
    /// assert_eq!((report.failed(), report.failures().len()), (100, Report::MOST_FAILURES));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const MOST_FAILURES: usize = Failures::MOST;

    /// The name of the function, if it is annotated; a pipeline has names in its
    /// [`stages`](Self::stages).
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        self.totals.name
    }

    /// The number of items with results that were handed over.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let report = process_in_batches(|x: u64| x + 1, 0..1000).for_each_batch(|_| ())?;
    /// assert_eq!(report.items(), 1000);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn items(&self) -> usize {
        self.items
    }

    /// The number of items that failed, in a run that goes on in spite of errors: with
    /// [`Skip`](crate::on_error::Skip) or [`Collect`](crate::on_error::Collect). They are not among
    /// the [`items`](Self::items).
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Skip, process_in_batches};
    ///
    /// let mut run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Skip);
    /// let report = run.for_each_batch(|numbers| assert_eq!(*numbers, [1, 3]))?;
    /// assert_eq!((report.items(), report.failed()), (2, 1));
    /// let text = report.failures()[0].to_string();
    /// assert_eq!(text, "item 1 failed: invalid digit found in string");
    /// assert!(report.to_string().starts_with("2 items in 1 batch, 1 more failed"));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failures.as_ref().map_or(0, |failures| failures.count())
    }

    /// The first failures by input order, up to [`MOST_FAILURES`](Self::MOST_FAILURES), each with
    /// its item's index and its error as a text of up to 4 KiB. Only
    /// [`Skip`](crate::on_error::Skip) fills it: with [`Collect`](crate::on_error::Collect) the
    /// [`Outcome`](crate::Outcome) has all failures, with the errors themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Skip, process_in_batches};
    ///
    /// let mut run = process_in_batches(str::parse::<u32>, ["one", "2", "three"]).on_error(Skip);
    /// let report = run.for_each_batch(|_| ())?;
    /// let indices: Vec<usize> = report.failures().iter().map(|failure| failure.index()).collect();
    /// assert_eq!(indices, [0, 2]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn failures(&self) -> &[Failure<String>] {
        self.failures.as_ref().map_or(&[], |failures| failures.kept())
    }

    /// The number of batches that were handed over.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..1000).batch_size(100);
    /// let report = run.for_each_batch(|_| ())?;
    /// assert_eq!(report.batches(), 10);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// The number of calls that were made again after an error, if [`retry`](crate::Batched::retry)
    /// is set.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// use amorsize::process_in_batches;
    ///
    /// let is_first = AtomicBool::new(true);
    /// let fails = || is_first.swap(false, Ordering::Relaxed);
    /// let call = |x: u32| if fails() { Err("busy") } else { Ok(x) };
    /// let report = process_in_batches(call, 0..10).retry(1).for_each_batch(|_| ())?;
    /// assert_eq!(report.retries(), 1);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn retries(&self) -> usize {
        self.retries
    }

    /// The figures of each stage of a pipeline, in order; empty for a run of a single function. See
    /// [`then`](crate::Batched::then).
    #[must_use]
    pub fn stages(&self) -> &[StageReport] {
        &self.stages
    }

    /// Seconds from the start to the end of the run, with its sample and its sink.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let report = process_in_batches(|x: u64| x + 1, 0..1000).for_each_batch(|_| ())?;
    /// println!("{:.0} items in a second", report.items() as f64 / report.seconds());
    /// # assert!(report.seconds() > 0.0);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.totals.seconds
    }

    /// The number of workers that the run used, or the highest if it changed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let report = process_in_batches(|x: u64| x + 1, 0..1000).threads(1).for_each_batch(|_| ())?;
    /// assert_eq!(report.threads(), 1);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn threads(&self) -> usize {
        self.totals.threads
    }

    /// The part of its time, from 0 to 1, that the function waited: for a device, the network, a
    /// lock or a timer. It is measured on a chunk every 10 ms; time in the queue for a core does
    /// not count. `None` if it is unknown: the run was too short, or the system doesn't tell.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{thread, time::Duration};
    ///
    /// use amorsize::{Bottleneck, process_in_batches};
    ///
    /// let mut run = process_in_batches(|_| thread::sleep(Duration::from_millis(2)), 0..400);
    /// let report = run.for_each_batch(|_| ())?;
    /// if let Some(share) = report.waiting_share() {
    ///     assert!(share > 0.5);
    ///     let threads = report.threads();
    ///     println!("waited {:.0} % of the time, on up to {threads} threads", 100.0 * share);
    /// }
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn waiting_share(&self) -> Option<f64> {
        self.totals.learned.waits.share_of_all()
    }

    /// Mean items that a worker took at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let report = process_in_batches(|x: u64| x + 1, 0..1000).for_each_batch(|_| ())?;
    /// assert!((1..=1000).contains(&report.chunk_size()));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn chunk_size(&self) -> usize {
        self.totals.learned.items / self.totals.chunks.max(1)
    }

    /// Mean items in a batch.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// // Two batches of 100 and one of 50.
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..250).batch_size(100);
    /// let report = run.for_each_batch(|_| ())?;
    /// assert_eq!(report.batch_size(), 83);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.items / self.batches.max(1)
    }

    /// The speed-up over a plain loop, as a factor: the seconds of the run's calls, its input and
    /// its sink, one after the other, divided by the seconds of the run.
    ///
    /// If the run has more threads than cores, the time that its calls were in the queue for a core
    /// doesn't count, if the system tells it: in a loop they have a core for themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let slow = |x: u64| std::thread::sleep(std::time::Duration::from_millis(x));
    /// let report = process_in_batches(slow, [2; 40]).threads(4).for_each_batch(|_| ())?;
    /// println!("{:.1} times as fast as a loop", report.speedup());
    /// # assert!(report.speedup() > 0.0);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn speedup(&self) -> f64 {
        let learned = &self.totals.learned;
        // Beyond that, other programs take the cores, and would take them from a loop as well.
        let by_own_threads = (1.0 - cores::usable() as f64 / self.threads() as f64).max(0.0);
        self.loops_per_run(learned.seconds * (1.0 - learned.waits.queued_share().min(by_own_threads)))
    }

    /// The speed-up over a plain loop by the sample, as a factor: like [`speedup`](Self::speedup),
    /// with the sampled seconds per item instead of those of all calls.
    ///
    /// It is lower than [`speedup`](Self::speedup) if calls take longer while all cores work, or if
    /// the sample was cheaper than the rest. It is never higher: calls are no faster beside others
    /// than alone, so a sample that took longer per item than all calls did, as a first call that
    /// loads something, says nothing about a loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::OnceLock, thread, time::Duration};
    ///
    /// use amorsize::process_in_batches;
    ///
    /// static MODEL: OnceLock<u64> = OnceLock::new();
    /// let load = || {
    ///     thread::sleep(Duration::from_millis(50));
    ///     7
    /// };
    /// let mut run = process_in_batches(|x: u64| x * MODEL.get_or_init(load), 0..10_000);
    /// let report = run.for_each_batch(|_| ())?;
    /// assert!(report.sampled_speedup() <= report.speedup());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn sampled_speedup(&self) -> f64 {
        let calls = self.totals.sampled_seconds * self.totals.learned.items as f64;
        self.loops_per_run(calls).min(self.speedup())
    }

    /// Names the items that were handed over. Items that were only computed, for example in a part
    /// of a run that ended early, are named apart, so that no one takes the two counts for one.
    pub(crate) fn handed_over(&self) -> String {
        let items = Counted::items(self.items);
        // A `collect_into` hands over no batches.
        let mut text = match self.batches {
            0 if self.items > 0 => items.to_string(),
            batches => format!("{items} in {}", Counted::batches(batches)),
        };
        match self.totals.learned.items.saturating_sub(self.items + self.failed()) {
            // Those that a policy leaves out without counting them.
            _ if self.is_whole => {}
            0 => {}
            more => text += &format!(", {more} more computed and not handed over"),
        }
        text
    }

    /// The time of a loop with `calls` seconds in its calls, divided by the time of the run.
    fn loops_per_run(&self, calls: f64) -> f64 {
        let loop_seconds = calls + self.totals.beside_calls;
        if self.totals.seconds > 0.0 { loop_seconds / self.totals.seconds } else { 1.0 }
    }

    /// Seconds of the function for one item of the sample, on the calling thread alone.
    #[must_use]
    pub fn sampled_seconds_per_item(&self) -> f64 {
        self.totals.sampled_seconds
    }

    /// Items per second, over the whole run. Those that were restored count.
    #[must_use]
    pub fn items_per_second(&self) -> f64 {
        self.per_second(self.ended() as f64)
    }

    /// The number of items that were run and have a result, and of those that were restored.
    pub(crate) fn ended(&self) -> usize {
        self.totals.learned.items + self.restored_items()
    }

    pub(crate) fn restored_items(&self) -> usize {
        #[cfg(feature = "durable")]
        return self.kept.restored;
        #[cfg(not(feature = "durable"))]
        return 0;
    }

    /// Bytes of results per second, over the whole run. Those that were restored count.
    #[must_use]
    pub fn bytes_per_second(&self) -> f64 {
        self.per_second(self.result_bytes().as_f64())
    }

    fn per_second(&self, amount: f64) -> f64 {
        if self.totals.seconds > 0.0 { amount / self.totals.seconds } else { 0.0 }
    }

    /// The number of chunks in which workers took items.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.totals.chunks
    }

    /// Seconds for which the run was on the calling thread alone: its sample, or all of it if it
    /// stays there.
    #[must_use]
    pub fn inline_seconds(&self) -> f64 {
        self.totals.inline_seconds
    }

    /// Seconds for which the run was on threads.
    #[must_use]
    pub fn threads_seconds(&self) -> f64 {
        (self.totals.seconds - self.totals.inline_seconds).max(0.0)
    }

    /// Seconds for which the sink had batches. Calls go on meanwhile, if the run is on threads.
    #[must_use]
    pub fn sink_seconds(&self) -> f64 {
        self.totals.sink_seconds
    }

    /// Seconds that the calling thread took to get items from the input while the run was on
    /// threads.
    #[must_use]
    pub fn input_seconds(&self) -> f64 {
        self.totals.input_seconds
    }

    /// The use of the threads' time.
    #[must_use]
    pub fn time_use(&self) -> &TimeUse {
        &self.totals.time_use
    }

    /// The number of times that a thread had to wait because the budget had no room for the next
    /// item.
    #[must_use]
    pub fn credit_waits(&self) -> usize {
        self.totals.credit_waits
    }

    /// The course of the run over time.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        // By no lock, which a child made by `fork` would find held for ever.
        static NOTHING: OnceBox<Timeline> = OnceBox::new();
        match &self.totals.timeline {
            Some(timeline) => timeline,
            None => NOTHING.get_or_init(Box::default),
        }
    }

    /// Mean seconds of the function for one item, with the calls that were made again and the waits
    /// before them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let slow = |x: u64| std::thread::sleep(std::time::Duration::from_millis(x));
    /// let report = process_in_batches(slow, [3; 10]).for_each_batch(|_| ())?;
    /// assert!(report.seconds_per_item() >= 0.003);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn seconds_per_item(&self) -> f64 {
        self.totals.learned.seconds_per_item()
    }

    /// The number of items without a result because the function panicked, in a run that goes on
    /// without them (`on_panic`).
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(|x: u32| 100 / x, [5, 0, 4]).on_panic(amorsize::OnPanic::Skip);
    /// let report = run.for_each_batch(|_| ())?;
    /// assert_eq!((report.items(), report.panicked()), (2, 1));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn panicked(&self) -> usize {
        self.totals.panicked
    }

    /// The panics of those items, by input order if that was known in time: all of them with
    /// `on_panic = "collect"`, the first sixteen with `"skip"`. If an [`Outcome`](crate::Outcome)
    /// has them among its failures, it has their payloads.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(|x: u32| 100 / x, [5, 0, 4]).on_panic(amorsize::OnPanic::Skip);
    /// let report = run.for_each_batch(|_| ())?;
    /// assert_eq!(report.panics()[0].to_string(), "item 1 panicked: attempt to divide by zero");
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn panics(&self) -> &[Failure] {
        &self.totals.panics
    }
}
