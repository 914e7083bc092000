//! Learns the seconds and bytes per item of a function, first from the sample, then from the whole
//! run.

use super::waits::Waits;
use crate::system::page_faults::{FAULT_SECONDS, Faults, PAGE};
use crate::system::thread_time::{self, Queue, SHORTEST, TIMED_ALONE};
use crate::units::mean::follow;

/// The cost of one stretch of consecutive items.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) items: usize,
    /// Seconds in the function.
    pub(crate) seconds: f64,
    /// Bytes of the results, with each one's own size.
    pub(crate) bytes: u64,
    /// The largest result.
    pub(crate) largest: u64,
    /// The most working memory of a call: bytes that it needed while it ran, beside its result.
    pub(crate) working: u64,
}

/// The cost of a stretch of the sample, for each of its items.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampled {
    pub(crate) items: usize,
    /// Seconds of a call, including the next two.
    pub(crate) seconds: f64,
    /// Seconds in the queue for a core.
    pub(crate) queued: f64,
    /// Seconds to get fresh pages that its result keeps.
    pub(crate) fresh: f64,
    /// Seconds to take an item from the input and to hand its result over, unless they are part of
    /// `seconds`.
    pub(crate) handling: f64,
}

impl Sampled {
    /// Seconds of a call with a core for itself and memory that was used before; `None` if they
    /// can't be told.
    fn undisturbed(&self) -> Option<f64> {
        let own = self.seconds - self.queued;
        // The switch to another thread and back, and refilling the caches, are a large part of a
        // short stretch.
        let is_spoilt = self.queued > 0.0 && own * (self.items as f64) < SHORTEST;
        // However long its pages took, the call has written to them.
        (!is_spoilt).then(|| (own - self.fresh).max(LEAST_OF_FRESH * own))
    }
}

/// The least part of a call's seconds that is left without those for fresh pages: the price of a
/// page is an estimate, and a call that fills pages does something.
const LEAST_OF_FRESH: f64 = 0.1;

/// Measures the other costs of a call's time, between the calls of a sample.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    queue: Option<Queue>,
    /// Seconds in the queue, and the times that the thread got a core, before the stretch.
    before: Option<(f64, u64)>,
    /// True after the first stretch, which counts for nothing else.
    is_begun: bool,
    /// The number of calls with counted wakes, and the wakes.
    woken: (usize, u64),
    faults: Option<Faults>,
    counted: Option<u64>,
    /// Seconds of a page fault, once they were needed.
    fault_seconds: Option<f64>,
}

impl Beside {
    /// Begins; takes 6 us.
    pub(crate) fn begin() -> Self {
        Self { queue: thread_time::queue(), ..Self::default() }
    }

    /// Looks before a stretch of calls with results of about `bytes` bytes each: takes 0.7 us, and
    /// another 2.6 us if these have pages of their own.
    pub(crate) fn look(&mut self, bytes: u64) {
        if bytes >= PAGE && self.faults.is_none() {
            self.faults = Faults::open();
        }
        self.counted = self.faults.as_ref().filter(|_| bytes >= PAGE).and_then(Faults::count);
        self.before = self.queue.as_ref().and_then(Queue::so_far);
    }

    /// Looks after `items` calls, with results that keep `bytes` in all; each call took `seconds`
    /// by the clock.
    pub(crate) fn sampled(&mut self, items: usize, bytes: u64, seconds: f64, handling: f64) -> Sampled {
        let each = 1.0 / items.max(1) as f64;
        let (queued, woken) = match (self.queue.as_ref().and_then(Queue::so_far), self.before) {
            (Some(now), Some(before)) => (now.0 - before.0, now.1 - before.1),
            _ => (0.0, 0),
        };
        if self.is_begun {
            self.woken = (self.woken.0 + items, self.woken.1 + woken);
        }
        self.is_begun = true;
        // A call gives its working memory back, and another call gets it again.
        let faults = self.faults.as_ref().and_then(Faults::count).zip(self.counted);
        let faults = faults.map_or(0, |(now, then)| now.saturating_sub(then)).min(bytes / PAGE);
        let fresh = if faults > 0 { faults as f64 * each * self.seconds_of_a_fault() } else { 0.0 };
        Sampled { items, seconds, queued: queued * each, fresh, handling }
    }

