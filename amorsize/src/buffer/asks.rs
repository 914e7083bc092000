//! Asks an input for items: many at a time, or one by one if it may wait.
//!
//! The calling thread asks the input and hands results over. While it waits within `next()` it can
//! hand over nothing, and the input may wait for just that: for example a channel, if another
//! thread sends the next question only after the answer to the last one. Nothing tells beforehand
//! if `next()` will wait.
//!
//! An input that says it has items left is asked for many at a time. One that does not say so is
//! open: it is asked one by one, and each result is handed over before the next ask, until
//! something shows that its items don't depend on the results:
//!
//! - No other thread of the process ran between one ask and another, so none can have answered.
//! - Items come at once after the results of long calls. A thread that waited for such a result
//!   sleeps, and takes longer to wake. Some short calls are put off to be like long ones.
//! - An item takes as long to come if the ask is put off for four times as long. The input makes
//!   it by itself then; an item that another thread sends would have come meanwhile.
//! - Other threads slept less often than there were long calls, so none waited for each result.
//!
//! An input that was seen to wait is asked one by one again. If the items in flight are bounded, an
//! open input is asked one by one for good.

use std::time::{Duration, Instant};

use crate::system::sync::{now, wait_until};
use crate::system::{calls, thread_time};
use crate::units::mean::follow;

/// The way in which items are taken from an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// For the calling thread; the clock is read if that takes a small part of the calls' time.
    Inline { timed: bool },
    /// For a worker.
    Worker,
}
/// After this many asks without a wait, the input is believed not to wait now. With fewer, items
/// that had come while the calling thread did something else would pass for an input that never
/// waits.
const SHOWN_BY: u32 = 16;
/// Asks that each take long are enough if they are this many: with sixteen, calls of a second would
/// be made one by one for 16 s. After long calls they show if another thread ran, because each
/// answer takes 3 us of a core, six times `ANSWER`. An input makes its items itself if this many
/// asks in a row were put off and took as long as usual; twice as many if they took less than
/// `LATE`. After as many that took less than usual, none is put off for a while: that delays those
/// who wait for results.
const FEW: u32 = 4;
/// After an input was waited for, it takes this many: some items may have come while the sink was
/// busy, and then the input may wait again. A sink that is slower than the input has more to catch
/// up with.
const SHOWN_AFTER_SLEEP: u32 = 64;
/// An item that comes within this time was not waited for: a sleeping thread takes 5 us to wake,
/// and reading the next block of a file takes less than this.
const QUICK: Duration = Duration::from_micros(2);
/// Items that come later than expected by this time may have been waited for. If the system can't
/// say if a thread slept, they were.
const LATE: Duration = Duration::from_micros(20);
/// Items are taken for at most this long at a time.
const LONGEST: Duration = Duration::from_millis(1);
/// An open input gives at most this many items between two looks at the clock. When it begins to
/// wait, each of these items can be late by its own wait.
const BETWEEN_LOOKS: usize = 16;
/// An input that knows it has items left gives up to this many, because most such inputs never
/// wait.
const BETWEEN_LOOKS_AT_MOST: usize = 4096;
/// While results wait to fill a batch, the input is asked for no longer than this. A sink that
/// takes a millisecond for each batch is then busy for a hundredth of the time. Nor does the input
/// wait for longer until a result is there.
pub(crate) const HELD: Duration = Duration::from_millis(100);
/// After calls that take this long, in seconds, a thread that waits for the result sleeps: before
/// that it looks for the result for some ten microseconds.
const LONG: f64 = 50e-6;
/// A call that takes this long, in seconds, counts for four: 16 such calls one after the other
/// would take much longer than at the same time.
const VERY_LONG: f64 = 20e-3;
/// A thread that answers takes at least this much time of a core for each answer: 3 us with a sleep
/// and a wake.
const ANSWER: Duration = Duration::from_nanos(500);
/// A thread that answers without a sleep takes all of a core. If others ran for less than this part
/// of the time, none did that.
const BUSY_PART: u32 = 4;
/// A call is put off by this time, so that a thread that waits for its result sleeps.
const CALL_PUT_OFF: Duration = Duration::from_micros(50);
/// What is put off and shows nothing is tried again after twice as many asks as before, sixteen at
/// first, but never after more than sixteen times this power of two: one in 4,096 costs nothing.
const RAREST: u32 = 8;
/// An ask is put off for this many times as long as the item before took to come. Not if that was
/// longer than a call: such an input gains little by calls beside it.
const PUT_OFF: u32 = 4;

