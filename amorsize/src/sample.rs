//! What is learned of a function: seconds and bytes per item, from the sample at first and from the whole run after it.

use std::time::{Duration, Instant};

use crate::page_faults::{Faults, PAGE};
use crate::thread_time::{self, Queue};
use crate::waits::Waits;

/// A call that takes less than this is not timed alone: reading the clock twice costs about 46 ns, so it would be off by more
/// than a twentieth.
pub(crate) const TIMED_ALONE: Duration = Duration::from_micros(1);

/// What one stretch of consecutive items took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) items: usize,
    /// Seconds in the function.
    pub(crate) seconds: f64,
    /// Bytes of the results, each with its own size.
    pub(crate) bytes: u64,
    /// The largest result.
    pub(crate) largest: u64,
    /// The most that a call needed while it ran, beside what its result kept of it.
    pub(crate) working: u64,
}

impl Stretch {
    /// Both, one after the other.
    pub(crate) fn and(self, next: Self) -> Self {
        Self {
            items: self.items + next.items,
            seconds: self.seconds + next.seconds,
            bytes: self.bytes + next.bytes,
            largest: self.largest.max(next.largest),
            working: self.working.max(next.working),
        }
    }
}

/// What a stretch of the sample took, for each of its items.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampled {
    pub(crate) items: usize,
    /// Seconds of a call, with those that follow.
    pub(crate) seconds: f64,
    /// Of them in the queue for a core, which others had.
    pub(crate) queued: f64,
    /// Of them to be given pages that its result keeps.
    pub(crate) fresh: f64,
    /// Seconds to take an item from the input and to hand its result over, as far as they are not among them.
    pub(crate) handling: f64,
}

impl Sampled {
    /// A stretch of less than this is not made better by taking off it what it was queued: the switch to another thread and back, and
    /// the caches that are to be filled again, are a large part of it.
    const SHORT: f64 = 100e-6;

    /// Seconds of a call that has a core for itself and memory that was used before; `None` where that can't be told.
    fn undisturbed(&self) -> Option<f64> {
        let own = self.seconds - self.queued;
        let is_spoilt = self.queued > 0.0 && own * (self.items as f64) < Self::SHORT;
        // However much its pages took, the call has written to them.
        (!is_spoilt).then(|| (own - self.fresh).max(LEAST_OF_FRESH * own))
    }
}

/// What is left of a call's seconds at least when those for fresh pages are taken off: the price of a page is an estimate, and a call that
/// fills them does something.
const LEAST_OF_FRESH: f64 = 0.1;

/// What a call's time goes to beside the call, looked at between the calls of a sample.
#[derive(Debug)]
pub(crate) struct Beside {
    queue: Option<Queue>,
    /// Seconds in the queue, and how often the thread got a core, before the stretch.
    before: Option<(f64, u64)>,
    /// Whether the first stretch is over, of which nothing else counts.
    is_begun: bool,
    /// Calls whose wakes were counted, and the wakes.
    woken: (usize, u64),
    faults: Option<Faults>,
    counted: Option<u64>,
    /// Seconds of a page fault, once it is needed.
    fault_seconds: Option<f64>,
    /// Seconds that a look at the clock takes, which are among those of what is timed alone.
    clock: f64,
}

impl Beside {
    /// Takes 6 us.
    pub(crate) fn begin() -> Self {
        let once = |_| {
            let begun = Instant::now();
            begun.elapsed().as_secs_f64()
        };
        let clock = (0..5).map(once).fold(f64::INFINITY, f64::min);
        let queue = thread_time::queue();
        Self {
            queue,
            before: None,
            is_begun: false,
            woken: (0, 0),
            faults: None,
            counted: None,
            fault_seconds: None,
            clock,
        }
    }

    /// Looks before a stretch of calls whose results are expected to take so many bytes each: 0.7 us, and 2.6 us more where they have
    /// pages of their own.
    pub(crate) fn look(&mut self, bytes: u64) {
        if bytes >= PAGE && self.faults.is_none() {
            self.faults = Faults::open();
        }
        self.counted = self.faults.as_ref().filter(|_| bytes >= PAGE).and_then(Faults::count);
        self.before = self.queue.as_ref().and_then(Queue::so_far);
    }