    /// Corrects the waiting times of a sample for a run where other calls keep the cores awake.
    pub(crate) fn settle(&self, waits: &mut Waits) {
        let (calls, woken) = self.woken;
        if waits.are_long()
            && woken > 0
            && let Some(wake) = thread_time::seconds_of_a_wake()
        {
            waits.take_off_wakes(calls as f64, woken as f64 / calls as f64, wake);
        }
    }

    /// Seconds of a page fault. They are measured once, which takes 60 us.
    fn seconds_of_a_fault(&mut self) -> f64 {
        let tried = || self.faults.as_ref().and_then(Faults::seconds_of_one).unwrap_or(FAULT_SECONDS);
        *self.fault_seconds.get_or_insert_with(tried)
    }
}

/// Predicts the seconds of further items from those of the sampled ones.
///
/// The first stretch never counts. A first call is slower for reasons that no other has: it touches
/// code, caches and memory for the first time, and sets up what is set up once. That is why
/// benchmarks warm up. If it were left out only when slow, the mean would be too low for calls that
/// vary by themselves; left out always, it stays true.
///
/// The time that other programs took from a call, and the time to get fresh pages for its result,
/// don't count either.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    /// Sampled items, with those of the first stretch.
    pub(crate) sampled: usize,
    /// Stretches behind the first one, their items, and their mean seconds per item.
    stretches: usize,
    items: f64,
    mean: f64,
    /// The sum over stretches of squared differences from the mean, each times its items.
    squares: f64,
    /// Seconds per item of the slowest stretch.
    pub(crate) most: f64,
    /// For a line through the seconds: the mean of the items' places in the input, the sum of
    /// squared differences from it, and the sum of its products with the differences in seconds,
    /// each times its items.
    place: f64,
    place_squares: f64,
    products: f64,
    /// Mean seconds per item for fresh pages, which are not in the mean of the calls.
    pub(crate) fresh: f64,
    /// Seconds of all stretches behind the first one, and the part of them in the queue.
    all: f64,
    queued: f64,
    /// Seconds per item to take it from the input and to hand its result over, unless they are in
    /// the mean.
    pub(crate) handling: Option<f64>,
}

impl Spread {
    /// Adds a stretch of the sample.
    pub(crate) fn add(&mut self, stretch: Sampled) {
        let items = stretch.items;
        self.sampled += items;
        if self.sampled == items || items == 0 {
            return;
        }
        // A stretch has costs of its own beside those of its items, so the lowest value is nearest
        // to theirs.
        self.handling = Some(self.handling.map_or(stretch.handling, |least| least.min(stretch.handling)));
        self.all += stretch.seconds * items as f64;
        self.queued += stretch.queued.min(stretch.seconds) * items as f64;
        let Some(seconds_per_item) = stretch.undisturbed() else { return };
        // West's algorithm for a weighted variance, which subtracts no large numbers.
        let weight = items as f64;
        self.stretches += 1;
        self.items += weight;
        self.fresh += (stretch.fresh - self.fresh) * weight / self.items;
        let difference = seconds_per_item - self.mean;
        let place = self.sampled as f64 - weight / 2.0;
        let from_place = place - self.place;
        self.place += from_place * weight / self.items;
        self.place_squares += weight * from_place * (place - self.place);
        self.products += weight * difference * (place - self.place);
        self.mean += difference * weight / self.items;
        self.squares += weight * difference * (seconds_per_item - self.mean);
        self.most = self.most.max(seconds_per_item);
    }

    /// The part of the sample's time for which other programs had the cores.
    pub(crate) fn queued(&self) -> f64 {
        if self.all > 0.0 { self.queued / self.all } else { 0.0 }
    }

