//! Where results go: batches for a sink, one collection, or the buffer of an iterator.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::execute::buffer::{Results, Types};
use crate::execute::line::{Accepted, Flow, Outlet};
use crate::verbose::Verbose;

/// Results of consecutive items, in input order, handed to a sink together.
///
/// It derefs to a slice, iterates by value, and knows the index of its first item.
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
///
/// let mut lines = Vec::new();
/// process_in_batches(|x: u32| x * x, 0..10).batch_size(4).for_each_batch(|batch| {
///     let first = batch.first_index();
///     lines.extend(batch.into_iter().enumerate().map(|(i, square)| format!("{}: {square}", first + i)));
/// })?;
/// assert_eq!(lines[9], "9: 81");
/// # Ok::<(), amorsize::Error>(())
/// ```
pub struct Batch<R> {
    first_index: usize,
    results: Vec<R>,
    bin: Weak<Bin<R>>,
}

/// Empty buffers that sinks have left behind, to be filled again: allocating and freeing one for each batch would cost more
/// than cheap calls themselves, because the system takes large ones back and clears them anew.
struct Bin<R>(Mutex<Vec<Vec<R>>>);

/// No more buffers are kept than a few threads fill at a time.
const MOST_BUFFERS: usize = 16;

impl<R> Batch<R> {
    /// Index in the input of the item that made the first result.
    #[must_use]
    pub fn first_index(&self) -> usize {
        self.first_index
    }

    /// The results as a `Vec`, without a copy.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<R> {
        std::mem::take(&mut self.results)
    }
}

impl<R> Drop for Batch<R> {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.results);
        buffer.clear();
        if buffer.capacity() > 0
            && let Some(bin) = self.bin.upgrade()
        {
            let mut buffers = bin.0.lock().unwrap_or_else(PoisonError::into_inner);
            if buffers.len() < MOST_BUFFERS {
                buffers.push(buffer);
            }
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
        f.debug_struct("Batch").field("first_index", &self.first_index).field("results", &self.results).finish()
    }
}

/// Fills batches and hands them to a sink that says whether to go on.
pub(crate) struct Batches<'a, T, R> {
    types: Types<T, R>,
    sink: &'a mut dyn FnMut(Batch<R>) -> bool,
    open: Vec<R>,
    open_bytes: u64,
    first_index: usize,
    asked: Option<usize>,
    batch_size: usize,
    pub(crate) count: usize,
    bin: Arc<Bin<R>>,
    verbose: Verbose,
}

impl<'a, T, R> Batches<'a, T, R> {
    pub(crate) fn new(
        types: Types<T, R>,
        asked: Option<usize>,
        verbose: Verbose,
        sink: &'a mut dyn FnMut(Batch<R>) -> bool,
    ) -> Self {
        Self {
            types,
            sink,
            open: Vec::new(),
            open_bytes: 0,
            first_index: 0,
            asked,
            // Until there is a plan a batch is closed by memory or by the end alone.
            batch_size: asked.unwrap_or(usize::MAX),
            count: 0,
            bin: Arc::new(Bin(Mutex::new(Vec::new()))),
            verbose,
        }
    }

    fn spare(&self) -> Option<Vec<R>> {
        self.bin.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn hand_over(&mut self) -> Accepted {
        let results = std::mem::take(&mut self.open);
        let (items, bytes) = (results.len(), std::mem::take(&mut self.open_bytes));
        let first_index = self.first_index;
        self.first_index += items;
        if items == 0 {
            return Accepted::KEPT;
        }
        self.count += 1;
        self.verbose.batch(self.count, first_index, items);
        let go_on = (self.sink)(Batch { first_index, results, bin: Arc::downgrade(&self.bin) });
        self.verbose.batch_done(self.count, self.first_index);
        Accepted { items, bytes, flow: if go_on { Flow::Continue } else { Flow::Stop } }
    }
}

impl<T, R> Outlet for Batches<'_, T, R> {
    fn place(&mut self, _count: usize) -> Option<Results> {
        self.spare().map(|buffer| self.types.in_buffer(buffer))
    }

