//! What a keeper holds and writes, by directories that are cut where a kill could cut them.

use std::time::Duration;

use super::*;
use crate::durable::tests::Scratch;
use crate::store::{Identity, Settings, Store};
use crate::system::sync::Clock;
use crate::units::ByteSize;

#[test]
fn indices_become_ranges() {
    let all: Vec<_> = ranges([3, 4, 5, 9, 11, 12].into_iter()).collect();
    assert_eq!(all, [3..6, 9..10, 11..13]);
}

impl Scratch {
    fn store(&self, kind: Kind) -> Store {
        let identity = Identity {
            kind,
            function: "f".into(),
            tokens: 7,
            version: None,
            item: "u64".into(),
            result: "u64".into(),
            shared: Vec::new(),
        };
        Store::open(&self.0, &identity).unwrap()
    }

    /// A keeper that writes to the store.
    fn keeper(&self, kind: Kind, ledger: &Ledger) -> Arc<Keeper> {
        let keeper = Arc::new(Keeper::new(kind, Box::default(), KeptFigures::default(), ledger));
        self.begin_writing(kind, &keeper, None);
        keeper
    }

    fn begin_writing(&self, kind: Kind, keeper: &Arc<Keeper>, max_disk: Option<u64>) {
        let settings = Settings { max_disk, ..keeper.settings(u64::MAX) };
        keeper.set_writer(self.store(kind).writer(settings).unwrap());
    }
}

/// Notes items in chunks of two.
fn note(keeper: &Keeper, items: usize) {
    for first in (0..items).step_by(2) {
        let hashes = (first..first + 2).map(|item| Some(item as u64)).collect();
        keeper.note_items(first, hashes, false);
    }
}

#[test]
fn results_that_a_policy_takes_out_hold_no_bytes() {
    let (scratch, ledger) = (Scratch::new("taken_out"), Ledger::new(ByteSize::mib(1)));
    // The writer writes nothing before the test lets it.
    let clock = Clock::standing();
    let _entered = clock.enter();
    let keeper = scratch.keeper(Kind::Checkpoint, &ledger);
    let push = |encoded: &mut Encoded, item: u64, result: &Option<u64>| Some(encoded.push(item, &(*result)?));
    keeper.note_items(0, (0..1000).map(Some).collect(), false);
    keeper.keep(Option::is_none, push, 0, &[None; 1000]);
    assert_eq!(ledger.held(), ByteSize::ZERO);
    // Values between them do, until they are written.
    keeper.note_items(1000, (1000..1003).map(Some).collect(), false);
    keeper.keep(Option::is_none, push, 1000, &[None, Some(7), None]);
    assert!(ledger.held() > ByteSize::ZERO);
    // The clock stands, and yet they are written where somebody waits for that.
    assert!(keeper.wait_until_written());
    assert_eq!(ledger.held(), ByteSize::ZERO);
    assert!(!keeper.wait_until_written());
    clock.pass(Duration::from_secs(1));
    keeper.end(1003, false).unwrap();
    assert_eq!(ledger.held(), ByteSize::ZERO);
    assert!(scratch.store(Kind::Checkpoint).found.done.iter().map(|done| (done.first, done.items)).eq([(1001, 1)]));
}

/// The writer's thread must own no part of the keeper, even while it gives bytes back: it would
/// wait for its own end, and the directory would be in use after the run is gone.
#[test]
fn a_keeper_that_is_dropped_while_bytes_are_given_back_waits_for_its_writer() {
    let (scratch, ledger) = (Scratch::new("given"), Ledger::new(ByteSize::mib(1)));
    let clock = Clock::standing();
    let _entered = clock.enter();
    let keeper = scratch.keeper(Kind::Checkpoint, &ledger);
    note(&keeper, 2);
    keeper.keep(|_| false, |encoded: &mut Encoded, item, result: &u64| Some(encoded.push(item, result)), 0, &[1, 2]);
    let segment = scratch.0.join("000001.amz");
    // The header comes first, and then the frame with the results. The thread may begin to wait for
    // the clock at any time.
    while std::fs::metadata(&segment).map_or(0, |file| file.len()) < 100 {
        clock.pass(Duration::from_secs(1));
        std::thread::yield_now();
    }
    let dropper = std::thread::spawn(move || drop(keeper));
    dropper.join().unwrap();
    assert_eq!(ledger.held(), ByteSize::ZERO);
    assert_eq!(scratch.store(Kind::Checkpoint).items(), 2);
}

#[test]
fn hashes_that_wait_for_the_sink_are_held() {
    let (scratch, ledger) = (Scratch::new("hashes"), Ledger::new(ByteSize::mib(1)));
    let keeper = scratch.keeper(Kind::Journal, &ledger);
    note(&keeper, 2_000);
    let all = ledger.held().as_u64();
    assert!(all >= 2_000 * 16, "{all}");
    keeper.forget(1_998, 2);
    keeper.sunk(0..1_000);
    assert_eq!(ledger.held().as_u64(), all / 1_000 * 499);
    keeper.sunk(1_500..1_998);
    assert_eq!(ledger.held(), ByteSize::ZERO);
}