/// The findings about the asks of a run's input.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// True if the input says that it may have no further item.
    is_open: bool,
    /// True if only some items may be in flight: the input may depend on the results of the others.
    is_bounded: bool,
    /// True if an ask was timed.
    has_asked: bool,
    /// Asks that are still to be made one by one.
    single: u32,
    /// True if results are handed over before the next ask.
    hands_over: bool,
    /// True if each ask is checked closely for a wait.
    closely: bool,
    /// Seconds of the last call.
    call: f64,
    /// Seconds that an item takes to come, of late.
    pace: f64,
    /// The time at which the last call of the calling thread ended.
    call_ended: Option<Instant>,
    /// Seconds of asks since results were last handed over.
    held: f64,
    /// Seconds of the last fill, if it was timed.
    pub(crate) seconds: f64,
    fill: Option<Fill>,
    window: Option<Window>,
    /// True if other threads were seen to run.
    others_run: bool,
    delay: Delay,
    trial: Trial,
    others: Others,
}

/// The latest asks without a wait.
#[derive(Debug)]
struct Window {
    asks: u32,
    began: Instant,
    /// True if all of them came after calls that were long, or put off.
    are_long: bool,
    /// The time for which other threads had run when it began, at least, and the number of times
    /// that they had slept.
    ran: Option<Duration>,
    slept: Option<u64>,
}

/// Short calls that are put off, one after the other, to be like long ones.
#[derive(Debug, Default)]
struct Trial {
    /// True if the next call is to be put off.
    is_on: bool,
    /// True if the last one was.
    was_put_off: bool,
    /// Trials that showed nothing.
    failed: u32,
    /// Windows of asks until the next one.
    skipped: u32,
}

/// Asks that are put off.
#[derive(Debug, Default)]
struct Delay {
    /// The time that the item before took to come, if the next ask is to be put off.
    took: Option<Duration>,
    /// The same for the current ask, if it was put off.
    was: Option<Duration>,
    /// Asks in a row that took as long as usual. Those that took long count twice.
    same: u32,
    /// Asks with an item that had come meanwhile.
    shorter: u32,
    /// Asks until the next one is put off.
    skipped: u32,
}

/// Tells of the other threads of the process, if the system does.
#[derive(Clone, Copy, Debug)]
struct Others {
    /// The time for which they ran so far: at least, or, with `true`, at most.
    ran: fn(bool) -> Option<Duration>,
    /// The number of times that they slept so far.
    slept: fn() -> Option<u64>,
}

impl Default for Others {
    fn default() -> Self {
        Self { ran: thread_time::others_ran, slept: thread_time::others_slept }
    }
}

impl Others {
    /// A window that begins.
    fn window(self, began: Instant) -> Window {
        Window { asks: 0, began, are_long: true, ran: (self.ran)(false), slept: (self.slept)() }
    }

    /// True if none of them can have answered until `now`.
    fn were_quiet(self, window: &Window, now: Instant) -> bool {
        let most = (ANSWER * window.asks).min((now - window.began) / BUSY_PART);
        let is_less = |ran: Option<Duration>| {
            let since = ran.zip(window.ran).and_then(|(ran, before)| ran.checked_sub(before));
            since.is_some_and(|ran| ran < most)
        };
        is_less((self.ran)(false)) && is_less((self.ran)(true))
    }

