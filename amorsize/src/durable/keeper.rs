//! The part of a durable run that all its threads share. It keeps finished items, and says why the
//! run must stop.

mod hashes;

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::hashes::{Hashes, Noted, known};
use crate::error::failure::Ended;
use crate::error::{Error, ErrorKind};
use crate::memory::budget::Ledger;
use crate::memory::credit::Credit;
use crate::report::totals::KeptFigures;
use crate::store::{Encoded, ItemsHash, Kind, Settings, Store, Writer};
use crate::units::by_index::ranges;

/// Keeps what a run finishes. See the [module](self).
#[derive(Debug)]
pub(crate) struct Keeper {
    kind: Kind,
    /// Exists from the first item that was not done until the end of the input.
    writer: Mutex<Option<Arc<Writer>>>,
    /// The hashes of items, with their credit. A journal keeps them until the sink has the results.
    hashes: Mutex<(Hashes, Credit)>,
    why: Mutex<Option<Ended>>,
    /// Set once a writer failed. Results that it did not write are missing in the store.
    lost: Mutex<Option<Lost>>,
    /// True once the run has a result that the store does not get. The store must not say then that
    /// it has all of them, although the run may go on to its end.
    lacks_any: AtomicBool,
    /// The first item with such a result; `usize::MAX` if none is known.
    first_lacking: AtomicUsize,
    /// The items with results that come from the store, in order.
    restored: Box<[Range<usize>]>,
    places: Mutex<Places>,
    told: Mutex<KeptFigures>,
    ledger: Ledger,
    /// True if the run must stop.
    has_failed: Arc<AtomicBool>,
}

/// The keeper of a run, if it has one. Without the feature it is empty, and is never asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handle(Option<Arc<Keeper>>);

impl Handle {
    pub(crate) fn new(keeper: Arc<Keeper>) -> Self {
        Self(Some(keeper))
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&Keeper> {
        self.0.as_deref()
    }
}

/// The places of a sink.
#[derive(Debug, Default)]
struct Places {
    /// The place at which the journal ends, until a sink has gone back to it.
    found: Option<u64>,
    /// The place from which the sink goes on, until a writer has noted it.
    begins_at: Option<u64>,
    /// True if the sink has places.
    are_told: bool,
    /// True once the sink has an item that can't be noted. No later place is noted either.
    are_over: bool,
    /// The place behind the last batch.
    now: Option<u64>,
    /// The same, if the sink told it: a new sink of the same run goes back to it.
    last: Option<u64>,
    /// The last place that any sink of this run told.
    furthest: Option<u64>,
    /// True if items are done that the sink told no place for. A sink with places lacks them.
    are_lacking: bool,
    /// Items that the sink has, and that no place was told for yet.
    sunk: Vec<Range<usize>>,
}

/// The end of a writer that failed.
#[derive(Debug)]
struct Lost {
    /// Bytes of all segments by then.
    used: u64,
    error: ErrorKind,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code of the user runs with one of these locked, so even a poisoned one has a whole value.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    pub(crate) fn new(kind: Kind, restored: Box<[Range<usize>]>, told: KeptFigures, ledger: &Ledger) -> Self {
        Self {
            kind,
            writer: Mutex::default(),
            hashes: Mutex::new((Hashes::default(), Credit::take(ledger, 0))),
            why: Mutex::default(),
            lost: Mutex::default(),
            lacks_any: AtomicBool::new(false),
            first_lacking: AtomicUsize::new(usize::MAX),
            restored,
            places: Mutex::default(),
            told: Mutex::new(told),
            ledger: ledger.clone(),
            has_failed: Arc::default(),
        }
    }

    /// Knows the place at which a journal ends, and whether it has items without one.
    pub(crate) fn with_places_of(mut self, store: &Store) -> Self {
        let found = store.found.place;
        let are_lacking = found.is_none() && !store.found.done.is_empty();
        self.places = Mutex::new(Places { found, are_lacking, ..Places::default() });
        self
    }

    pub(crate) fn is_journal(&self) -> bool {
        self.kind == Kind::Journal
    }

    /// True if the result of the item with this index comes from the store.
    pub(crate) fn is_restored(&self, index: usize) -> bool {
        let at = self.restored.partition_point(|range| range.end <= index);
        self.restored.get(at).is_some_and(|range| range.contains(&index))
    }

    /// The last of these items with a result from the store where the one before has none, or the
    /// other way round.
    pub(crate) fn last_change(&self, items: Range<usize>) -> Option<usize> {
        let before_end = self.restored.partition_point(|range| range.start < items.end);
        let ranges = self.restored[..before_end].iter().rev().take_while(|range| range.end > items.start);
        let mut changes = ranges.flat_map(|range| [range.end, range.start]);
        changes.find(|&index| {
            let is_inside = items.start < index && index < items.end;
            is_inside && self.is_restored(index) != self.is_restored(index - 1)
        })
    }

