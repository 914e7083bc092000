use std::cell::Cell;

use super::independence::Others;
use super::*;
use crate::system::sync::Clock;

const INLINE: Way = Way::Inline { timed: true };
const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

thread_local! {
    /// The time for which other threads ran, and the number of times that they slept.
    static OTHERS: Cell<(Duration, u64)> = const { Cell::new((Duration::ZERO, 0)) };
}

const OTHERS_OF_TEST: Others =
    Others { ran: |_| Some(OTHERS.get().0), slept: || Some(OTHERS.get().1), are_told: || true };

/// Asks of an input that has `least` items at least, in a process with other threads.
fn asks(least: usize) -> Asks {
    asks_among(OTHERS_OF_TEST, least)
}

fn asks_among(others: Others, least: usize) -> Asks {
    let mut asks = Asks { independence: Independence::of(others), ..Asks::default() };
    asks.begin_run(least);
    asks
}

/// Lets other threads run for this time, and sleep this many times.
fn others(ran: Duration, slept: u64) {
    let before = OTHERS.get();
    OTHERS.set((before.0 + ran, before.1 + slept));
}

/// Asks for up to `most` items. Each takes `each` by a clock that the test moves, while the thread
/// does not sleep. Gives the number of items taken.
fn ask(asks: &mut Asks, clock: &Clock, most: usize, each: Duration) -> usize {
    ask_later(asks, clock, most, || each)
}

/// The same, if the time of an item depends on the clock.
fn ask_later(asks: &mut Asks, clock: &Clock, most: usize, each: impl Fn() -> Duration) -> usize {
    let mut goal = asks.begin(most, INLINE).min(most);
    let mut taken = 0;
    loop {
        while taken < goal {
            clock.run(each());
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

/// A process in which items are asked for, one after the other.
struct Scene {
    clock: Clock,
    /// Microseconds of a call, of the sink, and of each ask.
    call: u64,
    sink: u64,
    ask: u64,
    /// The others do this when a call begins, within it, when it has ended, and when the item is
    /// there.
    before_call: fn(&Scene, put_off: Duration),
    in_call: fn(&Scene),
    after_call: fn(&Scene),
    in_ask: fn(),
    after_ask: fn(&Scene),
}

impl Scene {
    fn new(call: u64) -> Self {
        let idle = (|_: &Scene, _| ()) as fn(&Scene, Duration);
        Self {
            clock: Clock::standing(),
            call,
            sink: 1,
            ask: 1,
            before_call: idle,
            in_call: |_| (),
            after_call: |_| (),
            in_ask: || (),
            after_ask: |_| (),
        }
    }

    /// The number of items after which it is seen that they don't depend on results; `None` if that
    /// is not seen within 20,000.
    fn seen_after(&self, open: &mut Asks) -> Option<usize> {
        let _moved = self.clock.enter();
        (0..20_000).find(|_| {
            // An iterator does this before each batch.
            open.is_bounded = false;
            let put_off = open.put_off_call();
            (self.before_call)(self, put_off);
            self.clock.run(micros(self.call));
            open.call = self.call as f64 * 1e-6;
            (self.in_call)(self);
            open.call_ended();
            (self.after_call)(self);
            self.clock.run(micros(self.sink));
            ask_later(open, &self.clock, 1, || {
                (self.in_ask)();
                micros(self.ask)
            });
            (self.after_ask)(self);
            open.may_overlap()
        })
    }

    /// Another thread that computes all the time, also while calls and asks are put off.
    fn computes(&self) {
        others(micros(self.call + self.sink + self.ask + 50), 0);
    }
}

#[test]
fn an_open_input_is_asked_one_by_one_until_no_other_thread_can_have_answered() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut open = asks(0);
    // The first one tells nothing about other threads.
    for _ in 0..=16 {
        assert!(open.may_wait() && open.hand_over_first(true) && !open.may_overlap());
        assert_eq!(ask(&mut open, &clock, 1_000, micros(1)), 1);
    }
    // The results of the last item are handed over, too.
    assert!(!open.may_wait() && open.hand_over_first(true) && open.may_overlap());
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
fn after_long_calls_fewer_asks_show_that_no_other_thread_can_have_answered() {
    assert_eq!(Scene::new(1_000_000).seen_after(&mut asks(0)), Some(4));
    assert_eq!(Scene::new(10).seen_after(&mut asks(0)), Some(16));
}

#[test]
fn one_that_knows_it_is_asked_for_a_millisecond_at_a_time() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut closed = asks(1);
    let taken = ask(&mut closed, &clock, 100_000, micros(1));
    assert!((1_000..=1_100).contains(&taken), "{taken}");
    assert!(!closed.may_wait() && closed.may_overlap());
}

#[test]
fn an_item_that_is_late_has_the_next_ones_asked_for_one_by_one() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut closed = asks(1);
    ask(&mut closed, &clock, 1_000, micros(1));
    assert_eq!(ask(&mut closed, &clock, 1_000, micros(500)), 1);
    // The thread did not sleep meanwhile: the input computes, and waits for nothing.
    assert!(closed.are_single() && !closed.may_wait() && !closed.hand_over_first(true));
    for _ in 0..16 {
        assert_eq!(ask(&mut closed, &clock, 1_000, micros(500)), 1);
    }
    assert!(!closed.are_single());
    assert!((2..=3).contains(&ask(&mut closed, &clock, 1_000, micros(500))));
}

#[test]
fn an_input_that_was_waited_for_has_results_handed_over_for_long() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut closed = asks(1);
    (closed.single, closed.hands_over) = (1, true);
    // Before the close checks, an item that took this long counted as waited for.
    ask(&mut closed, &clock, 1, micros(50));
    for _ in 0..64 {
        assert!(closed.may_wait() && closed.hand_over_first(false));
        ask(&mut closed, &clock, 1, micros(1));
    }
    assert!(!closed.may_wait());
}