    /// Looks after it: so many items, whose results keep `bytes` in all, and what each took by the clock.
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
        // What a call needs while it runs it gives back, and another gets it again.
        let faults = self.faults.as_ref().and_then(Faults::count).zip(self.counted);
        let faults = faults.map_or(0, |(now, then)| now.saturating_sub(then)).min(bytes / PAGE);
        let is_timed_alone = seconds >= TIMED_ALONE.as_secs_f64();
        let seconds = if is_timed_alone { seconds - self.clock * each } else { seconds };
        let fresh = faults as f64 * each * self.seconds_of_faults(faults as f64 * each, seconds);
        Sampled { items, seconds, queued: queued * each, fresh, handling }
    }

    /// Makes of what calls waited in the sample what they will among others.
    pub(crate) fn settle(&self, waits: &mut Waits) {
        let (calls, woken) = self.woken;
        if waits.are_long()
            && woken > 0
            && let Some(wake) = thread_time::seconds_of_a_wake()
        {
            waits.take_off_wakes(calls as f64, woken as f64 / calls as f64, wake);
        }
    }

    /// Seconds of a page fault. It is tried where they could matter.
    fn seconds_of_faults(&mut self, faults: f64, seconds: f64) -> f64 {
        if faults * FAULT_SECONDS < MATTERS * seconds {
            return self.fault_seconds.unwrap_or(FAULT_SECONDS);
        }
        let tried = || self.faults.as_ref().and_then(Faults::seconds_of_one).unwrap_or(FAULT_SECONDS);
        *self.fault_seconds.get_or_insert_with(tried)
    }
}

/// Seconds of a page fault where it can't be tried: measured on a virtual machine, for 4 KiB.
const FAULT_SECONDS: f64 = 2e-6;
/// Page faults that take less than this part of a call's time by that are not worth 60 us to know it better.
const MATTERS: f64 = 0.02;

/// What the sampled items' seconds say of those of the others.
///
/// The first stretch is left out, whatever it took. A first call is slower for reasons that no other has: it touches code, caches and
/// memory for the first time, and sets up what is set up once. That is why benchmarks warm up. Left out only when it was slow, the
/// mean of what is left would be too low for calls whose seconds differ by themselves; left out always, it is as true as before.
///
/// What other programs took of a call's time is left out too, and what it took to have fresh pages for its result.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    /// Items that were sampled, those of the first stretch among them.
    sampled: usize,
    /// Stretches behind the first, their items, and the mean of their seconds per item.
    stretches: usize,
    items: f64,
    mean: f64,
    /// Squares of what stretches differed from the mean by, each times its items.
    squares: f64,
    /// The slowest stretch, per item.
    most: f64,
    /// The mean of the items' places in the input, the squares of what places differed from it by, and the products of that and of
    /// what seconds differed by, each times its items: for a line through the seconds.
    place: f64,
    place_squares: f64,
    products: f64,
    /// The mean of seconds per item for fresh pages.
    fresh: f64,
    /// Seconds of all stretches behind the first, and of them in the queue.
    all: f64,
    queued: f64,
    handling: Option<f64>,
    /// On how many threads calls took how many times as long as alone, where they were seen to.
    together: Option<(usize, f64)>,
    at_once: f64,
}

