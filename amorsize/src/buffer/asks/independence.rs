//! Tells if an open input gives its items without any result: from what the other threads of the
//! process do.
//!
//! A thread that answers has to run between a result and the next item, and sleeps while it waits
//! for a result. First, asks are watched as they come. If other threads run meanwhile, a trial puts
//! a few calls off, and the asks after them:
//!
//! ```text
//! item | put off | call | sink | put off | ask | item
//!                 <----- others ran? ---->
//! ```
//!
//! While the call is put off, a thread that waits for the result goes to sleep, and one that only
//! refills a channel has filled it. While the ask is put off, a thread that answers has done so. If
//! none ran from the call to the ask, none answered. If some ran during the call, but none after
//! it, an item may depend on a call, but not on the sink. If one computes all the time, neither can
//! be seen; then threads that did not sleep for each result did not wait for it.

use std::time::{Duration, Instant};

use crate::system::sync::{now, wait_until};
use crate::system::thread_time;

/// After this many asks without a wait, the input is believed not to wait now. With fewer, items
/// that had come while the calling thread did something else would pass for an input that never
/// waits.
pub(super) const SHOWN_BY: u32 = 16;
/// Asks that each take long are enough if they are this many: with sixteen, calls of a second would
/// be made one by one for 16 s. They show if another thread ran, because each answer takes 3 us of
/// a core, six times `ANSWER`. A trial has as many.
pub(super) const FEW: u32 = 4;
/// A thread that answers takes at least this much time of a core for each answer: 3 us with a sleep
/// and a wake.
const ANSWER: Duration = Duration::from_nanos(500);
/// A thread that answers without a sleep takes all of a core. If others ran for less than this part
/// of the time, none did that.
const BUSY_PART: u32 = 4;
/// Asks are put off by this time, and calls by no less. A thread that waits goes to sleep within
/// some ten microseconds, and answers within some ten when it was woken.
pub(super) const PUT_OFF: Duration = Duration::from_micros(50);
/// A call is put off for this many times as long as the one before took: a thread that works
/// between two answers for as long as a call and a sink take has to wait then.
const PUT_OFF_CALLS: f64 = 4.0;
/// No call is put off for longer than this many seconds: a trial delays a run by less than a tenth
/// of a second.
const PUT_OFF_AT_MOST: f64 = 20e-3;
/// Others compute all the time if they run for a part of a trial of one in this many. A thread that
/// is started for each answer runs for less: starting it takes some ten microseconds, and each call
/// and ask are put off for longer.
const COMPUTING_PART: u32 = 2;
/// Where the system tells nothing of other threads: after this time, and as many asks without a
/// wait as sixteen windows have, items are believed not to depend on results. In that time a thread
/// that answers is late several times.
const UNTOLD_FOR: Duration = Duration::from_millis(20);

/// The findings about an open input.
#[derive(Debug, Default)]
pub(super) struct Independence {
    others: Others,
    window: Option<Window>,
    trial: Option<Trial>,
    /// Windows of asks that went by after the last trial, or will. After each trial they are twice
    /// as many.
    pause: u32,
    /// Windows of asks until the next trial.
    skipped: u32,
    /// True if the system tells nothing of other threads.
    is_untold: bool,
    /// Asks without a wait on such a system, and the time of the first.
    untold: u32,
    untold_since: Option<Instant>,
}

/// Tells of the other threads of the process, if the system does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
    /// The time for which they ran so far: at least, or, with `true`, exactly.
    pub(super) ran: fn(bool) -> Option<Duration>,
    /// The number of times that they slept so far.
    pub(super) slept: fn() -> Option<u64>,
    /// True if the exact time can be had, if not each time.
    pub(super) are_told: fn() -> bool,
}

impl Default for Others {
    fn default() -> Self {
        Self { ran: thread_time::others_ran, slept: thread_time::others_slept, are_told: thread_time::others_are_told }
    }
}