    /// Seconds per item to expect, if the sample had more than the first stretch.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.stretches > 0).then_some(self.mean)
    }

    /// Half-width of the 95 % prediction interval for the mean of `remaining` further items
    /// (Student's), relative to the mean. `None` with a single stretch.
    fn margin(&self, remaining: f64) -> Option<f64> {
        let freedom = self.stretches.checked_sub(1).filter(|&freedom| freedom > 0)?;
        let variance = self.squares / freedom as f64;
        let half = students(freedom) * (variance * (1.0 / self.items + 1.0 / remaining.max(1.0))).sqrt();
        Some(half / self.mean.max(1e-10))
    }

    /// The relative difference by which further items take longer than the sampled ones (shorter if
    /// negative), if the sample's trend goes on. `None` if the trend may be chance.
    fn trend(&self, remaining: f64) -> Option<f64> {
        // With fewer stretches a line says little, and warming caches make the first ones slower
        // one by one.
        const LEAST: usize = 10;
        // In Student's t, chance alone exceeds it in 1 of 1,000 samples of ten stretches, and in 1
        // of 30,000 of thirty.
        const SURE: f64 = 5.0;
        if self.stretches < LEAST || self.place_squares <= 0.0 {
            return None;
        }
        let slope = self.products / self.place_squares;
        let about = (self.squares - slope * self.products).max(0.0) / (self.stretches - 2) as f64;
        let error = (about / self.place_squares).sqrt();
        let ahead = self.sampled as f64 + remaining / 2.0 - self.place;
        (slope.abs() > SURE * error).then(|| slope * ahead / self.mean.max(1e-10))
    }

    /// The range of the mean of `remaining` further items, relative to that of the sampled ones.
    pub(crate) fn ends(&self, remaining: f64) -> Option<(f64, f64)> {
        let margin = self.margin(remaining)?;
        // A trend of calls that got slower, or faster, may go on or not.
        let trend = self.trend(remaining).unwrap_or(0.0);
        Some(((1.0 + trend.min(0.0) - margin).max(0.0), 1.0 + trend.max(0.0) + margin))
    }

    /// If a kind makes up less than one in this number of items, the sample misses it in more than
    /// 1 of 20 cases.
    pub(crate) fn rarest(&self) -> usize {
        // The "rule of three" of statistics, without its approximation, which is bad for small
        // samples.
        (1.0 / (1.0 - 0.05f64.powf(1.0 / self.items.max(1.0)))).round() as usize
    }
}

/// The value that Student's t exceeds, on either side, in 1 of 20 cases.
fn students(freedom: usize) -> f64 {
    const FEW: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    // Beyond these, within 0.01 of the tables.
    FEW.get(freedom.saturating_sub(1)).copied().unwrap_or(1.96 + 2.6 / freedom as f64)
}

/// Seconds and bytes per item as learned so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned {
    pub(crate) items: usize,
    /// Seconds in the function, summed over all threads.
    pub(crate) seconds: f64,
    /// Bytes of all results.
    pub(crate) bytes: u64,
    /// The largest result seen.
    pub(crate) largest: u64,
    /// The most working memory of a call seen.
    pub(crate) most_working: u64,
    /// The most working memory of a call, by any measure, in the reported part of the run.
    pub(crate) part_working: u64,
    /// Working memory to expect of a call, in bytes.
    expected_working: f64,
    /// Working memory of a call by resident memory, in bytes, now and at most.
    resident_working: u64,
    most_resident_working: u64,
    /// Seconds per item of late.
    recent_seconds: f64,
    /// Bytes to expect per item. A figure from resident memory replaces it.
    pub(crate) expected_bytes: f64,
    /// Seconds per item to take it from the input and to hand its result over.
    pub(crate) handling: f64,
    /// The time for which calls wait.
    pub(crate) waits: Waits,
    /// Seconds per item of the fastest and the slowest stretch; their ratio tells if a mean can be
    /// trusted.
    fastest: f64,
    slowest: f64,
    /// The prediction from the sample, if one was asked for.
    pub(crate) spread: Spread,
}

