//! Damage must give right results or an error, never wrong ones and never a panic, and a flip must
//! cost one frame.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use super::super::frame::CLOSING;
use super::super::segment;
use super::*;
use crate::system::sync::Clock;

/// Writes a frame for each of these runs.
fn frames(directory: &Path, runs: &[Range<u64>]) {
    let clock = Clock::standing();
    let _entered = clock.enter();
    let store = open(directory).unwrap();
    let writer = store.writer(Settings::new(u64::MAX)).unwrap();
    for items in runs {
        writer.put(encoded(items.clone()));
        clock.pass(Duration::from_millis(100));
        writer.settle();
    }
    writer.finish().unwrap();
}

/// A directory of a few frames, and the contents of its segment.
struct Small {
    scratch: Scratch,
    path: PathBuf,
    bytes: Vec<u8>,
}

/// The most items of a frame.
const MOST: u64 = 4;
const ITEMS: u64 = 13;

impl Small {
    fn new(is_closed: bool) -> Self {
        let scratch = Scratch::new();
        frames(&scratch.run(), &[0..3, 8..11, 3..7, 11..13, 7..8]);
        let path = scratch.run().join(segment::name(1));
        let mut bytes = fs::read(&path).unwrap();
        if !is_closed {
            bytes.truncate(bytes.len() - 44);
        }
        Self { scratch, path, bytes }
    }

    /// The number of items that are read with these bytes in the segment. After an error from
    /// damage that was not seen at first, they are read again.
    fn items(&self, bytes: &[u8]) -> u64 {
        fs::write(&self.path, bytes).unwrap();
        for _ in 0..10 {
            let mut store = open(&self.scratch.run()).unwrap();
            match read_all(&mut store) {
                Ok(items) => {
                    drop(store);
                    // The files that tell of damage.
                    for name in files(&self.scratch.run()).iter().filter(|name| name.ends_with(".amz")) {
                        if *name != segment::name(1) {
                            fs::remove_file(self.scratch.run().join(name)).unwrap();
                        }
                    }
                    return items;
                }
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Damaged { path, .. } if *path == self.path), "{error}");
                }
            }
        }
        panic!("there are fewer frames than errors");
    }
}

#[test]
fn a_flip_costs_one_frame() {
    for is_closed in [true, false] {
        let small = Small::new(is_closed);
        assert_eq!(small.items(&small.bytes), ITEMS);
        for at in 0..small.bytes.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut bytes = small.bytes.clone();
                bytes[at] ^= flip;
                let items = small.items(&bytes);
                assert!(items >= ITEMS - MOST, "byte {at} with {flip}: {items}");
            }
        }
    }
}

#[test]
fn a_cut_costs_what_is_behind_it() {
    let small = Small::new(true);
    let mut before = 0;
    for len in 0..=small.bytes.len() {
        let items = small.items(&small.bytes[..len]);
        assert!((before..=before + MOST).contains(&items), "{len}: {items} after {before}");
        before = items;
    }
    assert_eq!(before, ITEMS);
}

#[test]
fn zeros_from_a_byte_on_cost_what_is_behind_it() {
    let small = Small::new(true);
    let mut before = 0;
    for from in 0..=small.bytes.len() {
        let mut bytes = small.bytes.clone();
        bytes[from..].fill(0);
        let items = small.items(&bytes);
        assert!((before..=before + MOST).contains(&items), "{from}: {items} after {before}");
        before = items;
    }
    assert_eq!(before, ITEMS);
}

#[test]
fn a_damaged_manifest_is_an_error_or_harmless() {
    let small = Small::new(true);
    let path = small.scratch.run().join("manifest.json");
    let manifest = fs::read(&path).unwrap();
    let opened = |bytes: &[u8], what: &dyn std::fmt::Debug| {
        fs::write(&path, bytes).unwrap();
        match open(&small.scratch.run()) {
            Ok(mut store) => assert_eq!(read_all(&mut store).unwrap(), ITEMS, "{what:?}"),
            Err(error) => assert!(error.is_changed() || error.is_storage(), "{what:?}: {error}"),
        }
    };
    for at in 0..manifest.len() {
        opened(&manifest[..at], &at);
        for flip in [0x01, 0x80, 0xFF] {
            let mut bytes = manifest.clone();
            bytes[at] ^= flip;
            opened(&bytes, &(at, flip));
        }
        let mut bytes = manifest.clone();
        bytes[at..].fill(0);
        opened(&bytes, &at);
    }
    opened(&manifest, &"as it was");
}

