//! Journals of sinks: with places, without, and with segments that are lost.

use super::super::frame::Run;
use super::super::lock::Lock;
use super::super::pen::{Entry, Pen};
use super::super::segment::Directory;
use super::*;

/// A journal with a sink that takes one place for each item.
fn journal(directory: &Path, items: std::ops::Range<u64>) {
    // The clock stands, so that they are in one frame.
    let _entered = Clock::standing().enter();
    let store = Store::open(directory, &identity(Kind::Journal)).unwrap();
    let writer = store.writer(Settings::new(1)).unwrap();
    writer.go_on_from(items.start);
    for item in items {
        writer.done([(item, 1, hash_of(item..item + 1))], Some(item + 1));
    }
    writer.finish().unwrap();
}

/// The items that are done, and the place of the sink.
fn journal_state(directory: &Path) -> (Vec<std::ops::Range<u64>>, Option<u64>) {
    let store = Store::open(directory, &identity(Kind::Journal)).unwrap();
    (done(&store), store.found.place)
}

#[test]
fn a_journal_knows_the_place_of_its_sink() {
    let scratch = Scratch::new();
    let open = || Store::open(&scratch.run(), &identity(Kind::Journal)).unwrap();
    assert_eq!(open().found.place, None);
    journal(&scratch.run(), 0..10);
    let store = open();
    assert_eq!((done(&store), store.found.place), (vec![0..10], Some(10)));
    store.check_items(&store.found.done[0], hash_of(0..10)).unwrap();
    drop(store);
    journal(&scratch.run(), 10..12);
    let store = open();
    assert_eq!((done(&store), store.found.place), (vec![0..12], Some(12)));
}

#[test]
fn a_sink_may_begin_at_a_place_after_runs_without_an_item() {
    let scratch = Scratch::new();
    let state = || journal_state(&scratch.run());
    // Two runs over an empty input, and none of their sinks has places.
    for items in 0..2 {
        let store = Store::open(&scratch.run(), &identity(Kind::Journal)).unwrap();
        let writer = store.writer(Settings::new(1)).unwrap();
        writer.end_of_input(items);
        writer.finish().unwrap();
    }
    journal(&scratch.run(), 5..5);
    assert_eq!(state(), (vec![], Some(5)));
    journal(&scratch.run(), 5..9);
    assert_eq!(state(), (vec![5..9], Some(9)));
    // Without its closing frame a segment may have had a place.
    let first = scratch.run().join(super::super::segment::name(1));
    let bytes = std::fs::read(&first).unwrap();
    std::fs::write(&first, &bytes[..bytes.len() - 44]).unwrap();
    assert_eq!(state(), (vec![], Some(0)));
}

#[test]
fn a_segment_that_is_lost_takes_what_the_sink_had_behind_it() {
    let scratch = Scratch::new();
    let open = || Store::open(&scratch.run(), &identity(Kind::Journal)).unwrap();
    [0..10, 10..12, 12..15].into_iter().for_each(|items| journal(&scratch.run(), items));
    let path = |number| scratch.run().join(super::super::segment::name(number));
    let bytes = std::fs::read(path(2)).unwrap();
    // Nothing of it is left, its header, or also the frame that says where it goes on.
    for left in [0, 24, 24 + 44 + 8] {
        std::fs::write(path(2), &bytes[..left]).unwrap();
        let store = open();
        assert_eq!((done(&store), store.found.place, store.found.damaged), (vec![0..10], Some(10), 0), "{left}");
    }
    std::fs::remove_file(path(2)).unwrap();
    let store = open();
    assert_eq!((done(&store), store.found.place, store.found.damaged), (vec![0..10], Some(10), 1));
    drop(store);
    std::fs::remove_file(path(1)).unwrap();
    let store = open();
    assert_eq!((done(&store), store.found.place, store.found.damaged), (vec![], Some(0), 1));
    drop(store);
    // The sink begins anew.
    journal(&scratch.run(), 0..15);
    let store = open();
    assert_eq!((done(&store), store.found.place), (vec![0..15], Some(15)));
}