    /// True if none of them can have waited for the result of each long call: it would have slept.
    fn did_not_sleep(self, window: &Window) -> bool {
        let slept = (self.slept)().zip(window.slept).and_then(|(now, before)| now.checked_sub(before));
        window.are_long && slept.is_some_and(|slept| slept < u64::from(window.asks / 2))
    }
}

/// A timed fill that is under way.
#[derive(Debug)]
struct Fill {
    begun: Instant,
    looked: Instant,
    taken: usize,
    switches: Option<u64>,
}

impl Asks {
    /// For an input that was asked before, and is asked for all wanted items at once.
    #[cfg(test)]
    pub(super) fn at_once() -> Self {
        Self { has_asked: true, ..Self::default() }
    }

    /// Begins to ask an input that says it has `least` items at least.
    pub(crate) fn begin_run(&mut self, least: usize) {
        self.is_open = least == 0;
        if self.is_open {
            (self.single, self.hands_over) = (SHOWN_BY, true);
        }
    }

    /// Sets if the items in flight are bounded.
    pub(crate) fn set_bounded(&mut self, is_bounded: bool) {
        self.is_bounded = is_bounded;
    }

    /// True if the calling thread asks for each of its items alone.
    pub(crate) fn are_single(&self) -> bool {
        self.single > 0 || self.is_each()
    }

    /// True if calls may be made while the input is asked. An item may come because of the last
    /// result; then asking for the next one before the call has ended would wait for ever. With a
    /// bound on the items in flight, the caller has said how many may be under way.
    pub(crate) fn may_overlap(&self) -> bool {
        !self.is_open || self.is_bounded || self.single == 0
    }

    /// Notes the `seconds` that a call of the calling thread took.
    pub(crate) fn note_call(&mut self, seconds: f64) {
        self.call = seconds;
    }

    /// True if everything that is ready is to be handed over before the input is asked again.
    /// `inline` is for a run on the calling thread alone.
    pub(crate) fn hand_over_first(&self, inline: bool) -> bool {
        (inline && self.is_each()) || self.hands_over || self.held >= HELD.as_secs_f64()
    }

    /// True if the input waits or may wait, and is asked one by one for that reason. An input that
    /// only computes for long is asked one by one, too, but waits for nothing.
    pub(crate) fn may_wait(&self) -> bool {
        self.single > 0 && self.hands_over
    }

    /// Seconds that an item takes to come, of late; 0 if unknown.
    pub(crate) fn pace(&self) -> f64 {
        self.pace
    }

    /// Notes that all ready results were handed over.
    pub(crate) fn handed_over(&mut self) {
        self.held = 0.0;
    }

    /// Puts the next call off, if that is to be tried. Returns the time that this took.
    pub(crate) fn put_off_call(&mut self) -> Duration {
        self.trial.was_put_off =
            self.trial.is_on && self.call < LONG && self.is_in_question(Way::Inline { timed: true });
        if !self.trial.was_put_off {
            return Duration::ZERO;
        }
        let begun = now();
        wait_until(begun + CALL_PUT_OFF);
        now() - begun
    }

    /// Notes the time at which the last call of the calling thread ended. From then on other
    /// threads can see its effects.
    #[inline]
    pub(crate) fn call_ended(&mut self, at: Instant) {
        self.call_ended = Some(at);
    }

    /// True if one item is taken at a time, even if items come quickly.
    fn is_each(&self) -> bool {
        self.is_open && self.is_bounded
    }

    /// Begins to ask for up to `most` items. Returns the number of items after which to
    /// [look](Self::look).
    #[inline]
    pub(super) fn begin(&mut self, most: usize, way: Way) -> usize {
        self.seconds = 0.0;
        if way == (Way::Inline { timed: false }) && !self.is_open && self.single == 0 && self.has_asked {
            self.hands_over = false;
            return most;
        }
        self.begin_timed(way)
    }

