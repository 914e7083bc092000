//! Asks an input for items: many at a time, or one by one if it may wait.
//!
//! The calling thread asks the input and hands results over. While it waits within `next()` it can
//! hand over nothing, and the input may wait for just that: for example a channel, if another
//! thread sends the next question only after the answer to the last one. Nothing tells beforehand
//! if `next()` will wait.
//!
//! An input that says it has items left is asked for many at a time. One that does not say so is
//! open: it is asked one by one, and each result is handed over before the next ask, until
//! [something shows](independence) that its items don't depend on the results.
//!
//! An input that was seen to wait is asked one by one again. If the items in flight are bounded, an
//! open input is asked one by one for good.

use std::time::{Duration, Instant};

use independence::{FEW, Independence, PUT_OFF, SHOWN_BY, Seen};

use crate::memory::watch::LOOK;
use crate::system::calls;
use crate::system::sync::now;
use crate::units::mean::follow;

mod independence;

/// The way in which items are taken from an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// For the calling thread; the clock is read if that takes a small part of the calls' time.
    Inline { timed: bool },
    /// For a worker.
    Worker,
}

/// Asks without a wait after which an input that was waited for counts as one that does not wait
/// now: some items may have come while the sink was busy, and then the input may wait again. A sink
/// that is slower than the input has more to catch up with.
const SHOWN_AFTER_SLEEP: u32 = FEW * SHOWN_BY;
/// An item that comes within this time was not waited for: a sleeping thread takes 5 us to wake,
/// and reading the next block of a file takes less than this.
const QUICK: Duration = Duration::from_micros(2);
/// Items that come later than expected by this time may have been waited for. If the system can't
/// say if a thread slept, they were.
const LATE: Duration = Duration::from_micros(20);
/// An input that knows it has items left gives up to this many, because most such inputs never
/// wait.
const BETWEEN_LOOKS_AT_MOST: usize = 4096;
/// While results wait to fill a batch, the input is asked for no longer than this. A sink that
/// takes a millisecond for each batch is then busy for a hundredth of the time. Nor does the input
/// wait for longer until a result is there.
pub(crate) const HELD: Duration = Duration::from_millis(100);

