//! Results that are read from the directory of a checkpoint.

use std::marker::PhantomData;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind};
use crate::store::{Done, Found, Reading, Restored, Store};

/// The place of the next results of a checkpoint or of files, with the memory to read them.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The next part; for results in memory, the place of the next one.
    pub(super) next: usize,
    /// The results of that part that are not decoded, and the index of the first one's item.
    rest: Option<(Restored, u64)>,
    pub(super) reading: Reading,
}

/// The results of a checkpoint for some items, in parts: consecutive items that were computed
/// together.
#[derive(Debug)]
pub(crate) struct Parts {
    found: Found,
    /// The indices of the items.
    items: Range<u64>,
    /// Those of `found.done` that have any of these items.
    done: Range<usize>,
}

impl Parts {
    /// Finds the results for these items.
    pub(crate) fn open(directory: &Path, items: Range<usize>) -> Result<Self, Error> {
        Ok(Self::new(Found::open(directory)?, items.start as u64..items.end as u64))
    }

    fn new(found: Found, items: Range<u64>) -> Self {
        let first = found.done.partition_point(|done| done.end() <= items.start);
        let end = found.done.partition_point(|done| done.first < items.end);
        Self { done: first..end.max(first), found, items }
    }

    /// The number of parts.
    pub(crate) fn count(&self) -> usize {
        self.done.len()
    }

    /// The number of results from a part on.
    pub(crate) fn left(&self, part: usize) -> usize {
        (part..self.count()).map(|part| self.run(part).1).sum()
    }

    fn done(&self, part: usize) -> &Done {
        &self.found.done[self.done.start + part]
    }

    /// The first item of a part, and the number of its items.
    pub(crate) fn run(&self, part: usize) -> (usize, usize) {
        let done = self.done(part);
        let first = done.first.max(self.items.start);
        (first as usize, (done.end().min(self.items.end) - first) as usize)
    }

    /// The bytes of a part's results before compression.
    pub(crate) fn bytes(&self, part: usize) -> u64 {
        self.done(part).bytes
    }

    /// The results of a part.
    pub(crate) fn read<R: DeserializeOwned>(&self, part: usize, reading: &mut Reading) -> Result<Vec<R>, Error> {
        let (first, items) = self.run(part);
        let done = self.done(part);
        let mut restored = self.found.read(done, reading).map_err(|unread| unread.error)?;
        let mut results = restored.take(usize::MAX)?;
        results.truncate(first - done.first as usize + items);
        results.drain(..first - done.first as usize);
        Ok(results)
    }
}

/// The results of a checkpoint, from an item on.
#[derive(Debug)]
pub(crate) struct Checkpoint<R> {
    parts: Parts,
    len: usize,
    /// True once a result was found damaged as it was read.
    is_damaged: AtomicBool,
    /// Removed when these results are dropped.
    pub(crate) remove: Option<Store>,
    results: PhantomData<fn() -> R>,
}

impl<R> Checkpoint<R> {
    /// Finds the results that are whole. They have to be of this type.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error>
    where
        R: Serialize + DeserializeOwned,
    {
        let mut found = Found::open(directory)?;
        found.check_whole_results::<R>(&mut Reading::default())?;
        Ok(Self::new(found, 0))
    }

    /// Finds the results that a run has just stored, of items from `from` on. They have to be of
    /// this type. The run must not pass over damage.
    pub(crate) fn of_run(directory: &Path, from: usize) -> Result<Self, Error>
    where
        R: Serialize + DeserializeOwned,
    {
        let found = Found::open(directory)?;
        found.check_results::<R>(&mut Reading::default()).map_err(|unread| unread.error)?;
        Ok(Self::new(found, from as u64))
    }

    fn new(found: Found, from: u64) -> Self {
        let parts = Parts::new(found, from..u64::MAX);
        let len = parts.left(0);
        Self { parts, len, is_damaged: AtomicBool::new(false), remove: None, results: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.parts.found.bytes
    }

    /// True if a run came to its end, every damaged part was computed anew, and no other part is
    /// known to be damaged. A policy that leaves failures out leaves gaps, which are no damage.
    pub(crate) fn is_complete(&self) -> bool {
        let found = &self.parts.found;
        let Some(end) = found.end else { return false };
        let items: u64 = found.done.iter().map(|done| u64::from(done.items)).sum();
        let goes_on = found.done.last().is_some_and(|last| last.end() > end);
        !goes_on && !self.is_damaged.load(Ordering::Relaxed) && (found.damaged == 0 || found.is_mended || items == end)
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The next results of a part, up to `most` bytes of them, encoded or in memory. If their own
    /// code panics, the next call still finds them.
    pub(super) fn read(&self, place: &mut Place, most: usize) -> Result<Vec<R>, Error>
    where
        R: DeserializeOwned,
    {
        let Place { next, rest, reading } = place;
        let Parts { found, items, .. } = &self.parts;
        let (restored, first) = match rest {
            Some(rest) => rest,
            None => {
                let done = self.parts.done(*next);
                let restored = found.read(done, reading).map_err(|unread| self.noted(unread.error))?;
                rest.insert((restored, done.first))
            }
        };
        let mut results = restored.take(most).map_err(|error| self.noted(error))?;
        let before = items.start.saturating_sub(*first).min(results.len() as u64);
        *first += results.len() as u64;
        if restored.stored.is_empty() {
            *rest = None;
            *next += 1;
        }
        results.drain(..before as usize);
        Ok(results)
    }

    /// Leaves out the rest of a part, and gives the number of its results.
    pub(super) fn skip(&self, place: &mut Place) -> usize {
        let (first, items) = self.parts.run(place.next);
        let next = place.rest.take().map_or(first, |(_, next)| first.max(next as usize));
        place.next += 1;
        first + items - next
    }

    /// The result of an item, if it has one.
    pub(crate) fn get(&self, item: usize) -> Option<Result<R, Error>>
    where
        R: DeserializeOwned,
    {
        let Parts { found, items, .. } = &self.parts;
        let done = found.next_done(item as u64)?;
        let place = (item as u64).checked_sub(done.first).filter(|_| item as u64 >= items.start)?;
        let restored = found.read(done, &mut Reading::default());
        let restored = restored.map_err(|unread| self.noted(unread.error));
        Some(restored.and_then(|restored| restored.nth(place as usize)))
    }

    /// Remembers an error that says that results are damaged.
    fn noted(&self, error: Error) -> Error {
        if matches!(error.kind(), ErrorKind::Damaged { .. }) {
            self.is_damaged.store(true, Ordering::Relaxed);
        }
        error
    }
}

impl<R> Drop for Checkpoint<R> {
    fn drop(&mut self) {
        if let Some(store) = self.remove.take() {
            // There is nobody to tell. The next call finds everything done, or removes the rest.
            _ = store.remove();
        }
    }
}
