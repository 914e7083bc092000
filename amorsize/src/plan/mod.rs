//! The plan of a run: the optimizer's decisions from the sample and the machine, with their
//! reasons.

mod decide;
mod reasons;
mod time;
mod warning;

use std::fmt;

pub(crate) use decide::WARM_START_SECONDS;
pub use warning::Warning;

use crate::adapt::sizes::Sizes;
use crate::units::ByteSize;
use crate::units::counted::Counted;
use crate::units::measured_by::{Certainty, MeasuredBy};
use crate::units::seconds::Seconds;

/// The optimizer's decisions for a run, from its sample and the machine, with reasons and warnings.
///
/// # Examples
///
/// ```
/// use amorsize::{batched, Warning};
///
/// #[batched(max_memory = "16MiB", batch_size = 10)]
/// fn render(seed: u8) -> Vec<u8> {
///     vec![seed; 1 << 20]
/// }
///
/// let mut run = render_batched(0..100);
/// let plan = run.plan()?;
/// assert_eq!(plan.batch_size(), 10);
/// assert!(plan.bytes_per_item() >= 1 << 20);
/// assert!(plan.result_bytes().unwrap() > plan.budget());
/// assert!(plan.warnings().iter().any(|warning| warning.code() == Warning::RESULTS_EXCEED_BUDGET));
/// println!("{plan}");
///
/// let mut pixels = 0;
/// run.for_each_batch(|batch| pixels += batch.iter().map(Vec::len).sum::<usize>())?;
/// assert_eq!(pixels, 100 << 20);
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    sizes: Sizes,
    speedup: f64,
    waiting_share: Option<f64>,
    seconds_per_item: f64,
    bytes_per_item: ByteSize,
    working_bytes: ByteSize,
    working_certainty: Certainty,
    sampled: usize,
    measured_by: MeasuredBy,
    budget: ByteSize,
    result_bytes: Option<ByteSize>,
    seconds: Option<f64>,
    seconds_range: Option<(f64, f64)>,
    reasons: Vec<String>,
    warnings: Vec<Warning>,
}

