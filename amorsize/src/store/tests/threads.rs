//! The times at which the writer's thread writes and syncs, by a clock that the tests move; and the
//! bytes held.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::segment::{Created, Medium, Supply};
use super::*;
use crate::memory::budget::Ledger;
use crate::system::sync::Clock;
use crate::units::ByteSize;

/// The calls that a disk got, and the calls that fail.
#[derive(Clone, Default)]
pub(super) struct Disk(pub(super) Arc<Mutex<Asked>>);

#[derive(Default)]
pub(super) struct Asked {
    pub(super) segments: u32,
    pub(super) written: Vec<u8>,
    pub(super) writes: usize,
    pub(super) syncs: usize,
    pub(super) name_syncs: usize,
    /// The write and the sync that fail, counted from 0.
    pub(super) fails_at_write: Option<usize>,
    pub(super) fails_at_sync: Option<usize>,
    pub(super) fails_at_segment: Option<u32>,
    /// The next write waits for this lock.
    pub(super) gate: Option<Arc<Mutex<()>>>,
}

impl Medium for Disk {
    fn write(&mut self, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        let gate = self.0.lock().unwrap().gate.clone();
        drop(gate.as_ref().map(|gate| gate.lock().unwrap()));
        let mut asked = self.0.lock().unwrap();
        asked.writes += 1;
        if asked.fails_at_write == Some(asked.writes - 1) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        pieces.iter().for_each(|piece| asked.written.extend_from_slice(piece));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut asked = self.0.lock().unwrap();
        asked.syncs += 1;
        if asked.fails_at_sync == Some(asked.syncs - 1) { Err(io::Error::other("lost a page")) } else { Ok(()) }
    }
}

impl Supply for Disk {
    fn create(&mut self) -> Result<Created, (PathBuf, io::Error)> {
        let mut asked = self.0.lock().unwrap();
        asked.segments += 1;
        if asked.fails_at_segment == Some(asked.segments - 1) {
            return Err((format!("disk/{}", asked.segments).into(), io::ErrorKind::PermissionDenied.into()));
        }
        Ok((asked.segments, format!("disk/{}", asked.segments).into(), Box::new(self.clone())))
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().name_syncs += 1;
        Ok(())
    }

    fn free(&self) -> Option<u64> {
        Some(4096)
    }

    fn path(&self) -> &Path {
        Path::new("disk")
    }
}

impl Disk {
    fn asked(&self) -> (usize, usize) {
        let asked = self.0.lock().unwrap();
        (asked.writes, asked.syncs)
    }

    pub(super) fn writer(&self, settings: Settings) -> Writer {
        Writer::start(Box::new(self.clone()), settings, 0, Vec::new()).unwrap()
    }
}

const MS: Duration = Duration::from_millis(1);

/// An `Encoded` with this many bytes of results, which don't shrink.
fn bytes(first: u64, bytes: usize) -> Encoded {
    let mut encoded = Encoded::new(first);
    let mut state = first + 1;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    });
    encoded.push(0, &noise.take(bytes).collect::<Vec<_>>()).unwrap();
    encoded
}

#[test]
fn a_frame_closes_after_a_tenth_of_a_second() {
    let clock = Clock::standing();
    let _entered = clock.enter();
    let disk = Disk::default();
    let writer = disk.writer(Settings::new(u64::MAX));
    writer.put(encoded(0..2));
    writer.settle();
    clock.pass(60 * MS);
    writer.put(encoded(2..4));
    clock.pass(39 * MS);
    writer.settle();
    assert_eq!(disk.asked(), (0, 0));
    // The time counts from the first entry that waits.
    clock.pass(MS);
    writer.settle();
    // The header of the segment, and one frame for all results.
    assert_eq!(disk.asked(), (2, 0));
    assert_eq!(writer.held(), 0);
    writer.finish().unwrap();
}

#[test]
fn a_frame_closes_when_it_is_full_whatever_the_time() {
    let clock = Clock::standing();
    let _entered = clock.enter();
    let disk = Disk::default();
    let writer = disk.writer(Settings::new(u64::MAX));
    writer.put(bytes(0, 600 << 10));
    writer.settle();
    assert_eq!(disk.asked(), (0, 0));
    writer.put(bytes(1, 600 << 10));
    writer.settle();
    assert_eq!(disk.asked(), (2, 0));
    writer.finish().unwrap();
}

