//! What the optimizer decides, from what was learned and from the machine, and why.

use std::fmt;

use crate::cores::Cores;
use crate::execute::climb::{Climb, SHORT};
use crate::memory::Bytes;
use crate::memory::measure::MeasuredBy;
use crate::sample::Learned;
use crate::seconds::Seconds;

/// A chunk is to last this long. Handing chunks between threads costs 5 to 20 us of wake-ups each at worst: with 1 ms a run of
/// 10 us items took 1.2 % longer than rayon's, with 2 ms 0.3 %, and the last chunks of a run still end close together.
pub(crate) const CHUNK_SECONDS: f64 = 2e-3;
/// A chunk's items and results, as far as they lie in its buffers, stay within this, so that they stay within the second-level
/// cache of one core (1 MiB or more on the processors of the last years) between the thread that fills and the one that reads.
const CHUNK_BUFFER: usize = 256 << 10;
/// What the results of a chunk own stays within this: half of a second-level cache, so that the allocator gives memory out again that
/// is still in a cache, and that the system need not give anew. Some chunks lie ready for each thread, so this is also what few bytes
/// in flight come from. Results of 1 MiB, which chunks of an eighth of the budget took 0.4 to 1.5 s for (4 GiB on 2 busy cores), take
/// 0.11 to 0.24 s, with a tenth of the page faults and a third of the peak (`cargo bench --bench peers -- large`).
const CHUNK_BYTES: u64 = 512 << 10;
/// What the results of a batch own stays within this for the same reason, unless the items are slow: some batches are under way at a
/// time. With 4 MiB a run of 30,000 results of 1 KiB whose sink is as slow as the calls took a twentieth longer and held 9 MiB rather
/// than 2.
const BATCH_BYTES: u64 = 1 << 20;
/// No chunk is cut shorter than this at the end of the input, where a shorter one would cost more than it evens out.
const SHORTEST_CHUNK_SECONDS: f64 = 50e-6;
/// A batch is to last this long on the run's threads: its own cost, about 5 us, is a four-thousandth of it, and a sink gets its
/// first batch soon enough to work beside the calls.
const BATCH_SECONDS: f64 = 20e-3;
/// At most this part of the budget lies in one batch, because one is with the sink while the next ones are made.
const BATCH_PART: u64 = 8;
/// At most this part of the budget lies in one thread's chunk, for the same reason.
const CHUNK_PART: u64 = 8;
/// Moving results from chunks into a batch costs little as long as they fit a first-level cache and a bit; beyond this a chunk is
/// handed over as it is.
const BATCH_BUFFER: usize = 64 << 10;
/// Handing an item and its result from thread to thread, beside taking and giving them: two writes and two reads of memory that
/// another core has in its cache. Measured as 0.5 to 1.5 ns for 8-byte values.
const CROSSING_SECONDS: f64 = 1.5e-9;
/// Starting rayon's pool: 237 to 296 us measured on two cores.
const COLD_START_SECONDS: f64 = 300e-6;
/// Waking an idle pool: 17 to 67 us measured.
const WARM_START_SECONDS: f64 = 60e-6;

/// Starting a thread of our own: 34 us measured for each of 256.
const THREAD_SECONDS: f64 = 35e-6;
/// Between a sample and the run the clock speed changes, caches are shared, and timing calls one by one adds a little: where nothing
/// else ran, even work took 0.88 to 1.04 of what its sample said (`cargo bench --bench prediction`), results in fresh memory aside.
const MACHINE_UNSURE: f64 = 1.1;
/// Seconds for each byte that is written to for the first time: 2 us for a page of 4 KiB, most of which the kernel needs to clear it.
/// A sample's results are all kept and so in fresh pages; a run whose sink drops them uses the same pages again and again.
pub(crate) const FRESH_BYTE: f64 = 0.5e-9;
/// What the second thread of a core adds to what the first does, for calls that compute. Intel promised 15 to 30 % (Marr et al.,
/// "Hyper-Threading Technology Architecture and Microarchitecture", Intel Technology Journal 6(1), 2002), and processors have not become
/// better at it since. This is the middle; it can be nothing, and nearly a core's worth for calls that mostly wait for memory.
const SIBLING: f64 = 0.22;
/// Where other programs had the cores for more than this part of the sample's time, the plan says so.
const BUSY: f64 = 0.1;
/// A sample whose ends are further apart than this says little.
const WIDE_RANGE: f64 = 2.0;
/// Nobody waits for a run that takes less, and so nobody needs to know how sure its time is: people notice delays from here on.
const WAITED_FOR: f64 = 0.1;
/// What a chunk takes of the cores where threads wait: one that has an item of 5 ms each takes 7 us, and of 1 ms 15 us (`cargo bench
/// --bench prediction -- sleep`). Threads that compute wake each other less often.
const WAITING_CHUNK: f64 = 12e-6;
/// That, and what calls run that mostly wait, differs by so many times with the number of threads that go to sleep and wake.
const AROUND_UNSURE: f64 = 1.5;
/// What a page fault takes differs by this part from one to the next.
const PRICE_UNSURE: f64 = 0.2;
/// Of a sample that had the cores for less than a quarter of its time it can't be said how it goes on.
const MOST_BUSY: f64 = 0.75;

