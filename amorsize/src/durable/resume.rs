//! The input of a durable run. It hashes items, and passes over those that are done.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::keeper::Keeper;
use super::settings::Durable;
#[cfg(feature = "array")]
use crate::array::Attempts;
use crate::buffer::asks::{Asks, Way};
use crate::buffer::{RawChunk, Restored, Types};
use crate::error::Error;
use crate::error::failure::Payload;
use crate::memory::credit::Credit;
use crate::memory::measure::HeapOf;
use crate::store::{self, BLOCK, Done, ItemsHash, Settings, StableHasher, Store, Writer};

/// The number of items that are passed over between two checks of whether to go on. A check takes
/// 100 ns: a ten-thousandth of the time of a thousand cheap items.
const AT_ONCE: usize = 1024;

/// The bytes that any one result reaches alone, also one that takes none: it is skipped, and the
/// next one may not be.
const ONE: usize = 0;

/// The state of a durable run's input. See the [module](self).
pub(crate) struct Resume<T, R> {
    durable: Arc<Durable<T, R>>,
    /// Only for a run that keeps what it finishes.
    kept: Option<Kept>,
    /// The index of the next item of the input.
    next: usize,
    /// The index of the first item of the input. It does not have the items before that.
    begins_at: usize,
    hasher: StableHasher,
    /// True for an item that is an error of the input, if the input can fail.
    is_error: Option<fn(&T) -> bool>,
    /// A panic of the input or of an item, while items were skipped.
    panic: Option<Payload>,
}

/// Items that are done, as far as they were pulled and compared.
struct Passing {
    done: Done,
    pulled: u32,
    hash: ItemsHash,
    /// The first of them that is an error of the input.
    error: Option<u64>,
}

/// The results of earlier runs.
struct Kept {
    store: Known,
    keeper: Arc<Keeper>,
    /// The most bytes that may be encoded and not written.
    most_held: u64,
    /// Items that are done, some of them pulled already.
    begun: Option<Passing>,
    /// Results of items that were pulled.
    pulled: Option<store::Restored>,
}

/// The items that are known to be done.
#[cfg_attr(feature = "array", expect(clippy::large_enum_variant, reason = "a run has one"))]
enum Known {
    Store(Store),
    /// Items are not compared, and nobody here wants their results.
    #[cfg(feature = "array")]
    Attempts(Arc<Attempts>),
}

impl Known {
    /// The store, which has the results.
    fn as_store(&mut self) -> Option<&mut Store> {
        match self {
            Self::Store(store) => Some(store),
            #[cfg(feature = "array")]
            Self::Attempts(_) => None,
        }
    }

    fn into_store(self) -> Option<Store> {
        match self {
            Self::Store(store) => Some(store),
            #[cfg(feature = "array")]
            Self::Attempts(_) => None,
        }
    }

    fn next_done(&self, index: u64) -> Option<Done> {
        match self {
            Self::Store(store) => store.found.next_done(index).copied(),
            #[cfg(feature = "array")]
            Self::Attempts(attempts) => attempts.next_done(index),
        }
    }

    fn check_end(&self, items: u64) -> Result<(), Error> {
        match self {
            Self::Store(store) => store.check_end(items),
            #[cfg(feature = "array")]
            Self::Attempts(_) => Ok(()),
        }
    }

    fn writer(&self, settings: Settings) -> Result<Writer, Error> {
        match self {
            Self::Store(store) => store.writer(settings),
            #[cfg(feature = "array")]
            Self::Attempts(attempts) => attempts.writer(settings),
        }
    }
}

/// An iterator that calls `look` for each item, until `look` wants no more.
struct Seen<'a, N, L> {
    iterator: &'a mut N,
    look: L,
    goes_on: bool,
}

impl<N: Iterator, L: FnMut(&N::Item) -> bool> Iterator for Seen<'_, N, L> {
    type Item = N::Item;

    fn next(&mut self) -> Option<N::Item> {
        if !self.goes_on {
            return None;
        }
        let item = self.iterator.next()?;
        self.goes_on = (self.look)(&item);
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.iterator.size_hint()
    }
}