/// The findings about the asks of a run's input.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// True if the input says that it may have no further item.
    is_open: bool,
    /// True if only some items may be in flight: the input may depend on the results of the others.
    pub(crate) is_bounded: bool,
    /// True if items were seen to depend on calls at most, but not on what the sink does. So each
    /// is run before the next one is asked for.
    needs_no_sink: bool,
    /// True if an ask was timed.
    has_asked: bool,
    /// Asks that are still to be made one by one. If it is in question whether items of an open
    /// input depend on results, that decides instead.
    single: u32,
    /// True if results are handed over before the next ask.
    hands_over: bool,
    /// True if each ask is checked closely for a wait.
    closely: bool,
    /// Seconds of the last call of the calling thread.
    pub(crate) call: f64,
    /// Seconds that an item takes to come, of late; 0 if unknown.
    pub(crate) pace: f64,
    /// Seconds of asks since results were last handed over.
    held: f64,
    /// Seconds of the last fill, if it was timed.
    pub(crate) seconds: f64,
    /// The bytes that the items of the next fill may have, if they can be measured. The last one
    /// may exceed them.
    pub(crate) fitting: u64,
    fill: Option<Fill>,
    independence: Independence,
    /// The time for which the last ask was put off.
    put_off: Duration,
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

    /// True if the calling thread asks for each of its items alone.
    pub(crate) fn are_single(&self) -> bool {
        self.single > 0 || self.is_each()
    }

    /// True if calls may be made while the input is asked. An item may come because of the last
    /// result; then asking for the next one before the call has ended would wait for ever. With a
    /// bound on the items in flight, the caller has said how many may be under way.
    pub(crate) fn may_overlap(&self) -> bool {
        !self.is_open || self.is_each() || self.single == 0
    }

    /// True if everything that is ready is to be handed over before the input is asked again.
    /// `inline` is for a run on the calling thread alone.
    pub(crate) fn hand_over_first(&self, inline: bool) -> bool {
        (inline && self.is_each()) || self.hands_over || self.held >= HELD.as_secs_f64()
    }

    /// True if the input waits or may wait, and is asked one by one for that reason: what was taken
    /// from it is started before it is asked again. An input that only computes for long is asked
    /// one by one, too, but waits for nothing.
    pub(crate) fn may_wait(&self) -> bool {
        self.is_each() || (self.single > 0 && self.hands_over)
    }

    /// Notes that all ready results were handed over.
    pub(crate) fn handed_over(&mut self) {
        self.held = 0.0;
    }

    /// Puts the next call of the calling thread off, if that is to be tried. Returns the time that
    /// this took, with that for which the last ask was put off: it is not the time of calls, of the
    /// input or of the sink.
    pub(crate) fn put_off_call(&mut self) -> Duration {
        let mut put_off = std::mem::take(&mut self.put_off);
        if self.is_in_question(Way::Inline { timed: true }) {
            put_off += self.independence.put_off_call(self.call);
        }
        put_off
    }

    /// Notes that a call of the calling thread has ended. Returns the time that this took.
    pub(crate) fn call_ended(&mut self) -> Duration {
        self.independence.call_ended()
    }

    /// True if one item is taken at a time, even if items come quickly.
    fn is_each(&self) -> bool {
        self.is_open && (self.is_bounded || self.needs_no_sink)
    }

    /// Begins to ask for up to `most` items. Returns the number of items after which to
    /// [look](Self::look).
    #[inline]
    pub(super) fn begin(&mut self, most: usize, way: Way) -> usize {
        self.seconds = 0.0;
        // The input may have panicked in the last fill.
        self.fill = None;
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
        if self.is_in_question(way) {
            self.put_off = self.independence.put_off_ask();
        }
        // With cheap items, and with the first one, the cost would show.
        let is_cheap = self.single == 0 && matches!(way, Way::Inline { timed: false });
        let is_quick = (self.single > 0 || self.is_each()) && !self.closely;
        let switches = if is_cheap || is_quick { None } else { calls::voluntary_switches() };
        let now = now();
        self.fill = Some(Fill { begun: now, looked: now, taken: 0, switches });
        1
    }

    /// True if it is still unknown if the input depends on results.
    fn is_in_question(&self, way: Way) -> bool {
        self.is_open && !self.is_each() && self.single > 0 && way != Way::Worker
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
        let expected = Duration::from_secs_f64((self.pace * items as f64).min(LOOK.as_secs_f64()));
        let is_late = took > expected + LATE;
        if is_late {
            // The first ask has no count. An input that tells its length is looked at closely from
            // then on, before results are handed over one by one because of a busy machine.
            let slept = switches.map_or(self.is_open && took >= LOOK, slept_since);
            self.single = if slept { SHOWN_AFTER_SLEEP } else { SHOWN_BY };
            (self.closely, self.hands_over) = (true, slept);
            self.independence.waited();
        }
        self.note_pace(took, items);
        // While the input is asked, nobody looks at memory.
        if is_late || taken >= most || total >= LOOK {
            return None;
        }
        // When an open input begins to wait, each item up to the next look at the clock can be late
        // by its own wait.
        let open = (taken, SHOWN_BY as usize);
        let (step, longest) = if self.is_open { open } else { (15 * taken, BETWEEN_LOOKS_AT_MOST) };
        let in_time = (LOOK.as_secs_f64() / 10.0 / self.pace.max(1e-10)) as usize;
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
        if slept {
            (self.single, self.hands_over) = (SHOWN_AFTER_SLEEP, true);
            self.independence.waited();
            return;
        }
        // A thread that waits for the result of a call this long sleeps, as behind one put off.
        match self.independence.note(begun, took, self.call >= PUT_OFF.as_secs_f64()) {
            Seen::Nothing => {}
            Seen::NeedsNoSink => self.needs_no_sink = true,
            Seen::NeedsNoResult => self.single = 0,
        }
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
