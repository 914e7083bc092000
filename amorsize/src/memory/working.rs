//! Working memory of calls, learned from the process's resident memory.
//!
//! The program needs no special allocator: growth of the process beyond the bytes that the run
//! holds belongs to the calls in flight. A look at resident memory divides this excess by the
//! number of calls in flight. The quotient is the credit that a call takes for its working memory.
//!
//! # The number of calls in flight
//!
//! - A call can't write more than its time on a core allows ([`BYTES_PER_SECOND`]). If the calls of
//!   all threads could need only a small part of the budget, their number is not bounded.
//! - Otherwise the number of calls in flight begins with one or two. It doubles when a round of
//!   calls has ended and a look saw the growth of the process with that number in flight.
//! - When the process grows beyond what the calls seen so far explain, no call starts until those
//!   in flight have ended. The bytes that these needed are the working memory to expect from then
//!   on.
//!
//! # Items that can't be measured
//!
//! If an item owns something and its type does not tell how much, a run learns its bytes in the
//! same way as those of calls. It bounds the number of such items between the input and the end of
//! their calls: when a round of them has ended, twice as many may be taken. If results can't be
//! measured, these are the items between the input and the sink.
//!
//! # Bytes that don't belong to the calls
//!
//! When no call is in flight, the rest of the excess belongs to the sink (up to the bytes that it
//! was handed), to the allocator (up to the bytes that calls needed before), or to other threads.
//! The allocator's bytes stay in the excess, since the process has them because of the calls. The
//! others raise the floor that the excess is measured from. If a sink kept a part of its bytes, it
//! is expected to keep the same part of later ones.

use crate::units::ByteSize;
use crate::units::mean::follow;

/// The most bytes that a call writes in a second on a core. One core of an AMD EPYC filled memory
/// in its cache with 31 to 41 GB/s, fresh memory with 1 to 2, and in huge pages with 7.
const BYTES_PER_SECOND: f64 = 40e9;
/// Less than 1/32 of the budget does not matter. It has room for calls that all together could need
/// less many times over, and the bound on their bytes is an upper one. A smaller growth can come
/// from anywhere: stacks, code, the allocator's own.
pub(super) const SMALL_PART: u64 = 32;
/// The least growth of the process, in bytes, that counts: the kernel counts pages for each core,
/// and adds them up now and then.
pub(crate) const NOISE: u64 = 1 << 20;
/// Calls count as heavier from this many times the bytes known of them.
const USUAL: f64 = 1.25;
/// Results, and calls that begin together, leave 1/4 of a budget free, so that resident memory
/// keeps the budget too. Allocators need 11 to 21 % more than they are asked for (mimalloc, results
/// of 4 KiB to 1 MiB), and a third more while results grow, because gaps of the old sizes stay
/// empty (`cargo bench --bench peak_memory`). More bytes in flight would only even out the pace of
/// a sink, for which seven batches are enough. Inputs may take as much of what is free: their
/// results need room too.
pub(crate) const HEADROOM_PART: u64 = 4;
/// A batch takes at most 1/8 of the budget, because one batch is with the sink while the next ones
/// are made. So do the chunks of all threads, and results that are encoded and not written.
pub(crate) const BATCH_PART: u64 = 8;
/// Calls in flight before the process's growth has confirmed any number: two threads lose nothing
/// by it, and two calls at a time show whether their bytes add up.
const FIRST: usize = 2;
/// The number of calls after which further ones count as alike: if none of `n` calls was different,
/// fewer than 3 of `n` are, with a certainty of 95 % (the "rule of three").
const SURE_AFTER: f64 = 64.0;
/// After few calls the next ones may need this many times as much, so only as many are in flight as
/// would fit then.
const UNSURE: f64 = 5.0;

/// Calls that wait may start together before anything is known of them, as many as fit the budget
/// at this many bytes each: a photo of ten megapixels, decoded.
const PRESUMED: u64 = 32 << 20;

