//! Working memory of calls, learned from the process's resident memory.
//!
//! No allocator of ours is needed: the process's growth beyond what the run holds belongs to the
//! calls in flight. A look at resident memory divides that excess by the calls in flight. The result
//! is the credit that a call takes for its working memory.
//!
//! # How many calls are in flight
//!
//! - A call can't write more than its time on a core allows ([`BYTES_PER_SECOND`]). Where all
//!   threads' calls could need only a small part of the budget, nothing is bounded.
//! - Otherwise calls in flight begin with one or two. Their number doubles when a round of calls has
//!   ended and the growth of the process was seen with as many in flight.
//! - When the process grows beyond what the calls seen so far explain, no call starts until those in
//!   flight have ended. What they needed is the working memory to expect from then on.
//!
//! # What is not the calls'
//!
//! When no call is in flight, what is left of the excess is the sink's (up to the bytes that it was
//! handed), the allocator's (up to what calls needed before), or another thread's. The sink's and
//! other threads' bytes move the floor that the excess is measured from. The allocator's stay in the
//! excess, as the process has them because of the calls.

use super::Bytes;

/// No call writes more in a second on a core: memory that lies in a cache was filled with 31 to
/// 41 GB/s, fresh memory with 1 to 2, in huge pages with 7 (one core of an AMD EPYC).
const BYTES_PER_SECOND: f64 = 40e9;
/// Calls that could together need less than this part of the budget are not bounded. The bound on a
/// call's bytes is an upper one already: fresh memory takes 5 to 30 times as long.
const SMALL_PART: f64 = 1.0 / 4.0;
/// Growth of this part of the budget can come from anywhere: stacks, code, the allocator's own.
const NOISE_PART: u64 = 32;
/// Calls may need this many times what is known of them before they count as heavier ones.
const USUAL: f64 = 1.25;
/// Working memory that was seen falls by this part in a round that needed less, so that a heavy
/// call is remembered for some rounds.
const FORGET: f64 = 0.25;
/// Calls in flight before the process's growth has confirmed any number: on two threads nothing is
/// lost, and two calls at a time show whether they add up.
const FIRST: usize = 2;

/// Calls in flight when resident memory was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    /// Calls that run now, and the most at a time since the last look.
    pub(crate) running: usize,
    pub(crate) most_running: usize,
    /// Credit of the running calls for their results.
    pub(crate) results: u64,
    /// Bytes held beside the credit of running calls: inputs, and results not handed over.
    pub(crate) known: u64,
    /// Chunks that have ended.
    pub(crate) ended: usize,
    /// Bytes of results that were handed over.
    pub(crate) handed_over: u64,
    /// Seconds that a call is on a core, or on several.
    pub(crate) seconds: f64,
    /// Threads that the run may use.
    pub(crate) threads: usize,
}

/// Bytes of the process that are resident, now and at most so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) now: u64,
    /// Not below `now`; the same as `now` where the system does not tell.
    pub(crate) peak: u64,
}

/// The number of calls that may be in flight, and what each takes credit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InFlight {
    /// 0 lets a call start only when no other runs.
    pub(crate) most: usize,
    /// Bytes of working memory of a call.
    pub(crate) working: u64,
}

impl InFlight {
    /// Bounds nothing.
    pub(crate) const FREE: Self = Self { most: usize::MAX, working: 0 };

    /// Whether one more call may start beside `running` ones.
    pub(crate) fn allows(&self, running: usize) -> bool {
        running < self.most.max(1)
    }
}

/// Bytes beyond what is known, of some calls in flight.
#[derive(Clone, Copy, Debug, Default)]
struct Excess {
    bytes: u64,
    calls: usize,
}

impl Excess {
    fn per_call(self) -> f64 {
        self.bytes as f64 / self.calls.max(1) as f64
    }
}

/// Learns the working memory of calls.
#[derive(Debug)]
pub(crate) struct Working {
    budget: u64,
    /// Resident memory that is not the run's.
    floor: u64,
    /// The process's peak at the last look; a peak that has not moved since is an older one's.
    last_peak: Option<u64>,
    /// Bytes per call that a round or a rest has confirmed.
    confirmed: Option<f64>,
    /// Bytes per call that the first calls can have needed at most, before anything is confirmed.
    guess: Option<f64>,
    /// The highest excess per call in the round.
    seen: Excess,
    /// The most calls in flight in the round, and in all.
    most_in_round: usize,
    most_ever: usize,
    /// Calls that may be in flight.
    level: usize,
    /// The round is over when as many chunks have ended.
    round_ends: usize,
    /// Whether calls that are heavier than those before are to end first.
    is_held: bool,
    /// Bytes handed over that the floor has in it.
    with_sink: u64,
}

impl Working {
    /// Begins where the process has `resident` bytes, of which the run holds `held`.
    pub(crate) fn new(budget: u64, resident: u64, held: u64) -> Self {
        Self {
            budget,
            floor: resident.saturating_sub(held),
            last_peak: None,
            confirmed: None,
            guess: None,
            seen: Excess::default(),
            most_in_round: 0,
            most_ever: 0,
            level: 0,
            round_ends: 0,
            is_held: false,
            with_sink: 0,
        }
    }

