//! Batches of results, and the indices of their items.

use std::fmt;
use std::iter::FusedIterator;
use std::mem::replace;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::{Mutex, PoisonError, Weak};

use crate::units::by_index::ranges;

/// Results of consecutive items, in input order, handed to a sink together.
///
/// It derefs to a slice, iterates by value, and knows the index of its first item. In a run that
/// goes on in spite of errors, the results are the values of the items that did not fail;
/// [`indices`](Self::indices) tells their items.
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
///
/// let mut lines = Vec::new();
/// process_in_batches(|x: u32| x * x, 0..10).batch_size(4).for_each_batch(|batch| {
///     let first = batch.first_index();
///     let numbered = batch.into_iter().zip(first..);
///     lines.extend(numbered.map(|(square, i)| format!("{i}: {square}")));
/// })?;
/// assert_eq!(lines[9], "9: 81");
/// # Ok::<(), amorsize::Error>(())
/// ```
pub struct Batch<R> {
    pub(super) results: Vec<R>,
    pub(super) places: Places,
    pub(super) is_restored: bool,
    pub(super) bin: Weak<Bin<R>>,
}

/// The indices of results that lie one behind another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) first: usize,
    /// The next index, unless items in between have no results.
    pub(super) next: usize,
    /// The places where items were left out: a result's place, and the index of its item.
    pub(crate) jumps: Vec<(usize, usize)>,
}

impl Places {
    #[cfg(feature = "durable")]
    pub(crate) fn of(indices: impl Iterator<Item = usize>) -> Self {
        let mut places = Self::default();
        indices.enumerate().for_each(|(place, index)| places.note(place, index, 1));
        places
    }

    /// Notes the next results, behind `place` earlier ones.
    pub(super) fn note(&mut self, place: usize, start: usize, count: usize) {
        if place == 0 {
            self.first = start;
        } else if start != self.next {
            self.jumps.push((place, start));
        }
        self.next = start + count;
    }

    /// Takes the indices out. Others follow them.
    pub(super) fn take(&mut self) -> Self {
        let behind = Self { first: self.next, next: self.next, jumps: Vec::new() };
        replace(self, behind)
    }

    /// The index of the result at a place.
    fn index(&self, place: usize) -> usize {
        let before = self.jumps.iter().rev().find(|&&(jump, _)| jump <= place);
        before.map_or(self.first + place, |&(jump, index)| index + (place - jump))
    }

    /// The indices from a place on.
    pub(crate) fn split_off(&mut self, place: usize) -> Self {
        let first = self.index(place);
        let kept = self.jumps.partition_point(|&(jump, _)| jump < place);
        let jumps = self.jumps.split_off(kept).into_iter().filter(|&(jump, _)| jump > place);
        Self { first, next: self.next, jumps: jumps.map(|(jump, index)| (jump - place, index)).collect() }
    }

    /// The indices of `len` results.
    pub(crate) fn into_indices(self, len: usize) -> Indices {
        Indices::new(self.first, len, self.jumps)
    }
}

/// Empty buffers that sinks have left behind, to be filled again. Allocating and freeing one for
/// each batch would cost more than cheap calls themselves, because the system takes large ones back
/// and clears them anew.
pub(super) struct Bin<R>(Mutex<Vec<Vec<R>>>);

impl<R> Bin<R> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Vec::new())))
    }

    /// Keeps a buffer, if it is empty. This runs once for each batch; as a separate call it would
    /// be 4 % of a batch's time.
    #[inline(always)]
    pub(super) fn put(&self, buffer: Vec<R>) {
        if buffer.capacity() == 0 {
            return;
        }
        let mut buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < MOST_BUFFERS {
            buffers.push(buffer);
        }
    }

    pub(super) fn take(&self) -> Option<Vec<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// The most buffers that are kept: as many as a few threads fill at a time.
pub(super) const MOST_BUFFERS: usize = 16;