#[test]
fn a_journal_that_is_cut_anywhere_has_a_place_and_all_items_before_it() {
    /// More than the runs of a frame of usual size.
    const RUNS: usize = 40_000;

    let (scratch, ledger) = (Scratch::new("cut"), Ledger::new(ByteSize::mib(64)));
    let keeper = scratch.keeper(Kind::Journal, &ledger);
    // Items between those of the sink have no result.
    note(&keeper, 2 * RUNS + 4);
    keeper.set_place(Some(10));
    keeper.sunk([0, 2].into_iter());
    keeper.set_place(Some(5_000_000));
    keeper.sunk((4..2 * RUNS + 4).step_by(2));
    keeper.end(2 * RUNS + 4, false).unwrap();
    let segment = scratch.0.join("000001.amz");
    let whole = std::fs::read(&segment).unwrap();
    let heads: Vec<_> = (0..whole.len()).filter(|&at| whole[at..].starts_with(b"amf\x01")).collect();
    let mut found = Vec::new();
    for &end in &heads {
        std::fs::write(&segment, &whole[..end]).unwrap();
        let store = scratch.store(Kind::Journal);
        found.push((store.found.place, store.found.done.len()));
    }
    found.dedup();
    let all = (Some(5_000_000), RUNS + 2);
    assert_eq!(found.last(), Some(&all));
    let right = [(None, 0), (Some(10), 2), all];
    assert!(found.iter().all(|state| right.contains(state)), "{found:?}");
}

#[test]
fn the_end_of_the_input_is_left_out_while_results_are_missing() {
    let (scratch, ledger) = (Scratch::new("missing"), Ledger::new(ByteSize::mib(1)));
    let push = |encoded: &mut Encoded, item: u64, result: &u64| Some(encoded.push(item, result));
    let keeper = || Arc::new(Keeper::new(Kind::Checkpoint, Box::default(), KeptFigures::default(), &ledger));
    let state = || {
        let store = scratch.store(Kind::Checkpoint);
        (store.items(), store.found.end)
    };
    let first = keeper();
    scratch.begin_writing(Kind::Checkpoint, &first, Some(1));
    note(&first, 2);
    first.keep(|_| false, push, 0, &[1, 2]);
    assert!(first.end(2, false).unwrap_err().is_storage());
    // There is room again, and the same run goes on. Nothing is left of it but its end.
    first.begin_part();
    assert!(!first.has_failed());
    scratch.begin_writing(Kind::Checkpoint, &first, None);
    first.end(2, false).unwrap();
    assert_eq!(state(), (0, None));
    // The next run has the results.
    let second = keeper();
    scratch.begin_writing(Kind::Checkpoint, &second, None);
    note(&second, 2);
    second.keep(|_| false, push, 0, &[1, 2]);
    second.end(2, false).unwrap();
    assert_eq!(state(), (2, Some(2)));
}

#[test]
fn kinds_of_results_change_where_those_of_the_store_begin_and_end() {
    let ledger = Ledger::new(ByteSize::mib(1));
    let restored = Box::new([3..5, 5..8, 12..20]);
    let keeper = Keeper::new(Kind::Checkpoint, restored, KeptFigures::default(), &ledger);
    let changes = |first: usize, mut end: usize| {
        let mut all = Vec::new();
        while let Some(change) = keeper.last_change(first..end) {
            all.push(change);
            end = change;
        }
        all
    };
    assert_eq!(changes(0, 30), [20, 12, 8, 3]);
    assert_eq!(changes(4, 13), [12, 8]);
    assert_eq!(changes(3, 8), [0; 0]);
    assert_eq!((changes(8, 12), changes(20, 90)), (Vec::new(), Vec::new()));
}

#[test]
fn large_results_of_a_chunk_are_not_encoded_all_at_once() {
    let (scratch, ledger) = (Scratch::new("large"), Ledger::new(ByteSize::mib(64)));
    let keeper = Keeper::new(Kind::Checkpoint, Box::default(), KeptFigures::default(), &ledger);
    keeper.set_writer(scratch.store(Kind::Checkpoint).writer(keeper.settings(1 << 20)).unwrap());
    keeper.note_items(0, (0..32).map(Some).collect(), false);
    let results: Vec<Vec<u8>> = (0..32).map(|item| vec![item; 1 << 20]).collect();
    let push = |encoded: &mut Encoded, item: u64, result: &Vec<u8>| Some(encoded.push(item, result));
    keeper.keep(|_| false, push, 0, &results);
    keeper.wait_until_written();
    // The one that is written, and the next one, in memory that grew by doubling.
    assert!(ledger.peak() <= ByteSize::mib(5), "{}", ledger.peak());
    keeper.end(32, false).unwrap();
    assert_eq!(scratch.store(Kind::Checkpoint).items(), 32);
}
