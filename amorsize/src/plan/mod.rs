//! What the optimizer decides, from what was learned and from the machine, and why.

mod reasons;
mod sizes;
mod time;
mod warning;

use std::fmt;

pub(crate) use sizes::{CHUNK_SECONDS, LARGE_RESULT, batch_in_flight, batch_items, chunk_items, chunk_seconds};
pub(crate) use time::FRESH_BYTE;
use time::climb;
pub use warning::Warning;

use crate::cores::Cores;
use crate::counted::Counted;
use crate::memory::Bytes;
use crate::memory::measure::{Certainty, MeasuredBy};
use crate::sample::Learned;
use crate::seconds::Seconds;

/// Handing an item and its result from thread to thread, beside taking and giving them: two writes
/// and two reads of memory that another core has in its cache. Measured as 0.5 to 1.5 ns for 8-byte
/// values.
const CROSSING_SECONDS: f64 = 1.5e-9;
/// Starting rayon's pool: 237 to 296 us measured on two cores.
const COLD_START_SECONDS: f64 = 300e-6;
/// Waking an idle pool: 17 to 67 us measured.
const WARM_START_SECONDS: f64 = 60e-6;

/// What the optimizer knows of the machine and of the run when it decides.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    /// Threads that can run at a time, or that were asked for.
    pub(crate) threads: usize,
    /// Threads that a function may have that waits.
    pub(crate) most: usize,
    pub(crate) threads_asked: bool,
    /// True if the pool runs already.
    pub(crate) warm: bool,
    /// Items that are left, where the input says it.
    pub(crate) remaining: Option<usize>,
    pub(crate) batch_items: Option<usize>,
    /// Items between the input and the sink at most, where there is a bound.
    pub(crate) in_flight: Option<usize>,
    pub(crate) budget: Bytes,
    pub(crate) available: Option<Bytes>,
    /// What is available now, where it was looked up to warn of a budget that is stated in bytes.
    pub(crate) available_now: Option<Bytes>,
    /// What the threads run on, where it was looked up for a plan that is asked for.
    pub(crate) cores: Option<Cores>,
    pub(crate) measured_by: MeasuredBy,
    pub(crate) working_certainty: Certainty,
    /// Bytes that an item and a result take in a chunk's buffers.
    pub(crate) item_size: usize,
    pub(crate) result_size: usize,
    /// Bytes that an item is expected to hold while it waits.
    pub(crate) item_bytes: u64,
    /// True if an item may own something that can't be measured.
    pub(crate) items_are_opaque: bool,
    /// True if results go to a sink as soon as they are a batch.
    pub(crate) hands_over: bool,
}

/// What the optimizer decided for a run, from its sample and the machine, with its reasons and
/// warnings.
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
    threads: usize,
    chunk_size: usize,
    batch_size: usize,
    speedup: f64,
    waiting_share: Option<f64>,
    seconds_per_item: f64,
    bytes_per_item: Bytes,
    working_bytes: Bytes,
    working_certainty: Certainty,
    sampled: usize,
    measured_by: MeasuredBy,
    budget: Bytes,
    result_bytes: Option<Bytes>,
    seconds: Option<f64>,
    seconds_range: Option<(f64, f64)>,
    reasons: Vec<String>,
    warnings: Vec<Warning>,
}

