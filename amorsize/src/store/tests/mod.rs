//! Helpers for the tests of this folder: a temporary directory, and results to keep.
#![expect(clippy::single_range_in_vec_init, reason = "a list of ranges may have one")]

mod bytes;
mod damage;
mod format;
mod going_on;
mod places;
mod removal;
mod shapes;
mod storage;
mod threads;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::error::{Error, ErrorKind};
use crate::system::sync::Clock;

/// A temporary directory, which is removed when this is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("amorsize-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // In memory if possible: these tests sync a lot, and lose no power.
        let memory = PathBuf::from("/dev/shm");
        let path = if memory.is_dir() { memory } else { std::env::temp_dir() }.join(name);
        // A process that was killed and had the same number may have left one.
        std::fs::remove_dir_all(&path).ok();
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The directory of a run, which does not exist yet.
    pub(super) fn run(&self) -> PathBuf {
        self.0.join("run")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub(super) fn identity(kind: Kind) -> Identity {
    Identity {
        kind,
        function: "photos::resize".into(),
        tokens: 0x1234,
        version: None,
        item: "std::path::PathBuf".into(),
        result: "photos::Thumb".into(),
        shared: vec![("width".into(), 7)],
    }
}

/// The hash of an item with this index.
pub(super) fn hash(item: u64) -> u64 {
    StableHasher::default().of(&item)
}

pub(super) fn hash_of(items: std::ops::Range<u64>) -> ItemsHash {
    let mut all = ItemsHash::default();
    items.for_each(|item| all.push(hash(item)));
    all
}

/// The result of an item: a text of a length that depends on it.
pub(super) fn result(item: u64) -> String {
    format!("{item}-").repeat(1 + item as usize % 7)
}

pub(super) fn encoded(items: std::ops::Range<u64>) -> Encoded {
    let mut encoded = Encoded::new(items.start);
    for item in items {
        encoded.push(hash(item), &result(item)).unwrap();
    }
    encoded
}

pub(super) fn open(directory: &Path) -> Result<Store, Error> {
    Store::open(directory, &identity(Kind::Checkpoint))
}

/// A run that does these items, in this order, and ends.
pub(super) fn store(directory: &Path, runs: &[std::ops::Range<u64>]) {
    // The clock stands, so that they are in one frame.
    let _entered = Clock::standing().enter();
    let store = open(directory).unwrap();
    let writer = store.writer(Settings::new(u64::MAX)).unwrap();
    runs.iter().for_each(|items| writer.put(encoded(items.clone())));
    writer.finish().unwrap();
}

/// The done items as ranges; neighbours are one.
pub(super) fn done(store: &Store) -> Vec<std::ops::Range<u64>> {
    let mut ranges: Vec<std::ops::Range<u64>> = Vec::new();
    for done in &store.found.done {
        match ranges.last_mut() {
            Some(last) if last.end == done.first => last.end = done.end(),
            _ => ranges.push(done.first..done.end()),
        }
    }
    ranges
}

/// Reads all results, and asserts that they are right. Gives their number.
pub(super) fn read_all(store: &mut Store) -> Result<u64, Error> {
    store.check_results::<String>()?;
    for done in store.found.done.clone() {
        store.check_items(&done, hash_of(done.first..done.end()))?;
        let restored: Restored = store.read(&done)?;
        let results: Vec<String> = restored.results()?;
        assert!(results.into_iter().eq((done.first..done.end()).map(result)), "{done:?}");
    }
    Ok(store.items())
}

/// The names of a directory's files.
pub(super) fn files(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(name).collect();
    names.sort_unstable();
    names
}