impl<R> Batch<R> {
    /// The index in the input of the item that made the first result.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut starts = Vec::new();
    /// let mut run = process_in_batches(|x: u32| x + 1, 0..10).batch_size(4);
    /// run.for_each_batch(|batch| starts.push(batch.first_index()))?;
    /// assert_eq!(starts, [0, 4, 8]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn first_index(&self) -> usize {
        self.places.first
    }

    /// The index in the input of each result's item, in the order of the results. They count up
    /// from [`first_index`](Self::first_index), except where items failed in between in a run that
    /// goes on in spite of errors.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Skip, process_in_batches};
    ///
    /// let mut numbers = Vec::new();
    /// let mut run = process_in_batches(str::parse::<u32>, ["10", "twenty", "30"]).on_error(Skip);
    /// run.for_each_batch(|batch| numbers.extend(batch.indices().zip(batch)))?;
    /// assert_eq!(numbers, [(0, 10), (2, 30)]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn indices(&self) -> Indices {
        self.places.clone().into_indices(self.results.len())
    }

    /// A batch of results with the indices of their items, which are the next of these.
    #[cfg(feature = "durable")]
    pub(crate) fn of(results: Vec<R>, indices: &mut impl Iterator<Item = usize>, is_restored: bool) -> Self {
        let places = Places::of(indices.take(results.len()));
        Self { results, places, is_restored, bin: Weak::new() }
    }

    /// True if the results come from a checkpoint that an earlier process made. A batch has only
    /// restored results, or only new ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// # let name = format!("amorsize-is-restored-{}", std::process::id());
    /// # let directory = std::env::temp_dir().join(name);
    /// let square = |x: u64| x * x;
    /// let squares = || process_in_batches(square, 0..1000).version(1).checkpoint(&directory);
    /// squares().for_each_batch(|batch| assert!(!batch.is_restored()))?;
    /// // Another process, or this one later.
    /// squares().for_each_batch(|batch| assert!(batch.is_restored()))?;
    /// # std::fs::remove_dir_all(&directory).unwrap();
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[cfg(feature = "durable")]
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.is_restored
    }

    /// Takes the results out, and leaves the buffer to be filled again.
    pub(crate) fn drain(&mut self) -> std::vec::Drain<'_, R> {
        self.results.drain(..)
    }

    /// The results as a `Vec`, without a copy.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut batches: Vec<Vec<u32>> = Vec::new();
    /// let mut run = process_in_batches(|x: u32| x + 1, 0..5).batch_size(3);
    /// run.for_each_batch(|batch| batches.push(batch.into_vec()))?;
    /// assert_eq!(batches, [vec![1, 2, 3], vec![4, 5]]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use = "the results are dropped: to do that, drop the batch"]
    pub fn into_vec(mut self) -> Vec<R> {
        std::mem::take(&mut self.results)
    }
}

impl<R> Drop for Batch<R> {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.results);
        buffer.clear();
        if let Some(bin) = self.bin.upgrade() {
            bin.put(buffer);
        }
    }
}

impl<R> Deref for Batch<R> {
    type Target = [R];

    fn deref(&self) -> &[R] {
        &self.results
    }
}

impl<R> DerefMut for Batch<R> {
    fn deref_mut(&mut self) -> &mut [R] {
        &mut self.results
    }
}

impl<R> IntoIterator for Batch<R> {
    type Item = R;
    type IntoIter = std::vec::IntoIter<R>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_vec().into_iter()
    }
}

impl<'a, R> IntoIterator for &'a Batch<R> {
    type Item = &'a R;
    type IntoIter = std::slice::Iter<'a, R>;

    fn into_iter(self) -> Self::IntoIter {
        self.results.iter()
    }
}

impl<'a, R> IntoIterator for &'a mut Batch<R> {
    type Item = &'a mut R;
    type IntoIter = std::slice::IterMut<'a, R>;

    fn into_iter(self) -> Self::IntoIter {
        self.results.iter_mut()
    }
}

impl<R: fmt::Debug> fmt::Debug for Batch<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("first_index", &self.places.first).field("results", &self.results).finish()
    }
}

/// The indices of the items of a [`Batch`]; made by [`Batch::indices`].
///
/// # Examples
///
/// ```
/// use amorsize::{on_error::Skip, process_in_batches};
///
/// let mut found = Vec::new();
/// let mut run = process_in_batches(str::parse::<u32>, ["10", "twenty", "30"]).on_error(Skip);
/// run.for_each_batch(|batch| found.extend(batch.indices()))?;
/// assert_eq!(found, [0, 2]);
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "an iterator does nothing until it is asked for indices"]
pub struct Indices {
    /// The next index, unless a jump begins here.
    pub(super) next: usize,
    place: usize,
    len: usize,
    pub(super) jumps: std::vec::IntoIter<(usize, usize)>,
}

/// The indices that are left, as ranges.
impl fmt::Debug for Indices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(ranges(self.clone())).finish()
    }
}

impl Indices {
    pub(crate) fn new(first: usize, len: usize, jumps: Vec<(usize, usize)>) -> Self {
        Self { next: first, place: 0, len, jumps: jumps.into_iter() }
    }
}

impl Iterator for Indices {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.place == self.len {
            return None;
        }
        if let Some(&(place, index)) = self.jumps.as_slice().first()
            && place == self.place
        {
            self.jumps.next();
            self.next = index;
        }
        let index = self.next;
        self.next += 1;
        self.place += 1;
        Some(index)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.len - self.place;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Indices {}

impl FusedIterator for Indices {}