    /// The figures for a report.
    pub(crate) fn told(&self) -> KeptFigures {
        *lock(&self.told)
    }

    /// Begins the next terminal of the run: it counts restored items anew, and tries again to write
    /// a checkpoint that could not be written.
    ///
    /// A journal is not tried again: its sink has items that the journal would not know.
    pub(crate) fn begin_part(&self) {
        lock(&self.told).restored = 0;
        if self.is_journal() {
            return;
        }
        let failed = lock(&self.writer).take_if(|writer| writer.failure().is_some());
        // All other threads have left the run.
        if let Some(writer) = failed.and_then(Arc::into_inner) {
            // `lost` keeps its error.
            let _ = self.stop_writer(writer);
        }
        if lock(&self.lost).is_some() && lock(&self.why).is_none() {
            self.has_failed.store(false, Ordering::Relaxed);
        }
    }

    /// Ends a writer. Gives the bytes of all segments.
    fn stop_writer(&self, writer: Writer) -> Result<u64, Error> {
        let (used, failure) = writer.stop();
        let Some(error) = failure else { return Ok(used) };
        self.lack(None);
        *lock(&self.lost) = Some(Lost { used, error: error.kind().clone() });
        Err(error)
    }

    /// The settings of a writer. It owns no part of the keeper, which owns the writer: a thread
    /// with the last reference to its own writer would wait for its own end.
    pub(super) fn settings(&self, most_held: u64) -> Settings {
        Settings {
            used: lock(&self.lost).as_ref().map(|lost| lost.used),
            ledger: Some(self.ledger.clone()),
            has_failed: Arc::clone(&self.has_failed),
            ..Settings::new(most_held)
        }
    }

    /// The error that kept finished results from the store.
    pub(crate) fn lost(&self) -> Option<Error> {
        let of_writer = self.writer().and_then(|writer| writer.failure());
        of_writer.or_else(|| lock(&self.lost).as_ref().map(|lost| Error::new(lost.error.clone())))
    }

    /// Notes done items that the sink has already.
    pub(super) fn pass_over(&self, items: usize) {
        lock(&self.told).restored += items;
    }