impl Plan {
    /// Decides. Costs well under a microsecond where `explain` is false, which leaves reasons and
    /// warnings out.
    pub(crate) fn new(learned: &Learned, situation: &Situation, explain: bool) -> Self {
        // Where few items may be in flight a stretch has a single one, and one that lost its core
        // for a moment is no reason for threads: it has to be longer than most are.
        let unlike = if situation.in_flight.is_some() { 2.0 * learned.seconds_per_item() } else { f64::INFINITY };
        let seconds = learned.recent_seconds().min(unlike);
        // Of an unknown number of items, as many are taken to be left as there were: whoever pays
        // the start of the pool when that much was spent inline pays at most twice what the best
        // choice would have (the ski-rental argument).
        let remaining = situation.remaining.unwrap_or(learned.items.max(1)) as f64;
        let inline = seconds + learned.handling;
        let wanted = wanted_threads(learned, situation);
        let most = wanted.min(situation.remaining.unwrap_or(usize::MAX)).max(1);
        let crossing = learned.handling + CROSSING_SECONDS + sizes::handing_in_flight(situation, most);
        let climbs = wanted > situation.threads;
        // Threads beyond the cores are there to keep them busy, and can't do more than that.
        let by_cores = if climbs { learned.waits.on_cores() * seconds / situation.threads as f64 } else { 0.0 };
        let parallel = ((seconds + crossing) / most as f64).max(crossing).max(by_cores);
        let start = if situation.warm { WARM_START_SECONDS } else { COLD_START_SECONDS };
        let (climb, climbed) =
            if climbs { climb(seconds + crossing, situation.threads, most, remaining) } else { (0.0, 0.0) };
        let speedup = remaining * inline / (start + climb + (remaining - climbed) * parallel);
        // What calls keep busy of the cores without us, they can't gain once more.
        let cores_of_a_call = learned.waits.cores_of_a_call(situation.threads);
        let speedup = cores_of_a_call.map_or(speedup, |cores| speedup.min((situation.threads as f64 / cores).max(1.0)));
        // No more calls run at a time than the budget has room for.
        let each = learned.expected_bytes().max(situation.result_size as u64) + learned.expected_working();
        let speedup = speedup.min((situation.budget.as_f64() / each.max(1) as f64).max(1.0));
        let asked = situation.threads_asked && situation.threads > 1;
        // A call that keeps all cores busy still has parts in which it doesn't.
        let pays = speedup > 1.0 || cores_of_a_call.is_some();
        let threads = if most > 1 && (pays || asked) { most } else { 1 };
        let bytes_per_item = learned.expected_bytes().max(situation.result_size as u64);

        let mut plan = Self {
            threads,
            chunk_size: chunk_items(learned, situation, threads),
            batch_size: 1,
            waiting_share: learned.waits.share_of_all(),
            speedup: if threads > 1 { speedup } else { 1.0 },
            seconds_per_item: learned.seconds_per_item(),
            bytes_per_item: Bytes::new(bytes_per_item),
            working_bytes: Bytes::new(learned.expected_working()),
            working_certainty: situation.working_certainty,
            sampled: learned.items,
            measured_by: situation.measured_by,
            budget: situation.budget,
            result_bytes: situation
                .remaining
                .map(|left| Bytes::new(learned.bytes) + Bytes::new(bytes_per_item) * left as u64),
            seconds: None,
            seconds_range: None,
            reasons: Vec::new(),
            warnings: Vec::new(),
        };
        plan.batch_size = batch_items(learned, situation, threads, plan.chunk_size);
        if threads > 1 {
            plan.speedup /= learned.spread.slower_on(threads.min(situation.threads));
        }
        if explain {
            plan.foretell(learned, situation, if threads > 1 { start } else { 0.0 });
            plan.explain_threads(situation, parallel <= inline);
            plan.explain_waiting(situation, cores_of_a_call, learned.waits.is_worked_for());
            plan.explain_sizes(situation);
            plan.explain_bound(situation);
            plan.explain_time(learned, situation);
            plan.warn(learned, situation, parallel > inline && most > 1);
        }
        plan
    }