#[test]
fn damage_is_counted_and_the_next_run_repairs_it() {
    let small = Small::new(false);
    let mut bytes = small.bytes.clone();
    let in_the_first = bytes.len() / 2;
    bytes[in_the_first] ^= 1;
    fs::write(&small.path, bytes).unwrap();
    let store = open(&small.scratch.run()).unwrap();
    assert_eq!(store.found.damaged, 1);
    let missing: Vec<Range<u64>> = (0..ITEMS)
        .filter(|item| store.found.next_done(*item).is_none_or(|done| done.first > *item))
        .map(|item| item..item + 1)
        .collect();
    assert!(!missing.is_empty() && missing.len() <= MOST as usize);
    drop(store);
    super::store(&small.scratch.run(), &missing);
    let mut store = open(&small.scratch.run()).unwrap();
    assert_eq!((done(&store), read_all(&mut store).unwrap()), (vec![0..ITEMS], ITEMS));
}

/// Results that are themselves a segment: damage of their frame must not bring its frames to light.
#[test]
fn frames_within_results_are_none() {
    let small = Small::new(true);
    let outer = Scratch::new();
    // With noise, which is not compressed.
    let noise: Vec<u8> = (0..9000).map(|at| hash(at) as u8).collect();
    let mut encoded = Encoded::new(100);
    encoded.push(hash(100), &[&small.bytes[..], &noise].concat()).unwrap();
    let store = open(&outer.run()).unwrap();
    let writer = store.writer(Settings::new(1)).unwrap();
    writer.put(encoded);
    writer.finish().unwrap();
    drop(store);
    let path = outer.run().join(segment::name(1));
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() - small.bytes.len() - noise.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let store = open(&outer.run()).unwrap();
        assert!(done(&store).iter().all(|items| *items == (100..101)), "{at}: {:?}", done(&store));
    }
}

#[test]
fn a_frame_that_says_that_another_is_void_is_believed_once() {
    let small = Small::new(true);
    let mut bytes = small.bytes.clone();
    let len = bytes.len();
    // The last result, which is read once the heads are known.
    bytes[len - 45] ^= 1;
    fs::write(&small.path, &bytes).unwrap();
    let mut store = open(&small.scratch.run()).unwrap();
    assert_eq!((done(&store), store.found.damaged), (vec![0..ITEMS], 0));
    let error = read_all(&mut store).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Damaged { .. }), "{error}");
    drop(store);
    let mut store = open(&small.scratch.run()).unwrap();
    assert_eq!((done(&store), store.found.damaged), (vec![0..7, 8..ITEMS], 1));
    read_all(&mut store).unwrap();
    drop(store);
    super::store(&small.scratch.run(), &[7..8]);
    let mut store = open(&small.scratch.run()).unwrap();
    assert_eq!((done(&store), read_all(&mut store).unwrap()), (vec![0..ITEMS], ITEMS));
}

/// Numbers that look random, and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Leaves what a power cut may leave: everything up to the last sync; any of the pages behind it,
/// and the others as zeros; any length.
fn cut_power(bytes: &[u8], synced: usize, dice: &mut Dice) -> Vec<u8> {
    const PAGE: usize = 512;
    let len = synced + dice.roll((bytes.len() - synced) as u64 + 1) as usize;
    let mut left = bytes[..len].to_vec();
    for page in (0..len).step_by(PAGE).filter(|page| page + PAGE > synced) {
        if dice.roll(3) == 0 {
            left[page.max(synced)..len.min(page + PAGE)].fill(0);
        }
    }
    left
}

