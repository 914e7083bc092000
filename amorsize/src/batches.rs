//! Where results go: batches for a sink, one collection, or the buffer of an iterator.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use crate::durable::Handle;
use crate::execute::buffer::{Results, Types};
use crate::execute::line::{Flow, Outlet};
use crate::failure::Payload;
use crate::handover::{HandedOver, Handover};
use crate::memory::credit::Credit;
use crate::policy::{Policy, Seen};

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
    #[cfg_attr(not(feature = "durable"), expect(dead_code, reason = "no batch is restored"))]
    is_restored: bool,
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
    /// let mut run = process_in_batches(str::parse::<u32>, ["10", "twenty", "30"]).on_error(Skip);
    /// run.for_each_batch(|batch| numbers.extend(batch.indices().zip(batch)))?;
    /// assert_eq!(numbers, [(0, 10), (2, 30)]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn indices(&self) -> Indices {
        Indices::new(self.first_index, self.results.len(), self.jumps.clone())
    }

    /// A batch of results with the indices of their items.
    #[cfg(feature = "durable")]
    pub(crate) fn of(results: Vec<R>, indices: &[usize], is_restored: bool) -> Self {
        let first_index = indices.first().copied().unwrap_or_default();
        let places = indices.windows(2).enumerate();
        let jumps = places.filter(|(_, pair)| pair[0] + 1 != pair[1]).map(|(place, pair)| (place + 1, pair[1]));
        Self { first_index, results, jumps: jumps.collect(), is_restored, bin: Weak::new() }
    }

    /// True if the results come from a checkpoint that an earlier process made. A batch has
    /// restored results alone, or new ones alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// # let directory = std::env::temp_dir().join(format!("amorsize-is-restored-{}", std::process::id()));
    /// let squares = || process_in_batches(|x: u64| x * x, 0..1000).version(1).checkpoint(&directory);
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
/// let mut run = process_in_batches(str::parse::<u32>, ["10", "twenty", "30"]).on_error(Skip);
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

/// Fills batches with the values of results and hands them to a sink that says whether to go on.
pub(crate) struct Batches<'a, T, R, P: Policy<R>> {
    types: Types<T, R>,
    seen: &'a mut Seen<R>,
    sink: &'a mut dyn FnMut(Batch<P::Value>) -> bool,
    open: Vec<P::Value>,
    jumps: Vec<(usize, usize)>,
    first_index: usize,
    /// The index that the next value has unless items in between have none.
    next_index: usize,
    /// The credit of what is open, and of the failures that came with it.
    held: Credit,
    size: BatchSize,
    handover: Handover,
    /// There where the run is durable.
    keeper: Handle,
    /// None until there is a batch that others follow.
    bin: Option<Arc<Bin<P::Value>>>,
    /// Emptied buffers of results, to be filled again, where values lie in others.
    spare: Vec<Vec<R>>,
    /// Whether the sink or a failure ended the run.
    stopped: bool,
    /// The failure that did.
    failed: Option<P::Failed>,
    /// The panic of the sink.
    panic: Option<Payload>,
    /// Results behind what ended it.
    left: Option<Left>,
}

/// Results that were made and not handed over, with the index of the first one's item.
pub(crate) type Left = (Results, usize);

/// How a run ended that handed batches over.
pub(crate) struct Ending<F> {
    pub(crate) handed_over: HandedOver,
    pub(crate) stopped: bool,
    pub(crate) failed: Option<F>,
    pub(crate) panic: Option<Payload>,
    /// Results that were made and not handed over, in parts, the last ones first.
    pub(crate) left: Vec<Left>,
}

impl<'a, T, R, P: Policy<R>> Batches<'a, T, R, P> {
    pub(crate) fn new(
        types: Types<T, R>,
        (asked, handover, keeper): (Option<usize>, Handover, Handle),
        seen: &'a mut Seen<R>,
        sink: &'a mut dyn FnMut(Batch<P::Value>) -> bool,
    ) -> Self {
        Self {
            types,
            seen,
            sink,
            open: Vec::new(),
            jumps: Vec::new(),
            first_index: 0,
            next_index: 0,
            held: Credit::NONE,
            size: BatchSize::new(asked),
            handover,
            keeper,
            bin: None,
            spare: Vec::new(),
            stopped: false,
            failed: None,
            panic: None,
            left: None,
        }
    }