impl Plan {
    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The number of workers that the run uses; 1 means that it runs on the calling thread.
    ///
    /// For a function that waits it is the most that the run is expected to reach: it begins with
    /// fewer, adds more as long as that pays, and meanwhile learns how much calls wait.
    /// [`Report::threads`](crate::Report::threads) has the number that it reached.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..100).threads(1);
    /// assert_eq!(run.plan()?.threads(), 1);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn threads(&self) -> usize {
        self.sizes.threads
    }

    /// The part of its time, from 0 to 1, that the function waited in the sample: for a device, the
    /// network, a lock or a timer. Time in the queue for a core does not count. `None` if it is
    /// unknown: the calls were shorter than 100 us, or the system doesn't tell.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{thread, time::Duration};
    ///
    /// use amorsize::process_in_batches;
    ///
    /// let mut run = process_in_batches(|_| thread::sleep(Duration::from_millis(2)), 0..100);
    /// let plan = run.plan()?;
    /// if let Some(share) = plan.waiting_share() {
    ///     assert!(share > 0.5);
    ///     assert!(plan.explain().contains("the function waits "));
    /// }
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn waiting_share(&self) -> Option<f64> {
        self.waiting_share
    }

    /// The number of items that a worker takes at a time at first; the run adapts it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// // A worker takes slow items one by one.
    /// let slow = |x: u64| std::thread::sleep(std::time::Duration::from_millis(x));
    /// assert_eq!(process_in_batches(slow, [3; 20]).plan()?.chunk_size(), 1);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn chunk_size(&self) -> usize {
        self.sizes.chunk_items
    }

    /// The most items in a batch.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// // An eighth of the budget: two results of 1 MiB.
    /// let page = |i: u8| vec![i; 1 << 20];
    /// let mut run = process_in_batches(page, 0..100).max_memory("16MiB");
    /// println!("{} items in a batch", run.plan()?.batch_size());
    ///
    /// let mut run = process_in_batches(page, 0..100).batch_size(10);
    /// assert_eq!(run.plan()?.batch_size(), 10);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.sizes.batch_items
    }

    /// The expected speed-up over a plain loop, as a factor.
    ///
    /// For a function that waits, it is expected that the device or service keeps up with the
    /// threads. If a call keeps several cores busy itself, other calls gain only the rest. Two
    /// threads that share a core by simultaneous multithreading count as two, although they gain
    /// less, by an amount that depends on the function. [`seconds`](Self::seconds) takes that into
    /// account.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// // On one thread a run is a plain loop.
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..100).threads(1);
    /// assert_eq!(run.plan()?.speedup(), 1.0);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn speedup(&self) -> f64 {
        self.speedup
    }

    /// Seconds that the function takes for one item, as sampled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let slow = |x: u64| std::thread::sleep(std::time::Duration::from_millis(x));
    /// assert!(process_in_batches(slow, [3; 20]).plan()?.seconds_per_item() >= 0.003);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn seconds_per_item(&self) -> f64 {
        self.seconds_per_item
    }

    /// The bytes that a result is expected to take.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::batched;
    ///
    /// #[batched]
    /// fn page(i: u8) -> Vec<u8> {
    ///     vec![i; 4096]
    /// }
    ///
    /// // The vector's content, and the vector itself.
    /// assert!((4096..4200).contains(&page_batched(0..100).plan()?.bytes_per_item().as_u64()));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn bytes_per_item(&self) -> ByteSize {
        self.bytes_per_item
    }

    /// The working memory of a call: bytes that it is expected to need while it runs, beside its
    /// result.
    ///
    /// [`Tracking`](crate::Tracking) counts it. Without it, the growth of the process's resident
    /// memory while sampled calls ran tells it; [`working_certainty`](Self::working_certainty) says
    /// which. Growth below 1 MiB counts as none.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// # use amorsize::{ByteSize, process_in_batches};
    /// // In a program without `Tracking`.
    /// assert_eq!(process_in_batches(|x: u64| x + 1, 0..100).plan()?.working_bytes(), ByteSize::ZERO);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn working_bytes(&self) -> ByteSize {
        self.working_bytes
    }

    /// The certainty of [`working_bytes`](Self::working_bytes): [`Exact`](Certainty::Exact) with
    /// [`Tracking`](crate::Tracking), an [`Estimate`](Certainty::Estimate) from resident memory
    /// without it, and [`Unmeasured`](Certainty::Unmeasured) if that can't be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Certainty, process_in_batches};
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..100);
    /// assert_eq!(run.plan()?.working_certainty(), Certainty::Estimate);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn working_certainty(&self) -> Certainty {
        self.working_certainty
    }

    /// The means by which the bytes of results are measured.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{MeasuredBy, process_in_batches};
    ///
    /// // A number owns nothing, so its size is all there is to measure.
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..100);
    /// assert_eq!(run.plan()?.measured_by(), MeasuredBy::SizeOf);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn measured_by(&self) -> MeasuredBy {
        self.measured_by
    }

    /// The memory budget of the run, in bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{ByteSize, process_in_batches};
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..100).max_memory("64MiB");
    /// assert_eq!(run.plan()?.budget(), ByteSize::mib(64));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn budget(&self) -> ByteSize {
        self.budget
    }

    /// The bytes that all results together are expected to take, if the input's length is known.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{ByteSize, process_in_batches};
    /// let known = process_in_batches(|x: u64| x + 1, 0..100).plan()?.result_bytes();
    /// assert_eq!(known, Some(ByteSize::new(800)));
    ///
    /// let mut run = process_in_batches(|x: u64| x + 1, (0..100).filter(|x| x % 3 == 0));
    /// let unknown = run.plan()?.result_bytes();
    /// assert_eq!(unknown, None);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn result_bytes(&self) -> Option<ByteSize> {
        self.result_bytes
    }

    /// Seconds that the whole run, with its sample, is expected to take, if the input's length is
    /// known.
    ///
    /// It is the time of the calls and of handing results, batch by batch, to a sink that drops
    /// them, so their memory is used again. A caller that keeps all results, as
    /// [`collect`](crate::Batched::collect) does, has each in memory that the system has to provide
    /// and clear first; the upper end of [`seconds_range`](Self::seconds_range) has room for that.
    /// If the system doesn't count page faults (all but Linux), it includes those of the sample.
    ///
    /// It does not include the sink's time, which is unknown before the run. With a sink that takes
    /// `s` seconds in all, the run takes at least `s`, and at most `s` longer than expected; a sink
    /// that computes shares the cores with the calls, one that waits leaves them alone.
    ///
    /// The second thread of a core (SMT) is expected to add 22 % of a core, on Linux, which tells
    /// it. Further items are expected to be like those of the sample, and the device or service
    /// that calls wait for to serve as many calls at a time as there are threads.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let nap = |_| std::thread::sleep(std::time::Duration::from_millis(1));
    /// let seconds = process_in_batches(nap, 0..100).threads(1).plan()?.seconds();
    /// assert!(seconds >= Some(0.1));
    ///
    /// let mut run = process_in_batches(nap, (0..100).filter(|x| x % 3 == 0));
    /// assert_eq!(run.plan()?.seconds(), None);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn seconds(&self) -> Option<f64> {
        self.seconds
    }

    /// The range of seconds that the whole run is expected to take, as far as its sample can tell.
    ///
    /// The range holds in 19 of 20 cases, by the differences between the sampled calls and by their
    /// number. It leaves out the first call, which is slower for reasons of its own, and the time
    /// that other programs took from the others.
    ///
    /// The upper end allows for results that are kept, each in fresh memory; for threads that wait
    /// for each other to fill memory; for second threads of a core that add nothing; for other
    /// programs that go on as in the sample; for calls that got slower one by one; and for some
    /// that end late. The lower end allows for second threads that are as good as cores.
    ///
    /// As with [`seconds`](Self::seconds), it does not include the sink. With a sink that takes `s`
    /// seconds in all, the lower end is at least `s`, and `s` is added to the upper one.
    ///
    /// `None` if the input's length is unknown, or fewer than two calls were timed beside the
    /// first. In the second case the plan has the warning [`time-unsure`](Warning::TIME_UNSURE), as
    /// it has for a range that is too wide to say much; but not for a run of less than a tenth of a
    /// second.
    ///
    /// A sample says nothing about items that are not in it. If a kind makes up one item in a
    /// hundred, 300 must be sampled to contain one in 19 of 20 cases; and nothing at the beginning
    /// tells that calls take longer at the end. The plan's [`reasons`](Self::reasons) name how rare
    /// a kind this sample can miss.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let nap = |millis| std::thread::sleep(std::time::Duration::from_millis(millis));
    /// let mut run = process_in_batches(nap, [2; 100]).threads(1).sample_size(10);
    /// let (least, most) = run.plan()?.seconds_range().expect("nine calls beside the first");
    /// assert!(least < most && most > 0.2);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn seconds_range(&self) -> Option<(f64, f64)> {
        self.seconds_range
    }

    /// The reasons for the decisions, one sentence each.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..100).threads(1);
    /// assert_eq!(run.plan()?.reasons()[0], "runs on the calling thread: 1 thread is to be used");
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }

    /// The possible problems, such as results that exceed the budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{Warning, process_in_batches};
    ///
    /// let mut run = process_in_batches(|x: u64| x + 1, []);
    /// assert_eq!(run.plan()?.warnings()[0].code(), Warning::EMPTY_INPUT);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The measured figures, the decisions and the reasons, as a text of several lines.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..100);
    /// assert!(run.plan()?.explain().starts_with("sampled 5 items: "));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use = "it returns the text: to see it, print it with `println!`"]
    pub fn explain(&self) -> String {
        let mut lines = vec![
            format!(
                "sampled {}: {} and {} per item",
                Counted::items(self.sampled),
                Seconds(self.seconds_per_item),
                self.bytes_per_item
            ),
            format!("bytes told by {}: {}", self.measured_by, self.measured_by.certainty()),
            match self.working_bytes {
                ByteSize::ZERO => {
                    format!("working memory of a call: too little to matter ({})", self.working_certainty)
                }
                bytes => format!("working memory of a call: {bytes} ({})", self.working_certainty),
            },
        ];
        lines.extend(self.reasons.iter().cloned());
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        // `join` would be more code than the rest of this function.
        lines.iter().skip(1).fold(lines[0].clone(), |text, line| text + "\n" + line)
    }
}

/// The decisions in a few lines, as Amorsize prints them.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Recommended: threads={}, chunk_size={}, batch_size={}",
            self.sizes.threads, self.sizes.chunk_items, self.sizes.batch_items
        )?;
        write!(f, "Budget: {}, {} per item by {}", self.budget, self.bytes_per_item, self.measured_by)?;
        write!(f, " ({})", self.measured_by.certainty())?;
        if self.working_bytes > ByteSize::ZERO {
            write!(f, ", and {} while a call runs ({})", self.working_bytes, self.working_certainty)?;
        }
        write!(f, "\nEstimated speedup: {:.2}x", self.speedup)?;
        for reason in &self.reasons {
            write!(f, "\nReason: {reason}")?;
        }
        for warning in &self.warnings {
            write!(f, "\nWarning: {warning}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
