//! Predicts how long a run takes, and the range of that.

use crate::adapt::sizes::FRESH_BYTE;
use std::iter;

use super::Plan;
use crate::adapt::climb::Climb;
use crate::adapt::learned::Learned;
use crate::adapt::situation::Situation;
use crate::adapt::sizes::{CROSSING_SECONDS, WAITING_CHUNK, chunk_seconds};
use crate::adapt::waits::{VARIES, WINDOW};
use crate::system::cores::Cores;

/// Seconds to start a thread of the run's own: 34 us measured for each of 256.
const THREAD_SECONDS: f64 = 35e-6;
/// The part of a core that its second thread (SMT) adds, for calls that compute. Intel promised 15
/// to 30 % (Marr et al., "Hyper-Threading Technology Architecture and Microarchitecture", Intel
/// Technology Journal 6(1), 2002), and processors have not become better at it since. This is the
/// middle; it can be zero, and nearly a core for calls that mostly wait for memory.
pub(super) const SIBLING: f64 = 0.22;
/// The cost of chunks, and the part that mostly waiting calls run, vary by this factor with the
/// number of threads that sleep and wake.
const AROUND_UNSURE: f64 = 1.5;
/// The cost of a page fault varies by this part.
const PRICE_UNSURE: f64 = 0.2;
/// The most that other programs count for: nothing can be said of a sample that had the cores for
/// less than a quarter of its time.
const MOST_BUSY: f64 = 0.75;

impl Plan {
    /// Predicts how long the run takes, from its sample on.
    pub(super) fn foretell(&mut self, learned: &Learned, situation: &Situation, start: f64) {
        let Some(remaining) = situation.remaining else { return };
        let spread = &learned.spread;
        let mean = spread.mean().unwrap_or(learned.seconds_per_item());
        let rest = Rest::new(learned, situation, self, start, (remaining as f64, mean));
        let spent = learned.seconds;
        self.seconds = Some(spent + rest.seconds(mean, SIBLING, 1.0));
        self.seconds_range = spread.ends(remaining as f64).map(|(least, most)| {
            // On an idle machine even work took 0.88 to 1.04 of its sample's time (`cargo bench
            // --bench prediction`), not counting results in fresh memory.
            let bytes = (self.bytes_per_item + self.working_bytes).as_f64();
            let filled = FRESH_BYTE * bytes;
            // The mean includes page faults, unless they are counted.
            let (fresh, known) = if spread.fresh > 0.0 { (spread.fresh, true) } else { (filled.min(mean), false) };
            let shortest = if known { mean - PRICE_UNSURE * fresh } else { mean - fresh };
            let shortest = rest.seconds(shortest.max(0.0) * least / VARIES, 1.0, 1.0 / AROUND_UNSURE);
            // Results that are kept are in fresh memory, and threads may be no faster at filling
            // that than one.
            let (own, all) = if known { (mean, mean + fresh) } else { (mean - fresh, mean) };
            let filling =
                |seconds: f64| rest.seconds(seconds, 0.0, AROUND_UNSURE) + remaining as f64 * fresh * most * VARIES;
            let longest = filling(own * most * VARIES).max(rest.seconds(all * most * VARIES, 0.0, AROUND_UNSURE));
            // Other programs may go on as in the sample.
            let busy = 1.0 / (1.0 - spread.queued().min(MOST_BUSY));
            // The last call may begin when all others end, and each step of a climb may wait for a
            // late one.
            let late = if self.sizes.threads > 1 && remaining > 0 {
                1 + levels(situation.threads, self.sizes.threads).count()
            } else {
                0
            };
            let last = late as f64 * spread.most;
            (spent + shortest, spent + longest * busy + last)
        });
    }
}