    #[inline(never)]
    fn begin_timed(&mut self, way: Way) -> usize {
        self.has_asked = true;
        if self.single == 0 {
            self.hands_over = false;
        }
        self.put_off(way);
        // With cheap items, and with the first one, the cost would show.
        let is_cheap = self.single == 0 && matches!(way, Way::Inline { timed: false });
        let is_quick = (self.single > 0 || self.is_each()) && !self.closely;
        let switches = if is_cheap || is_quick { None } else { calls::voluntary_switches() };
        let now = now();
        self.fill = Some(Fill { begun: now, looked: now, taken: 0, switches });
        1
    }

    /// Waits for several times as long as the last item took to come, if that is to be tried.
    fn put_off(&mut self, way: Way) {
        self.delay.was = None;
        let Some(took) = self.delay.took.take().filter(|_| self.is_in_question(way)) else { return };
        self.delay.was = Some(took);
        wait_until(now() + PUT_OFF * took + LATE);
    }

    /// True if it is still unknown if the input depends on results.
    fn is_in_question(&self, way: Way) -> bool {
        self.is_open && !self.is_bounded && self.single > 0 && way != Way::Worker
    }

    /// Looks at the clock after `taken` items. Returns the number of items after which to look
    /// again, or `None` if they are enough.
    #[inline]
    pub(super) fn look(&mut self, taken: usize, most: usize, way: Way) -> Option<usize> {
        if self.fill.is_none() { None } else { self.look_at_clock(taken, most, way) }
    }

    #[inline(never)]
    fn look_at_clock(&mut self, taken: usize, most: usize, way: Way) -> Option<usize> {
        let fill = self.fill.as_mut()?;
        let now = now();
        let (took, items) = (now - fill.looked, taken - fill.taken);
        (fill.looked, fill.taken) = (now, taken);
        let (begun, switches) = (fill.begun, fill.switches);
        let total = now - begun;
        if self.single > 0 || self.is_each() {
            let slept = took >= QUICK && switches.map_or(!self.closely || took >= LATE, slept_since);
            if self.is_in_question(way) {
                self.note_open(begun, took, slept);
            } else {
                self.note_single(took, slept);
            }
            self.closely = took >= QUICK || (self.closely && self.single > 0);
            self.note_pace(took, items);
            return None;
        }
        let expected = Duration::from_secs_f64((self.pace * items as f64).min(LONGEST.as_secs_f64()));
        let is_late = took > expected + LATE;
        if is_late {
            // The first ask has no count. An input that tells its length is looked at closely from
            // then on, before results are handed over one by one because of a busy machine.
            let slept = switches.map_or(self.is_open && took >= LONGEST, slept_since);
            self.single = if slept { SHOWN_AFTER_SLEEP } else { SHOWN_BY };
            (self.closely, self.hands_over) = (true, slept);
            self.window = None;
        }
        self.note_pace(took, items);
        if is_late || taken >= most || total >= LONGEST {
            return None;
        }
        let (step, longest) = if self.is_open { (taken, BETWEEN_LOOKS) } else { (15 * taken, BETWEEN_LOOKS_AT_MOST) };
        let in_time = (LONGEST.as_secs_f64() / 10.0 / self.pace.max(1e-10)) as usize;
        Some((taken + step.min(longest).min(in_time).max(1)).min(most))
    }

    fn note_pace(&mut self, took: Duration, items: usize) {
        let seconds = took.as_secs_f64() / items.max(1) as f64;
        follow(&mut self.pace, seconds);
    }

    /// Notes an ask for a single item.
    fn note_single(&mut self, took: Duration, slept: bool) {
        if slept {
            (self.single, self.hands_over) = (SHOWN_AFTER_SLEEP, true);
        } else {
            // An input that computes can't wait for results.
            self.hands_over &= took < QUICK;
            self.single = self.single.saturating_sub(1);
        }
    }