/// Calls in flight when resident memory was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    /// Calls that run now, and the most at a time since the last look.
    pub(crate) running: usize,
    pub(crate) most_running: usize,
    /// Credit of the running calls for their results.
    pub(crate) results: u64,
    /// Bytes held beside the credit of running calls: inputs that can be measured, and results not
    /// handed over.
    pub(crate) known: u64,
    /// Chunks that have ended.
    pub(crate) ended: usize,
    /// Bytes of results that were handed over.
    pub(crate) handed_over: u64,
    /// Seconds that a call is on a core, or on several.
    pub(crate) seconds: f64,
    /// Threads that the run may use.
    pub(crate) threads: usize,
    /// Items that can't be measured, if any.
    pub(crate) items: Option<Items>,
    /// Known only while no call has ended: true if those in flight do nothing but wait.
    pub(crate) only_wait: Option<bool>,
}

/// Items that can't be measured, between the input and the end of their calls; if results can't be
/// measured, between the input and the sink.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Items {
    /// Now, and the most since the last look.
    pub(crate) now: usize,
    pub(crate) most: usize,
    /// Items with calls that have ended.
    pub(crate) ended: usize,
    /// The items that the run would take if each owned nothing.
    pub(crate) wanted: usize,
    /// Seconds to get an item from the input.
    pub(crate) seconds: f64,
    /// True if results that can't be measured are among them.
    pub(crate) have_results: bool,
}

/// The resident bytes of the process, now and at the peak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) now: u64,
    /// At least `now`; equal to `now` if the system does not tell the peak.
    pub(crate) peak: u64,
}

/// The number of calls and items that may be in flight, and the credit that each takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// 0 lets a call start only when no other runs.
    pub(crate) calls: usize,
    /// Working memory to expect of a call, and the part of it that a round of calls has confirmed.
    pub(crate) working: u64,
    pub(crate) confirmed: u64,
    /// Items that can't be measured, and the bytes of each.
    pub(crate) items: usize,
    pub(crate) item: u64,
}

impl Bounds {
    /// No bounds at all.
    pub(crate) const NONE: Self = Self { calls: usize::MAX, working: 0, confirmed: 0, items: usize::MAX, item: 0 };

    /// True if one more call may start beside `running` ones.
    pub(crate) fn allows(&self, running: usize) -> bool {
        running < self.calls.max(1)
    }

    /// True if anything is bounded, so that the growth of the process must be followed.
    pub(crate) fn is_bounded(&self) -> bool {
        self.calls != usize::MAX || self.items != usize::MAX
    }
}

/// Bytes of the process that the run does not account for, and the calls or items in flight with
/// them.
#[derive(Clone, Copy, Debug, Default)]
struct Excess {
    bytes: u64,
    units: usize,
}

impl Excess {
    fn per_unit(self) -> f64 {
        self.bytes as f64 / self.units.max(1) as f64
    }
}

/// A number of calls or items that doubles each time that the growth of the process confirms it.
#[derive(Debug, Default)]
struct Ramp {
    /// The number that may be in flight; 0 before the first round.
    level: usize,
    /// Bytes of each one that a round, or a look without calls, has confirmed.
    confirmed: Option<f64>,
    /// The highest excess in the round.
    seen: Excess,
    /// The most in flight in the round.
    most: usize,
    /// The number of ended ones at which the round is over.
    ends: usize,
}

impl Ramp {
    fn begin_round(&mut self, level: usize, (in_flight, ended): (usize, usize)) {
        self.level = level;
        self.ends = ended.saturating_add(in_flight).saturating_add(level);
        self.seen = Excess::default();
        self.most = in_flight;
    }

    fn look(&mut self, seen: Excess) {
        self.most = self.most.max(seen.units);
        if seen.units > 0 && seen.per_unit() > self.seen.per_unit() {
            self.seen = seen;
        }
    }