/// The latest asks without a wait.
#[derive(Debug)]
struct Window {
    asks: u32,
    began: Instant,
    /// True if all of them came after long calls.
    are_long: bool,
    /// The time for which other threads had run when it began, at least.
    ran: Duration,
}

/// Calls and asks that are put off.
#[derive(Debug)]
struct Trial {
    asks: u32,
    began: Instant,
    /// The time for which others had run when it began, and the number of times they had slept.
    ran: Duration,
    slept: Option<u64>,
    /// The last call that was put off, if the ask after it is still to come.
    call: Option<Call>,
    /// The time for which others ran from the beginnings of calls to asks, and from their ends.
    from_begins: Duration,
    from_ends: Duration,
    /// The time for which they had run when the last ask began.
    at_ask: Option<Duration>,
    /// The time for which they ran during asks that took long.
    in_asks: Duration,
}

/// The time for which others had run when a call began, and when it ended; `None` where the system
/// did not tell.
#[derive(Clone, Copy, Debug)]
struct Call {
    began: Option<Duration>,
    ended: Option<Duration>,
}

/// The need of an input, as far as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    /// An item may depend on calls that were made, but not on the sink.
    NeedsNoSink,
    NeedsNoResult,
}

/// The time from one figure to a later one; `None` if there is none.
fn since(now: Option<Duration>, before: Duration) -> Option<Duration> {
    now?.checked_sub(before)
}

/// Adds the time between two figures to a sum; more than any other time if one is missing.
fn add(sum: Duration, before: Option<Duration>, now: Option<Duration>) -> Duration {
    let ran = now.zip(before).map(|(now, before)| now.saturating_sub(before));
    sum.saturating_add(ran.unwrap_or(Duration::MAX))
}

impl Independence {
    #[cfg(all(test, not(loom)))]
    pub(super) fn of(others: Others) -> Self {
        Self { others, ..Self::default() }
    }

    /// Puts the next call off, if that is to be tried. The one before took `call` seconds. Returns
    /// the time that this took.
    pub(super) fn put_off_call(&mut self, call: f64) -> Duration {
        let Some(trial) = &mut self.trial else { return Duration::ZERO };
        let begun = now();
        let seconds = (PUT_OFF_CALLS * call).min(PUT_OFF_AT_MOST);
        wait_until(begun + Duration::from_secs_f64(seconds).max(PUT_OFF));
        trial.call = Some(Call { began: (self.others.ran)(true), ended: None });
        now() - begun
    }

    /// Notes that the call has ended. Returns the time that this took.
    pub(super) fn call_ended(&mut self) -> Duration {
        let call = self.trial.as_mut().and_then(|trial| trial.call.as_mut());
        let Some(call) = call else { return Duration::ZERO };
        let begun = now();
        call.ended = (self.others.ran)(true);
        now() - begun
    }

    /// Puts the ask after such a call off. Returns the time that this took.
    pub(super) fn put_off_ask(&mut self) -> Duration {
        let Some(trial) = &mut self.trial else { return Duration::ZERO };
        let Some(call) = trial.call.take() else { return Duration::ZERO };
        let begun = now();
        wait_until(begun + PUT_OFF);
        trial.at_ask = (self.others.ran)(true);
        trial.from_begins = add(trial.from_begins, call.began, trial.at_ask);
        trial.from_ends = add(trial.from_ends, call.ended, trial.at_ask);
        trial.asks += 1;
        now() - begun
    }

    /// Notes that the last item was waited for.
    pub(super) fn waited(&mut self) {
        self.window = None;
        (self.untold, self.untold_since) = (0, None);
        if self.trial.is_some() {
            self.end_trial();
        }
    }