/// What the optimizer knows of the machine and of the run when it decides.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    /// Threads that can run at a time, or that were asked for.
    pub(crate) threads: usize,
    /// Threads that a function may have that waits.
    pub(crate) most: usize,
    pub(crate) threads_asked: bool,
    /// Whether the pool runs already.
    pub(crate) warm: bool,
    /// Items that are left, where the input says it.
    pub(crate) remaining: Option<usize>,
    pub(crate) batch_items: Option<usize>,
    pub(crate) budget: Bytes,
    pub(crate) available: Option<Bytes>,
    /// What is available now, where it was looked up to warn of a budget that is stated in bytes.
    pub(crate) available_now: Option<Bytes>,
    /// What the threads run on, where it was looked up for a plan that is asked for.
    pub(crate) cores: Option<Cores>,
    pub(crate) measured_by: MeasuredBy,
    /// Bytes that an item and a result take in a chunk's buffers.
    pub(crate) item_size: usize,
    pub(crate) result_size: usize,
    /// Bytes that an item is expected to hold while it waits.
    pub(crate) item_bytes: u64,
}

/// A warning of a [`Plan`]: a stable code for programs and a text for people.
///
/// # Examples
///
/// ```
/// use amorsize::{Warning, process_in_batches};
///
/// let mut run = process_in_batches(|i: u8| vec![i; 1 << 20], 0..100).max_memory("16MiB");
/// let is_too_much = run.plan()?.warnings().iter().any(|warning| warning.code() == Warning::RESULTS_EXCEED_BUDGET);
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
    /// The results, if collected, will not fit the memory budget.
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
    /// assert!(run.plan()?.warnings().iter().any(|warning| warning.code() == Warning::RESULTS_EXCEED_BUDGET));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const RESULTS_EXCEED_BUDGET: &'static str = "results-exceed-budget";
    /// The budget is larger than what is available; the run will not use more than there is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Bytes, Warning, process_in_batches, with_memory_source};
    /// with_memory_source(Bytes::mib(64), || {
    ///     let mut run = process_in_batches(|x: u64| x + 1, 0..100).max_memory("1GiB");
    ///     assert!(run.plan()?.warnings().iter().any(|warning| warning.code() == Warning::BUDGET_EXCEEDS_AVAILABLE));
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
    /// assert!(run.plan()?.warnings().iter().any(|warning| warning.code() == Warning::RESULT_NEAR_BUDGET));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const RESULT_NEAR_BUDGET: &'static str = "result-near-budget";
    /// The function is so fast that more threads would only slow it down.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Warning, process_in_batches};
    /// let numbers: Vec<u64> = (0..1_000_000).collect();
    /// // One by one it may be told that this is too fast; by the thousand there is enough to do.
    /// let mut run = process_in_batches(|x: &u64| x + 1, &numbers).sample_size(10_000);
    /// if run.plan()?.warnings().iter().any(|warning| warning.code() == Warning::TOO_FAST) {
    ///     println!("by the thousand");
    /// }
    /// let sums = process_in_batches(|part: &[u64]| part.iter().sum::<u64>(), numbers.chunks(1000)).collect::<Vec<_>>()?;
    /// assert_eq!(sums.len(), 1000);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const TOO_FAST: &'static str = "too-fast-for-threads";
    /// There is too little work for more threads to pay.
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
    /// let mut run = process_in_batches(nap, [1, 1, 30, 1, 1, 1, 1]);
    /// assert!(run.plan()?.warnings().iter().any(|warning| warning.code() == Warning::UNEVEN_SAMPLE));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const UNEVEN_SAMPLE: &'static str = "uneven-sample";
    /// The sample says little of how long the run will take.
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
    /// // Nobody can ask a closure's result what it owns.
    /// let mut run = process_in_batches(|x: u64| x.to_string(), 0..100);
    /// assert!(run.plan()?.warnings().iter().any(|warning| warning.code() == Warning::BYTES_UNSURE));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const BYTES_UNSURE: &'static str = "bytes-unsure";
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
    /// assert_eq!(run.plan()?.warnings()[0].message(), "the input is empty, so there is nothing to measure");
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

