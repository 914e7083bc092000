//! Where results go: batches for a sink, one collection, or the buffer of an iterator.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use crate::execute::buffer::{Results, Types};
use crate::execute::line::{Accepted, Flow, Outlet};
use crate::handover::Handover;

/// Results of consecutive items, in input order, handed to a sink together.
///
/// It derefs to a slice, iterates by value, and knows the index of its first item. Of a run that goes on in spite of errors, the
/// results are the values of the items that did not fail; [`indices`](Self::indices) tells which these are.
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
    /// Where items were left out: a result's place in the batch, and the index of its item.
    jumps: Vec<(usize, usize)>,
    bin: Weak<Bin<R>>,
}

/// Empty buffers that sinks have left behind, to be filled again: allocating and freeing one for each batch would cost more
/// than cheap calls themselves, because the system takes large ones back and clears them anew.
struct Bin<R>(Mutex<Buffers<R>>);

struct Buffers<R> {
    /// A run that stays on the calling thread seldom has a second one, and needs no list.
    last: Option<Vec<R>>,
    more: Vec<Vec<R>>,
}

impl<R> Bin<R> {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Buffers { last: None, more: Vec::new() })))
    }

    /// Keeps an empty buffer, if it is one. Once for each batch: a call of its own would be 4 % of what a batch takes.
    #[inline(always)]
    fn put(&self, buffer: Vec<R>) {
        if buffer.capacity() == 0 {
            return;
        }
        let mut buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.last.is_none() {
            buffers.last = Some(buffer);
        } else if buffers.more.len() < MOST_BUFFERS {
            buffers.more.push(buffer);
        }
    }

    fn take(&self) -> Option<Vec<R>> {
        let mut buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.last.take().or_else(|| buffers.more.pop())
    }
}

/// No more buffers are kept than a few threads fill at a time.
const MOST_BUFFERS: usize = 16;

impl<R> Batch<R> {
    /// Index in the input of the item that made the first result.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut starts = Vec::new();
    /// process_in_batches(|x: u32| x + 1, 0..10).batch_size(4).for_each_batch(|batch| starts.push(batch.first_index()))?;
    /// assert_eq!(starts, [0, 4, 8]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn first_index(&self) -> usize {
        self.first_index
    }

    /// Index in the input of each result's item, in the order of the results. They count up from [`first_index`](Self::first_index)
    /// but where items failed in between, of a run that goes on in spite of errors.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Skip, process_in_batches};
    ///
    /// let mut numbers = Vec::new();
    /// let run = process_in_batches(str::parse::<u32>, ["10", "twenty", "30"]).on_error(Skip);
    /// run.for_each_batch(|batch| numbers.extend(batch.indices().zip(batch)))?;
    /// assert_eq!(numbers, [(0, 10), (2, 30)]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn indices(&self) -> Indices {
        Indices { next: self.first_index, place: 0, len: self.results.len(), jumps: self.jumps.clone().into_iter() }
    }

    /// The results as a `Vec`, without a copy.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut batches: Vec<Vec<u32>> = Vec::new();
    /// process_in_batches(|x: u32| x + 1, 0..5).batch_size(3).for_each_batch(|batch| batches.push(batch.into_vec()))?;
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
        f.debug_struct("Batch").field("first_index", &self.first_index).field("results", &self.results).finish()
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
/// let run = process_in_batches(str::parse::<u32>, ["10", "twenty", "30"]).on_error(Skip);
/// run.for_each_batch(|batch| found.extend(batch.indices()))?;
/// assert_eq!(found, [0, 2]);
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "an iterator does nothing until it is asked for indices"]
pub struct Indices {
    /// The next index, unless a jump begins here.
    next: usize,
    place: usize,
    len: usize,
    jumps: std::vec::IntoIter<(usize, usize)>,
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

/// How many results fill a batch.
#[derive(Clone, Copy, Debug)]
struct BatchSize {
    asked: Option<usize>,
    items: usize,
}

impl BatchSize {
    fn new(asked: Option<usize>) -> Self {
        // Until there is a plan a batch is closed by memory or by the end alone.
        Self { asked, items: asked.unwrap_or(usize::MAX) }
    }