    /// Ends the round if it is over.
    fn follow(&mut self, most: usize, now: (usize, usize)) {
        if now.1 < self.ends {
            return;
        }
        let seen = self.seen.per_unit();
        self.confirmed = Some(match self.confirmed {
            // The run remembers a heavy call for some rounds that need less.
            Some(mut known) if seen < known => {
                follow(&mut known, seen);
                known
            }
            _ => seen,
        });
        let was_used = self.most >= self.level;
        let level = if was_used { self.level.saturating_mul(2) } else { self.level };
        self.begin_round(level.min(most), now);
    }

    /// Subtracts bytes that prove not to belong to these calls or items.
    fn take_back(&mut self, bytes: u64) {
        self.seen.bytes = self.seen.bytes.saturating_sub(bytes);
    }
}

/// Learns the working memory of calls, and the bytes of items that can't be measured.
#[derive(Debug, Default)]
pub(crate) struct Working {
    budget: u64,
    /// Resident memory that does not belong to the run.
    floor: u64,
    /// The process's peak at the last look. A peak that has not moved since belongs to earlier
    /// work.
    last_peak: Option<u64>,
    /// The most bytes that the first call can have needed, before anything is confirmed.
    guess: Option<f64>,
    calls: Ramp,
    items: Ramp,
    /// The most calls in flight so far.
    most_ever: usize,
    /// True if no call may start until the calls in flight, which are heavier than earlier ones,
    /// have ended.
    is_held: bool,
    /// Bytes that had been handed over when no call was last in flight.
    handed_over: u64,
    /// The part of these bytes that the sink kept; `None` before a look saw it.
    kept_part: Option<f64>,
}

impl Working {
    /// Begins in a process with `resident` bytes, of them `held` of the run.
    pub(crate) fn new(budget: u64, resident: u64, held: u64) -> Self {
        Self { budget, floor: resident.saturating_sub(held), ..Self::default() }
    }

    fn is_small(&self, each: u64, number: usize) -> bool {
        each as f64 * number as f64 <= self.small() as f64
    }

    /// Bytes that don't matter.
    fn small(&self) -> u64 {
        self.budget / SMALL_PART
    }

    /// Bytes for results and calls in flight: the rest is for the allocator's overhead.
    fn room(&self) -> f64 {
        (self.budget - self.budget / HEADROOM_PART) as f64
    }

    /// True if the calls of all threads, or the items in flight, could need enough that their
    /// number matters.
    pub(crate) fn matters(&self, calls: &Calls) -> bool {
        let items_matter = || calls.items.is_some_and(|items| self.matter(&items, calls));
        calls.only_wait.is_some() || !self.is_small(bound(calls.seconds), calls.threads) || items_matter()
    }

    fn matter(&self, items: &Items, calls: &Calls) -> bool {
        !self.is_small(bound(items.seconds + calls.seconds), items.wanted.max(items.now))
    }

    /// The working memory that a call is expected to need; `None` if nothing was seen.
    pub(crate) fn expected(&self) -> Option<ByteSize> {
        let known = self.calls.confirmed.or(self.guess)?;
        Some(ByteSize::from_f64(known.max(self.calls.seen.per_unit())))
    }

    /// True if calls that were heavier than known have ended: now a look can tell the bytes that
    /// they needed from those that the allocator keeps.
    pub(crate) fn awaits_rest(&self, calls: &Calls) -> bool {
        self.is_held && calls.running == 0
    }

    /// Restarts from the process's present memory: the run's results are its caller's now.
    pub(crate) fn rebase(&mut self, resident: u64, held: u64) {
        self.floor = resident.saturating_sub(held);
        self.calls.seen = Excess::default();
        self.items.seen = Excess::default();
    }

    /// Notes the bytes that a call of the sample needed. It ran alone.
    pub(crate) fn sampled(&mut self, bytes: u64) {
        let bytes = bytes as f64;
        self.calls.confirmed = Some(self.calls.confirmed.map_or(bytes, |known| known.max(bytes)));
    }