    fn accept(&mut self, results: Results, start: usize, bytes: u64) -> Accepted {
        let mut results = self.types.into_vec(results);
        let mut accepted = Accepted::KEPT;
        if results.is_empty() {
            return accepted;
        }
        if !self.open.is_empty() && start != self.first_index + self.open.len() {
            // Items in between have no results, and a batch is of consecutive items.
            accepted = self.hand_over();
        }
        if self.open.is_empty() {
            self.first_index = start;
        }
        if accepted.flow != Flow::Continue || self.open.is_empty() && results.len() <= self.batch_size {
            // The usual case for cheap items: a chunk is a batch, and nothing is copied. What comes after a sink that stopped waits.
            self.open = results;
            self.open_bytes = bytes;
        } else if self.open.len() + results.len() <= self.batch_size {
            self.open.append(&mut results);
            self.open_bytes += bytes;
            drop(Batch { first_index: 0, results, bin: Arc::downgrade(&self.bin) });
        } else {
            let mut results = results.into_iter();
            while results.len() > 0 {
                // A plan can have set a smaller size than what is open has already.
                let taken = self.batch_size.saturating_sub(self.open.len()).min(results.len());
                self.open.extend(results.by_ref().take(taken));
                // All bytes go with the last part: nothing is known of the parts, and large results may lie in that one.
                if results.len() == 0 {
                    self.open_bytes += bytes;
                }
                if self.open.len() >= self.batch_size {
                    accepted = accepted.and(self.hand_over());
                    if accepted.flow != Flow::Continue {
                        break;
                    }
                }
            }
            return accepted;
        }
        // Without a size asked for, what comes next would often not fit: a batch that is nearly full is closed.
        let full = if self.asked.is_some() { self.batch_size } else { self.batch_size - self.batch_size / 4 };
        if accepted.flow == Flow::Continue && self.open.len() >= full {
            accepted = accepted.and(self.hand_over());
        }
        accepted
    }

    fn flush(&mut self) -> Accepted {
        self.hand_over()
    }

    fn wanted(&self) -> usize {
        self.batch_size.saturating_sub(self.open.len())
    }

    fn holds(&self) -> bool {
        !self.open.is_empty()
    }

    fn set_batch_size(&mut self, items: usize) {
        self.batch_size = self.asked.unwrap_or(items).max(1);
    }
}

/// Unwraps results one by one and keeps the values, up to the first failure by input order.
pub(crate) struct Values<I, T, E> {
    pub(crate) types: Types<I, Result<T, E>>,
    pub(crate) values: Vec<T>,
    pub(crate) failure: Option<(usize, E)>,
}

impl<I, T, E> Outlet for Values<I, T, E> {
    fn accept(&mut self, results: Results, start: usize, _bytes: u64) -> Accepted {
        for (i, result) in self.types.into_vec(results).into_iter().enumerate() {
            match result {
                Ok(value) => self.values.push(value),
                Err(error) => {
                    self.failure = Some((start + i, error));
                    return Accepted { flow: Flow::Stop, ..Accepted::KEPT };
                }
            }
        }
        Accepted::KEPT
    }

    fn wanted(&self) -> usize {
        // A failure is to be seen as soon as it is next in order.
        1
    }

    fn collected(&self) -> Option<usize> {
        Some(self.values.len())
    }
}

/// What an iterator gives next.
pub(crate) struct Buffer<T, R> {
    types: Types<T, R>,
    parts: VecDeque<(usize, std::vec::IntoIter<R>)>,
    items: usize,
    /// Bytes of all results that were put in since the credit was last given back.
    bytes: u64,
    accepted: usize,
    batch_size: usize,
}

impl<T, R> Buffer<T, R> {
    pub(crate) fn new(types: Types<T, R>) -> Self {
        Self { types, parts: VecDeque::new(), items: 0, bytes: 0, accepted: 0, batch_size: 1 }
    }

    pub(crate) fn next(&mut self) -> Option<(usize, R)> {
        loop {
            let (index, part) = self.parts.front_mut()?;
            if let Some(result) = part.next() {
                self.items -= 1;
                *index += 1;
                return Some((*index - 1, result));
            }
            self.parts.pop_front();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.items
    }

    /// Items and bytes whose credit can be given back, everything having been taken out.
    pub(crate) fn take_credit(&mut self) -> (usize, u64) {
        debug_assert_eq!(self.items, 0, "credit is given back when everything was taken");
        (std::mem::take(&mut self.accepted), std::mem::take(&mut self.bytes))
    }
}

impl<T, R> Outlet for Buffer<T, R> {
    fn accept(&mut self, results: Results, start: usize, bytes: u64) -> Accepted {
        let results = self.types.into_vec(results);
        self.items += results.len();
        self.accepted += results.len();
        self.bytes += bytes;
        self.parts.push_back((start, results.into_iter()));
        let flow = if self.items >= self.batch_size { Flow::Enough } else { Flow::Continue };
        Accepted { flow, ..Accepted::KEPT }
    }

    fn flush(&mut self) -> Accepted {
        // What is there can only be taken out by going back to whoever iterates.
        Accepted { flow: if self.items > 0 { Flow::Enough } else { Flow::Continue }, ..Accepted::KEPT }
    }

    fn wanted(&self) -> usize {
        self.batch_size.saturating_sub(self.items)
    }

    fn holds(&self) -> bool {
        self.items > 0
    }

    fn set_batch_size(&mut self, items: usize) {
        self.batch_size = items;
    }
}