/// What the optimizer decided for a run, from its sample and the machine, with its reasons and warnings.
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
    /// Decides. Costs well under a microsecond where `explain` is false, which leaves reasons and warnings out.
    pub(crate) fn new(learned: &Learned, situation: &Situation, explain: bool) -> Self {
        let seconds = learned.recent_seconds();
        // Of an unknown number of items, as many are taken to be left as there were: whoever pays the start of the pool when
        // that much was spent inline pays at most twice what the best choice would have (the ski-rental argument).
        let remaining = situation.remaining.unwrap_or(learned.items.max(1)) as f64;
        let inline = seconds + learned.handling;
        let crossing = learned.handling + CROSSING_SECONDS;
        let wanted = wanted_threads(learned, situation);
        let most = wanted.min(situation.remaining.unwrap_or(usize::MAX)).max(1);
        let parallel = ((seconds + crossing) / most as f64).max(crossing);
        let start = if situation.warm { WARM_START_SECONDS } else { COLD_START_SECONDS };
        let climbs = wanted > situation.threads;
        let (climb, climbed) =
            if climbs { climb(seconds + crossing, situation.threads, most, remaining) } else { (0.0, 0.0) };
        let speedup = remaining * inline / (start + climb + (remaining - climbed) * parallel);
        // What calls keep busy of the cores without us, they can't gain once more.
        let cores_of_a_call = learned.waits.cores_of_a_call(situation.threads);
        let speedup = cores_of_a_call.map_or(speedup, |cores| speedup.min((situation.threads as f64 / cores).max(1.0)));
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
            plan.explain_waiting(situation, cores_of_a_call);
            plan.explain_sizes(situation);
            plan.explain_bound(situation);
            plan.explain_time(learned, situation);
            plan.warn(learned, situation, parallel > inline && most > 1);
        }
        plan
    }

    /// How long the run will take, from its sample on.
    fn foretell(&mut self, learned: &Learned, situation: &Situation, start: f64) {
        let Some(remaining) = situation.remaining else { return };
        let spread = &learned.spread;
        let slower = spread.slower_on(self.threads.min(situation.threads));
        let mean = slower * spread.mean().unwrap_or(learned.seconds_per_item());
        let rest = Rest::new(learned, situation, self, start, (remaining as f64, mean));
        let spent = learned.seconds - spread.at_once();
        self.seconds = Some(spent + rest.seconds(mean, SIBLING, 1.0));
        self.seconds_range = spread.ends(remaining as f64).map(|(least, most)| {
            let bytes = (self.bytes_per_item + self.working_bytes).as_f64();
            let filled = FRESH_BYTE * bytes;
            // Where page faults were counted, the mean has none of them; elsewhere it has them.
            let (fresh, known) = if spread.fresh() > 0.0 { (spread.fresh(), true) } else { (filled.min(mean), false) };
            let shortest = if known { mean - PRICE_UNSURE * fresh } else { mean - fresh };
            let shortest = rest.seconds(shortest.max(0.0) * least / MACHINE_UNSURE, 1.0, 1.0 / AROUND_UNSURE);
            // Whoever keeps the results has them in fresh memory, and filling that is what threads may be no faster at than one.
            let (own, all) = if known { (mean, mean + fresh) } else { (mean - fresh, mean) };
            let filling = |seconds: f64| {
                rest.seconds(seconds, 0.0, AROUND_UNSURE) + remaining as f64 * fresh * most * MACHINE_UNSURE
            };
            let longest =
                filling(own * most * MACHINE_UNSURE).max(rest.seconds(all * most * MACHINE_UNSURE, 0.0, AROUND_UNSURE));
            // Other programs may go on as they did.
            let busy = 1.0 / (1.0 - spread.queued().min(MOST_BUSY));
            // The last call may begin when all others end.
            let last = if self.threads > 1 && remaining > 0 { spread.most() } else { 0.0 };
            (spent + shortest, spent + longest * busy + last)
        });
    }

    fn explain_time(&mut self, learned: &Learned, situation: &Situation) {
        let cores = situation.cores.filter(|cores| cores.physical < cores.threads.min(self.threads));
        if let Some(Cores { physical, .. }) = cores
            && self.seconds.is_some()
        {
            self.reasons.push(format!(
                "{} threads share {}: the second thread of a core is expected to add {:.0} % of one, and may add nothing",
                self.threads,
                self::cores(physical),
                100.0 * SIBLING
            ));
        }
        if self.seconds.is_some()
            && self.threads > 1
            && let Some((threads, times)) = learned.spread.together()
        {
            self.reasons.push(format!(
                "{threads} calls at a time took {times:.2} times as long as one alone: they share what there is only one of, as the \
                 bandwidth of memory, or a lock"
            ));
        }
        if self.seconds.is_some() && learned.spread.queued() >= BUSY {
            self.reasons.push(format!(
                "other programs had the cores for {:.0} % of the sample's time: the expected time is without that",
                100.0 * learned.spread.queued()
            ));
        }
        let (Some(seconds), Some((least, most))) = (self.seconds, self.seconds_range) else { return };
        let bears = if self.threads > situation.threads {
            format!(" and what they wait for bears {} at a time", self.threads)
        } else {
            String::new()
        };
        self.reasons.push(format!(
            "expected to take {} without the sink, {} to {} if all items are like the {} sampled{bears}: \
             a kind of which there is less than 1 in {} may not be among them",
            Seconds(seconds),
            Seconds(least),
            Seconds(most),
            learned.spread.sampled(),
            learned.spread.rarest(),
        ));
    }

    fn explain_threads(&mut self, situation: &Situation, scales: bool) {
        let cost = Seconds(self.seconds_per_item);
        self.reasons.push(if self.sampled == 0 {
            "nothing was sampled: the input is empty".into()
        } else if situation.threads == 1 {
            format!("runs on the calling thread: {} thread is to be used", situation.threads)
        } else if self.threads == 1 && !scales {
            format!("runs on the calling thread: at {cost} per item, handing items to threads costs more than it gains")
        } else if self.threads == 1 {
            format!(
                "runs on the calling thread: the work that is left, at {cost} per item, ends before threads would help"
            )
        } else if situation.threads_asked {
            format!("runs on {} threads, as asked for", self.threads)
        } else if self.threads > situation.threads {
            format!(
                "the function waits {:.0} % of its time: up to {} threads on {}, as far as more of them pay, are expected to \
                 be {:.2} times as fast",
                100.0 * self.waiting_share.unwrap_or(0.0),
                self.threads,
                cores(situation.threads),
                self.speedup
            )
        } else {
            format!(
                "runs on {} threads: at {cost} per item they are expected to be {:.2} times as fast",
                self.threads, self.speedup
            )
        });
    }

    /// What the function does beside running on its own thread.
    fn explain_waiting(&mut self, situation: &Situation, cores_of_a_call: Option<f64>) {
        if let Some(busy) = cores_of_a_call {
            self.reasons.push(format!(
                "a call keeps {busy:.1} cores busy alone, by threads of its own or because the program's other threads are at work: \
                 of {} more threads gain no more than {:.2} times",
                cores(situation.threads),
                (situation.threads as f64 / busy).max(1.0)
            ));
        } else if let Some(share) = self.waiting_share
            && share >= MUCH_WAITING
            && self.threads <= situation.threads
        {
            self.reasons.push(if situation.threads_asked {
                format!(
                    "the function waits {:.0} % of its time: without `threads` the run finds how many more pay",
                    100.0 * share
                )
            } else {
                format!("the function waits {:.0} % of its time", 100.0 * share)
            });
        }
    }

    fn explain_sizes(&mut self, situation: &Situation) {
        if self.sampled == 0 {
            return;
        }
        self.reasons.push(format!(
            "chunks of {} items take about {} and {}",
            self.chunk_size,
            Seconds(self.seconds_per_item * self.chunk_size as f64),
            self.bytes_per_item * self.chunk_size as u64,
        ));
        self.reasons.push(match situation.batch_items {
            Some(_) => format!("batches of {} items, as asked for", self.batch_size),
            None => format!(
                "batches of {} items hold about {} of the budget",
                self.batch_size,
                self.bytes_per_item * self.batch_size as u64
            ),
        });
        self.reasons.push(match situation.available {
            Some(available) => format!("budget of {} out of {available} available", self.budget),
            None => format!("budget of {}, as asked for", self.budget),
        });
    }

    /// What is expected to keep the run from being faster.
    fn explain_bound(&mut self, situation: &Situation) {
        if self.sampled == 0 || self.threads == 1 {
            // Why it is the calling thread was said.
            return;
        }
        let threads = self.threads;
        let needed = (self.bytes_per_item + self.working_bytes).max(Bytes::new(1));
        let calls = self.budget.as_u64() / needed.as_u64();
        self.reasons.push(if calls < threads as u64 {
            format!(
                "bound by memory: the budget has room for {} at a time, and {threads} threads could make more",
                if calls <= 1 { "one call".to_owned() } else { format!("{calls} calls") }
            )
        } else if threads > situation.threads {
            "bound by what the function waits for, as long as input and sink keep up".to_owned()
        } else if threads < situation.threads {
            format!("bound by the input: {threads} items are left for {} threads", situation.threads)
        } else {
            format!("bound by the cores: {threads} threads are in the function as long as input and sink keep up")
        });
    }

    fn warn(&mut self, learned: &Learned, situation: &Situation, too_fast: bool) {
        let mut warn = |code, message| self.warnings.push(Warning { code, message });
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
        let largest = Bytes::new(learned.largest + learned.most_working);
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
        if too_fast && self.threads == 1 {
            warn(
                Warning::TOO_FAST,
                format!(
                    "the function takes {cost} per item, too little to gain from threads: give each item more work"
                ),
            );
        } else if self.threads == 1 && situation.threads > 1 && situation.remaining.is_some() {
            warn(
                Warning::TOO_LITTLE_WORK,
                format!("{cost} per item over so few items is too little work to gain from threads"),
            );
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
        if self.measured_by == MeasuredBy::Resident {
            warn(
                Warning::BYTES_UNSURE,
                "bytes are told from the process's resident memory, which other work changes too: \
                 derive or implement `DeepSize` for the result, or install `Tracking`, to have them counted"
                    .into(),
            );
        }
    }

    /// Workers that the run uses; 1 means that it runs on the calling thread.
    ///
    /// For a function that waits it is what the run is expected to go to at most: it begins with fewer, takes more as long as that pays,
    /// and learns meanwhile what calls wait; [`Report::threads`](crate::Report::threads) tells how many it came to.
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

    /// The part of its time, from 0 to 1, that the function waited in the sample rather than to run: for a device, the network, a
    /// lock or a timer. Time in which its thread was queued for a core does not count. `None` where that isn't known: the calls
    /// were shorter than 50 us, or the system doesn't tell.
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
    /// Of a function that waits it is expected that what it waits for keeps up with the threads. Where a call keeps several cores
    /// busy itself, others gain only what it leaves. Two threads that share a core by simultaneous multithreading count as two,
    /// though they gain less: how much depends on the function. [`seconds`](Self::seconds) takes that into account.
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

    /// Bytes that a call is expected to need while it runs, beside its result. Zero where that is not measured: only
    /// [`Tracking`](crate::Tracking) does.
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

    /// Seconds that the whole run is expected to take, its sample among them, where the input's length is known.
    ///
    /// It is the time of the calls and of handing results over, batch by batch, to a sink that drops them: their memory is used again.
    /// Whoever keeps all results, as [`collect`](crate::Batched::collect) does, has each in memory that the system has to give and to
    /// clear first; the upper end of [`seconds_range`](Self::seconds_range) has room for that. Where the system doesn't count page
    /// faults (all but Linux), those of the sample are in it.
    ///
    /// What the sink takes is not in it: nobody knows before it ran. A run whose sink takes `s` seconds in all takes `s` at least, and at
    /// most that much more; a sink that computes shares the cores with the calls, one that waits leaves them alone.
    ///
    /// The second thread of a core (SMT) is expected to add 22 % of a core, on Linux, where it can be told. Further items are expected to
    /// be like those of the sample, and what calls wait for to bear as many of them at a time as there are threads.
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
    /// The lower and the upper end of what is expected in 19 of 20 cases, by how much the sampled calls differed and how many there
    /// were; the first call is left out, because it is slower for reasons of its own, and so is what other programs took of the others'
    /// time. The upper end allows for results that are kept, so that each lies in fresh memory; for threads that wait for each other to
    /// fill memory; for second threads of a core that add nothing; for other programs that go on as in the sample; and for calls that got
    /// slower one by one in it. The lower one allows for second threads that are as good as cores. As with [`seconds`](Self::seconds),
    /// the sink is not in it: with one that takes `s` seconds in all, it is from the larger of `s` and the lower end to the upper end and `s`.
    ///
    /// `None` where the input doesn't know its length, or fewer than two calls were timed beside the first: then there is a warning
    /// [`time-unsure`](Warning::TIME_UNSURE), as there is when the range is so wide that it says little.
    ///
    /// A sample says nothing of what is not in it: of a kind of items of which there is one in a hundred, 300 must be sampled for one
    /// to be among them in 19 of 20 cases, and nothing at the beginning tells that calls take longer at the end. The plan's
    /// [`reasons`](Self::reasons) name how rare a kind this sample can miss.
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
                "sampled {} items: {} and {} per item",
                self.sampled,
                Seconds(self.seconds_per_item),
                self.bytes_per_item
            ),
            format!("bytes told by {}: {}", self.measured_by, self.measured_by.certainty()),
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
            write!(f, ", and {} while a call runs", self.working_bytes)?;
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