impl Spread {
    /// Adds a stretch of the sample.
    pub(crate) fn add(&mut self, stretch: Sampled) {
        let items = stretch.items;
        self.sampled += items;
        if self.sampled == items || items == 0 {
            return;
        }
        // A stretch has costs of its own beside those of its items, so the least is the nearest.
        self.handling = Some(self.handling.map_or(stretch.handling, |least| least.min(stretch.handling)));
        self.all += stretch.seconds * items as f64;
        self.queued += stretch.queued.min(stretch.seconds) * items as f64;
        let Some(seconds_per_item) = stretch.undisturbed() else { return };
        // West's way to a weighted variance, which takes no difference of large numbers.
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

    /// Adds calls that ran at the same time, each for so many seconds and so many of them queued for a core, and all within `wall` seconds.
    pub(crate) fn add_together(&mut self, each: &[(f64, f64)], wall: f64) {
        // Whether they run at the same time or not, the same calls differ by so much.
        const CHANCE: f64 = 1.1;
        let Some(alone) = self.mean() else { return };
        self.at_once += each.iter().map(|(seconds, _)| seconds).sum::<f64>() - wall;
        // Each result is in fresh memory too. The fastest had the least to do with other programs.
        let fresh = self.fresh;
        // Threads that are only just awake may have one core together until the system finds that another one idles.
        let own = |(seconds, queued): (f64, f64)| (seconds - queued - fresh).max(0.0);
        let times = each.iter().copied().map(own).fold(f64::INFINITY, f64::min) / alone.max(1e-10);
        let times = if times > CHANCE { times } else { 1.0 };
        for &call in each {
            let seconds = (own(call) + fresh) / times;
            // What they took beside is not known, and to be no less than that of the others.
            let handling = self.handling.unwrap_or_default();
            self.add(Sampled { items: 1, seconds, queued: 0.0, fresh: fresh / times, handling });
        }
        if times > 1.0 {
            self.together = Some((each.len(), times));
        }
    }

    /// Seconds of sampled calls that ran while others did.
    pub(crate) fn at_once(&self) -> f64 {
        self.at_once
    }

    /// How many ran at the same time, and how many times as long as alone they took, where that was more than chance.
    pub(crate) fn together(&self) -> Option<(usize, f64)> {
        self.together
    }

    /// How many times as long calls are expected to take on so many threads as alone: what two threads have to share, each further
    /// one has to share with them.
    pub(crate) fn slower_on(&self, threads: usize) -> f64 {
        match self.together {
            Some((at_a_time, times)) if threads > 1 => {
                1.0 + (times - 1.0) * (threads - 1) as f64 / (at_a_time - 1) as f64
            }
            _ => 1.0,
        }
    }

    /// Seconds per item for fresh pages, which are not in the others.
    pub(crate) fn fresh(&self) -> f64 {
        self.fresh
    }

    /// The part of the sample's time in which other programs had the cores.
    pub(crate) fn queued(&self) -> f64 {
        if self.all > 0.0 { self.queued / self.all } else { 0.0 }
    }

    /// Seconds per item to take it from the input and to hand its result over, as far as they are not in the mean.
    pub(crate) fn handling(&self) -> Option<f64> {
        self.handling
    }

    pub(crate) fn sampled(&self) -> usize {
        self.sampled
    }

    /// Seconds per item to expect, if there was more than the first stretch.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.stretches > 0).then_some(self.mean)
    }

    /// Seconds of the slowest.
    pub(crate) fn most(&self) -> f64 {
        self.most
    }

    /// By how much the mean of `remaining` further items is expected to differ from that of the sampled ones at most, as a part of
    /// it, in 19 of 20 cases: Student's interval for the mean of further values. `None` where one stretch is all there is.
    fn margin(&self, remaining: f64) -> Option<f64> {
        let freedom = self.stretches.checked_sub(1).filter(|&freedom| freedom > 0)?;
        let variance = self.squares / freedom as f64;
        let half = students(freedom) * (variance * (1.0 / self.items + 1.0 / remaining.max(1.0))).sqrt();
        Some(half / self.mean.max(1e-10))
    }

