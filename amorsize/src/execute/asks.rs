//! How an input is asked for items: many at a time, or one by one where it may wait.
//!
//! The calling thread asks the input and hands results over. While it waits within `next()` it can
//! hand over nothing, and the input may wait for just that: a channel on which another thread sends a
//! question when it has the answer to the last one. Nobody can tell before if `next()` will wait. So
//! an input that was seen to wait is asked one by one, and whatever was taken is started, and whatever
//! is ready is handed over, before it is asked again. An input that doesn't know if there is another
//! item is treated like that for its first items; and where each result goes out by itself, for all
//! items that the calling thread runs.

use std::time::{Duration, Instant};

use super::line::Way;
use crate::sync::now;
use crate::system_calls;

/// So many quick asks in a row show that an input does not wait now. With fewer, items that had come
/// while the calling thread did something else would pass for an input that never waits.
const QUICK_IN_A_ROW: u32 = 16;
/// Of an input that was waited for it takes so many: while the sink was busy some may have come, and
/// then it may wait again. A sink that is slower than the input has more to catch up with.
const QUICK_AFTER_SLEEP: u32 = 64;
/// An item that comes within this time was not waited for: a thread that sleeps takes 5 us to wake,
/// and to read the next block of a file takes less.
const QUICK: Duration = Duration::from_micros(2);
/// Items that come later than expected by so much may have been waited for.
const LATE: Duration = Duration::from_micros(20);
/// Where the system can't say if a thread slept, an item that took so long was waited for.
const SLEPT: Duration = Duration::from_micros(20);
/// Items are taken for this long at a time: as long as a chunk is to run.
const LONGEST: Duration = Duration::from_millis(1);
/// An input that doesn't know how many items it has gives no more between two looks at the clock: so
/// many are late by their own waits alone where it begins to wait.
const BETWEEN_LOOKS: usize = 16;
/// One that knows it gives up to these, because most of those never wait.
const BETWEEN_LOOKS_AT_MOST: usize = 4096;
/// No longer than this is expected to pass between two looks, in seconds: a tenth of `LONGEST`.
const SECONDS_BETWEEN_LOOKS: f64 = 1e-4;
/// The input is asked for no longer than this, in seconds, while results wait to fill a batch. A sink
/// that takes a millisecond for each batch is then busy for a hundredth of the time.
const HELD_SECONDS: f64 = 0.1;
/// Calls that take this long, in seconds, are made while an input is asked that gives its items quickly:
/// a thread that waits for a result looks for it for some ten microseconds before it goes to sleep, and
/// if it sleeps its items don't come quickly.
const LONG: f64 = 50e-6;
/// Beside calls that take this long, in seconds, it does not show that each ask is timed.
const CHEAP: f64 = 10e-6;
/// Calls that are made meanwhile also take so many times as long as the input takes for an item; others
/// gain little by threads.
const TIMES_PACE: f64 = 4.0;
/// So many more long calls than others show that calls are long: during some other programs may have
/// had the core.
const LONG_CALLS: u32 = 16;
/// One that takes this long, in seconds, counts for four: it is seldom that a core is not given back
/// for so long.
const VERY_LONG: f64 = 20e-3;
/// If of the last asks so many more waited than not, the input waits for each result that goes out.
const WAITS_FOR_EACH: u32 = 4;
/// Of asks that are made one by one, one in so many is timed while they are quick: two
/// looks at the clock take 46 ns, and an ask with all that follows 200.
const TIMED_ONE_IN: u32 = 8;

/// What is known of the asks of a run's input.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// The input says that it may have no further item.
    is_open: bool,
    /// Each result goes out by itself, as by an iterator.
    gives_each: bool,
    /// No more than some items may be in flight: the input may depend on the results of the others.
    is_bounded: bool,
    /// An ask was timed.
    has_asked: bool,
    /// Asks that are still made one by one.
    single: u32,
    /// True if results are handed over before the next ask.
    hands_over: bool,
    /// True if it is looked at closely whether asks wait.
    closely: bool,
    /// True if an item was waited for since the last ones that came quickly.
    slept: bool,
    /// Asks since one was timed.
    untimed: u32,
    /// Asks that waited, less those that did not, up to twice `WAITS_FOR_EACH`.
    waited: u32,
    /// Seconds of the last call.
    call: f64,
    /// Long calls, less those that were not.
    long_calls: u32,
    /// Seconds that an item takes to come, of late.
    pace: f64,
    /// When the calling thread had handed over what was ready.
    handed_over: Option<Instant>,
    /// Seconds of asks since results were last handed over.
    held: f64,
    /// Seconds of the last fill, where it was timed.
    pub(crate) seconds: f64,
    fill: Option<Fill>,
}