    /// Notes that the store does not get the result of an item, which the run has.
    pub(crate) fn lack(&self, item: impl Into<Option<usize>>) {
        self.lacks_any.store(true, Ordering::Relaxed);
        self.first_lacking.fetch_min(item.into().unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// The first item whose result the store is known to lack.
    pub(crate) fn first_lacking(&self) -> Option<usize> {
        Some(self.first_lacking.load(Ordering::Relaxed)).filter(|&item| item < usize::MAX)
    }

    // ---- stopping ----

    /// True if the run must stop. [`why`](Self::why) says why.
    #[inline]
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Stops the run with an error, unless it stops for another one.
    pub(crate) fn fail(&self, error: Error) {
        self.stop(error.into());
    }

    fn stop(&self, why: Ended) {
        let unwanted = {
            let mut first = lock(&self.why);
            // With the lock: `why` must not take this for what it has just taken.
            self.has_failed.store(true, Ordering::Relaxed);
            if first.is_none() {
                *first = Some(why);
                None
            } else {
                Some(why)
            }
        };
        if let Some(Ended::Panic(payload)) = unwanted {
            crate::error::failure::discard(payload);
        }
    }

    /// The error that ended the run for good, if one did.
    pub(crate) fn ended_by(&self) -> Option<Error> {
        match &*lock(&self.why) {
            Some(Ended::Error(error)) => Some(Error::new(error.kind().clone())),
            _ => None,
        }
    }

    /// The reason why the run stops. A panic is given once; an error again and again, until the
    /// next terminal tries again.
    pub(crate) fn why(&self) -> Option<Ended> {
        let mut why = lock(&self.why);
        match why.take() {
            Some(Ended::Error(error)) => {
                *why = Some(Error::new(error.kind().clone()).into());
                return Some(error.into());
            }
            Some(panic) => {
                if self.writer().is_none_or(|writer| writer.failure().is_none()) {
                    self.has_failed.store(false, Ordering::Relaxed);
                }
                return Some(panic);
            }
            None => drop(why),
        }
        self.lost().map(Ended::Error)
    }

    // ---- keeping ----

    fn writer(&self) -> Option<Arc<Writer>> {
        lock(&self.writer).clone()
    }

    pub(super) fn has_writer(&self) -> bool {
        lock(&self.writer).is_some()
    }

    pub(super) fn set_writer(&self, writer: Writer) {
        self.note_begin(&writer);
        *lock(&self.writer) = Some(Arc::new(writer));
    }

    /// Notes the place from which the sink goes on, if it is not noted. It is on disk before the
    /// sink gets results: a process that is killed then goes back to it.
    fn note_begin(&self, writer: &Writer) {
        let place = lock(&self.places).begins_at.take();
        if let Some(place) = place {
            writer.go_on_from(place);
            writer.wait_until_written();
        }
    }

    /// Begins at a place. A plan may have begun to write before.
    fn begin_at(&self, place: u64) {
        lock(&self.places).begins_at = Some(place);
        if let Some(writer) = self.writer() {
            self.note_begin(&writer);
        }
    }

    /// Notes items that were pulled and will run. An item without a hash is not kept. `are_apart`
    /// is true if they may depend on the results before them.
    pub(super) fn note_items(&self, first: usize, mut hashes: VecDeque<Option<u64>>, are_apart: bool) {
        hashes.shrink_to_fit();
        self.with_hashes(|all| all.note(first, Noted { hashes, are_apart }));
    }

    /// Changes the hashes, and counts the bytes that they take then.
    fn with_hashes<V>(&self, change: impl FnOnce(&mut Hashes) -> V) -> V {
        let (hashes, held) = &mut *lock(&self.hashes);
        let value = change(hashes);
        held.resize(hashes.bytes());
        value
    }

    /// Keeps results of consecutive items, if the run keeps results. It waits while the bytes that
    /// are encoded and not written exceed their limit.
    ///
    /// Nothing is kept of a result that `fails` says a policy takes out, nor of an item without a
    /// hash.
    pub(crate) fn keep<R>(
        &self,
        fails: impl Fn(&R) -> bool,
        push: impl Fn(&mut Encoded, u64, &R) -> Option<Result<(), String>>,
        first: usize,
        results: &[R],
    ) {
        if results.is_empty() {
            return;
        }
        let Noted { hashes, are_apart } = self.with_hashes(|all| all.take(first, results.len()));
        // The next items begin another writer, if this run may write.
        let Some(writer) = self.writer() else { return self.lack(first) };
        if let Err(error) = writer.check_process() {
            self.lack(first);
            return self.fail(error);
        }
        if hashes.len() < results.len() {
            self.lack(first + hashes.len());
        }
        let from = |first: usize| if are_apart { Encoded::apart(first as u64) } else { Encoded::new(first as u64) };
        let mut encoded = from(first);
        let mut rest = (first..).zip(results).zip(hashes);
        let mut next = first;
        let mut why = None;
        // User code encodes a result. The call's result stays whatever happens, and a panic loses
        // only the stored result of that item.
        loop {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                for ((index, result), hash) in &mut rest {
                    next = index + 1;
                    let is_kept = !fails(result);
                    if is_kept && hash.is_none() {
                        self.lack(index);
                    }
                    match hash.filter(|_| is_kept).and_then(|hash| push(&mut encoded, hash, result)) {
                        // Results that are large all at once must not be encoded all at once.
                        Some(Ok(())) if encoded.fills_a_frame() => {
                            writer.put(std::mem::replace(&mut encoded, from(next)));
                            writer.wait_for_room();
                        }
                        Some(Ok(())) => encoded.reserve(results.len()),
                        Some(Err(text)) => return Err((index, text)),
                        None => writer.put(std::mem::replace(&mut encoded, from(next))),
                    }
                }
                Ok(())
            }));
            match outcome {
                Ok(Ok(())) => break,
                Ok(Err((index, cause))) => {
                    why.get_or_insert_with(|| writer.not_serialized(index, cause).into());
                    break;
                }
                Err(payload) => {
                    if why.is_none() {
                        why = Some(Ended::Panic(payload));
                    } else {
                        crate::error::failure::discard(payload);
                    }
                    encoded.undo();
                    writer.put(std::mem::replace(&mut encoded, from(next)));
                }
            }
        }
        writer.put(encoded);
        match why {
            None => writer.wait_for_room(),
            Some(why) => {
                self.lack(next.saturating_sub(1));
                self.stop(why);
            }
        }
    }

    /// Waits until everything is written, and says if there was anything to write.
    pub(crate) fn wait_until_written(&self) -> bool {
        let writer = self.writer().filter(|writer| writer.held() > 0);
        writer.inspect(|writer| writer.wait_until_written()).is_some()
    }

    /// Forgets items that have no result.
    pub(crate) fn forget(&self, first: usize, items: usize) {
        if items > 0 {
            self.with_hashes(|all| all.take(first, items));
        }
    }

    /// Notes that these items have results that are not kept, and are not done when the sink has
    /// them: the next run calls them again.
    pub(crate) fn disown(&self, items: Range<usize>) {
        if items.is_empty() {
            return;
        }
        self.lack(items.start);
        self.with_hashes(|all| {
            let mut noted = all.take(items.start, items.len());
            if self.is_journal() {
                noted.hashes.iter_mut().for_each(|hash| *hash = None);
                all.note(items.start, noted);
            }
        });
    }