    pub(crate) fn finish(mut self) -> Ending<P::Failed> {
        let mut left: Vec<_> = self.left.take().into_iter().collect();
        if !self.open.is_empty() {
            // Something else than the sink panicked.
            let values = std::mem::take(&mut self.open);
            let indices = Indices::new(self.first_index, values.len(), std::mem::take(&mut self.jumps));
            left.extend(parts(self.types, P::unsplit(values), indices, self.held.take_all()));
        }
        let Self { handover, stopped, failed, panic, .. } = self;
        Ending { handed_over: handover.finish(), stopped, failed, panic, left }
    }

    /// Whether the run is so young that, as far as is known, the first batch is the only one, and stretches of items follow each
    /// other on the calling thread: nobody asked for a size, and nothing was decided.
    fn is_first(&self) -> bool {
        self.size.asked.is_none() && !self.handover.is_timed()
    }

    /// Adds values to those that are open, where there is room for both; leaves an empty buffer.
    fn append(&mut self, values: &mut Vec<P::Value>) {
        let has_room = |buffer: &Vec<_>, for_those: &Vec<_>| buffer.capacity() - buffer.len() >= for_those.len();
        if has_room(values, &self.open) && !has_room(&self.open, values) {
            values.splice(..0, self.open.drain(..));
            std::mem::swap(&mut self.open, values);
        } else {
            self.open.append(values);
        }
    }

    /// Hands over the open batch, if anything is in it. Nothing is held after that.
    fn hand_over(&mut self) {
        // Dropped when the sink has returned.
        let held = self.held.take_all();
        if self.open.is_empty() {
            return;
        }
        let (results, jumps) = (std::mem::take(&mut self.open), std::mem::take(&mut self.jumps));
        let (first_index, items) = (self.first_index, results.len());
        self.first_index = self.next_index;
        let bin = self.bin.as_ref().map_or_else(Weak::new, Arc::downgrade);
        let keeper = self.keeper.get();
        let is_restored = keeper.is_some_and(|keeper| keeper.is_restored(first_index));
        let journal = keeper.filter(|keeper| keeper.is_journal());
        let indices = journal.map(|_| Indices::new(first_index, items, jumps.clone()));
        let mut batch = Some(Batch { first_index, results, jumps, is_restored, bin });
        let (sink, panic) = (&mut self.sink, &mut self.panic);
        let go_on = self.handover.batch(first_index, self.next_index, (items, held.bytes()), &mut || {
            let Some(batch) = batch.take() else { return true };
            // The run can go on behind this batch, if its caller wants that.
            catch_unwind(AssertUnwindSafe(|| sink(batch))).unwrap_or_else(|payload| {
                *panic = Some(payload);
                false
            })
        });
        if go_on && let (Some(journal), Some(indices)) = (journal, indices) {
            journal.sunk(indices);
        }
        self.stopped |= !go_on;
    }

    fn flow(&self) -> Flow {
        if self.stopped { Flow::Stop } else { Flow::Continue }
    }

    /// True if results from `start` on come from a store and those of the open batch don't, or the
    /// other way round: no batch has both.
    fn is_of_another_kind(&self, start: usize) -> bool {
        let is_restored = |index| self.keeper.get().is_some_and(|keeper| keeper.is_restored(index));
        is_restored(start) != is_restored(self.first_index)
    }

    /// Takes results none of which is a failure: nothing of them has to be looked at.
    fn accept_whole(&mut self, mut values: Vec<P::Value>, start: usize, credit: Credit) {
        if values.is_empty() {
            return;
        }
        if self.bin.is_none() && !self.is_first() {
            self.bin = Some(Bin::new());
        }
        if !self.open.is_empty() && (start != self.next_index || self.is_of_another_kind(start)) {
            // Items in between have no results, and a batch is of consecutive items.
            self.hand_over();
            if self.stopped {
                self.left = Some((self.types.results_of(P::unsplit(values), credit), start));
                return;
            }
        }
        let count = values.len();
        if self.open.is_empty() {
            self.first_index = start;
        }
        self.next_index = start + count;
        if self.open.is_empty() && count <= self.size.items {
            // The usual case for cheap items: a chunk is a batch, and nothing is copied.
            self.open = values;
        } else if self.open.len() + count <= self.size.items {
            self.append(&mut values);
            if let Some(bin) = &self.bin {
                bin.put(values);
            }
        } else {
            return self.accept_in_parts(values, credit);
        }
        self.held.join(credit);
        if self.size.is_full(self.open.len()) || self.has_restored_enough() {
            self.hand_over();
        }
    }

