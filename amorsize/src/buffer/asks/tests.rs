use std::cell::Cell;

use super::*;
use crate::system::sync::Clock;

const INLINE: Way = Way::Inline { timed: true };
const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

thread_local! {
    static OTHERS_RAN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static OTHERS_SLEPT: Cell<u64> = const { Cell::new(0) };
}

/// Asks of an input that has `least` items at least, in a process with other threads that do
/// nothing.
fn asks(least: usize) -> Asks {
    let others = Others { ran: |_| Some(OTHERS_RAN.get()), slept: || None };
    let mut asks = Asks { others, ..Asks::default() };
    asks.begin_run(least);
    asks
}

/// The same, in a process with other threads that run.
fn asks_among_others(least: usize) -> Asks {
    let ran = |_| {
        OTHERS_RAN.set(OTHERS_RAN.get() + micros(100));
        Some(OTHERS_RAN.get())
    };
    Asks { others: Others { ran, slept: || Some(OTHERS_SLEPT.get()) }, ..asks(least) }
}

/// Puts the next call off, if that is due, and ends it. Returns true if it was put off.
fn call(asks: &mut Asks, seconds: f64) -> bool {
    asks.note_call(seconds);
    let put_off = asks.put_off_call();
    asks.call_ended(now());
    !put_off.is_zero()
}

/// Asks for up to `most` items. Each takes `each` by a clock that the test moves, while the thread
/// does not sleep. Gives the number of items taken.
fn ask(asks: &mut Asks, clock: &Clock, most: usize, each: Duration) -> usize {
    asks.call_ended(now());
    ask_later(asks, clock, most, |_| each)
}

/// The same, if something else was done after results were handed over. The time of an item depends
/// on how long ago that was.
fn ask_later(asks: &mut Asks, clock: &Clock, most: usize, each: impl Fn(Duration) -> Duration) -> usize {
    let call_ended = asks.call_ended.unwrap();
    let mut goal = asks.begin(most, INLINE).min(most);
    let mut taken = 0;
    loop {
        while taken < goal {
            clock.run(each(now() - call_ended));
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
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut open = asks(0);
    for _ in 0..=4 {
        assert!(!open.may_overlap());
        open.note_call(1.0);
        open.call_ended(now());
        // The sink takes so long that an item which comes at once tells nothing.
        clock.pass(micros(100));
        ask_later(&mut open, &clock, 1_000, |_| micros(1));
    }
    assert!(open.may_overlap());
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

/// Asks until it is seen that items don't depend on results, 999 at most, and the calls put off.
fn asks_until_seen(open: &mut Asks, clock: &Clock, seconds: f64, sink: u64, sleeps: u64) -> (usize, usize) {
    let (mut asked, mut put_off) = (0, 0);
    while !open.may_overlap() && asked < 999 {
        put_off += usize::from(call(open, seconds));
        clock.run(micros(sink));
        OTHERS_SLEPT.set(OTHERS_SLEPT.get() + sleeps);
        ask_later(open, clock, 1, |_| micros(1));
        asked += 1;
    }
    (asked, put_off)
}

#[test]
fn among_other_threads_items_that_come_at_once_after_long_calls_are_sent_because_of_none() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    // After a first window of 16 asks, short calls are put off, four at a time; three times more
    // after 2, 4 and 8 windows, each with one more until the next trial is on.
    let short = 17 + 4 * 4 + (3 + 5 + 9) * 16;
    for (seconds, needed, put_off) in [(20e-6, short, 16), (100e-6, 16, 0), (1.0, 4, 0)] {
        let mut open = asks_among_others(0);
        let asked = asks_until_seen(&mut open, &clock, seconds, 0, 1);
        assert_eq!(asked, (needed, put_off), "calls of {seconds}");
    }
}

#[test]
fn among_other_threads_that_did_not_sleep_a_few_items_after_long_calls_are_sent_because_of_none() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    for (seconds, needed) in [(20e-6, (17 + 4, 4)), (100e-6, (5, 0)), (1.0, (5, 0))] {
        let mut open = asks_among_others(0);
        assert_eq!(asks_until_seen(&mut open, &clock, seconds, 100, 0), needed, "calls of {seconds}");
        // One of them sleeps for each result.
        let mut open = asks_among_others(0);
        assert_eq!(asks_until_seen(&mut open, &clock, seconds, 100, 1).0, 999);
        // The system tells nothing.
        let mut open = Asks { others: Others { slept: || None, ..open.others }, ..asks(0) };
        assert_eq!(asks_until_seen(&mut open, &clock, seconds, 100, 0).0, 999);
    }
}

#[test]
fn a_thread_that_looks_for_short_calls_results_without_a_sleep_is_found_out() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut open = asks_among_others(0);
    let mut put_off = 0;
    for _ in 0..100_000 {
        let sleeps = call(&mut open, 1e-6);
        put_off += usize::from(sleeps);
        OTHERS_SLEPT.set(OTHERS_SLEPT.get() + u64::from(sleeps));
        ask_later(&mut open, &clock, 1, |_| if sleeps { micros(5) } else { Duration::from_nanos(300) });
        assert!(!open.may_overlap());
    }
    // It wakes as fast as that without the delays.
    assert!((8..40).contains(&put_off), "{put_off}");
}

