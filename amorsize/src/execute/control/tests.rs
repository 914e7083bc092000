//! How many items are wanted, and when a batch is closed early.

use std::time::Duration;

use super::super::account::Idle;
use super::*;
use crate::adapt::learned::{Learned, Stretch};
use crate::adapt::tuner::ThreadLimits;
use crate::buffer::Types;
use crate::plan::tests::situation;
use crate::units::ByteSize;

/// A run on two threads with calls of 10 us. 100 items are handed over, and `ready` more are
/// ready.
fn run(ready: usize) -> Control {
    let mut learned = Learned::default();
    learned.add(Stretch { items: 1000, seconds: 10e-3, bytes: 8000, largest: 8, working: 0 });
    let situation = Situation { threads: 2, most: 2, budget: ByteSize::mib(1), result_size: 8, ..situation(None) };
    let limits = ThreadLimits { level: 2, cores: 2, most: 2, own: false };
    let ledger = Ledger::new(ByteSize::mib(1));
    let books = Books { learned, next: 100, chunks: 1, ..Books::default() };
    let control = Control::new(situation, limits, books, ledger, (2000, 100), true, None);
    if ready > 0 {
        let types = Types::<u64, u64>::new();
        let mut chunk = types.chunk();
        let mut state = control.state();
        chunk.results = types.results_of(vec![0; ready], Credit::of_results(&state.ledger, ready, 0, 0));
        state.finished.insert(100, chunk);
        state.add_ready();
    }
    control
}

#[test]
fn no_more_items_are_wanted_than_may_be_in_flight() {
    let control = run(3);
    let bounded = |most| control.state().situation.in_flight = most;
    assert!(control.items_wanted(None, false) > 8);
    // Beside the ready ones, one in the caller's batch, and two that wait to be run.
    let _held = Credit::of_results(&control.ledger, 1, 0, 0);
    control.state().queued = 2;
    let wanted = [9, 8, 7, 6, 5].map(|most| {
        bounded(Some(most));
        control.items_wanted(None, false)
    });
    assert_eq!(wanted, [1, 1, 1, 0, 0]);
    assert_eq!(control.state().in_flight_room(), 0);
    // Results in a collection don't count.
    bounded(Some(4));
    assert_eq!((control.items_wanted(Some(1), false), control.items_wanted(Some(3), false)), (0, 1));
    assert_eq!(control.state().in_flight_room(), 1);
}

#[test]
fn a_batch_is_closed_early_only_where_nothing_else_can_go_on() {
    let control = run(0);
    let mut state = control.state();
    let _held = Credit::of_results(&control.ledger, 4, 0, 0);
    assert!(!state.is_full(usize::MAX));
    state.situation.in_flight = Some(5);
    assert!(!state.is_full(usize::MAX));
    state.situation.in_flight = Some(4);
    assert!(state.is_full(usize::MAX));
    // Nothing more is taken from an input that has ended, or after a panic.
    assert!(!state.is_full(9));
    state.input_ended = true;
    assert!(!state.is_full(usize::MAX));
    state.input_ended = false;
    state.running = 1;
    assert!(!state.is_full(usize::MAX));
}

#[test]
fn a_sink_that_is_slower_than_the_calls_leaves_a_core_to_the_calling_thread() {
    let types = Types::<u64, u64>::new();
    let calling = |ready: usize, microseconds: u64| {
        let control = run(ready);
        control.state().books.next = 100 + ready;
        let mut chunk = types.place_of_one();
        types.put_one(&mut chunk, 0);
        control.enqueue(chunk, 0, 0.0);
        let mut state = control.state();
        state.tuner.sink_took(100, Duration::from_micros(100 * microseconds));
        let threads = state.threads_for_calls();
        (state.running, state.jobs) = (1, 2);
        let idle = if threads == 1 { (1, Idle::Spared) } else { (0, Idle::NoItems) };
        assert_eq!(state.idle(usize::MAX), idle);
        drop(state);
        // A job for each of them. A calling thread that joins in is another thread.
        let jobs = |others, jobs| {
            control.state().jobs = jobs;
            let jobs = control.jobs_to_start(others).0;
            control.state().jobs = 2;
            jobs
        };
        assert_eq!([jobs(0, 0), jobs(0, 1), jobs(1, 0), jobs(1, 1)], [1, threads - 1, 1, 0]);
        let starts = || control.start_next(Some(ThreadKind::Pool), false).is_some();
        if threads == 1 {
            assert!(!starts());
            // Without any call the sink would get nothing.
            control.state().running = 0;
        }
        assert!(starts());
        threads
    };
    // The calls take 10 us, and a batch has 100 items.
    assert_eq!([(100, 10), (100, 8), (99, 10), (0, 10)].map(|(ready, pace)| calling(ready, pace)), [1, 2, 2, 2]);
}