/// Moves, doubles or takes out parts: mistakes of people and of file systems.
#[test]
fn bytes_that_are_moved_about_are_right_or_not_there() {
    let small = Small::new(true);
    let mut dice = Dice(99);
    for _ in 0..500 {
        let mut bytes = small.bytes.clone();
        for _ in 0..=dice.roll(3) {
            let [from, to, at] = [0; 3].map(|_: u8| dice.roll(bytes.len() as u64) as usize);
            let part = bytes[from.min(to)..from.max(to)].to_vec();
            match dice.roll(4) {
                0 => drop(bytes.drain(from.min(to)..from.max(to))),
                1 => drop(bytes.splice(at..at, part)),
                2 => bytes.iter_mut().skip(at).zip(part).for_each(|(byte, other)| *byte = other),
                _ => bytes.iter_mut().skip(at).step_by(7).for_each(|byte| *byte = dice.roll(256) as u8),
            }
            if bytes.is_empty() {
                break;
            }
        }
        assert!(small.items(&bytes) <= ITEMS);
    }
}

/// The ends of a segment's frames.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let mut file = std::io::Cursor::new(bytes);
    let header = segment::Header::read(&mut file, 1, bytes.len() as u64).unwrap().unwrap();
    let mut ends = vec![header.bytes() as usize];
    loop {
        let offset = *ends.last().unwrap() as u64;
        let spot = super::super::frame::Spot { segment: 1, offset };
        let Some(head) = super::super::frame::Head::read(&mut file, spot, bytes.len() as u64).unwrap() else {
            return ends;
        };
        if !head.is(CLOSING) {
            ends.push((offset + head.total()) as usize);
        } else {
            return ends;
        }
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_synced() {
    let scratch = Scratch::new();
    let runs: Vec<_> = (0..12).map(|frame| frame * 9..frame * 9 + 9).collect();
    frames(&scratch.run(), &runs);
    let path = scratch.run().join(segment::name(1));
    let bytes = fs::read(&path).unwrap();
    let ends = ends(&bytes);
    assert_eq!(ends.len(), 13);
    let mut dice = Dice(88_172_645_463_325_252);
    for _ in 0..3000 {
        let synced = dice.roll(ends.len() as u64) as usize;
        let left = cut_power(&bytes[..bytes.len() - 44], ends[synced], &mut dice);
        fs::write(&path, left).unwrap();
        let mut store = open(&scratch.run()).unwrap();
        let items = read_all(&mut store).unwrap();
        assert!(items >= synced as u64 * 9 && done(&store).first().is_none_or(|first| synced == 0 || first.start == 0));
    }
}

/// A journal with a sink that has places goes through power cuts and damage. The done items are
/// those that the sink has before its place, however often that happens.
#[test]
fn a_journal_with_places_counts_what_its_sink_has() {
    let mut dice = Dice(1234567);
    for _ in 0..300 {
        let scratch = Scratch::new();
        // The item at each place of the sink. Its items differ from run to run, as calls end in
        // any order.
        let mut sink: Vec<u64> = Vec::new();
        for segment in 1..8 {
            let clock = Clock::standing();
            let _entered = clock.enter();
            let store = Store::open(&scratch.run(), &identity(Kind::Journal)).unwrap();
            let place = store.found.place.unwrap_or(0);
            sink.truncate(place as usize);
            let mut has = sink.clone();
            has.sort_unstable();
            assert_eq!(done(&store).into_iter().flatten().collect::<Vec<_>>(), has);
            let writer = store.writer(Settings::new(1)).unwrap();
            writer.go_on_from(place);
            for _ in 0..dice.roll(8) {
                let mut free = (0..60).filter(|item| !sink.contains(item));
                let Some(item) = free.nth(dice.roll(5) as usize) else { break };
                sink.push(item);
                writer.done([(item, 1, hash_of(item..item + 1))], Some(sink.len() as u64));
                if dice.roll(2) == 0 {
                    clock.pass(Duration::from_millis(100));
                    writer.settle();
                }
            }
            writer.finish().unwrap();
            // The last segment mostly, and any other.
            let hit = if dice.roll(3) == 0 { 1 + dice.roll(segment) } else { segment };
            let path = scratch.run().join(segment::name(hit as u32));
            // It may be removed already.
            let Ok(mut bytes) = fs::read(&path) else { continue };
            match dice.roll(5) {
                0 => {
                    let at = dice.roll(bytes.len() as u64 + 1) as usize;
                    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x40);
                }
                1 => bytes = cut_power(&bytes, bytes.len().min(24), &mut dice),
                2 => bytes.clear(),
                3 => {
                    fs::remove_file(path).unwrap();
                    continue;
                }
                _ => {}
            }
            fs::write(path, bytes).unwrap();
        }
    }
}