#[test]
fn a_window_in_which_others_ran_without_being_counted_yet_shows_nothing() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let ran = |at_most: bool| Some(if at_most { micros(100) } else { Duration::ZERO });
    let mut open = Asks { others: Others { ran, slept: || None }, ..asks(0) };
    for _ in 0..=16 {
        call(&mut open, 1e-6);
        ask_later(&mut open, &clock, 1, |_| micros(1));
    }
    assert!(!open.may_overlap());
}

#[test]
fn an_answer_that_another_thread_takes_its_time_for_is_waited_for() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    for (call, answer) in [(0.0, 8), (100e-6, 8), (100e-6, 150), (3e-3, 150)] {
        let mut open = asks_among_others(0);
        for _ in 0..1_000 {
            open.note_call(call);
            open.call_ended(now());
            OTHERS_SLEPT.set(OTHERS_SLEPT.get() + 1);
            let left = |since| micros(answer).saturating_sub(since).max(micros(1) / 2);
            assert_eq!(ask_later(&mut open, &clock, 100, left), 1);
            clock.pass(micros(5));
            assert!(!open.may_overlap(), "calls of {call}, answers after {answer} us");
        }
        // The first are put off four at a time, the next ones after 32, 64, 128, 256 and 512 asks.
        assert!(open.delay.shorter <= 6 * FEW, "{}", open.delay.shorter);
    }
}

#[test]
fn an_input_that_computes_is_found_out_beside_short_calls_too() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    for (item, at_most) in [(5, 100), (30, 100)] {
        let mut open = asks_among_others(0);
        let mut asked = 0;
        while !open.may_overlap() && asked < 999 {
            call(&mut open, 10e-6);
            ask_later(&mut open, &clock, 1, |_| micros(item));
            asked += 1;
        }
        assert!(asked < at_most, "{asked} asks of an input that takes {item} us");
    }
}

#[test]
fn an_input_that_takes_its_time_whenever_it_is_asked_waits_for_nobody() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut open = asks_among_others(0);
    let mut asked = 0;
    while !open.may_overlap() {
        open.note_call(1e-3);
        open.call_ended(now());
        ask_later(&mut open, &clock, 1, |_| micros(200));
        asked += 1;
    }
    // One to measure the time that it takes, and four that are put off.
    assert_eq!(asked, 5);
}

#[test]
fn a_bound_of_items_in_flight_has_them_asked_for_one_by_one_for_good() {
    let clock = Clock::standing();
    let _moved = clock.enter();
    let mut open = asks(0);
    open.set_bounded(true);
    for _ in 0..1_000 {
        assert!(open.may_overlap() && open.are_single() && open.hand_over_first(true));
        assert_eq!(ask(&mut open, &clock, 100, micros(1)), 1);
    }
}