/// Items that one worker is to take at a time now.
pub(crate) fn chunk_items(learned: &Learned, situation: &Situation, threads: usize) -> usize {
    let seconds = learned.recent_seconds().max(1e-10);
    let mut items = CHUNK_SECONDS / seconds;
    if let Some(remaining) = situation.remaining {
        // Towards the end chunks get shorter, so that no worker is left with a long one (guided self-scheduling, Polychronopoulos
        // and Kuck 1987).
        let share = remaining as f64 / (2 * threads) as f64;
        items = items.min(share.max(SHORTEST_CHUNK_SECONDS / seconds));
    }
    let in_buffers = (CHUNK_BUFFER / (situation.item_size + situation.result_size).max(1)).max(1);
    let bytes = learned.expected_bytes().max(situation.result_size as u64) + situation.item_bytes;
    let share = (situation.budget.as_u64() / (CHUNK_PART * threads as u64)).saturating_sub(learned.expected_working())
        / bytes.max(1);
    let share = share.min(CHUNK_BYTES / bytes.max(1));
    (items as usize).min(in_buffers).min(usize::try_from(share).unwrap_or(usize::MAX)).max(1)
}

/// Items that a batch is to hold at most.
pub(crate) fn batch_items(learned: &Learned, situation: &Situation, threads: usize, chunk_size: usize) -> usize {
    if let Some(asked) = situation.batch_items {
        return asked;
    }
    let seconds = learned.recent_seconds().max(1e-10) / threads as f64;
    let by_time = (BATCH_SECONDS / seconds) as usize;
    let bytes_per_item = learned.expected_bytes().max(situation.result_size as u64);
    let by_memory = situation.budget.as_u64() / BATCH_PART / bytes_per_item.max(1);
    let by_cache = usize::try_from(BATCH_BYTES / bytes_per_item.max(1)).unwrap_or(usize::MAX);
    let by_copying = BATCH_BUFFER / situation.result_size.max(1);
    let by_memory = usize::try_from(by_memory).unwrap_or(usize::MAX);
    // Of slow items each thread has one in a batch at least, and another; of threads beyond the cores' one more, because an
    // iterator's run is seen to pay or not by the second one alone.
    let rounds = if threads > situation.threads { 3 } else { 2 };
    by_time.min(by_cache).max(rounds * threads).min(by_copying.max(chunk_size)).min(by_memory).max(1)
}