    /// Workers that the run uses; 1 means that it runs on the calling thread.
    ///
    /// For a function that waits it is what the run is expected to go to at most: it begins with
    /// fewer, takes more as long as that pays, and learns meanwhile what calls wait;
    /// [`Report::threads`](crate::Report::threads) tells how many it came to.
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
        self.threads
    }

    /// The part of its time, from 0 to 1, that the function waited in the sample rather than to
    /// run: for a device, the network, a lock or a timer. Time in which its thread was queued for a
    /// core does not count. `None` where that isn't known: the calls were shorter than 50 us, or
    /// the system doesn't tell.
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

    /// Items that a worker takes at a time, to begin with; it is adapted during the run.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// // Of slow items a worker takes one at a time.
    /// let slow = |x: u64| std::thread::sleep(std::time::Duration::from_millis(x));
    /// assert_eq!(process_in_batches(slow, [3; 20]).plan()?.chunk_size(), 1);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Items per batch, at most.
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
        self.batch_size
    }

    /// How many times as fast as a plain loop the run is expected to be.
    ///
    /// Of a function that waits it is expected that what it waits for keeps up with the threads.
    /// Where a call keeps several cores busy itself, others gain only what it leaves. Two threads
    /// that share a core by simultaneous multithreading count as two, though they gain less: how
    /// much depends on the function. [`seconds`](Self::seconds) takes that into account.
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

    /// Bytes that a result is expected to take.
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
    /// // What the vector owns, and the vector itself.
    /// assert!((4096..4200).contains(&page_batched(0..100).plan()?.bytes_per_item().as_u64()));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn bytes_per_item(&self) -> Bytes {
        self.bytes_per_item
    }

    /// Bytes that a call is expected to need while it runs, beside its result: its working memory.
    ///
    /// [`Tracking`](crate::Tracking) counts it. Without it the process's resident memory tells, as
    /// it grew while sampled calls ran; [`working_certainty`](Self::working_certainty) says which.
    /// Growth below 1 MiB is taken for none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Bytes, process_in_batches};
    /// // In a program without `Tracking`.
    /// assert_eq!(process_in_batches(|x: u64| x + 1, 0..100).plan()?.working_bytes(), Bytes::ZERO);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn working_bytes(&self) -> Bytes {
        self.working_bytes
    }

    /// How sure [`working_bytes`](Self::working_bytes) is: [`Exact`](Certainty::Exact) with
    /// [`Tracking`](crate::Tracking), an [`Estimate`](Certainty::Estimate) from resident memory
    /// without it, and [`Unmeasured`](Certainty::Unmeasured) where that can't be read.
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

    /// How the bytes of results are measured.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{MeasuredBy, process_in_batches};
    ///
    /// // A number owns nothing, so its size is all there is to measure.
    /// assert_eq!(process_in_batches(|x: u64| x + 1, 0..100).plan()?.measured_by(), MeasuredBy::SizeOf);
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
    /// # use amorsize::{Bytes, process_in_batches};
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..100).max_memory("64MiB");
    /// assert_eq!(run.plan()?.budget(), Bytes::mib(64));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn budget(&self) -> Bytes {
        self.budget
    }

    /// Bytes that all results together are expected to take, where the input's length is known.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Bytes, process_in_batches};
    /// let known = process_in_batches(|x: u64| x + 1, 0..100).plan()?.result_bytes();
    /// assert_eq!(known, Some(Bytes::new(800)));
    ///
    /// let unknown = process_in_batches(|x: u64| x + 1, (0..100).filter(|x| x % 3 == 0)).plan()?.result_bytes();
    /// assert_eq!(unknown, None);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn result_bytes(&self) -> Option<Bytes> {
        self.result_bytes
    }

    /// Seconds that the whole run is expected to take, its sample among them, where the input's
    /// length is known.
    ///
    /// It is the time of the calls and of handing results over, batch by batch, to a sink that
    /// drops them: their memory is used again. Whoever keeps all results, as
    /// [`collect`](crate::Batched::collect) does, has each in memory that the system has to give
    /// and to clear first; the upper end of [`seconds_range`](Self::seconds_range) has room for
    /// that. Where the system doesn't count page faults (all but Linux), those of the sample are in
    /// it.
    ///
    /// What the sink takes is not in it: nobody knows before it ran. A run whose sink takes `s`
    /// seconds in all takes `s` at least, and at most that much more; a sink that computes shares
    /// the cores with the calls, one that waits leaves them alone.
    ///
    /// The second thread of a core (SMT) is expected to add 22 % of a core, on Linux, where it can
    /// be told. Further items are expected to be like those of the sample, and what calls wait for
    /// to bear as many of them at a time as there are threads.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let nap = |_| std::thread::sleep(std::time::Duration::from_millis(1));
    /// let seconds = process_in_batches(nap, 0..100).threads(1).plan()?.seconds();
    /// assert!(seconds >= Some(0.1));
    ///
    /// assert_eq!(process_in_batches(nap, (0..100).filter(|x| x % 3 == 0)).plan()?.seconds(), None);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn seconds(&self) -> Option<f64> {
        self.seconds
    }

    /// Between how many seconds the whole run is expected to take, as far as its sample can say it.
    ///
    /// The lower and the upper end of what is expected in 19 of 20 cases, by how much the sampled
    /// calls differed and how many there were; the first call is left out, because it is slower for
    /// reasons of its own, and so is what other programs took of the others' time. The upper end
    /// allows for results that are kept, so that each lies in fresh memory; for threads that wait
    /// for each other to fill memory; for second threads of a core that add nothing; for other
    /// programs that go on as in the sample; for calls that got slower one by one in it; and for
    /// some that end late. The lower one allows for second threads that are as good as cores. As
    /// with [`seconds`](Self::seconds), the sink is not in it: with one that takes `s` seconds in
    /// all, it is from the larger of `s` and the lower end to the upper end and `s`.
    ///
    /// `None` where the input doesn't know its length, or fewer than two calls were timed beside
    /// the first: then there is a warning [`time-unsure`](Warning::TIME_UNSURE), as there is when
    /// the range is so wide that it says little.
    ///
    /// A sample says nothing of what is not in it: of a kind of items of which there is one in a
    /// hundred, 300 must be sampled for one to be among them in 19 of 20 cases, and nothing at the
    /// beginning tells that calls take longer at the end. The plan's [`reasons`](Self::reasons)
    /// name how rare a kind this sample can miss.
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

    /// Why it was decided so, a sentence each.
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

    /// What may go otherwise than wished.
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

    /// What was measured, what was decided, and why, as a text of several lines.
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
                Bytes::ZERO => format!("working memory of a call: too little to matter ({})", self.working_certainty),
                bytes => format!("working memory of a call: {bytes} ({})", self.working_certainty),
            },
        ];
        lines.extend(self.reasons.iter().cloned());
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines.join("\n")
    }
}