    /// Bytes that a call of so many seconds can need at most.
    fn bound(calls: &Calls) -> f64 {
        calls.seconds * BYTES_PER_SECOND
    }

    /// Whether the calls of all threads could need so much that their number matters.
    pub(crate) fn matters(&self, calls: &Calls) -> bool {
        Self::bound(calls) * calls.threads as f64 > SMALL_PART * self.budget as f64
    }

    /// Bytes of working memory that a call is expected to need; `None` where nothing was seen.
    pub(crate) fn expected(&self) -> Option<Bytes> {
        let known = self.confirmed.or(self.guess)?;
        Some(Bytes::from_f64(known.max(self.seen.per_call())))
    }

    /// Whether calls that were heavier than known have ended, so that what they needed can be told
    /// from what the allocator keeps.
    pub(crate) fn awaits_rest(&self, calls: &Calls) -> bool {
        self.is_held && calls.running == 0
    }

    /// Measures from what the process has now: results that were the run's are its caller's.
    pub(crate) fn rebase(&mut self, resident: u64, held: u64) {
        self.floor = resident.saturating_sub(held);
        self.seen = Excess::default();
    }

    /// Notes what a call of the sample needed, which ran alone.
    pub(crate) fn sampled(&mut self, bytes: u64) {
        let bytes = bytes as f64;
        self.confirmed = Some(self.confirmed.map_or(bytes, |known| known.max(bytes)));
    }

    /// Looks at resident memory while calls run.
    pub(crate) fn look(&mut self, resident: Resident, calls: &Calls) -> InFlight {
        if !self.matters(calls) {
            // Whoever has it matter later begins with what is there then.
            self.last_peak = Some(resident.peak);
            self.most_ever = self.most_ever.max(calls.most_running);
            return InFlight::FREE;
        }
        let bound = Self::bound(calls);
        let peak = match self.last_peak.replace(resident.peak) {
            // A peak that has moved is one of these calls.
            Some(before) if resident.peak > before => resident.peak,
            Some(_) => resident.now,
            None => {
                let freed = (resident.peak - resident.now) as f64;
                self.guess = Some(freed.min(bound)).filter(|&freed| freed > 0.0);
                resident.now
            }
        };
        if self.level == 0 {
            let two_fit = self.known() * FIRST as f64 <= self.budget as f64 * 0.75;
            self.begin_round(if two_fit { FIRST } else { 1 }, calls);
        }
        let excess = peak.saturating_sub(self.floor + calls.known);
        let in_flight = calls.most_running.max(calls.running);
        self.most_ever = self.most_ever.max(in_flight);
        self.most_in_round = self.most_in_round.max(in_flight);
        if in_flight > 0 {
            let most = (bound * in_flight as f64) as u64;
            let bytes = excess.saturating_sub(calls.results).min(most);
            let seen = Excess { bytes, calls: in_flight };
            if seen.per_call() > self.seen.per_call() {
                self.seen = seen;
            }
        }
        if calls.running == 0 {
            self.rest(resident.now, calls);
        } else if !self.is_held {
            let explained = USUAL * (self.most_ever as f64 * self.known() + calls.results as f64);
            let noise = self.budget / NOISE_PART;
            let is_known = self.confirmed.or(self.guess).is_some();
            self.is_held = is_known && excess as f64 > explained + noise as f64;
        }
        if !self.is_held && calls.ended >= self.round_ends {
            self.end_round(calls);
        }
        let working = self.known().max(self.seen.per_call()).min(bound);
        InFlight { most: if self.is_held { 0 } else { self.level }, working: working as u64 }
    }

    fn known(&self) -> f64 {
        self.confirmed.or(self.guess).unwrap_or(0.0)
    }

    fn begin_round(&mut self, level: usize, calls: &Calls) {
        self.level = level;
        self.round_ends = calls.ended + calls.running + level;
        self.seen = Excess::default();
        self.most_in_round = calls.running;
    }

    fn end_round(&mut self, calls: &Calls) {
        let seen = self.seen.per_call();
        self.confirmed = Some(match self.confirmed {
            Some(known) if seen < known => known - FORGET * (known - seen),
            _ => seen,
        });
        let was_used = self.most_in_round >= self.level;
        let level = if was_used { self.level.saturating_mul(2) } else { self.level };
        self.begin_round(level.min(calls.threads.max(FIRST)), calls);
    }

    /// Sorts out what is left while no call is in flight.
    fn rest(&mut self, resident: u64, calls: &Calls) {
        let Some(left) = resident.checked_sub(self.floor + calls.known) else {
            self.floor = resident.saturating_sub(calls.known);
            return self.end_rest();
        };
        let with_sink = left.min(calls.handed_over.saturating_sub(self.with_sink));
        let kept = USUAL * self.most_ever as f64 * self.known() + (self.budget / NOISE_PART) as f64;
        let others = (left - with_sink).saturating_sub(kept as u64);
        self.with_sink += with_sink;
        self.floor += with_sink + others;
        self.seen.bytes = self.seen.bytes.saturating_sub(with_sink + others);
        self.end_rest();
    }

    fn end_rest(&mut self) {
        if std::mem::take(&mut self.is_held) {
            let seen = self.seen.per_call();
            self.confirmed = Some(self.confirmed.map_or(seen, |known| known.max(seen)));
        }
    }
}