    /// Sets what the plan found, where nothing was asked for.
    fn set(&mut self, items: usize) {
        self.items = self.asked.unwrap_or(items).max(1);
    }

    /// How many more results fill a batch that has so many.
    fn wanted(self, open: usize) -> usize {
        self.items.saturating_sub(open)
    }

    /// Whether a batch of so many results is closed when a chunk ends.
    fn is_full(self, open: usize) -> bool {
        // Without a size asked for, what comes next would often not fit: a batch that is nearly full is closed.
        open >= if self.asked.is_some() { self.items } else { self.items - self.items / 4 }
    }
}

/// Fills batches and hands them to a sink that says whether to go on.
pub(crate) struct Batches<'a, T, R> {
    types: Types<T, R>,
    sink: &'a mut dyn FnMut(Batch<R>) -> bool,
    open: Vec<R>,
    open_bytes: u64,
    first_index: usize,
    size: BatchSize,
    pub(crate) handover: Handover,
    /// None until there is a batch that others follow.
    bin: Option<Arc<Bin<R>>>,
}

impl<'a, T, R> Batches<'a, T, R> {
    pub(crate) fn new(
        types: Types<T, R>,
        (asked, handover): (Option<usize>, Handover),
        sink: &'a mut dyn FnMut(Batch<R>) -> bool,
    ) -> Self {
        Self {
            types,
            sink,
            open: Vec::new(),
            open_bytes: 0,
            first_index: 0,
            size: BatchSize::new(asked),
            handover,
            bin: None,
        }
    }

    /// Whether the run is so young that, as far as is known, the first batch is the only one, and stretches of items follow each
    /// other on the calling thread: nobody asked for a size, and nothing was decided.
    fn is_first(&self) -> bool {
        self.size.asked.is_none() && !self.handover.is_timed()
    }

    /// Adds results to those that are open, where there is room for both; leaves an empty buffer.
    fn add(&mut self, results: &mut Vec<R>) {
        let has_room = |buffer: &Vec<R>, for_those: &Vec<R>| buffer.capacity() - buffer.len() >= for_those.len();
        if has_room(results, &self.open) && !has_room(&self.open, results) {
            results.splice(..0, self.open.drain(..));
            std::mem::swap(&mut self.open, results);
        } else {
            self.open.append(results);
        }
    }

    fn hand_over(&mut self) -> Accepted {
        let results = std::mem::take(&mut self.open);
        let (items, bytes) = (results.len(), std::mem::take(&mut self.open_bytes));
        let first_index = self.first_index;
        self.first_index += items;
        if items == 0 {
            return Accepted::KEPT;
        }
        let bin = self.bin.as_ref().map_or_else(Weak::new, Arc::downgrade);
        let mut batch = Some(Batch { first_index, results, jumps: Vec::new(), bin });
        let go_on = self
            .handover
            .batch(first_index, self.first_index, (items, bytes), &mut || batch.take().is_none_or(&mut self.sink));
        Accepted { items, bytes, flow: if go_on { Flow::Continue } else { Flow::Stop } }
    }
}