#[test]
fn a_thread_that_computes_all_the_time_and_never_sleeps_waits_for_no_result() {
    for (call, needed) in [(1, 16 + 4), (100, 4 + 4), (10_000, 4 + 4)] {
        let scene =
            Scene { before_call: |_, put_off| others(put_off, 0), after_call: Scene::computes, ..Scene::new(call) };
        assert_eq!(scene.seen_after(&mut asks(0)), Some(needed), "calls of {call} us");
        // An input that takes its time, and a slow sink, change nothing, but for the first item,
        // which may have been waited for.
        let scene = Scene { ask: 30, sink: 500, ..scene };
        assert_eq!(scene.seen_after(&mut asks(0)), Some(needed + 1), "calls of {call} us");
    }
}

#[test]
fn a_thread_that_sleeps_for_each_result_beside_one_that_computes_may_wait_for_it() {
    for call in [1, 100, 10_000] {
        let scene = Scene {
            before_call: |scene, put_off| others(put_off, u64::from(put_off > micros(20) || scene.call > 20)),
            after_call: Scene::computes,
            ..Scene::new(call)
        };
        assert_eq!(scene.seen_after(&mut asks(0)), None, "calls of {call} us");
    }
}

#[test]
fn a_thread_that_fills_a_channel_while_calls_are_put_off_does_not_answer() {
    for call in [1, 100, 10_000] {
        // It runs when an item was taken, and sleeps when the channel is full again.
        let scene = Scene { after_ask: |_| others(micros(5), 1), ask: 6, ..Scene::new(call) };
        let seen = scene.seen_after(&mut asks(0));
        assert!(seen.is_some_and(|seen| seen <= 1 + 16 + 4), "calls of {call} us: {seen:?}");
    }
}

#[test]
fn a_thread_that_runs_between_a_call_and_the_next_ask_may_answer() {
    for call in [1, 100, 10_000] {
        // It answers when the sink has the result, or within the call, or is started for that.
        let scene = Scene { after_call: |_| others(micros(3), 1), ..Scene::new(call) };
        assert_eq!(scene.seen_after(&mut asks(0)), None, "calls of {call} us");
        let scene = Scene { after_call: |_| others(micros(20), 0), ..Scene::new(call) };
        assert_eq!(scene.seen_after(&mut asks(0)), None, "calls of {call} us");
    }
}

#[test]
fn a_thread_that_wakes_in_long_calls_now_and_then_does_not_answer_what_the_sink_says() {
    for call in [1_000, 1_000_000] {
        let scene = Scene { in_call: |_| others(micros(10), 1), ..Scene::new(call) };
        let mut open = asks(0);
        assert_eq!(scene.seen_after(&mut open), Some(4 + 4), "calls of {call} us");
        // It may answer what a call says: each is under way before the next item is asked for.
        let _moved = scene.clock.enter();
        _ = open.put_off_call();
        for _ in 0..1_000 {
            assert!(open.are_single() && open.may_wait() && open.put_off_call().is_zero());
            assert_eq!(ask(&mut open, &scene.clock, 100, micros(1)), 1);
        }
    }
}

#[test]
fn a_thread_that_answers_late_because_it_has_no_core_is_waited_for() {
    // It runs while the input looks for the item, which does not sleep.
    for call in [1, 100, 10_000] {
        let scene = Scene { in_ask: || others(micros(9), 1), ask: 3_000, ..Scene::new(call) };
        assert_eq!(scene.seen_after(&mut asks(0)), None, "calls of {call} us");
        // An input that computes so long waits for nobody.
        let scene = Scene { in_ask: || (), after_ask: |_| others(micros(9), 1), ..scene };
        assert!(scene.seen_after(&mut asks(0)).is_some(), "calls of {call} us");
    }
}