/// A fill that is under way, and timed.
#[derive(Debug)]
struct Fill {
    begun: Instant,
    looked: Instant,
    taken: usize,
    switches: Option<u64>,
}

impl Asks {
    /// For an input that was asked before, and is asked at once for all that is wanted.
    #[cfg(test)]
    pub(super) fn at_once() -> Self {
        Self { has_asked: true, ..Self::default() }
    }

    /// Begins to ask an input that says it has `least` items at least.
    pub(crate) fn begin_run(&mut self, least: usize) {
        self.is_open = least == 0;
        if self.is_open {
            (self.single, self.hands_over) = (QUICK_IN_A_ROW, true);
        }
    }

    /// Sets if each result goes out by itself, and if the items in flight are bounded.
    pub(crate) fn set_gives_each(&mut self, gives_each: bool, is_bounded: bool) {
        (self.gives_each, self.is_bounded) = (gives_each || is_bounded, is_bounded);
    }

    /// True if the calling thread asks for each item of its own by itself.
    pub(crate) fn are_single(&self) -> bool {
        self.single > 0 || (self.is_open && self.gives_each)
    }

    /// True if calls are so long that they are made while the input is asked. Items that were waited
    /// for, or that came at once after a result was handed over, may have been sent because of that
    /// result; then to ask for the next one before the call has ended is to wait for ever. With calls
    /// of a millisecond and more that is risked, because so much time is lost otherwise.
    pub(crate) fn may_overlap(&self) -> bool {
        let is_quick = self.single == 0 && !self.gives_each;
        let waits_for_each = self.gives_each && self.waited >= WAITS_FOR_EACH;
        !self.is_open || is_quick || (self.long_calls >= LONG_CALLS && !waits_for_each)
    }

    /// Notes how many `seconds` a call took that the calling thread made.
    pub(crate) fn note_call(&mut self, seconds: f64) {
        self.call = seconds;
        let least = if self.slept { LONGEST.as_secs_f64() } else { LONG.max(TIMES_PACE * self.pace) };
        self.long_calls = if seconds >= least {
            let weight = if seconds >= VERY_LONG { 4 } else { 1 };
            (self.long_calls + weight).min(LONG_CALLS)
        } else {
            self.long_calls.saturating_sub(1)
        };
    }

    /// True if whatever is ready is to be handed over before the input is asked again. `inline` is for
    /// a run that the calling thread makes by itself.
    pub(crate) fn hand_over_first(&self, inline: bool) -> bool {
        (inline && self.is_open && self.gives_each) || self.hands_over || self.held >= HELD_SECONDS
    }

    /// True if the input was seen to wait, or may, and is asked one by one for that.
    pub(crate) fn may_wait(&self) -> bool {
        self.single > 0
    }

    /// Seconds that an item takes to come, of late; 0 where that is not known.
    pub(crate) fn pace(&self) -> f64 {
        self.pace
    }

    /// Notes that all results that were ready were handed over.
    pub(crate) fn handed_over(&mut self) {
        self.held = 0.0;
    }

    /// Sets when they were handed over that are not waiting any longer.
    #[inline]
    pub(crate) fn handed_over_at(&mut self, at: Option<Instant>) {
        self.handed_over = at;
    }

    /// True if one item is taken at a time, however quickly they come.
    fn is_each(&self, way: Way) -> bool {
        self.is_open && if way == Way::Worker { self.is_bounded } else { self.gives_each }
    }

    /// True if the next ask of those that are made one by one is to be timed.
    fn is_timed(&mut self) -> bool {
        if self.untimed + 1 < TIMED_ONE_IN {
            self.untimed += 1;
            return false;
        }
        self.untimed = 0;
        true
    }