impl<T, R> Resume<T, R> {
    /// Begins an input that nothing is kept of. The run's settings stay its own: where a spill goes
    /// can be set later.
    pub(crate) fn skipping_first(items: usize) -> Self {
        Self::new(Arc::new(Durable::skipping_first(items)))
    }

    fn new(durable: Arc<Durable<T, R>>) -> Self {
        let hasher = StableHasher::default();
        Self { durable, kept: None, next: 0, begins_at: 0, hasher, is_error: None, panic: None }
    }

    /// Begins an input with the done items of a store. `is_error` tells the errors of an input that
    /// can fail.
    pub(crate) fn of_store(
        durable: Arc<Durable<T, R>>,
        store: Store,
        (keeper, most_held): (Arc<Keeper>, u64),
        is_error: Option<fn(&T) -> bool>,
    ) -> Self {
        let kept = Some(Kept { store: Known::Store(store), keeper, most_held, begun: None, pulled: None });
        Self { kept, is_error, ..Self::new(durable) }
    }

    /// Begins an input at the item with this index. Attempts have some of its results.
    #[cfg(feature = "array")]
    pub(crate) fn of_attempts(
        durable: Arc<Durable<T, R>>,
        attempts: Arc<Attempts>,
        keeper: Arc<Keeper>,
        most_held: u64,
        begins_at: usize,
    ) -> Self {
        let kept = Some(Kept { store: Known::Attempts(attempts), keeper, most_held, begun: None, pulled: None });
        Self { kept, begins_at, ..Self::new(durable) }
    }