impl<T, R> Outlet for Batches<'_, T, R> {
    fn place(&mut self, count: usize) -> Option<Results> {
        let buffer = if self.is_first() && !self.open.is_empty() {
            // Each stretch is much longer than all before it: what is open will move in front of it.
            Some(Vec::with_capacity(self.open.len() + count))
        } else {
            self.bin.as_ref().and_then(|bin| bin.take())
        };
        buffer.map(|buffer| self.types.in_buffer(buffer))
    }

    fn accept(&mut self, results: Results, start: usize, bytes: u64) -> Accepted {
        let mut results = self.types.into_vec(results);
        let mut accepted = Accepted::KEPT;
        if results.is_empty() {
            return accepted;
        }
        if self.bin.is_none() && !self.is_first() {
            self.bin = Some(Bin::new());
        }
        if !self.open.is_empty() && start != self.first_index + self.open.len() {
            // Items in between have no results, and a batch is of consecutive items.
            accepted = self.hand_over();
        }
        if self.open.is_empty() {
            self.first_index = start;
        }
        if accepted.flow != Flow::Continue || self.open.is_empty() && results.len() <= self.size.items {
            // The usual case for cheap items: a chunk is a batch, and nothing is copied. What comes after a sink that stopped waits.
            self.open = results;
            self.open_bytes = bytes;
        } else if self.open.len() + results.len() <= self.size.items {
            self.add(&mut results);
            self.open_bytes += bytes;
            if let Some(bin) = &self.bin {
                bin.put(results);
            }
        } else {
            let mut results = results.into_iter();
            while results.len() > 0 {
                // A plan can have set a smaller size than what is open has already.
                let taken = self.size.wanted(self.open.len()).min(results.len());
                self.open.extend(results.by_ref().take(taken));
                // All bytes go with the last part: nothing is known of the parts, and large results may lie in that one.
                if results.len() == 0 {
                    self.open_bytes += bytes;
                }
                if self.open.len() >= self.size.items {
                    accepted = accepted.and(self.hand_over());
                    if accepted.flow != Flow::Continue {
                        break;
                    }
                }
            }
            return accepted;
        }
        if accepted.flow == Flow::Continue && self.size.is_full(self.open.len()) {
            accepted = accepted.and(self.hand_over());
        }
        accepted
    }

    fn flush(&mut self) -> Accepted {
        self.hand_over()
    }

    fn wanted(&self) -> usize {
        self.size.wanted(self.open.len())
    }

    fn holds(&self) -> bool {
        !self.open.is_empty()
    }

    fn hands_over(&self) -> bool {
        true
    }

    fn set_batch_size(&mut self, items: usize) {
        self.size.set(items);
    }

    fn begin_timing(&mut self, origin: Instant) {
        self.handover.begin_timing(origin);
    }

    fn sink_seconds(&self) -> f64 {
        self.handover.sink_seconds()
    }
}

/// What becomes of an item that failed; says whether the run goes on.
pub(crate) type OnFailure<'a, E> = &'a mut dyn FnMut(usize, E) -> bool;

/// Unwraps results one by one and keeps the values, as long as failures let the run go on.
pub(crate) struct Values<'a, I, T, E> {
    types: Types<I, Result<T, E>>,
    pub(crate) values: Vec<T>,
    /// Results that were taken, failures among them.
    pub(crate) taken: usize,
    fail: OnFailure<'a, E>,
    /// Whether a failure is to be seen as soon as it is next in order.
    eager: bool,
    /// Whether one ended the run.
    pub(crate) stopped: bool,
    /// Results that the executor made for it, and what they hold of the budget.
    pub(crate) made: usize,
    pub(crate) bytes: u64,
    /// Results behind the failure that ended the run, with the index of the first.
    pub(crate) leftover: Option<Leftover<T, E>>,
}

/// Results that were made and not taken, with the index of the first one's item.
pub(crate) type Leftover<T, E> = (Vec<Result<T, E>>, usize);

impl<'a, I, T, E> Values<'a, I, T, E> {
    pub(crate) fn new(types: Types<I, Result<T, E>>, eager: bool, fail: OnFailure<'a, E>) -> Self {
        Self { types, values: Vec::new(), taken: 0, fail, eager, stopped: false, made: 0, bytes: 0, leftover: None }
    }
}