    /// Begins to ask for up to `most` items. Says after how many to [look](Self::look).
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
            if self.is_each(way) && self.call < CHEAP && !self.is_timed() {
                return 1;
            }
        }
        // Of cheap items, and of the first one, it would show.
        let is_cheap = self.single == 0 && matches!(way, Way::Inline { timed: false });
        let is_quick = (self.single > 0 || self.is_each(way)) && !self.closely;
        let switches = if is_cheap || is_quick { None } else { system_calls::voluntary_switches() };
        let now = now();
        self.fill = Some(Fill { begun: now, looked: now, taken: 0, switches });
        1
    }

    /// Looks at the clock after `taken` items. Says after how many to look again, or that it is enough.
    #[inline]
    pub(super) fn look(&mut self, taken: usize, most: usize, way: Way) -> Option<usize> {
        if self.fill.is_none() { None } else { self.look_at_clock(taken, most, way) }
    }

    #[inline(never)]
    fn look_at_clock(&mut self, taken: usize, most: usize, way: Way) -> Option<usize> {
        let is_each = self.is_each(way);
        let fill = self.fill.as_mut()?;
        let now = now();
        let (took, items) = (now - fill.looked, taken - fill.taken);
        (fill.looked, fill.taken) = (now, taken);
        let total = now - fill.begun;
        if self.single > 0 || is_each {
            let slept = took >= QUICK && fill.switches.map_or(!self.closely || took >= SLEPT, slept_since);
            // An item that was sent because of the last result may have come before it was asked for:
            // only asks at once after it can tell. On slow machines and beside slow sinks none is, so
            // with long calls only sleep counts.
            let is_prompt = self.handed_over.is_none_or(|at| fill.begun.saturating_duration_since(at) < QUICK);
            let may_have_waited = !is_prompt && self.call < LONGEST.as_secs_f64();
            self.waited = if slept || may_have_waited {
                (self.waited + 1).min(2 * WAITS_FOR_EACH)
            } else {
                self.waited.saturating_sub(1)
            };
            self.note_single(took, slept);
            self.note_pace(took, items);
            return None;
        }
        let expected = Duration::from_secs_f64((self.pace * items as f64).min(LONGEST.as_secs_f64()));
        let is_late = took > expected + LATE;
        if is_late {
            let slept = fill.switches.map_or(took >= LONGEST, slept_since);
            let single = if slept { QUICK_AFTER_SLEEP } else { QUICK_IN_A_ROW };
            (self.single, self.closely, self.hands_over, self.slept) = (single, true, slept, slept);
        }
        self.note_pace(took, items);
        if is_late || taken >= most || total >= LONGEST {
            return None;
        }
        let (step, longest) = if self.is_open { (taken, BETWEEN_LOOKS) } else { (15 * taken, BETWEEN_LOOKS_AT_MOST) };
        let in_time = (SECONDS_BETWEEN_LOOKS / self.pace.max(1e-10)) as usize;
        Some((taken + step.min(longest).min(in_time).max(1)).min(most))
    }

    fn note_pace(&mut self, took: Duration, items: usize) {
        let seconds = took.as_secs_f64() / items.max(1) as f64;
        let weight = if self.pace > 0.0 { 0.25 } else { 1.0 };
        self.pace += weight * (seconds - self.pace);
    }

    /// Notes what an ask came to that was made by itself.
    fn note_single(&mut self, took: Duration, slept: bool) {
        if slept {
            (self.single, self.hands_over, self.slept) = (QUICK_AFTER_SLEEP, true, true);
        } else {
            // An input that computes can't wait for results.
            self.hands_over &= took < QUICK;
            self.single = self.single.saturating_sub(1);
            self.slept &= self.single > 0;
        }
        self.closely = took >= QUICK || (self.closely && self.single > 0);
    }

    /// Ends a fill, whole or because the input ended.
    #[inline]
    pub(super) fn end(&mut self) {
        if let Some(fill) = self.fill.take() {
            self.seconds = (now() - fill.begun).as_secs_f64();
            self.held += self.seconds;
        }
    }
}