    /// By how much further items take longer on average than the sampled ones, or less, as a part of that, if it goes on as it went
    /// in the sample. `None` where nothing shows that it is more than chance.
    fn trend(&self, remaining: f64) -> Option<f64> {
        // Of fewer stretches a line says little, and warming caches make the first ones slower one by one.
        const LEAST: usize = 10;
        // By Student's t, chance alone does it in 1 of 1,000 samples of ten stretches, and in 1 of 30,000 of thirty.
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

    /// Between which parts of the sampled items' mean that of `remaining` further items can be expected to lie.
    pub(crate) fn ends(&self, remaining: f64) -> Option<(f64, f64)> {
        let margin = self.margin(remaining)?;
        // Calls that got slower, or faster, one by one may go on so, or not.
        let trend = self.trend(remaining).unwrap_or(0.0);
        Some(((1.0 + trend.min(0.0) - margin).max(0.0), 1.0 + trend.max(0.0) + margin))
    }

    /// A kind of items that makes less than one in so many is missing from such a sample in more than 1 of 20 cases.
    pub(crate) fn rarest(&self) -> usize {
        // The "rule of three" of statistics, without its approximation, which is bad for small samples.
        (1.0 / (1.0 - 0.05f64.powf(1.0 / self.items.max(1.0)))).round() as usize
    }
}

/// The value that Student's t exceeds, on either side, in 1 of 20 cases.
fn students(freedom: usize) -> f64 {
    const FEW: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    // Within 0.01 of the tables beyond those.
    FEW.get(freedom.saturating_sub(1)).copied().unwrap_or(1.96 + 2.6 / freedom as f64)
}

/// Seconds and bytes per item as learned so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned {
    pub(crate) items: usize,
    /// Seconds that the function took in all, over all threads.
    pub(crate) seconds: f64,
    /// Bytes of all results.
    pub(crate) bytes: u64,
    /// The largest result seen.
    pub(crate) largest: u64,
    /// The most working memory of a call seen.
    pub(crate) most_working: u64,
    /// The same by all means, of the part of the run that is reported.
    part_working: u64,
    /// Bytes of working memory to expect of a call.
    expected_working: f64,
    /// Bytes of working memory of a call as resident memory tells them, now and at most.
    resident_working: u64,
    most_resident_working: u64,
    /// Seconds per item of late.
    recent_seconds: f64,
    /// Bytes per item to expect.
    expected_bytes: f64,
    /// Seconds per item to take an item from the input and to hand its result over.
    pub(crate) handling: f64,
    /// How much of their time calls wait.
    pub(crate) waits: Waits,
    /// Seconds per item of the first and of the slowest stretch; their spread tells whether a mean can be trusted.
    fastest: f64,
    slowest: f64,
    /// Of the sample, where one was asked for.
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
            // A quarter of the new to three quarters of the old follows a change within a few chunks and still evens out
            // single outliers; joblib smooths its batch durations with a fifth.
            self.recent_seconds += 0.25 * (seconds - self.recent_seconds);
            // Too few bytes expected would start too many items, so growth is believed at once and shrinking slowly.
            let follow = |expected: &mut f64, seen: f64| {
                let weight = if seen > *expected { 1.0 } else { 0.125 };
                *expected += weight * (seen - *expected);
            };
            follow(&mut self.expected_bytes, bytes);
            follow(&mut self.expected_working, working);
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

    /// Replaces the bytes per item by what resident memory says.
    pub(crate) fn expect_bytes(&mut self, bytes: f64) {
        self.expected_bytes = bytes;
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

    /// Bytes to take credit for beside that, for each call in flight.
    pub(crate) fn expected_working(&self) -> u64 {
        self.measured_working().max(self.resident_working)
    }

    /// The part of it that was measured call by call, rather than told by resident memory.
    pub(crate) fn measured_working(&self) -> u64 {
        self.expected_working.ceil() as u64
    }

    /// Believes what resident memory tells of a call's working memory: to expect of one, and as far as a round of calls has
    /// confirmed it.
    pub(crate) fn expect_working(&mut self, bytes: u64, confirmed: u64) {
        self.resident_working = bytes;
        self.most_resident_working = self.most_resident_working.max(confirmed);
        self.part_working = self.part_working.max(confirmed);
    }

    /// The same, of one of several calls.
    pub(crate) fn expect_most_working(&mut self, bytes: u64) {
        let most = bytes.max(self.resident_working);
        self.expect_working(most, most);
    }

    /// What resident memory tells of a call's working memory, if anything.
    pub(crate) fn resident_working(&self) -> Option<u64> {
        Some(self.resident_working).filter(|&bytes| bytes > 0)
    }

    /// The most working memory of a call, by all means.
    pub(crate) fn most_working_by_any_means(&self) -> u64 {
        self.most_working.max(self.most_resident_working)
    }

    /// The same, of the part of the run that is reported.
    pub(crate) fn working_of_part(&self) -> u64 {
        self.part_working
    }

    /// Begins a part of the run that is reported for itself.
    pub(crate) fn begin_part(&mut self) {
        self.part_working = 0;
    }

    /// What was learned since then, for a report: expectations are of all.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            items: self.items.saturating_sub(before.items),
            seconds: (self.seconds - before.seconds).max(0.0),
            bytes: self.bytes.saturating_sub(before.bytes),
            waits: self.waits.since(&before.waits),
            ..self.clone()
        }
    }

    /// Seconds that a call keeps cores busy, of late.
    pub(crate) fn seconds_on_cores(&self, cores: usize) -> f64 {
        let busy = self.waits.cores_of_a_call(cores).unwrap_or(0.0).max(self.waits.on_cores());
        busy * self.recent_seconds
    }

    /// Whether single items differ so much that a mean says little.
    pub(crate) fn is_uneven(&self) -> bool {
        // Amorsize calls a workload heterogeneous from a coefficient of variation of 0.5; for two values that is a ratio of 3.
        self.slowest > 3.0 * self.fastest && self.slowest > TIMED_ALONE.as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