#[test]
fn what_is_written_is_synced_once_a_second_and_at_the_end() {
    let clock = Clock::standing();
    let _entered = clock.enter();
    let disk = Disk::default();
    let writer = disk.writer(Settings::new(u64::MAX));
    for item in 0..25 {
        writer.put(encoded(item..item + 1));
        clock.pass(100 * MS);
        writer.settle();
    }
    assert_eq!(disk.asked().1, 2);
    // Nothing new needs a sync.
    clock.pass(5000 * MS);
    writer.settle();
    clock.pass(5000 * MS);
    writer.settle();
    assert_eq!(disk.asked().1, 3);
    writer.put(encoded(50..51));
    writer.finish().unwrap();
    let asked = disk.0.lock().unwrap();
    assert_eq!((asked.syncs, asked.name_syncs, asked.segments), (4, 1, 1));
}

#[test]
fn each_segment_is_synced_with_its_name_before_the_next_begins() {
    let _entered = Clock::standing().enter();
    let disk = Disk::default();
    let writer = disk.writer(Settings { segment_bytes: 3 << 20, ..Settings::new(1) });
    for item in 0..5 {
        // The last result gets a segment of its own.
        writer.put(bytes(item, if item == 4 { 5 << 20 } else { 1 << 20 }));
    }
    let written = writer.finish().unwrap();
    let asked = disk.0.lock().unwrap();
    assert_eq!((asked.segments, asked.syncs, asked.name_syncs), (3, 3, 3));
    assert_eq!(written, asked.written.len() as u64);
}

#[test]
fn what_is_held_is_given_back_when_it_is_written() {
    let ledger = Ledger::new(ByteSize::mib(1));
    let clock = Clock::standing();
    let _entered = clock.enter();
    let disk = Disk::default();
    let writer = disk.writer(Settings { ledger: Some(ledger.clone()), ..Settings::new(100_000) });
    assert!(writer.has_room());
    let one = encoded(0..9);
    let held = one.memory();
    writer.put(one);
    writer.settle();
    assert_eq!((writer.held(), writer.has_room()), (held, true));
    assert_eq!(ledger.held().as_u64(), held);
    // Written at once, as there is no room then, although the clock stands still.
    writer.put(bytes(9, 100_000));
    writer.settle();
    assert_eq!((writer.held(), writer.has_room()), (0, true));
    writer.wait_for_room();
    assert_eq!(ledger.held(), ByteSize::ZERO);
}

#[test]
fn a_slow_disk_makes_those_wait_that_ask_for_room() {
    let disk = Disk::default();
    let gate = Arc::new(Mutex::new(()));
    disk.0.lock().unwrap().gate = Some(Arc::clone(&gate));
    let shut = gate.lock().unwrap();
    let writer = disk.writer(Settings::new(1 << 20));
    writer.put(bytes(0, 2 << 20));
    assert!(!writer.has_room());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            writer.wait_for_room();
            assert!(writer.has_room());
        });
        assert!(!waiting.is_finished());
        assert_eq!(disk.asked(), (0, 0));
        drop(shut);
    });
    writer.finish().unwrap();
}

#[test]
fn a_writer_that_is_dropped_keeps_what_it_was_given() {
    let scratch = Scratch::new();
    let outcome = std::panic::catch_unwind(|| {
        let store = open(&scratch.run()).unwrap();
        let writer = store.writer(Settings::new(1)).unwrap();
        writer.put(encoded(0..5));
        std::panic::panic_any("a run's");
    });
    assert!(outcome.is_err());
    assert_eq!(read_all(&mut open(&scratch.run()).unwrap()).unwrap(), 5);
}

#[test]
fn many_threads_put_at_once() {
    let scratch = Scratch::new();
    let store = open(&scratch.run()).unwrap();
    let writer = store.writer(Settings { segment_bytes: 64 << 10, ..Settings::new(4096) }).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                for chunk in (thread..400).step_by(4) {
                    writer.wait_for_room();
                    writer.put(encoded(chunk * 10..(chunk + 1) * 10));
                }
            });
        }
    });
    writer.finish().unwrap();
    drop(store);
    let mut store = open(&scratch.run()).unwrap();
    assert_eq!(done(&store), [0..4000]);
    // Frames that are not kept are read again.
    store.keep_contents(1);
    assert_eq!((read_all(&mut store).unwrap(), store.found.damaged), (4000, 0));
}