    /// True if a batch of results that come from a store has enough of them. They come so fast that
    /// the time of a batch would make it of all that there are.
    fn has_restored_enough(&self) -> bool {
        /// New memory for more takes longer than the results take to be read.
        const ENOUGH: u64 = 1 << 20;
        self.size.asked.is_none()
            && self.held.bytes() >= ENOUGH
            && self.keeper.get().is_some_and(|keeper| keeper.is_restored(self.first_index))
    }

    /// Takes values that fill more than the open batch.
    fn accept_in_parts(&mut self, values: Vec<P::Value>, mut credit: Credit) {
        let (end, all) = (self.next_index, values.len());
        let mut values = values.into_iter();
        while values.len() > 0 && !self.stopped {
            // A plan can have set a smaller size than what is open has already.
            let taken = self.size.wanted(self.open.len()).min(values.len());
            self.open.extend(values.by_ref().take(taken));
            self.next_index = end - values.len();
            if values.len() == 0 {
                // The last part has all bytes: nothing is known of the parts, and large results may
                // lie in that one.
                drop(credit.split(all - taken, 0));
                self.held.join(credit.take_all());
            }
            if self.open.len() >= self.size.items {
                self.hand_over();
            }
        }
        if values.len() > 0 {
            drop(credit.split(all - values.len(), 0));
            let left = P::unsplit(values.collect());
            self.left = Some((self.types.results_of(left, credit), self.next_index));
        }
    }

    /// Takes results one by one, and leaves the failures out.
    fn accept_each(&mut self, mut results: Vec<R>, start: usize, mut credit: Credit) {
        if self.bin.is_none() {
            self.bin = Some(Bin::new());
        }
        if !self.open.is_empty() && self.is_of_another_kind(start) {
            self.hand_over();
            if self.stopped {
                self.left = Some((self.types.results_of(results, credit), start));
                return;
            }
        }
        let all = results.len();
        // Results of batches that were handed over, and those that are left.
        let (mut gone, mut left) = (0, all);
        let mut taken = results.drain(..);
        let mut index = start;
        for result in taken.by_ref() {
            left -= 1;
            index += 1;
            if P::fails(&result) {
                self.failed = P::fail(self.seen, index - 1, result).err();
                if self.failed.is_none() {
                    continue;
                }
                self.stopped = true;
            } else if let Ok(value) = P::split(result) {
                self.add(index - 1, value);
            }
            if self.stopped || self.open.len() >= self.size.items {
                if left == 0 {
                    // The last part has all bytes, as above.
                    drop(credit.split(gone, 0));
                    self.held.join(credit.take_all());
                }
                self.hand_over();
                gone = all - left;
            }
            if self.stopped {
                break;
            }
        }
        drop(credit.split(gone, 0));
        if left > 0 {
            self.left = Some((self.types.results_of(taken.by_ref().collect(), credit), index));
        } else {
            self.held.join(credit);
        }
        drop(taken);
        if self.spare.len() < MOST_BUFFERS && results.capacity() > 0 {
            self.spare.push(results);
        }
        if self.open.is_empty() || self.size.is_full(self.open.len()) {
            self.hand_over();
        }
    }

    fn add(&mut self, index: usize, value: P::Value) {
        if self.open.is_empty() {
            self.first_index = index;
            if self.open.capacity() == 0
                && let Some(buffer) = self.bin.as_ref().and_then(|bin| bin.take())
            {
                self.open = buffer;
            }
        } else if index != self.next_index {
            self.jumps.push((self.open.len(), index));
        }
        self.open.push(value);
        self.next_index = index + 1;
    }

    /// A buffer for results that become a batch as they lie.
    fn buffer_of_values(&mut self, count: usize) -> Option<Vec<P::Value>> {
        if self.is_first() && !self.open.is_empty() {
            // Each stretch is much longer than all before it: what is open will move in front of it.
            Some(Vec::with_capacity(self.open.len() + count))
        } else {
            self.bin.as_ref().and_then(|bin| bin.take())
        }
    }
}