#[test]
fn a_look_that_was_disturbed_is_taken_again() {
    thread_local!(static LOOKS: Cell<u32> = const { Cell::new(0) });
    let ran = |exactly: bool| {
        LOOKS.set(LOOKS.get() + u32::from(exactly));
        (!exactly || LOOKS.get() > 3).then_some(OTHERS.get().0)
    };
    let disturbed = Others { ran, ..OTHERS_OF_TEST };
    let scene = Scene { after_ask: |_| others(micros(5), 1), ..Scene::new(100) };
    assert!(scene.seen_after(&mut asks_among(disturbed, 0)).is_some_and(|seen| seen < 100));
}

#[test]
fn trials_that_show_nothing_become_rare() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut open = asks(0);
    let mut put_off = 0;
    for _ in 0..20_000 {
        put_off += u32::from(!open.put_off_call().is_zero());
        open.call = 1e-6;
        others(micros(3), 1);
        ask_later(&mut open, &clock, 1, || micros(1));
    }
    // Four calls each, and the ask behind the last, after 1, 3, 5, 9 .. 513 windows of 16 asks.
    assert_eq!(put_off, 5 * 10);
}

#[test]
fn a_call_is_put_off_by_the_time_of_four_but_not_for_long() {
    for (call, put_off) in [(1, 50), (100, 400), (3_000, 12_000), (1_000_000, 20_000)] {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let mut open = asks(0);
        let mut put_off_ones = (0..40).map(|_| {
            let put_off = open.put_off_call();
            open.call = call as f64 * 1e-6;
            others(micros(9), 1);
            ask_later(&mut open, &clock, 1, || micros(1));
            put_off
        });
        let first = put_off_ones.find(|put_off| !put_off.is_zero()).unwrap();
        assert!(first.abs_diff(micros(put_off)) < micros(1), "{first:?} before calls of {call} us");
    }
}

#[test]
fn a_window_in_which_others_ran_without_being_counted_yet_shows_nothing() {
    let ran = |exactly: bool| Some(if exactly { OTHERS.get().0 } else { Duration::ZERO });
    let scene = Scene { after_call: |_| others(micros(3), 1), ..Scene::new(1) };
    assert_eq!(scene.seen_after(&mut asks_among(Others { ran, slept: || None, are_told: || true }, 0)), None);
}

#[test]
fn where_the_system_tells_nothing_of_other_threads_it_takes_many_asks_and_some_time() {
    let nothing = Others { ran: |_| None, slept: || None, are_told: || false };
    assert_eq!(Scene::new(100).seen_after(&mut asks_among(nothing, 0)), Some(256));
    let seen = Scene::new(10).seen_after(&mut asks_among(nothing, 0)).unwrap();
    assert!((1_500..1_800).contains(&seen), "{seen}");
    // The exact time may be what it does not tell.
    let no_list = Others { ran: |exactly| (!exactly).then_some(OTHERS.get().0), slept: || None, are_told: || false };
    let scene = Scene { after_call: |_| others(micros(9), 1), ..Scene::new(100) };
    let seen = scene.seen_after(&mut asks_among(no_list, 0)).unwrap();
    assert!((255..270).contains(&seen), "{seen}");
}

#[test]
fn an_item_that_was_waited_for_begins_it_anew() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut open = asks(0);
    for asked in 0..1_000 {
        open.call = 1e-6;
        // Without close checks, an item that takes this long counts as waited for.
        open.closely = false;
        ask_later(&mut open, &clock, 1, || micros(if asked % 10 == 0 { 50 } else { 1 }));
        assert!(!open.may_overlap() && open.may_wait());
    }
}

#[test]
fn a_bound_of_items_in_flight_has_them_asked_for_one_by_one_for_good() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut open = asks(0);
    open.is_bounded = true;
    for _ in 0..1_000 {
        // An item that was taken is started before the next ask, however quickly items come.
        assert!(open.may_overlap() && open.are_single() && open.hand_over_first(true) && open.may_wait());
        assert_eq!(ask(&mut open, &clock, 100, micros(1)), 1);
    }
}

#[test]
fn a_fill_that_a_panic_ended_is_forgotten() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut asks = asks(1000);
    assert_eq!(asks.begin(100, INLINE), 1);
    let next = asks.look(1, 100, INLINE).expect("the input does not wait");
    asks.look(next, 100, INLINE);
    // The input panics in the next ask.
    assert_eq!(asks.begin(1, Way::Inline { timed: false }), 1);
    assert_eq!(asks.look(1, 1, Way::Inline { timed: false }), None);
}