impl<I, T, E> Outlet for Values<'_, I, T, E> {
    fn accept(&mut self, results: Results, start: usize, bytes: u64) -> Accepted {
        let mut results = self.types.into_vec(results).into_iter();
        self.made += results.len();
        self.bytes += bytes;
        let mut index = start;
        for result in results.by_ref() {
            self.taken += 1;
            index += 1;
            match result {
                Ok(value) => self.values.push(value),
                Err(error) => {
                    self.stopped = !(self.fail)(index - 1, error);
                    if self.stopped {
                        break;
                    }
                }
            }
        }
        if self.stopped && results.len() > 0 {
            self.leftover = Some((results.collect(), index));
        }
        Accepted { flow: if self.stopped { Flow::Stop } else { Flow::Continue }, ..Accepted::KEPT }
    }

    fn wanted(&self) -> usize {
        if self.eager { 1 } else { usize::MAX }
    }

    fn collected(&self) -> Option<usize> {
        Some(self.taken)
    }
}

/// Unwraps results one by one, and hands the values to a sink batch by batch, as long as failures let the run go on.
pub(crate) struct Sorting<'a, I, T, E> {
    types: Types<I, Result<T, E>>,
    fail: OnFailure<'a, E>,
    sink: &'a mut dyn FnMut(Batch<T>) -> bool,
    eager: bool,
    open: Vec<T>,
    jumps: Vec<(usize, usize)>,
    first_index: usize,
    /// The index that the next value has unless items fail before it.
    next_index: usize,
    /// What the run made since credit was last given back: failures count too.
    held: Accepted,
    size: BatchSize,
    pub(crate) handover: Handover,
    /// Values that were handed over.
    pub(crate) values: usize,
    bin: Arc<Bin<T>>,
    /// Emptied buffers of results, to be filled again.
    spare: Vec<Vec<Result<T, E>>>,
    /// Whether a failure or the sink ended the run.
    pub(crate) stopped: bool,
    /// Results behind what ended the run.
    pub(crate) leftover: Option<Leftover<T, E>>,
}

impl<'a, I, T, E> Sorting<'a, I, T, E> {
    pub(crate) fn new(
        types: Types<I, Result<T, E>>,
        (asked, handover): (Option<usize>, Handover),
        eager: bool,
        fail: OnFailure<'a, E>,
        sink: &'a mut dyn FnMut(Batch<T>) -> bool,
    ) -> Self {
        Self {
            types,
            fail,
            sink,
            eager,
            open: Vec::new(),
            jumps: Vec::new(),
            first_index: 0,
            next_index: 0,
            held: Accepted::KEPT,
            size: BatchSize::new(asked),
            handover,
            values: 0,
            bin: Bin::new(),
            spare: Vec::new(),
            stopped: false,
            leftover: None,
        }
    }

    fn add(&mut self, index: usize, value: T) {
        if self.open.is_empty() {
            self.first_index = index;
            if self.open.capacity() == 0
                && let Some(buffer) = self.bin.take()
            {
                self.open = buffer;
            }
        } else if index != self.next_index {
            self.jumps.push((self.open.len(), index));
        }
        self.open.push(value);
        self.next_index = index + 1;
    }

    /// Hands over the open batch, if anything is in it.
    fn hand_over(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let (results, jumps) = (std::mem::take(&mut self.open), std::mem::take(&mut self.jumps));
        let (first_index, items) = (self.first_index, results.len());
        self.values += items;
        let mut batch = Some(Batch { first_index, results, jumps, bin: Arc::downgrade(&self.bin) });
        let go_on = self.handover.batch(first_index, self.next_index, (items, self.held.bytes), &mut || {
            batch.take().is_none_or(&mut self.sink)
        });
        self.stopped |= !go_on;
    }

    /// What is no longer held, which is all where no batch is open.
    fn given(&mut self) -> Accepted {
        let flow = if self.stopped { Flow::Stop } else { Flow::Continue };
        let held =
            if self.open.is_empty() { std::mem::replace(&mut self.held, Accepted::KEPT) } else { Accepted::KEPT };
        Accepted { flow, ..held }
    }
}