/// True if the thread has slept since it had done so `before` times.
fn slept_since(before: u64) -> bool {
    system_calls::voluntary_switches().is_none_or(|now| now > before)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Clock;

    const INLINE: Way = Way::Inline { timed: true };
    const fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn asks(least: usize) -> Asks {
        let mut asks = Asks::default();
        asks.begin_run(least);
        asks
    }

    /// Asks for up to `most` items, each of which takes so long by a clock that is moved, while the
    /// thread does not sleep. Gives how many are taken.
    fn ask(asks: &mut Asks, clock: &Clock, most: usize, each: Duration) -> usize {
        asks.handed_over_at(Some(now()));
        let mut goal = asks.begin(most, INLINE).min(most);
        let mut taken = 0;
        loop {
            while taken < goal {
                clock.pass(each);
                taken += 1;
            }
            match asks.look(taken, most, INLINE) {
                Some(next) => goal = next,
                None => break,
            }
        }
        asks.end();
        taken
    }

    #[test]
    fn an_input_that_knows_no_length_is_asked_one_by_one_until_sixteen_came_quickly() {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let mut open = asks(0);
        for _ in 0..16 {
            assert!(open.may_wait() && open.hand_over_first(true));
            assert_eq!(ask(&mut open, &clock, 1_000, micros(1)), 1);
        }
        // What the last of them gave is handed over, too.
        assert!(!open.may_wait() && open.hand_over_first(true));
        assert_eq!(ask(&mut open, &clock, 1_000, micros(1)), 1_000);
        assert!(!open.hand_over_first(true));
        // Results are held back for a tenth of a second.
        for _ in 0..90 {
            assert!(!open.hand_over_first(true));
            ask(&mut open, &clock, 1_000, micros(1));
        }
        (0..20).for_each(|_| _ = ask(&mut open, &clock, 1_000, micros(1)));
        assert!(open.hand_over_first(true));
        open.handed_over();
        assert!(!open.hand_over_first(true));
    }

    #[test]
    fn one_that_knows_it_is_asked_for_a_millisecond_at_a_time() {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let mut closed = asks(1);
        let taken = ask(&mut closed, &clock, 100_000, micros(1));
        assert!((1_000..=1_100).contains(&taken), "{taken}");
        assert!(!closed.may_wait());
    }

    #[test]
    fn an_item_that_is_late_has_the_next_ones_asked_for_one_by_one() {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let mut closed = asks(1);
        ask(&mut closed, &clock, 1_000, micros(1));
        assert_eq!(ask(&mut closed, &clock, 1_000, micros(500)), 1);
        // The thread did not sleep meanwhile: the input computes, and waits for nobody.
        assert!(closed.may_wait() && !closed.hand_over_first(true));
        for _ in 0..16 {
            assert_eq!(ask(&mut closed, &clock, 1_000, micros(500)), 1);
        }
        assert!(!closed.may_wait());
        assert!((2..=3).contains(&ask(&mut closed, &clock, 1_000, micros(500))));
    }

    #[test]
    fn an_input_that_was_waited_for_has_results_handed_over_for_long() {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let mut open = asks(0);
        // Before it is looked at closely, an item that took so long was waited for.
        ask(&mut open, &clock, 1, micros(50));
        for _ in 0..64 {
            assert!(open.may_wait() && open.hand_over_first(false));
            ask(&mut open, &clock, 1, micros(1));
        }
        assert!(!open.may_wait());
    }

    #[test]
    fn where_each_result_goes_out_short_calls_and_waits_keep_calls_from_being_made_meanwhile() {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let mut each = asks(0);
        each.set_gives_each(true, false);
        let mut open = asks(0);
        for _ in 0..16 {
            assert!(!each.may_overlap() && !open.may_overlap());
            for asks in [&mut each, &mut open] {
                ask(asks, &clock, 1, micros(1));
                asks.note_call(20e-6);
            }
        }
        // One goes on with many items at a time, the other one by one.
        assert!(open.may_overlap() && !each.may_overlap());
        for _ in 0..16 {
            each.note_call(100e-6);
        }
        assert!(each.may_overlap());
        for _ in 0..WAITS_FOR_EACH {
            each.closely = false;
            ask(&mut each, &clock, 1, micros(50));
        }
        assert!(!each.may_overlap());
    }

    #[test]
    fn beside_a_slow_sink_long_calls_are_made_meanwhile() {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let mut each = asks(0);
        each.set_gives_each(true, false);
        for (call, overlaps) in [(100e-6, false), (5e-3, true)] {
            for _ in 0..16 {
                each.note_call(call);
                each.handed_over_at(Some(now()));
                clock.pass(micros(100));
                each.begin(1, INLINE);
                each.look(1, 1, INLINE);
                each.end();
            }
            assert_eq!(each.may_overlap(), overlaps, "{call}");
        }
    }

    #[test]
    fn few_very_long_calls_are_enough() {
        let mut open = asks(0);
        open.note_call(1.0);
        assert!(!open.may_overlap());
        (0..3).for_each(|_| open.note_call(1.0));
        assert!(open.may_overlap());
    }
}