/// Of a function that waits no less than this part of its time it is said, where it changes nothing.
const MUCH_WAITING: f64 = 0.25;

/// So many cores, in words.
pub(crate) fn cores(count: usize) -> String {
    if count == 1 { "1 core".to_owned() } else { format!("{count} cores") }
}

/// Threads that keep the cores busy, as far as there may be so many.
pub(crate) fn wanted_threads(learned: &Learned, situation: &Situation) -> usize {
    // A hundredth of a thread more is not worth one.
    let wanted = (learned.waits.threads_if_alone(situation.threads) - 0.01).ceil() as usize;
    wanted.clamp(situation.threads, situation.most.max(situation.threads))
}

/// How long the items that are left take.
struct Rest {
    /// Until threads run.
    start: f64,
    remaining: f64,
    threads: usize,
    /// Seconds per item of a call, as sampled.
    mean: f64,
    /// Seconds of the climb, where there is one, and what is done meanwhile.
    climb: (f64, f64),
    cores: Option<Cores>,
    /// The part of its time that a call has a core, itself or for others' work on it.
    runs: f64,
    /// Seconds per item on the calling thread.
    crossing: f64,
    chunk_size: f64,
    /// Seconds on the cores for each chunk, apart from its items.
    chunk: f64,
}

impl Rest {
    fn new(learned: &Learned, situation: &Situation, plan: &Plan, start: f64, (remaining, mean): (f64, f64)) -> Self {
        let climbs = plan.threads > situation.threads;
        let handling = learned.spread.handling().unwrap_or(learned.handling);
        let crossing = if plan.threads > 1 { handling + CROSSING_SECONDS } else { handling };
        let climb =
            if climbs { climb(mean + crossing, situation.threads, plan.threads, remaining) } else { (0.0, 0.0) };
        Self {
            start,
            remaining,
            threads: plan.threads,
            mean: mean.max(1e-10),
            climb,
            cores: situation.cores,
            runs: learned.waits.on_cores(),
            crossing,
            chunk_size: plan.chunk_size as f64,
            chunk: if climbs { WAITING_CHUNK } else { 0.0 },
        }
    }