impl Learned {
    pub(crate) fn add(&mut self, stretch: Stretch) {
        if stretch.items == 0 {
            return;
        }
        let items = stretch.items as f64;
        let seconds = stretch.seconds / items;
        let bytes = stretch.bytes as f64 / items;
        let working = stretch.working as f64;
        if self.items == 0 {
            (self.recent_seconds, self.expected_bytes, self.expected_working) = (seconds, bytes, working);
            (self.fastest, self.slowest) = (seconds, seconds);
        } else {
            follow(&mut self.recent_seconds, seconds);
            // Expecting too few bytes would start too many items, so growth counts at once and
            // shrinking slowly.
            let believe = |expected: &mut f64, seen: f64| {
                let weight = if seen > *expected { 1.0 } else { 0.125 };
                *expected += weight * (seen - *expected);
            };
            believe(&mut self.expected_bytes, bytes);
            believe(&mut self.expected_working, working);
            self.fastest = self.fastest.min(seconds);
            self.slowest = self.slowest.max(seconds);
        }
        self.items += stretch.items;
        self.seconds += stretch.seconds;
        self.bytes = self.bytes.saturating_add(stretch.bytes);
        self.largest = self.largest.max(stretch.largest);
        self.most_working = self.most_working.max(stretch.working);
        self.part_working = self.part_working.max(stretch.working);
    }

    /// Seconds per item over everything so far.
    pub(crate) fn seconds_per_item(&self) -> f64 {
        if self.items == 0 { 0.0 } else { self.seconds / self.items as f64 }
    }

    /// Seconds per item of late.
    pub(crate) fn recent_seconds(&self) -> f64 {
        self.recent_seconds
    }

    /// Bytes to take credit for, per item.
    pub(crate) fn expected_bytes(&self) -> u64 {
        self.expected_bytes.ceil() as u64
    }

    /// Bytes of working memory to take credit for, in addition, for each call in flight.
    pub(crate) fn expected_working(&self) -> u64 {
        self.measured_working().max(self.resident_working)
    }

    /// The working memory of a call as measured call by call, not by resident memory.
    pub(crate) fn measured_working(&self) -> u64 {
        self.expected_working.ceil() as u64
    }

    /// Takes over a call's working memory from resident memory: the bytes to expect, and the part
    /// of them that a round of calls has confirmed.
    pub(crate) fn expect_working(&mut self, bytes: u64, confirmed: u64) {
        self.resident_working = bytes;
        self.most_resident_working = self.most_resident_working.max(confirmed);
        self.part_working = self.part_working.max(confirmed);
    }

    /// Takes over the working memory of the largest of several calls.
    pub(crate) fn expect_most_working(&mut self, bytes: u64) {
        let most = bytes.max(self.resident_working);
        self.expect_working(most, most);
    }

    /// The working memory of a call by resident memory, if any.
    pub(crate) fn resident_working(&self) -> Option<u64> {
        Some(self.resident_working).filter(|&bytes| bytes > 0)
    }

    /// The most working memory of a call, by any measure.
    pub(crate) fn most_working_by_any_means(&self) -> u64 {
        self.most_working.max(self.most_resident_working)
    }

    /// The difference from an earlier state, for a report; expectations stay those of the whole
    /// run.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            items: self.items.saturating_sub(before.items),
            seconds: (self.seconds - before.seconds).max(0.0),
            bytes: self.bytes.saturating_sub(before.bytes),
            waits: self.waits.since(&before.waits),
            ..self.clone()
        }
    }

    /// The sums of this run and of the next one, for a report; expectations are those of the next.
    #[cfg(feature = "array")]
    pub(crate) fn and(&self, next: &Self) -> Self {
        Self {
            items: self.items + next.items,
            seconds: self.seconds + next.seconds,
            bytes: self.bytes + next.bytes,
            largest: self.largest.max(next.largest),
            most_working: self.most_working.max(next.most_working),
            part_working: self.part_working.max(next.part_working),
            waits: self.waits.and(&next.waits),
            ..next.clone()
        }
    }

    /// Seconds for which a call keeps cores busy, of late.
    pub(crate) fn seconds_on_cores(&self, cores: usize) -> f64 {
        let busy = self.waits.cores_of_a_call(cores).unwrap_or(0.0).max(self.waits.on_cores());
        busy * self.recent_seconds
    }

    /// True if single items differ too much for a mean to say much.
    pub(crate) fn is_uneven(&self) -> bool {
        // Amorsize calls a workload heterogeneous from a coefficient of variation of 0.5; for two
        // values that is a ratio of 3.
        self.slowest > 3.0 * self.fastest && self.slowest > TIMED_ALONE.as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
