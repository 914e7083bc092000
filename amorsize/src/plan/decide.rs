//! Decides a plan: threads, speed-up, and sizes.

use super::Plan;
use super::time::climb;
use crate::adapt::learned::Learned;
use crate::adapt::situation::Situation;
use crate::adapt::sizes::{CROSSING_SECONDS, FREEING_SECONDS, Sizes, handing_in_flight};
use crate::units::ByteSize;

/// Seconds to start rayon's pool: 237 to 296 us measured on two cores.
const COLD_START_SECONDS: f64 = 300e-6;
/// Seconds to wake an idle pool: 17 to 67 us measured. As much is spent on the calling thread before
/// anything is read from the system.
pub(crate) const WARM_START_SECONDS: f64 = COLD_START_SECONDS / 6.0;

impl Plan {
    /// Makes the plan without reasons and warnings. It takes well under a microsecond.
    pub(crate) fn new(learned: &Learned, situation: &Situation) -> Self {
        Self::decide(learned, situation).0
    }

    /// Makes a plan that is asked for.
    pub(crate) fn explained(learned: &Learned, situation: &Situation) -> Self {
        let (mut plan, Weighed { start, most, scales, by_memory }) = Self::decide(learned, situation);
        plan.foretell(learned, situation, if plan.threads() > 1 { start } else { 0.0 });
        plan.explain_threads(situation, scales, by_memory);
        plan.explain_waiting(situation, &learned.waits);
        plan.explain_sizes(situation);
        plan.explain_bound(situation);
        plan.explain_time(learned, situation);
        plan.warn(learned, situation, !scales && most > 1, by_memory);
        plan
    }

    fn decide(learned: &Learned, situation: &Situation) -> (Self, Weighed) {
        // If few items may be in flight, a stretch has a single one, which may have lost its core
        // for a moment. That is no reason for threads, so it counts as at most twice the mean.
        let unlike = if situation.in_flight.is_some() { 2.0 * learned.seconds_per_item() } else { f64::INFINITY };
        let seconds = learned.recent_seconds().min(unlike);
        // If the number of items is unknown, expect as many as there were: starting the pool after
        // that much was spent inline takes at most twice as long as the best choice would have (the
        // ski-rental argument).
        let remaining = situation.remaining.unwrap_or(learned.items.max(1)) as f64;
        let inline = seconds + learned.handling;
        let wanted = wanted_threads(learned, situation);
        let most = wanted.min(situation.remaining.unwrap_or(usize::MAX)).max(1);
        let freeing = if situation.items_own { FREEING_SECONDS } else { 0.0 };
        let crossing = learned.handling + CROSSING_SECONDS + freeing + handing_in_flight(situation, most);
        let climbs = wanted > situation.threads;
        // Threads beyond the cores keep them busy and can't do more than that.
        let by_cores = if climbs { learned.waits.on_cores() * seconds / situation.threads as f64 } else { 0.0 };
        let parallel = ((seconds + crossing) / most as f64).max(crossing).max(by_cores);
        let start = if situation.warm { WARM_START_SECONDS } else { COLD_START_SECONDS };
        let (climb, climbed) =
            if climbs { climb(seconds + crossing, situation.threads, most, remaining) } else { (0.0, 0.0) };
        let speedup = remaining * inline / (start + climb + (remaining - climbed) * parallel);
        // Calls can't gain the cores that each keeps busy by itself.
        let cores_of_a_call = learned.waits.cores_of_a_call(situation.threads);
        let speedup = cores_of_a_call.map_or(speedup, |cores| speedup.min((situation.threads as f64 / cores).max(1.0)));
        // The budget bounds the number of calls at a time.
        let bytes_per_item = learned.expected_bytes().max(situation.result_size as u64);
        let each = bytes_per_item + learned.expected_working();
        let fitting = (situation.budget.as_f64() / each.max(1) as f64).max(1.0);
        let by_memory = speedup > 1.0 && fitting == 1.0;
        let speedup = speedup.min(fitting);
        let asked = situation.threads_asked && situation.threads > 1;
        // A call that keeps all cores busy leaves some idle at times.
        let pays = speedup > 1.0 || cores_of_a_call.is_some();
        let threads = if most > 1 && (pays || asked) { most } else { 1 };

        let plan = Self {
            sizes: Sizes::new(learned, situation, threads),
            waiting_share: learned.waits.share_of_all(),
            speedup: if threads > 1 { speedup } else { 1.0 },
            seconds_per_item: learned.seconds_per_item(),
            bytes_per_item: ByteSize::new(bytes_per_item),
            working_bytes: ByteSize::new(learned.expected_working()),
            working_certainty: situation.working_certainty,
            sampled: learned.items,
            measured_by: situation.measured_by,
            budget: situation.budget,
            result_bytes: situation
                .remaining
                .map(|left| ByteSize::new(learned.bytes) + ByteSize::new(bytes_per_item) * left as u64),
            seconds: None,
            seconds_range: None,
            reasons: Vec::new(),
            warnings: Vec::new(),
        };
        (plan, Weighed { start, most, scales: parallel <= inline, by_memory })
    }
}

/// The considerations behind a plan.
struct Weighed {
    /// Seconds to start threads.
    start: f64,
    /// The most threads.
    most: usize,
    /// True if an item takes less time on that many threads, once they run.
    scales: bool,
    /// True if threads would pay, and the budget has room for one call at a time.
    by_memory: bool,
}

/// The number of threads that keep the cores busy, within the allowed number.
fn wanted_threads(learned: &Learned, situation: &Situation) -> usize {
    // A hundredth of a thread more is not worth one.
    let wanted = (learned.waits.threads_if_alone(situation.threads) - 0.01).ceil() as usize;
    wanted.clamp(situation.threads, situation.most.max(situation.threads))
}