    /// With so many seconds per item, where the second thread of a core adds `gain` of one, and what is to be done around calls that
    /// wait takes so many times as long as expected.
    fn seconds(&self, seconds: f64, gain: f64, around: f64) -> f64 {
        let of_all = seconds + self.crossing;
        // With other seconds a climb may have more windows, or fewer; it is the same climb.
        let (climb, climbed) = self.climb;
        let climb = climb * of_all / (self.mean + self.crossing);
        let capacity = self.cores.map_or(self.threads as f64, |cores| cores.capacity(self.threads, gain));
        let around = if self.chunk > 0.0 { around } else { 1.0 };
        let by_cores = (self.runs * seconds + self.chunk / self.chunk_size) * around + self.crossing;
        let left = self.remaining - climbed;
        // Threads that take one item each begin together, and so they end.
        let rounds = left / self.threads as f64;
        let rounds = if self.chunk_size == 1.0 && self.threads > 1 { rounds.ceil() } else { rounds };
        self.start + climb + (rounds * of_all).max(left * (by_cores / capacity).max(self.crossing))
    }
}

/// Seconds that a climb to so many threads takes, their start with it, and the items that are done meanwhile.
fn climb(seconds: f64, cores: usize, threads: usize, remaining: f64) -> (f64, f64) {
    let (mut spent, mut done) = (threads as f64 * THREAD_SECONDS, 0.0);
    let mut level = Climb::first(cores, threads);
    while level < threads && done < remaining {
        // A round that is left out, and those that count.
        let round = seconds.max(CHUNK_SECONDS);
        let counted = (SHORT.as_secs_f64() / round).ceil().max(1.0) * round;
        let items = ((round + counted) * level as f64 / seconds).min(remaining - done);
        spent += items * seconds / level as f64;
        done += items;
        level = Climb::next(level, threads);
    }
    (spent, done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sampled, Stretch};

    fn sampled(seconds: f64) -> Sampled {
        Sampled { items: 1, seconds, handling: 1e-9, ..Sampled::default() }
    }

    fn learned(seconds: f64, bytes: u64) -> Learned {
        let mut learned = Learned::default();
        learned.add(Stretch { items: 5, seconds: 5.0 * seconds, bytes: 5 * bytes, largest: bytes, working: 0 });
        learned.handling = 1e-9;
        (0..5).for_each(|_| learned.spread.add(sampled(seconds)));
        learned
    }

    fn situation(remaining: Option<usize>) -> Situation {
        Situation {
            threads: 4,
            most: 256,
            threads_asked: false,
            warm: true,
            remaining,
            batch_items: None,
            budget: Bytes::mib(256),
            available: None,
            available_now: None,
            cores: None,
            measured_by: MeasuredBy::DeepSize,
            item_size: 8,
            result_size: 24,
            item_bytes: 8,
        }
    }

    fn codes(plan: &Plan) -> Vec<&str> {
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

    fn used(seconds: f64, ran: f64, process_ran: f64) -> crate::thread_time::Use {
        crate::thread_time::Use { seconds, ran, queued: 0.0, process_ran, closely: true }
    }

    #[test]
    fn a_function_that_waits_gets_threads_that_keep_the_cores_busy() {
        let mut learned = learned(5e-3, 24);
        learned.waits.add(used(5e-3, 1e-3, 1e-3), true);
        let plan = Plan::new(&learned, &situation(Some(10_000)), true);
        assert_eq!((plan.threads(), plan.waiting_share()), (20, Some(0.8)));
        assert!((15.0..=20.0).contains(&plan.speedup()), "{}", plan.speedup());
        let text = plan.to_string();
        assert!(text.contains("the function waits 80 % of its time: up to 20 threads on 4 cores"), "{text}");
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
    fn chunks_and_batches_of_large_results_fit_caches() {
        let plan = |seconds, bytes| {
            let plan = Plan::new(&learned(seconds, bytes), &situation(Some(1_000_000)), true);
            (plan.chunk_size(), plan.batch_size())
        };
        // 64 KiB in 5 us: 2 ms would be 25 MiB.
        assert_eq!(plan(5e-6, 64 << 10), (7, 16));
        // A result that does not fit is a chunk by itself, and a batch has two for each thread.
        assert_eq!(plan(50e-6, 2 << 20), (1, 8));
        // Who makes them slowly fits anyway.
        assert_eq!(plan(1e-3, 64 << 10), (2, 16));
    }

    #[test]
    fn large_results_make_small_batches_and_a_warning() {
        let plan = Plan::new(&learned(1e-5, 8 << 20), &situation(Some(1000)), true);
        assert_eq!(plan.batch_size(), 4);
        assert_eq!(plan.chunk_size(), 1);
        assert_eq!(codes(&plan), [Warning::RESULTS_EXCEED_BUDGET]);
        assert!(plan.result_bytes().unwrap() > Bytes::gib(7));
    }

    #[test]
    fn the_time_is_that_of_the_calls_on_all_threads() {
        let plan = Plan::new(&learned(1e-3, 1000), &situation(Some(10_000)), true);
        // Five were sampled, 10,000 are left for four threads.
        assert!((plan.seconds().unwrap() - 2.505).abs() < 0.01, "{plan}");
        let (least, most) = plan.seconds_range().unwrap();
        assert!((least - 2.505 / 1.1).abs() < 0.01 && (most - 2.505 * 1.1).abs() < 0.01, "{plan}");
        assert_eq!(Plan::new(&learned(1e-3, 1000), &situation(None), true).seconds(), None);
    }

    fn seconds(plan: &Plan) -> (f64, f64, f64) {
        let (least, most) = plan.seconds_range().unwrap();
        (least, plan.seconds().unwrap(), most)
    }

    #[test]
    fn the_second_thread_of_a_core_is_no_core() {
        let of = |threads, physical| {
            let cores = Some(Cores { threads: 4, physical });
            let plan = Plan::new(&learned(1e-3, 8), &Situation { cores, threads, ..situation(Some(10_000)) }, true);
            (seconds(&plan), plan.to_string())
        };
        let ((least, expected, most), text) = of(4, 2);
        assert!((expected - (5e-3 + 10.0 / 2.44)).abs() < 0.01, "{text}");
        // As good as cores, or good for nothing.
        assert!((least - (5e-3 + 2.5 / 1.1)).abs() < 0.01 && (most - (5e-3 + 5.0 * 1.1)).abs() < 0.01, "{text}");
        assert!(
            text.contains("4 threads share 2 cores: the second thread of a core is expected to add 22 % of one"),
            "{text}"
        );
        // Two threads get a core each, and four cores are what there are.
        for (threads, physical) in [(2, 2), (4, 4)] {
            let ((_, expected, _), text) = of(threads, physical);
            assert!((expected - (5e-3 + 10.0 / threads as f64)).abs() < 0.01 && !text.contains("share"), "{text}");
        }
    }

    #[test]
    fn more_threads_than_cores_gain_nothing_for_calls_that_compute() {
        let cores = Some(Cores { threads: 2, physical: 2 });
        let asked = Situation { threads: 8, most: 8, threads_asked: true, cores, ..situation(Some(10_000)) };
        assert!((Plan::new(&learned(1e-3, 8), &asked, true).seconds().unwrap() - 5.0).abs() < 0.02);
        // Those that sleep need none.
        let mut learned = learned(1e-3, 8);
        learned.waits.add(used(1e-3, 0.01e-3, 0.01e-3), true);
        assert!((Plan::new(&learned, &asked, true).seconds().unwrap() - 1.25).abs() < 0.02);
        // What other threads run for them takes the cores.
        learned.waits.add(used(9e-3, 0.0, 9e-3), true);
        assert!((Plan::new(&learned, &asked, true).seconds().unwrap() - 5.0 * 0.9).abs() < 0.1);
    }

    #[test]
    fn waiting_calls_are_counted_from_the_climb_on() {
        let cores = Some(Cores { threads: 2, physical: 2 });
        let waiting = Situation { threads: 2, cores, ..situation(Some(20_000)) };
        let mut learned = learned(5e-3, 8);
        learned.waits.add(used(5e-3, 10e-6, 10e-6), true);
        let plan = Plan::new(&learned, &waiting, true);
        // 20,000 by 256 are 79 rounds of 5 ms; 8, 32 and 128 threads have two rounds each, and threads are started.
        let climb = 30e-3 + 256.0 * THREAD_SECONDS;
        let left = 20_000.0 - 2.0 * (8.0 + 32.0 + 128.0);
        let expected = 25e-3 + climb + 5e-3 * (left / 256.0_f64).ceil();
        assert!((plan.seconds().unwrap() - expected).abs() < 1e-3, "{} {expected}", plan.seconds().unwrap());
        // A little less each could be another number of windows, and another round.
        let (least, most) = plan.seconds_range().unwrap();
        assert!(least < expected / 1.08 && expected * 1.08 < most, "{least} {most}");
        assert!(plan.to_string().contains("5 sampled and what they wait for bears 256 at a time: a kind"), "{plan}");
        // Of short ones, what is to be done around them keeps the cores busy.
        let mut learned = self::learned(1e-3, 8);
        learned.waits.add(used(1e-3, 4e-6, 4e-6), true);
        let plan = Plan::new(&learned, &Situation { remaining: Some(1_000_000), ..waiting }, true);
        let around = 1e6 * (4e-6 + WAITING_CHUNK / 2.0) / 2.0;
        assert!((0.95 * around..1.05 * around).contains(&plan.seconds().unwrap()), "{}", plan.seconds().unwrap());
        let (least, _, most) = seconds(&plan);
        assert!(least < 0.75 * around && most > 1.4 * around, "{least} {most}");
    }

    #[test]
    fn what_is_expected_lies_within_the_range() {
        let cores = Some(Cores { threads: 2, physical: 1 });
        for seconds in [1e-6, 60e-6, 0.4e-3, 1.1e-3, 4.9e-3, 5.1e-3, 0.1] {
            for remaining in [3, 15, 200, 1000, 50_000] {
                for waits in [0.0, 0.5, 0.99] {
                    let mut learned = learned(seconds, 8);
                    let ran = (1.0 - waits) * seconds;
                    learned.waits.add(used(seconds, ran, ran), true);
                    let situation = Situation { threads: 2, cores, ..situation(Some(remaining)) };
                    let (least, expected, most) = self::seconds(&Plan::new(&learned, &situation, true));
                    assert!(
                        least <= expected && expected <= most,
                        "{least} {expected} {most} {seconds} {remaining} {waits}"
                    );
                }
            }
        }
    }

    #[test]
    fn pages_that_results_keep_are_for_those_who_keep_them() {
        let mut told = learned(240e-6, 256 << 10);
        told.spread = Default::default();
        (0..5).for_each(|_| told.spread.add(Sampled { fresh: 130e-6, ..sampled(240e-6) }));
        let plan = Plan::new(&told, &situation(Some(10_000)), true);
        let (least, expected, most) = seconds(&plan);
        assert!((expected - 10_000.0 * 110e-6 / 4.0).abs() < 0.01, "{expected}");
        // No thread helps with that.
        assert!((most - 1.1 * 10_000.0 * (110e-6 / 4.0 + 130e-6)).abs() < 0.01, "{most}");
        assert!((least - 10_000.0 * (110e-6 - 26e-6) / 4.0 / 1.1).abs() < 0.01, "{least}");
    }

    #[test]
    fn other_programs_are_left_out_and_may_go_on() {
        let mut busy = learned(1e-3, 8);
        busy.spread = Default::default();
        (0..5).for_each(|_| busy.spread.add(Sampled { queued: 1e-3, ..sampled(2e-3) }));
        let plan = Plan::new(&busy, &situation(Some(10_000)), true);
        let (_, expected, most) = seconds(&plan);
        assert!((expected - 2.505).abs() < 0.01 && (most - 2.0 * 2.5 * 1.1).abs() < 0.02, "{expected} {most}");
        let text = plan.to_string();
        assert!(text.contains("other programs had the cores for 50 % of the sample's time"), "{text}");
        assert!(!codes(&plan).contains(&Warning::TIME_UNSURE), "{text}");
    }

    #[test]
    fn calls_that_threads_take_one_by_one_come_in_rounds() {
        // Fifteen of 100 ms on four threads: the last round is for three, and as long.
        let plan = Plan::new(&learned(0.1, 8), &situation(Some(15)), true);
        assert!((plan.seconds().unwrap() - (0.5 + 0.4)).abs() < 1e-3, "{}", plan.seconds().unwrap());
    }

    #[test]
    fn filling_memory_may_not_get_faster_by_threads() {
        let plan = Plan::new(&learned(1e-3, 1 << 20), &situation(Some(10_000)), true);
        let (least, most) = plan.seconds_range().unwrap();
        // Filling 1 MiB takes 0.52 ms of each; four threads may share the rest, or all of it, or need no fresh memory at all.
        assert!((most - 7.08).abs() < 0.01 && (least - 1.09).abs() < 0.01, "{plan}");
        // A larger sample would say no more.
        assert!(!codes(&plan).contains(&Warning::TIME_UNSURE));
    }

    #[test]
    fn a_sample_without_a_spread_says_that_the_time_is_unsure() {
        let mut learned = learned(1e-3, 8);
        learned.spread = Default::default();
        let plan = Plan::new(&learned, &situation(Some(10_000)), true);
        assert_eq!((plan.seconds_range(), codes(&plan)), (None, vec![Warning::TIME_UNSURE]));
        // Nobody waits for that.
        assert!(codes(&Plan::new(&learned, &situation(Some(100)), true)).is_empty());
    }

    #[test]
    fn chunks_get_shorter_towards_the_end() {
        let learned = learned(1e-6, 24);
        assert_eq!(chunk_items(&learned, &situation(Some(1_000_000)), 4), 2000);
        assert_eq!(chunk_items(&learned, &situation(Some(4_000)), 4), 500);
        assert_eq!(chunk_items(&learned, &situation(Some(100)), 4), 50);
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