    /// Notes that the sink has the results of these items, which are in order.
    pub(crate) fn sunk(&self, indices: impl Iterator<Item = usize>) {
        let Some(writer) = self.writer() else { return };
        if let Err(error) = writer.check_process() {
            return self.fail(error);
        }
        let mut places = lock(&self.places);
        places.sunk.extend(ranges(indices));
        let place = places.now.take();
        if place.is_none() && places.are_told {
            // The sink can't say yet that it has them for good.
            return;
        }
        let sunk = std::mem::take(&mut places.sunk);
        drop(places);
        let (mut runs, mut are_known, mut end) = (Vec::new(), true, 0);
        self.with_hashes(|hashes| {
            for range in sunk {
                end = range.end;
                let mut next = range.start;
                while next < range.end {
                    let (first, taken) = (next, hashes.take(next, range.end - next).hashes);
                    if taken.is_empty() {
                        break;
                    }
                    next += taken.len();
                    are_known &= taken.iter().all(Option::is_some);
                    for (first, hashes) in known(first, taken) {
                        let mut hash = ItemsHash::default();
                        hashes.iter().for_each(|&item| hash.push(item));
                        runs.push((first as u64, hashes.len() as u32, hash));
                    }
                }
            }
            hashes.forget_before(end);
        });
        if place.is_some() {
            let mut places = lock(&self.places);
            // The sink has the result of an item that is run again. So the next run must go back
            // to a place before it, or the sink would get it twice.
            places.are_over |= !are_known;
            if places.are_over {
                return;
            }
        }
        // One call gives them all, as a place counts for all items before it.
        writer.done(runs, place);
    }

    /// Notes the place of the sink behind the batch that it has. Stops the run if the sink has
    /// places only now, and lacks items that are done.
    pub(crate) fn set_place(&self, place: Option<u64>) {
        let mut places = lock(&self.places);
        places.are_told |= place.is_some();
        if place.is_some() && places.are_lacking {
            drop(places);
            return self.fail(another_sink());
        }
        (places.now, places.last) = (place, place);
        places.furthest = place.or(places.furthest);
    }

    /// Notes the place of a sink that has begun, if it has places.
    ///
    /// # Errors
    ///
    /// If the sink has places, and lacks items that are done, or that an earlier sink of this run
    /// got.
    pub(crate) fn begin_places(&self, place: Option<u64>) -> Result<(), Error> {
        let mut places = lock(&self.places);
        // The one before may have told no place behind its last batch. If this one is at a place
        // before that batch, it is a new one.
        let is_behind = place
            .zip(places.furthest)
            .is_some_and(|(place, furthest)| place < furthest || place == furthest && !places.sunk.is_empty());
        if is_behind || place.is_some() && places.are_lacking {
            return Err(another_sink());
        }
        let is_first = !places.are_told;
        places.are_told |= place.is_some();
        (places.last, places.furthest) = (place, place.or(places.furthest));
        drop(places);
        // A later one is at a place that the journal knows, or it has rows behind that.
        if let Some(place) = place.filter(|_| is_first) {
            self.begin_at(place);
        }
        Ok(())
    }

    /// Notes the place to which the sink went back.
    pub(crate) fn go_on_from(&self, place: u64) {
        let mut places = lock(&self.places);
        (places.found, places.are_told) = (None, true);
        (places.last, places.furthest) = (Some(place), Some(place));
        drop(places);
        self.begin_at(place);
    }

    /// True if the sink has places.
    pub(super) fn has_places(&self) -> bool {
        lock(&self.places).are_told
    }

    /// The place at which the journal ends, until a sink has gone back to it.
    pub(crate) fn found_place(&self) -> Option<u64> {
        lock(&self.places).found
    }

    /// The place behind everything that this run's sink has, if it told one.
    pub(crate) fn last_place(&self) -> Option<u64> {
        lock(&self.places).last
    }

    /// Writes everything, at the end of an input of `items` items. The end itself is left out if
    /// results are missing: the next run computes them and notes it.
    pub(crate) fn end(&self, items: usize, is_known: bool) -> Result<(), Error> {
        let Some(writer) = lock(&self.writer).take() else { return Ok(()) };
        if !is_known && !self.lacks_any.load(Ordering::Relaxed) {
            writer.end_of_input(items as u64);
        }
        // All other threads have left the run.
        let Some(writer) = Arc::into_inner(writer) else { return Ok(()) };
        lock(&self.told).bytes = self.stop_writer(writer)?;
        Ok(())
    }
}

/// Refuses a sink with places for a journal of a sink without: it would lack results.
fn another_sink() -> Error {
    Error::invalid_option(
        "journal",
        "that of a run with another sink, which has results that this one lacks",
        "the same sink, or another directory",
    )
}

#[cfg(test)]
mod tests;