impl<T, R, P: Policy<R>> Outlet for Batches<'_, T, R, P> {
    fn place(&mut self, count: usize) -> Option<Results> {
        let buffer = match P::whole(Vec::new()) {
            Ok(_) => self.buffer_of_values(count).map(P::unsplit),
            Err(_) => self.spare.pop(),
        };
        buffer.map(|buffer| self.types.in_buffer(buffer))
    }

    fn accept(&mut self, results: Results, start: usize) -> Flow {
        let (results, credit) = self.types.into_vec(results);
        match P::whole(results) {
            Ok(values) => self.accept_whole(values, start, credit),
            Err(results) => self.accept_each(results, start, credit),
        }
        self.flow()
    }

    fn flush(&mut self) -> Flow {
        if !self.stopped {
            self.hand_over();
        }
        self.flow()
    }

    fn wanted(&self) -> usize {
        if P::STOPS { 1 } else { self.size.wanted(self.open.len()) }
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

/// Results in parts of consecutive items, the last part first, which has all bytes of their credit.
/// Credit of others that are gone is given back.
pub(crate) fn parts<T, R>(types: Types<T, R>, mut results: Vec<R>, indices: Indices, mut credit: Credit) -> Vec<Left> {
    let Indices { next: first, jumps, .. } = indices;
    let mut parts = Vec::new();
    for (place, index) in jumps.rev().chain([(0, first)]) {
        let part = results.split_off(place);
        if !part.is_empty() {
            let of_part = credit.split(part.len(), credit.bytes());
            parts.push((types.results_of(part, of_part), index));
        }
    }
    parts
}

/// What an iterator gives next.
pub(crate) struct Buffer<T, R> {
    types: Types<T, R>,
    parts: VecDeque<Part<R>>,
    items: usize,
    batch_size: usize,
    /// Results that are wanted before there are enough for a batch.
    at_once: Option<fn(&[R]) -> bool>,
}

/// Results of consecutive items.
struct Part<R> {
    /// The index of the next one.
    index: usize,
    results: std::vec::IntoIter<R>,
    /// Held until all of them were taken out.
    credit: Credit,
}

impl<T, R> Buffer<T, R> {
    pub(crate) fn new(types: Types<T, R>) -> Self {
        Self { types, parts: VecDeque::new(), items: 0, batch_size: 1, at_once: None }
    }

    /// Goes back to whoever iterates as soon as there are results of which `wanted` says that they are wanted.
    pub(crate) fn give_at_once(&mut self, wanted: fn(&[R]) -> bool) {
        self.at_once = Some(wanted);
    }

    /// Takes out what was not given, in parts, the last one first.
    pub(crate) fn into_left(self) -> Vec<Left> {
        let Self { types, parts, .. } = self;
        let parts = parts.into_iter().rev().filter(|part| part.results.len() > 0);
        let left = parts.map(|Part { index, results, mut credit }| {
            // What is left has all bytes of its part: nothing is known of what was given.
            let credit = credit.split(results.len(), credit.bytes());
            (types.results_of(results.collect(), credit), index)
        });
        left.collect()
    }

    /// The index of the next result.
    pub(crate) fn next_index(&mut self) -> Option<usize> {
        while self.parts.front().is_some_and(|part| part.results.len() == 0) {
            self.parts.pop_front();
        }
        self.parts.front().map(|part| part.index)
    }

    pub(crate) fn next(&mut self) -> Option<(usize, R)> {
        loop {
            let part = self.parts.front_mut()?;
            if let Some(result) = part.results.next() {
                self.items -= 1;
                part.index += 1;
                return Some((part.index - 1, result));
            }
            self.parts.pop_front();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.items
    }
}

impl<T, R> Outlet for Buffer<T, R> {
    fn accept(&mut self, results: Results, start: usize) -> Flow {
        let (results, credit) = self.types.into_vec(results);
        self.items += results.len();
        let at_once = self.at_once.is_some_and(|wanted| wanted(&results));
        self.parts.push_back(Part { index: start, results: results.into_iter(), credit });
        if at_once || self.items >= self.batch_size { Flow::Enough } else { Flow::Continue }
    }

    fn flush(&mut self) -> Flow {
        // What is there can only be taken out by going back to whoever iterates.
        if self.items > 0 { Flow::Enough } else { Flow::Continue }
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

#[cfg(all(test, not(loom)))]
mod tests;