impl<I, T, E> Outlet for Sorting<'_, I, T, E> {
    fn place(&mut self, _count: usize) -> Option<Results> {
        self.spare.pop().map(|buffer| self.types.in_buffer(buffer))
    }

    fn accept(&mut self, results: Results, start: usize, bytes: u64) -> Accepted {
        let mut given = Accepted::KEPT;
        let mut results = self.types.into_vec(results);
        let mut left = results.len();
        let mut taken = results.drain(..);
        let mut index = start;
        while let Some(result) = taken.next() {
            left -= 1;
            index += 1;
            self.held.items += 1;
            // All bytes go with the last part: nothing is known of the parts, and large results may lie in that one.
            if left == 0 {
                self.held.bytes += bytes;
            }
            match result {
                Ok(value) => self.add(index - 1, value),
                Err(error) => {
                    self.stopped = !(self.fail)(index - 1, error);
                    if !self.stopped {
                        continue;
                    }
                    self.hand_over();
                }
            }
            if self.open.len() >= self.size.items {
                self.hand_over();
            }
            if self.stopped && left > 0 {
                self.held.bytes += bytes;
                self.leftover = Some((taken.by_ref().collect(), index));
            }
            if self.open.is_empty() {
                given = given.and(self.given());
            }
            if self.stopped {
                break;
            }
        }
        drop(taken);
        if self.spare.len() < MOST_BUFFERS && results.capacity() > 0 {
            self.spare.push(results);
        }
        if self.size.is_full(self.open.len()) {
            self.hand_over();
        }
        let last = self.given();
        Accepted { items: given.items + last.items, bytes: given.bytes + last.bytes, flow: last.flow }
    }

    fn flush(&mut self) -> Accepted {
        if !self.stopped {
            self.hand_over();
        }
        self.given()
    }

    fn wanted(&self) -> usize {
        if self.eager { 1 } else { self.size.wanted(self.open.len()) }
    }

    fn holds(&self) -> bool {
        !self.open.is_empty()
    }

    fn hands_over(&self) -> bool {
        true
    }

    fn set_batch_size(&mut self, items: usize) {
        self.size.set(items);
    }

    fn begin_timing(&mut self, origin: Instant) {
        self.handover.begin_timing(origin);
    }

    fn sink_seconds(&self) -> f64 {
        self.handover.sink_seconds()
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
    /// Results that are wanted before there are enough for a batch.
    at_once: Option<fn(&[R]) -> bool>,
}

impl<T, R> Buffer<T, R> {
    pub(crate) fn new(types: Types<T, R>) -> Self {
        Self { types, parts: VecDeque::new(), items: 0, bytes: 0, accepted: 0, batch_size: 1, at_once: None }
    }

    /// Goes back to whoever iterates as soon as there are results of which `wanted` says that they are wanted.
    pub(crate) fn give_at_once(&mut self, wanted: fn(&[R]) -> bool) {
        self.at_once = Some(wanted);
    }

    /// Drops what is there.
    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.items = 0;
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
        let at_once = self.at_once.is_some_and(|wanted| wanted(&results));
        self.parts.push_back((start, results.into_iter()));
        let flow = if at_once || self.items >= self.batch_size { Flow::Enough } else { Flow::Continue };
        Accepted { flow, ..Accepted::KEPT }
    }

    fn flush(&mut self) -> Accepted {
        // What is there can only be taken out by going back to whoever iterates.
        Accepted { flow: if self.items > 0 { Flow::Enough } else { Flow::Continue }, ..Accepted::KEPT }
    }

    fn wanted(&self) -> usize {
        if self.at_once.is_some() { 1 } else { self.batch_size.saturating_sub(self.items) }
    }

    fn holds(&self) -> bool {
        self.items > 0
    }

    fn set_batch_size(&mut self, items: usize) {
        self.batch_size = items;
    }
}