    /// Looks at resident memory while calls run.
    pub(crate) fn look(&mut self, resident: Resident, calls: &Calls) -> Bounds {
        self.most_ever = self.most_ever.max(calls.most_running);
        if !self.matters(calls) {
            // Calls that matter only later start from the peak of this look.
            self.last_peak = Some(resident.peak);
            return Bounds::NONE;
        }
        let peak = match self.last_peak.replace(resident.peak) {
            // A peak that has moved comes from these calls.
            Some(before) if resident.peak > before => resident.peak,
            Some(_) => resident.now,
            None => {
                let freed = (resident.peak - resident.now).min(bound(calls.seconds));
                self.guess = Some(freed as f64).filter(|&freed| freed > 0.0);
                resident.now
            }
        };
        let kept = self.kept_part.unwrap_or(0.0) * self.handed_since(calls) as f64;
        let floor = self.floor.saturating_add(kept as u64);
        let excess = peak.saturating_sub(floor.saturating_add(calls.known));
        let excess = if excess < NOISE { 0 } else { excess };
        if let Some(only_wait) = calls.only_wait {
            return self.first_bounds(only_wait, excess, calls);
        }
        let mut found = self.look_at_calls(excess, resident.now, calls);
        if let Some(items) = calls.items.filter(|items| self.matter(items, calls)) {
            self.look_at_items(excess, &items, calls, &mut found);
        }
        found
    }

    /// The number of calls in flight while nothing is known. If those only wait, more may start,
    /// as many as fit the budget if each grows beyond all that the process has grown for it so far.
    fn first_bounds(&self, only_wait: bool, excess: u64, calls: &Calls) -> Bounds {
        let seen = Excess { bytes: excess, units: calls.running };
        let each = PRESUMED.max((UNSURE * seen.per_unit()) as u64);
        let fitting = usize::try_from(self.budget / each).unwrap_or(usize::MAX);
        let most = if only_wait { fitting.min(calls.threads) } else { 0 };
        let items = calls.items.map_or(usize::MAX, |_| FIRST * calls.threads);
        Bounds { calls: most.max(FIRST), items, ..Bounds::NONE }
    }

    fn look_at_calls(&mut self, excess: u64, resident: u64, calls: &Calls) -> Bounds {
        let bound = bound(calls.seconds);
        let now = (calls.running, calls.ended);
        if self.calls.level == 0 {
            self.calls.begin_round(self.first_level(bound), now);
        }
        let in_flight = calls.most_running.max(calls.running);
        let most = bound.saturating_mul(in_flight as u64);
        let bytes = excess.saturating_sub(calls.results).min(most);
        // The allocator keeps memory for calls that have ended, so they share the excess. Calls
        // that the run waits for because they need more account for it alone.
        let units = if self.is_held { in_flight } else { in_flight.max(self.most_ever.min(self.calls.level)) };
        self.calls.look(Excess { bytes, units: if in_flight == 0 { 0 } else { units } });
        if calls.running == 0 {
            self.rest(resident, calls);
        } else if !self.is_held {
            let explained = USUAL * (self.most_ever as f64 * self.known() + calls.results as f64);
            let noise = self.small();
            let is_known = self.calls.confirmed.or(self.guess).is_some();
            let is_heavier = is_known && excess as f64 > explained + noise as f64;
            // These bytes may be the sink's; only a look at a time without calls can tell.
            let handed_over = self.handed_since(calls);
            let may_be_kept = match self.kept_part {
                None => excess > noise && handed_over >= excess / 2,
                // Unchecked, the bytes that the sink is expected to keep could hide bytes that
                // calls need.
                Some(part) => part * handed_over as f64 > (self.budget / HEADROOM_PART) as f64,
            };
            // Inputs that can't be measured explain an unknown number of bytes.
            self.is_held = may_be_kept || (is_heavier && calls.items.is_none());
        }
        if !self.is_held {
            self.calls.follow(calls.threads.max(FIRST), now);
        }
        let working = (self.known().max(self.calls.seen.per_unit()) as u64).min(bound);
        let most = if self.is_held { 0 } else { self.calls.level.min(self.fitting(working, calls)) };
        let confirmed = self.calls.confirmed.map_or(0, |bytes| bytes as u64).min(bound);
        Bounds { calls: most, working, confirmed, ..Bounds::NONE }
    }