/// The time that the remaining items take.
struct Rest {
    /// Seconds until the threads run.
    start: f64,
    remaining: f64,
    threads: usize,
    /// Seconds per item of a call, as sampled.
    mean: f64,
    /// Seconds of the climb, if any, and the items that are done meanwhile.
    climb: (f64, f64),
    cores: Option<Cores>,
    /// The part of its time for which a call keeps a core busy, itself or by threads that work for
    /// it.
    runs: f64,
    /// Seconds per item on the calling thread.
    crossing: f64,
    chunk_size: f64,
    /// Seconds on the cores for each chunk, without its items.
    chunk: f64,
}

impl Rest {
    fn new(learned: &Learned, situation: &Situation, plan: &Plan, start: f64, (remaining, mean): (f64, f64)) -> Self {
        let climbs = plan.sizes.threads > situation.threads;
        let handling = learned.spread.handling.unwrap_or(learned.handling);
        let crossing = if plan.sizes.threads > 1 { handling + CROSSING_SECONDS } else { handling };
        let climb =
            if climbs { climb(mean + crossing, situation.threads, plan.sizes.threads, remaining) } else { (0.0, 0.0) };
        Self {
            start,
            remaining,
            threads: plan.sizes.threads,
            mean: mean.max(1e-10),
            climb,
            cores: situation.cores,
            runs: learned.waits.on_cores(),
            crossing,
            chunk_size: plan.sizes.chunk_items as f64,
            chunk: if climbs { WAITING_CHUNK } else { 0.0 },
        }
    }

    /// The seconds in all, for `seconds` per item, a second thread of a core that adds `gain` of
    /// one, and work around waiting calls that takes `around` times as long as expected.
    fn seconds(&self, seconds: f64, gain: f64, around: f64) -> f64 {
        let of_all = seconds + self.crossing;
        // With other seconds a climb may have more or fewer windows; take it for the same climb.
        let (climb, climbed) = self.climb;
        let climb = climb * of_all / (self.mean + self.crossing);
        let capacity = self.cores.map_or(self.threads as f64, |cores| cores.capacity(self.threads, gain));
        let around = if self.chunk > 0.0 { around } else { 1.0 };
        let by_cores = (self.runs * seconds + self.chunk / self.chunk_size) * around + self.crossing;
        let left = self.remaining - climbed;
        // Threads with one item each begin together, so they end together.
        let rounds = left / self.threads as f64;
        let rounds = if self.chunk_size == 1.0 && self.threads > 1 { rounds.ceil() } else { rounds };
        self.start + climb + (rounds * of_all).max(left * (by_cores / capacity).max(self.crossing))
    }
}

/// The numbers of threads at which a climb to `threads` stops on its way.
fn levels(cores: usize, threads: usize) -> impl Iterator<Item = usize> {
    iter::successors(Some(Climb::next(cores, threads)), move |&level| Some(Climb::next(level, threads)))
        .take_while(move |&level| level < threads)
}

/// Seconds of a climb to `threads` threads, with their start, and the items that are done
/// meanwhile.
pub(super) fn climb(seconds: f64, cores: usize, threads: usize, remaining: f64) -> (f64, f64) {
    let (mut spent, mut done) = (threads as f64 * THREAD_SECONDS, 0.0);
    for level in levels(cores, threads) {
        if done >= remaining {
            break;
        }
        // One round that does not count, and those that do.
        let round = seconds.max(chunk_seconds(cores, level));
        let counted = (WINDOW.as_secs_f64() / round).ceil().max(1.0) * round;
        let items = ((round + counted) * level as f64 / seconds).min(remaining - done);
        spent += items * seconds / level as f64;
        done += items;
    }
    (spent, done)
}

#[cfg(test)]
mod tests {
    use super::super::Warning;
    use super::super::tests::{codes, learned, sampled, situation, used};
    use super::*;
    use crate::adapt::learned::Sampled;

    fn seconds(plan: &Plan) -> (f64, f64, f64) {
        let (least, most) = plan.seconds_range().unwrap();
        (least, plan.seconds().unwrap(), most)
    }