    /// Notes an item that was not waited for: its ask began at `begun` and took this long. `is_long`
    /// is for one after a long call.
    pub(super) fn note(&mut self, begun: Instant, took: Duration, is_long: bool) -> Seen {
        if let Some(trial) = &mut self.trial {
            trial.add_ask(self.others, took);
            if trial.asks < FEW {
                return Seen::Nothing;
            }
            let seen = trial.seen(self.others, begun);
            self.end_trial();
            return seen;
        }
        if self.is_untold {
            return self.believed(begun);
        }
        let Some(window) = &mut self.window else {
            self.begin_window(begun);
            return Seen::Nothing;
        };
        window.asks += 1;
        window.are_long &= is_long;
        // After a long call, a thread that answers has to wake first; this takes longer, and shows.
        if window.asks < if window.are_long { FEW } else { SHOWN_BY } {
            return Seen::Nothing;
        }
        if window.is_quiet(self.others, begun) {
            return Seen::NeedsNoResult;
        }
        self.window = None;
        if self.skipped == 0 {
            self.trial = Trial::begin(self.others);
            self.is_untold = self.trial.is_none() && !(self.others.are_told)();
        }
        if self.trial.is_none() {
            self.skipped = self.skipped.saturating_sub(1);
            self.begin_window(begun);
        }
        Seen::Nothing
    }

    fn begin_window(&mut self, began: Instant) {
        let ran = (self.others.ran)(false);
        self.is_untold |= ran.is_none();
        self.window = ran.map(|ran| Window { asks: 0, began, are_long: true, ran });
    }

    /// Ends the trial, and has some windows go by before the next one.
    fn end_trial(&mut self) {
        self.trial = None;
        self.pause = self.pause.saturating_mul(2).max(2);
        self.skipped = self.pause;
    }

    /// Where the system tells nothing, many asks without a wait have to do.
    fn believed(&mut self, begun: Instant) -> Seen {
        self.untold = self.untold.saturating_add(1);
        let since = *self.untold_since.get_or_insert(begun);
        let are_enough = self.untold >= SHOWN_BY * SHOWN_BY && begun - since >= UNTOLD_FOR;
        if are_enough { Seen::NeedsNoResult } else { Seen::Nothing }
    }
}

impl Window {
    /// True if no other thread can have answered until `now`.
    fn is_quiet(&self, others: Others, now: Instant) -> bool {
        let most = (ANSWER * self.asks).min((now - self.began) / BUSY_PART);
        let is_less = |ran| since(ran, self.ran).is_some_and(|ran| ran < most);
        // The second look takes longer.
        is_less((others.ran)(false)) && is_less((others.ran)(true))
    }
}

impl Trial {
    fn begin(others: Others) -> Option<Self> {
        let (ran, slept) = ((others.ran)(true)?, (others.slept)());
        let (from_begins, from_ends) = (Duration::ZERO, Duration::ZERO);
        Some(Self {
            asks: 0,
            began: now(),
            ran,
            slept,
            call: None,
            from_begins,
            from_ends,
            at_ask: None,
            in_asks: Duration::ZERO,
        })
    }

    /// Adds what others ran during an ask that took this long. On a busy machine, a thread that
    /// answers may get no core before. A short ask may wake one that fills a channel.
    fn add_ask(&mut self, others: Others, took: Duration) {
        if took > PUT_OFF && self.asks > 0 {
            self.in_asks = add(self.in_asks, self.at_ask, (others.ran)(true));
        }
    }

    fn seen(&self, others: Others, now: Instant) -> Seen {
        let most = (ANSWER * self.asks).saturating_sub(self.in_asks);
        if self.from_begins < most || self.waits_for_nothing(others, now) {
            Seen::NeedsNoResult
        } else if self.from_ends < most {
            Seen::NeedsNoSink
        } else {
            Seen::Nothing
        }
    }

    /// True if others compute all the time, and none of them waited for the results.
    fn waits_for_nothing(&self, others: Others, now: Instant) -> bool {
        let slept = (others.slept)().zip(self.slept).and_then(|(now, before)| now.checked_sub(before));
        let compute = since((others.ran)(true), self.ran).is_some_and(|ran| ran >= (now - self.began) / COMPUTING_PART);
        compute && slept.is_some_and(|slept| slept < u64::from(self.asks / 2))
    }
}