    fn look_at_items(&mut self, excess: u64, items: &Items, calls: &Calls, found: &mut Bounds) {
        let (bound, now) = (bound(items.seconds + calls.seconds), (items.now, items.ended));
        if self.items.level == 0 {
            self.items.begin_round(self.small_number(bound).max(FIRST * calls.threads), now);
        }
        let units = items.most.max(items.now);
        let bytes = excess.min(bound.saturating_mul(units as u64));
        self.items.look(Excess { bytes, units });
        self.items.follow(usize::MAX, now);
        let each = self.items.confirmed.unwrap_or(0.0).max(self.items.seen.per_unit());
        let room = if items.have_results { self.room() } else { (self.budget / HEADROOM_PART) as f64 };
        let fitting = (room / each.max(1.0)) as usize;
        found.items = self.items.level.min(fitting).max(1);
        found.item = each as u64;
    }

    /// The number of calls in flight at first: the number that can't matter, or two if these fit.
    fn first_level(&self, bound: u64) -> usize {
        let two_fit = self.known() * FIRST as f64 <= self.room();
        self.small_number(bound).max(if two_fit { FIRST } else { 1 })
    }

    /// The number of calls or items, of at most `bound` bytes each, that can't matter.
    fn small_number(&self, bound: u64) -> usize {
        (self.small() as f64 / bound.max(1) as f64) as usize
    }

    /// The number of calls that fit the budget, by the bytes that calls so far needed.
    fn fitting(&self, working: u64, calls: &Calls) -> usize {
        let margin = (SURE_AFTER / calls.ended.max(1) as f64).clamp(1.0, UNSURE);
        let room = self.room() / working.max(1) as f64;
        ((room / margin) as usize).max((room as usize).min(FIRST)).max(1)
    }

    fn known(&self) -> f64 {
        self.calls.confirmed.or(self.guess).unwrap_or(0.0)
    }

    /// Attributes the bytes that are left while no call is in flight.
    fn rest(&mut self, resident: u64, calls: &Calls) {
        let handed_over = self.handed_since(calls);
        let noise = self.small();
        match resident.checked_sub(self.floor.saturating_add(calls.known)) {
            None => {
                self.floor = resident.saturating_sub(calls.known);
                self.kept_part = Some(0.0);
            }
            Some(left) => {
                let kept = left.min(handed_over);
                // With few bytes it is too uncertain how many the sink kept.
                if handed_over > noise {
                    self.kept_part = Some(kept as f64 / handed_over as f64);
                }
                let of_allocator = USUAL * self.most_ever as f64 * self.known() + noise as f64;
                let others = (left - kept).saturating_sub(of_allocator as u64);
                self.floor = self.floor.saturating_add(kept).saturating_add(others);
                // No call is in flight, so none of this belonged to a heavier call.
                self.calls.take_back(if self.is_held { left } else { kept + others });
                self.items.take_back(kept + others);
            }
        }
        self.handed_over = calls.handed_over;
        if std::mem::take(&mut self.is_held) {
            let seen = self.calls.seen.per_unit();
            self.calls.confirmed = Some(self.calls.confirmed.map_or(seen, |known| known.max(seen)));
        }
    }

    /// Bytes that the sink was handed since no call was last in flight.
    fn handed_since(&self, calls: &Calls) -> u64 {
        calls.handed_over.saturating_sub(self.handed_over)
    }
}

/// The bytes that can be written in `seconds` at most.
pub(crate) fn bound(seconds: f64) -> u64 {
    (seconds * BYTES_PER_SECOND) as u64
}

#[cfg(test)]
mod tests;