    #[test]
    fn the_time_is_that_of_the_calls_on_all_threads() {
        let plan = Plan::explained(&learned(1e-3, 1000), &situation(Some(10_000)));
        // Five were sampled, 10,000 are left for four threads.
        assert!((plan.seconds().unwrap() - 2.505).abs() < 0.01, "{plan}");
        let (least, most) = plan.seconds_range().unwrap();
        assert!((least - 2.505 / 1.1).abs() < 0.01 && (most - 2.505 * 1.1).abs() < 0.01, "{plan}");
        assert_eq!(Plan::explained(&learned(1e-3, 1000), &situation(None)).seconds(), None);
    }

    #[test]
    fn the_second_thread_of_a_core_is_no_core() {
        let of = |threads, physical| {
            let cores = Some(Cores { threads: 4, physical });
            let plan = Plan::explained(&learned(1e-3, 8), &Situation { cores, threads, ..situation(Some(10_000)) });
            (seconds(&plan), plan.to_string())
        };
        let ((least, expected, most), text) = of(4, 2);
        assert!((expected - (5e-3 + 10.0 / 2.44)).abs() < 0.01, "{text}");
        // Second threads as good as cores, or good for nothing.
        assert!((least - (5e-3 + 2.5 / 1.1)).abs() < 0.01 && (most - (5e-3 + 5.0 * 1.1)).abs() < 0.01, "{text}");
        assert!(
            text.contains("4 threads share 2 cores: the second thread of a core is expected to add 22 % of one"),
            "{text}"
        );
        // Two threads get a core each, and there are four cores.
        for (threads, physical) in [(2, 2), (4, 4)] {
            let ((_, expected, _), text) = of(threads, physical);
            assert!((expected - (5e-3 + 10.0 / threads as f64)).abs() < 0.01 && !text.contains("share"), "{text}");
        }
    }

    #[test]
    fn more_threads_than_cores_gain_nothing_for_calls_that_compute() {
        let cores = Some(Cores { threads: 2, physical: 2 });
        let asked = Situation { threads: 8, most: 8, threads_asked: true, cores, ..situation(Some(10_000)) };
        assert!((Plan::explained(&learned(1e-3, 8), &asked).seconds().unwrap() - 5.0).abs() < 0.02);
        // Calls that sleep need no core.
        let mut learned = learned(1e-3, 8);
        learned.waits.add(used(1e-3, 0.01e-3, 0.01e-3), true);
        assert!((Plan::explained(&learned, &asked).seconds().unwrap() - 1.25).abs() < 0.02);
        // Other threads take the cores to work for them.
        learned.waits.add(used(9e-3, 0.0, 9e-3), true);
        assert!((Plan::explained(&learned, &asked).seconds().unwrap() - 5.0 * 0.9).abs() < 0.1);
    }