#[test]
fn a_segment_that_is_emptied_takes_what_the_sink_had_behind_it_even_after_it_went_back() {
    let scratch = Scratch::new();
    let path = |number| scratch.run().join(super::super::segment::name(number));
    let state = || journal_state(&scratch.run());
    [0..5, 5..10].into_iter().for_each(|items| journal(&scratch.run(), items));
    // The third run can't read the second one's file, so it goes back. Later the file is there
    // again.
    let second = std::fs::read(path(2)).unwrap();
    std::fs::write(path(2), "").unwrap();
    [5..8, 8..12].into_iter().for_each(|items| journal(&scratch.run(), items));
    std::fs::write(path(2), second).unwrap();
    assert_eq!(state(), (vec![0..12], Some(12)));
    let third = std::fs::read(path(3)).unwrap();
    // All but the closing frame.
    for left in (0..third.len() - 44).step_by(4) {
        std::fs::write(path(3), &third[..left]).unwrap();
        let (done, place) = state();
        assert!(place.unwrap() <= 10, "{left}");
        assert_eq!(done, [0..place.unwrap()], "{left}");
    }
}

#[test]
fn a_segment_of_a_long_run_that_is_lost_takes_what_the_sink_had_behind_it() {
    let scratch = Scratch::new();
    let state = || journal_state(&scratch.run());
    state();
    let directory = Directory::new(&scratch.run(), 1, Lock::take(&scratch.run()).unwrap());
    let mut pen = Pen::<()>::new(Box::new(directory), 300, None, 0, Vec::new());
    for item in 0..20 {
        let run = Run { first: item, items: 1, bytes: 0, hash: hash_of(item..item + 1).0 };
        pen.write(vec![Entry::Done(vec![run], Some(item + 1))]).unwrap();
    }
    pen.close().unwrap();
    drop(pen);
    assert_eq!(state(), (vec![0..20], Some(20)));
    let segments = files(&scratch.run()).into_iter().filter(|name| name.ends_with(".amz")).count();
    assert!(segments > 3);
    for number in 1..segments as u32 {
        let path = scratch.run().join(super::super::segment::name(number));
        let whole = std::fs::read(&path).unwrap();
        for left in (0..whole.len() - 44).step_by(4) {
            std::fs::write(&path, &whole[..left]).unwrap();
            let (done, place) = state();
            let place = place.unwrap();
            let had = if place == 0 { vec![] } else { vec![0..place] };
            assert_eq!(done, had, "{number} {left}");
        }
        std::fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_journal_without_places_has_gaps() {
    let scratch = Scratch::new();
    let open = || Store::open(&scratch.run(), &identity(Kind::Journal)).unwrap();
    let store = open();
    let writer = store.writer(Settings::new(1)).unwrap();
    writer.done([(5, 3, hash_of(5..8))], None);
    writer.done([(0, 2, hash_of(0..2))], None);
    writer.finish().unwrap();
    drop(store);
    let store = open();
    assert_eq!((done(&store), store.found.place, store.found.damaged), (vec![0..2, 5..8], None, 0));
}

#[test]
fn a_sink_that_gets_places_keeps_what_was_done_without() {
    let scratch = Scratch::new();
    let open = || Store::open(&scratch.run(), &identity(Kind::Journal)).unwrap();
    let run = |items: std::ops::Range<u64>, places: bool| {
        let store = open();
        let writer = store.writer(Settings::new(1)).unwrap();
        if places {
            writer.go_on_from(store.found.place.unwrap_or(0));
        }
        writer.done([(items.start, 2, hash_of(items))], places.then_some(50));
        writer.finish().unwrap();
    };
    run(0..2, false);
    run(2..4, false);
    run(4..6, true);
    let store = open();
    assert_eq!((done(&store), store.found.place), (vec![0..6], Some(50)));
    let writer = store.writer(Settings::new(1)).unwrap();
    writer.go_on_from(0);
    writer.finish().unwrap();
    drop(store);
    let store = open();
    assert_eq!((done(&store), store.found.place), (vec![0..4], Some(0)));
}