/// The decisions in a few lines, as Amorsize prints them.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Recommended: threads={}, chunk_size={}, batch_size={}",
            self.threads, self.chunk_size, self.batch_size
        )?;
        write!(f, "Budget: {}, {} per item by {}", self.budget, self.bytes_per_item, self.measured_by)?;
        write!(f, " ({})", self.measured_by.certainty())?;
        if self.working_bytes > Bytes::ZERO {
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

/// Threads that keep the cores busy, as far as there may be so many.
pub(crate) fn wanted_threads(learned: &Learned, situation: &Situation) -> usize {
    // A hundredth of a thread more is not worth one.
    let wanted = (learned.waits.threads_if_alone(situation.threads) - 0.01).ceil() as usize;
    wanted.clamp(situation.threads, situation.most.max(situation.threads))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sample::{Sampled, Stretch};

    pub(super) fn sampled(seconds: f64) -> Sampled {
        Sampled { items: 1, seconds, handling: 1e-9, ..Sampled::default() }
    }

    pub(super) fn learned(seconds: f64, bytes: u64) -> Learned {
        let mut learned = Learned::default();
        learned.add(Stretch { items: 5, seconds: 5.0 * seconds, bytes: 5 * bytes, largest: bytes, working: 0 });
        learned.handling = 1e-9;
        (0..5).for_each(|_| learned.spread.add(sampled(seconds)));
        learned
    }

    /// Four threads of a pool that runs, and so many items left.
    pub(crate) fn situation(remaining: Option<usize>) -> Situation {
        Situation {
            threads: 4,
            most: 256,
            threads_asked: false,
            warm: true,
            remaining,
            batch_items: None,
            in_flight: None,
            budget: Bytes::mib(256),
            available: None,
            available_now: None,
            cores: None,
            measured_by: MeasuredBy::DeepSize,
            working_certainty: Certainty::Estimate,
            item_size: 8,
            result_size: 24,
            item_bytes: 8,
            items_are_opaque: false,
            hands_over: true,
        }
    }

    pub(super) fn codes(plan: &Plan) -> Vec<&str> {
        plan.warnings().iter().map(Warning::code).collect()
    }

    #[test]
    fn long_work_takes_all_threads() {
        let plan = Plan::new(&learned(1e-3, 1000), &situation(Some(10_000)), true);
        assert_eq!(plan.threads(), 4);
        assert!((3.9..=4.0).contains(&plan.speedup()), "{}", plan.speedup());
        assert_eq!(plan.chunk_size(), 2);
        assert_eq!(plan.batch_size(), 80);
        assert!(codes(&plan).is_empty(), "{plan}");
    }

    pub(super) fn used(seconds: f64, ran: f64, process_ran: f64) -> crate::thread_time::Use {
        crate::thread_time::Use { seconds, ran, queued: 0.0, process_ran, closely: true }
    }

    #[test]
    fn a_function_that_waits_gets_threads_that_keep_the_cores_busy() {
        let mut learned = learned(5e-3, 24);
        learned.waits.add(used(5e-3, 1e-3, 1e-3), true);
        let plan = Plan::new(&learned, &situation(Some(10_000)), true);
        // 20 would do if calls took turns to wait.
        assert_eq!((plan.threads(), plan.waiting_share()), (29, Some(0.8)));
        assert!((15.0..=20.0).contains(&plan.speedup()), "{}", plan.speedup());
        let text = plan.to_string();
        assert!(text.contains("the function waits 80 % of its time: up to 29 threads on 4 cores"), "{text}");
        assert!(text.contains("bound by what the function waits for"), "{text}");
        // Of little work not all of them have something to do.
        let few = Plan::new(&learned, &situation(Some(10)), true);
        assert_eq!(few.threads(), 10);
        assert!(few.speedup() < 10.0);
        // As many as asked for, and it is said what else there is.
        let asked = Situation { threads_asked: true, most: 4, ..situation(Some(10_000)) };
        let plan = Plan::new(&learned, &asked, true);
        assert_eq!(plan.threads(), 4);
        assert!(plan.to_string().contains("without `threads` the run finds how many more pay"), "{plan}");
    }

    #[test]
    fn one_core_is_enough_to_wait_on_many_threads() {
        let mut learned = learned(5e-3, 24);
        let alone = Situation { threads: 1, ..situation(Some(10_000)) };
        assert_eq!(Plan::new(&learned, &alone, true).threads(), 1);
        learned.waits.add(used(5e-3, 5e-6, 5e-6), true);
        assert_eq!(Plan::new(&learned, &alone, true).threads(), 256);
    }

    #[test]
    fn a_function_that_keeps_the_cores_busy_itself_is_not_multiplied() {
        let mut learned = learned(10e-3, 24);
        // Its thread waits for others, which have three of the four cores.
        learned.waits.add(used(10e-3, 0.0, 30e-3), true);
        let plan = Plan::new(&learned, &situation(Some(10_000)), true);
        assert_eq!(plan.threads(), 4);
        assert!((plan.speedup() - 4.0 / 3.0).abs() < 1e-9, "{}", plan.speedup());
        assert!(plan.to_string().contains("a call keeps 3.0 cores busy alone"), "{plan}");
        assert!(!plan.to_string().contains("the function waits"), "{plan}");
    }

    #[test]
    fn a_function_that_waits_for_a_child_process_that_computes_gets_no_more_threads_than_cores() {
        let mut learned = learned(5e-3, 24);
        learned.waits.add(used(5e-3, 0.2e-3, 4.8e-3), true);
        let plan = Plan::new(&learned, &situation(Some(10_000)), true);
        assert_eq!(plan.threads(), 4);
        let text = plan.to_string();
        let says = "the function waits 96 % of its time, while other threads of the program, or child processes, work";
        assert!(text.contains(says), "{text}");
    }

    #[test]
    fn a_fast_function_stays_on_the_calling_thread() {
        let mut learned = learned(0.3e-9, 24);
        learned.handling = 0.5e-9;
        let plan = Plan::new(&learned, &situation(Some(1_000_000_000)), true);
        assert_eq!((plan.threads(), plan.speedup()), (1, 1.0));
        assert!(codes(&plan).contains(&Warning::TOO_FAST), "{plan}");
    }

    #[test]
    fn little_work_stays_on_the_calling_thread() {
        let plan = Plan::new(&learned(1e-6, 24), &situation(Some(20)), true);
        assert_eq!(plan.threads(), 1);
        assert_eq!(codes(&plan), [Warning::TOO_LITTLE_WORK], "{plan}");
    }

    #[test]
    fn long_calls_that_all_were_sampled_are_not_called_too_little_work() {
        for (items, all) in [(1, "the only item is in the sample"), (5, "all 5 items are in the sample")] {
            let mut long = learned(0.3, 24);
            long.items = items;
            let text = Plan::new(&long, &situation(Some(0)), true).to_string();
            let reason = format!("Reason: runs on the calling thread: {all}, so nothing is left for threads\n");
            assert!(text.contains(&reason) && !text.contains("too little work"), "{text}");
            let warning = format!("Warning: {all}, so nothing is left for threads: where calls take long, a smaller");
            assert!(text.contains(&warning), "{text}");
        }
    }

    #[test]
    fn threads_that_were_asked_for_are_used() {
        let mut asked = situation(Some(20));
        (asked.threads, asked.threads_asked) = (2, true);
        assert_eq!(Plan::new(&learned(1e-6, 24), &asked, true).threads(), 2);
    }

    #[test]
    fn no_more_threads_than_items() {
        assert_eq!(Plan::new(&learned(1.0, 24), &situation(Some(3)), true).threads(), 3);
    }

    #[test]
    fn large_results_make_small_batches_and_a_warning() {
        let plan = Plan::new(&learned(1e-5, 8 << 20), &situation(Some(1000)), true);
        assert_eq!(plan.batch_size(), 1);
        assert_eq!(plan.chunk_size(), 1);
        assert_eq!(codes(&plan), [Warning::RESULTS_EXCEED_BUDGET]);
        assert!(plan.result_bytes().unwrap() > Bytes::gib(7));
    }

    #[test]
    fn the_text_names_decisions_reasons_and_warnings() {
        let text = Plan::new(&learned(1e-3, 64 << 20), &situation(Some(100)), true).to_string();
        assert!(text.starts_with(
            "Recommended: threads=4, chunk_size=1, batch_size=1\nBudget: 256 MiB, 64.0 MiB per item by deep size"
        ));
        assert!(text.contains("Reason: runs on 4 threads: at 1.00 ms per item"), "{text}");
        assert!(text.contains("[results-exceed-budget]"), "{text}");
    }
}