    #[test]
    fn waiting_calls_are_counted_from_the_climb_on() {
        let cores = Some(Cores { threads: 2, physical: 2 });
        let waiting = Situation { threads: 2, cores, ..situation(Some(20_000)) };
        let mut learned = learned(5e-3, 8);
        learned.waits.add(used(5e-3, 10e-6, 10e-6), true);
        let plan = Plan::explained(&learned, &waiting);
        // 20,000 by 256 are 78 times 5 ms; 8, 32 and 128 threads have two rounds of chunks each,
        // and threads are started.
        let long = chunk_seconds(2, 128);
        let climb = 2.0 * (5e-3 + 5e-3 + long) + 256.0 * THREAD_SECONDS;
        let left = 20_000.0 - 2.0 * (8.0 + 32.0 + 128.0 * long / 5e-3);
        let expected = 25e-3 + climb + 5e-3 * left / 256.0;
        assert!((plan.seconds().unwrap() - expected).abs() < 1e-3, "{} {expected}", plan.seconds().unwrap());
        // A little less each could mean another number of windows, and another round.
        let (least, most) = plan.seconds_range().unwrap();
        assert!(least < expected / 1.08 && expected * 1.08 < most, "{least} {most}");
        // Four calls may come late: one at the end, and one at the end of each step.
        assert_eq!([256, 2, 5].map(|threads| levels(2, threads).count()), [3, 0, 0]);
        let few = Plan::explained(&learned, &Situation { remaining: Some(200), ..waiting.clone() });
        let (_, expected, most) = seconds(&few);
        assert!((0.015..0.03).contains(&(most - expected)), "{expected} {most}");
        assert!(plan.to_string().contains("5 sampled and what they wait for bears 256 at a time: a kind"), "{plan}");
        // With short calls, the work around them keeps the cores busy.
        let mut learned = self::learned(1e-3, 8);
        learned.waits.add(used(1e-3, 16e-6, 16e-6), true);
        let plan = Plan::explained(&learned, &Situation { remaining: Some(1_000_000), ..waiting });
        let around = 1e6 * (16e-6 + WAITING_CHUNK / plan.chunk_size() as f64) / 2.0;
        assert!((20..30).contains(&plan.chunk_size()), "{plan}");
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
                    let (least, expected, most) = self::seconds(&Plan::explained(&learned, &situation));
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
        let plan = Plan::explained(&told, &situation(Some(10_000)));
        let (least, expected, most) = seconds(&plan);
        assert!((expected - 10_000.0 * 110e-6 / 4.0).abs() < 0.01, "{expected}");
        // More threads don't help with it.
        assert!((most - 1.1 * 10_000.0 * (110e-6 / 4.0 + 130e-6)).abs() < 0.01, "{most}");
        assert!((least - 10_000.0 * (110e-6 - 26e-6) / 4.0 / 1.1).abs() < 0.01, "{least}");
    }

    #[test]
    fn other_programs_are_left_out_and_may_go_on() {
        let mut busy = learned(1e-3, 8);
        busy.spread = Default::default();
        (0..5).for_each(|_| busy.spread.add(Sampled { queued: 1e-3, ..sampled(2e-3) }));
        let plan = Plan::explained(&busy, &situation(Some(10_000)));
        let (_, expected, most) = seconds(&plan);
        assert!((expected - 2.505).abs() < 0.01 && (most - 2.0 * 2.5 * 1.1).abs() < 0.02, "{expected} {most}");
        let text = plan.to_string();
        assert!(text.contains("other programs had the cores for 50 % of the sample's time"), "{text}");
        assert!(!codes(&plan).contains(&Warning::TIME_UNSURE), "{text}");
    }

    #[test]
    fn calls_that_threads_take_one_by_one_come_in_rounds() {
        // Fifteen of 100 ms on four threads: the last round has three, and takes as long.
        let plan = Plan::explained(&learned(0.1, 8), &situation(Some(15)));
        assert!((plan.seconds().unwrap() - (0.5 + 0.4)).abs() < 1e-3, "{}", plan.seconds().unwrap());
    }

    #[test]
    fn filling_memory_may_not_get_faster_by_threads() {
        let plan = Plan::explained(&learned(1e-3, 1 << 20), &situation(Some(10_000)));
        let (least, most) = plan.seconds_range().unwrap();
        // Filling 1 MiB takes 0.51 ms of each; four threads may share the rest, or all of it, or
        // need no fresh memory at all.
        assert!((most - 6.98).abs() < 0.01 && (least - 1.11).abs() < 0.01, "{plan}");
        // A larger sample would say no more.
        assert!(!codes(&plan).contains(&Warning::TIME_UNSURE));
    }

    #[test]
    fn a_sample_without_a_spread_says_that_the_time_is_unsure() {
        let mut learned = learned(1e-3, 8);
        learned.spread = Default::default();
        let plan = Plan::explained(&learned, &situation(Some(10_000)));
        assert_eq!((plan.seconds_range(), codes(&plan)), (None, vec![Warning::TIME_UNSURE]));
        // Too short for anyone to wait.
        assert!(codes(&Plan::explained(&learned, &situation(Some(100)))).is_empty());
    }
}