    /// Takes items into a chunk, up to the first that is done, and says if the input has ended.
    pub(crate) fn fill(
        &mut self,
        types: Types<T, R>,
        chunk: &mut RawChunk,
        iterator: &mut impl Iterator<Item = T>,
        most: usize,
        heap: Option<HeapOf<T>>,
        how: (&mut Asks, Way),
    ) -> bool {
        if let Some(payload) = self.panic.take() {
            resume_unwind(payload);
        }
        if self.next < self.durable.skip_first.max(self.begins_at) {
            return false;
        }
        let Some(kept) = &mut self.kept else {
            return types.fill(chunk, iterator, most, heap, how);
        };
        let most = match kept.store.next_done(self.next as u64) {
            Some(done) => most.min((done.first as usize).saturating_sub(self.next)),
            None => most,
        };
        if most == 0 || kept.keeper.has_failed() {
            return false;
        }
        if let Err(error) = kept.begin_writing(&self.durable) {
            kept.keeper.fail(error);
            return false;
        }
        // An input that is asked for items one by one has a reason: an item may depend on the last
        // result.
        let are_apart = how.0.are_single();
        let mut hashes = VecDeque::new();
        let mut panic: Option<Payload> = None;
        let (durable, hasher) = (&self.durable, &mut self.hasher);
        // An error of the input is not kept, but that a sink with places has it is noted: without
        // it there would be no later place.
        let is_error = self.is_error.filter(|_| !kept.keeper.has_places());
        // An item that can't be hashed runs, but is not kept. The panic goes on once the item is in
        // the chunk, and no further item is taken before that.
        let hash = |item: &T| {
            let hash = catch_unwind(AssertUnwindSafe(|| durable.hash_item(item, hasher)));
            let hash = hash.map_err(|payload| panic = Some(payload)).ok();
            hashes.push_back(hash.filter(|_| !is_error.is_some_and(|is_error| is_error(item))));
            panic.is_none()
        };
        let mut seen = Seen { iterator, look: hash, goes_on: true };
        let ended = catch_unwind(AssertUnwindSafe(|| types.fill(chunk, &mut seen, most, heap, how)));
        let goes_on = seen.goes_on;
        let items = chunk.items();
        hashes.truncate(items);
        kept.keeper.note_items(self.next, hashes, are_apart);
        self.next += items;
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        match ended {
            Ok(ended) if ended && goes_on => self.check_end(),
            Ok(_) => false,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Notes that the input has ended. True if that is right.
    fn check_end(&self) -> bool {
        if let Some(kept) = &self.kept
            && let Err(error) = kept.store.check_end(self.next as u64)
        {
            kept.keeper.fail(error);
        }
        true
    }

    /// Passes over the next items, if they are done, and reads up to `most` bytes of results: or
    /// one, if it has more.
    pub(crate) fn restore(
        &mut self,
        types: Types<T, R>,
        iterator: &mut impl Iterator<Item = T>,
        may_wait: bool,
        most: usize,
    ) -> Option<Restored> {
        if let Some(payload) = self.panic.take() {
            resume_unwind(payload);
        }
        if self.next < self.begins_at {
            let items = self.begins_at - self.next;
            self.next = self.begins_at;
            return Some(Restored { items, are_outside: true, ..Restored::default() });
        }
        let at_once = if may_wait { 1 } else { AT_ONCE };
        let skipped = self.skipped().min(at_once);
        if skipped > 0 {
            let (first, mut ended) = (self.next, false);
            let passed = catch_unwind(AssertUnwindSafe(|| {
                for _ in 0..skipped {
                    let Some(item) = iterator.next() else {
                        ended = true;
                        break;
                    };
                    // Before the drop, which may panic.
                    self.next += 1;
                    drop(item);
                }
            }));
            // Without their results a checkpoint is not complete.
            if let Some(kept) = self.kept.as_ref().filter(|kept| !kept.keeper.is_journal()) {
                kept.keeper.lack(first);
            }
            // Not before the items that were skipped are noted.
            self.panic = passed.err();
            let (items, has_ended) = (self.next - first, ended && self.check_end());
            return Some(Restored { items, has_ended, ..Restored::default() });
        }
        let kept = self.kept.as_mut()?;
        if kept.keeper.has_failed() {
            return None;
        }
        if let Some(restored) = kept.take(&self.durable, types, &mut self.next, most) {
            return Some(restored);
        }
        if kept.begun.is_none() {
            let done = kept.store.next_done(self.next as u64)?;
            if done.first > self.next as u64 {
                return None;
            }
            kept.begun = Some(Passing { done, pulled: 0, hash: ItemsHash::default(), error: None });
        }
        let Passing { done, pulled, hash, error } = kept.begun.as_mut()?;
        for _ in 0..at_once {
            if *pulled == done.items {
                break;
            }
            let Some(item) = iterator.next() else {
                let items = done.first + u64::from(*pulled);
                if let Err(error) = kept.store.check_end(items) {
                    kept.keeper.fail(error);
                }
                return Some(Restored { has_ended: true, ..Restored::default() });
            };
            // If the hash of an item panics, it is missing in the hash of all, and the items count
            // as changed.
            if self.is_error.is_some_and(|is_error| is_error(&item)) {
                error.get_or_insert(done.first + u64::from(*pulled));
            }
            *pulled += 1;
            hash.push(self.durable.hash_item(&item, &mut self.hasher));
        }
        if *pulled < done.items {
            return Some(Restored::default());
        }
        let Passing { done, hash, error, .. } = kept.begun.take()?;
        match kept.read(&done, hash, error, &self.durable) {
            Ok(true) => kept.take(&self.durable, types, &mut self.next, most),
            Ok(false) => {
                let items = done.items as usize;
                let skipped = self.durable.skip_first.saturating_sub(self.next).min(items);
                self.next += items;
                kept.keeper.pass_over(items - skipped);
                Some(Restored { items, ..Restored::default() })
            }
            Err(error) => {
                kept.keeper.fail(error);
                Some(Restored::default())
            }
        }
    }

    /// The number of items that were pulled, and are left all the same: they have not been given on.
    pub(crate) fn pulled(&self) -> usize {
        let Some(kept) = &self.kept else { return 0 };
        let compared = kept.begun.as_ref().map_or(0, |begun| begun.pulled);
        (compared + kept.pulled.as_ref().map_or(0, |restored| restored.stored.items())) as usize
    }

    /// The next items to skip without a look at them. Items that are done are compared first, as
    /// the hash of a whole run of them is.
    fn skipped(&self) -> usize {
        let until = match &self.kept {
            Some(Kept { begun: Some(_), .. } | Kept { pulled: Some(_), .. }) => self.next,
            Some(kept) => kept.store.next_done(self.next as u64).map_or(usize::MAX, |done| done.first as usize),
            None => usize::MAX,
        };
        self.durable.skip_first.min(until).saturating_sub(self.next)
    }

    /// Takes the store of a run that has ended.
    pub(crate) fn take_store(&mut self) -> Option<Store> {
        self.kept.take()?.store.into_store()
    }

    /// The number of items taken so far, and true if the store knows that the input ends there. If
    /// it does not, there is a writer to tell it, also when there was nothing to run.
    pub(crate) fn end(&self) -> (usize, bool) {
        let Some(kept) = &self.kept else { return (self.next, true) };
        let is_known = match &kept.store {
            Known::Store(store) => store.found.end == Some(self.next as u64) && !store.must_be_ended(),
            #[cfg(feature = "array")]
            Known::Attempts(_) => true,
        };
        if !is_known && let Err(error) = kept.begin_writing(&self.durable) {
            kept.keeper.fail(error);
        }
        (self.next, is_known)
    }
}

impl Kept {
    /// Starts to write, once there is something to run.
    fn begin_writing<T, R>(&self, durable: &Durable<T, R>) -> Result<(), Error> {
        if self.keeper.has_writer() {
            return Ok(());
        }
        let max_disk = durable.max_disk().map(crate::ByteSize::as_u64);
        let settings = Settings { max_disk, ..self.keeper.settings(self.most_held) };
        self.keeper.set_writer(self.store.writer(settings)?);
        Ok(())
    }

    /// Checks items that are done and were pulled, and reads their results. False if none are kept.
    /// `unread` is the first of them that is an error of the input.
    fn read<T, R>(
        &mut self,
        done: &Done,
        hash: ItemsHash,
        unread: Option<u64>,
        durable: &Durable<T, R>,
    ) -> Result<bool, Error> {
        let Some(store) = self.store.as_store() else { return Ok(false) };
        store.check_items(done, hash).map_err(|changed| unread.map_or(changed, |item| store.input_error(item)))?;
        if durable.checkpoint.is_none() || done.end() <= durable.skip_first as u64 {
            return Ok(false);
        }
        self.pulled = Some(store.read(done)?);
        Ok(true)
    }

    /// The next results of items that were pulled, if there are any left.
    fn take<T, R>(
        &mut self,
        durable: &Durable<T, R>,
        types: Types<T, R>,
        next: &mut usize,
        most: usize,
    ) -> Option<Restored> {
        let (restored, (_, codec)) = self.pulled.as_mut().zip(durable.checkpoint.as_ref())?;
        let before = restored.stored.bytes();
        let is_skipped = *next < durable.skip_first;
        // If the user's code panics here, the same results come again.
        let results = match (codec.take)(restored, if is_skipped { ONE } else { most.min(BLOCK) }) {
            Ok(results) => results,
            Err(error) => {
                self.keeper.fail(error);
                return Some(Restored::default());
            }
        };
        let (items, bytes) = (results.len(), (before - restored.stored.bytes()) as u64);
        self.pulled.take_if(|restored| restored.stored.is_empty());
        *next += items;
        if is_skipped {
            return Some(Restored { items, ..Restored::default() });
        }
        // The code that hands the results over takes credit for them.
        let results = Some(types.results_of(results, Credit::NONE));
        Some(Restored { items, results, bytes, ..Restored::default() })
    }
}
