//! The decisions of a plan: threads, speed-up, and sizes.

use super::Plan;
use super::sizes::{self, batch_items, chunk_items};
use super::time::climb;
use crate::cores::Cores;
use crate::memory::Bytes;
use crate::memory::measure::{Certainty, MeasuredBy};
use crate::sample::Learned;

/// Handing an item and its result from thread to thread, beside taking and giving them: two writes and two reads of memory that
/// another core has in its cache. Measured as 0.5 to 1.5 ns for 8-byte values.
pub(super) const CROSSING_SECONDS: f64 = 1.5e-9;
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
    /// Whether the pool runs already.
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

impl Plan {
    /// Decides. Costs well under a microsecond where `explain` is false, which leaves reasons and warnings out.
    pub(crate) fn new(learned: &Learned, situation: &Situation, explain: bool) -> Self {
        // Where few items may be in flight a stretch has a single one, and one that lost its core for a moment is no reason for
        // threads: it has to be longer than most are.
        let unlike = if situation.in_flight.is_some() { 2.0 * learned.seconds_per_item() } else { f64::INFINITY };
        let seconds = learned.recent_seconds().min(unlike);
        // Of an unknown number of items, as many are taken to be left as there were: whoever pays the start of the pool when
        // that much was spent inline pays at most twice what the best choice would have (the ski-rental argument).
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
}

/// Threads that keep the cores busy, as far as there may be so many.
fn wanted_threads(learned: &Learned, situation: &Situation) -> usize {
    // A hundredth of a thread more is not worth one.
    let wanted = (learned.waits.threads_if_alone(situation.threads) - 0.01).ceil() as usize;
    wanted.clamp(situation.threads, situation.most.max(situation.threads))
}