    /// Notes an ask of an open input that began at `begun`. Each result had been handed over by
    /// then.
    fn note_open(&mut self, begun: Instant, took: Duration, slept: bool) {
        if let Some(before) = self.delay.was.take() {
            // On a busy machine, even an item that is there already takes some microseconds.
            if took >= before / 2 && took >= 2 * QUICK {
                self.delay.same += if took >= LATE { 2 } else { 1 };
                self.delay.took = Some(took);
                if self.delay.same >= 2 * FEW {
                    self.single = 0;
                }
            } else {
                self.delay.same = 0;
                self.delay.shorter += 1;
                if self.delay.shorter.is_multiple_of(FEW) {
                    self.delay.skipped = SHOWN_BY << (self.delay.shorter / FEW).min(RAREST);
                }
            }
            return;
        }
        let is_short = self.call >= LONG && took.as_secs_f64() <= self.call && took >= LATE;
        // It computes, or it waits by looking again and again.
        let is_busy = self.others_run && !slept && took >= 2 * QUICK && took.as_secs_f64() <= VERY_LONG;
        self.delay.took = Some(took).filter(|_| (is_short || is_busy) && self.delay.skipped == 0);
        self.delay.skipped = self.delay.skipped.saturating_sub(1);
        let was_put_off = std::mem::take(&mut self.trial.was_put_off);
        // A thread that waited for the result had to wake before it sent the item.
        let is_late = was_put_off && took.as_secs_f64() >= QUICK.as_secs_f64() + 2.0 * self.pace;
        if slept || is_late {
            let shown_by = if slept { SHOWN_AFTER_SLEEP } else { SHOWN_BY };
            (self.single, self.hands_over) = (self.single.max(shown_by), true);
            self.end_trial();
            self.window = None;
            return;
        }
        // The sink, too, takes some microseconds to wake a thread that waits for a result.
        let is_prompt = self.call_ended.is_some_and(|at| (begun + took).saturating_duration_since(at) < QUICK);
        let is_long = self.call >= LONG || was_put_off;
        if is_prompt && is_long {
            self.single = self.single.saturating_sub(if self.call >= VERY_LONG { SHOWN_BY / FEW } else { 1 });
        }
        self.note_window(begun, is_long);
    }

    /// Ends a trial that showed nothing.
    fn end_trial(&mut self) {
        if std::mem::take(&mut self.trial.is_on) {
            self.trial.failed = (self.trial.failed + 1).min(RAREST);
            self.trial.skipped = 1 << self.trial.failed;
        }
    }

    /// Notes one more ask without a wait, which began at `begun`.
    fn note_window(&mut self, begun: Instant, is_long: bool) {
        let Some(window) = &mut self.window else {
            self.window = Some(self.others.window(begun));
            return;
        };
        window.asks += 1;
        window.are_long &= is_long;
        // After a long call, a thread that answers has to wake first; this takes longer, and shows.
        if window.asks < if window.are_long { FEW } else { SHOWN_BY } {
            return;
        }
        let are_long = window.are_long;
        if self.others.were_quiet(window, begun) || self.others.did_not_sleep(window) {
            self.single = 0;
        } else if self.trial.is_on {
            self.end_trial();
        } else if !are_long {
            self.trial.is_on = self.trial.skipped == 0;
            self.trial.skipped = self.trial.skipped.saturating_sub(1);
        }
        self.others_run = true;
        self.window = Some(self.others.window(begun));
    }

    /// Ends a fill, also if the input ended first.
    #[inline]
    pub(super) fn end(&mut self) {
        if let Some(fill) = self.fill.take() {
            self.seconds = (now() - fill.begun).as_secs_f64();
            self.held += self.seconds;
        }
    }
}

/// True if the thread has slept since its count of sleeps was `before`.
fn slept_since(before: u64) -> bool {
    calls::voluntary_switches().is_none_or(|now| now > before)
}

#[cfg(all(test, not(loom)))]
mod tests;
