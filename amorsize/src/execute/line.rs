//! The two ends of a run, both on the calling thread: items come in from the input, results go out to whatever takes them.

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use super::asks::Asks;
use super::buffer::{Collection, RawChunk, Results, Types};
use super::chunk::Work;
use super::control::{ChunkId, Finished};
#[cfg(feature = "durable")]
use crate::durable::Resume;
#[cfg(feature = "durable")]
use crate::error::Error;
use crate::failure::Payload;
use crate::memory::budget::Ledger;
#[cfg(feature = "durable")]
use crate::memory::credit::Credit;
use crate::memory::tracking::{self, Frame};
use crate::sample::Stretch;
#[cfg(feature = "durable")]
use crate::spill::{Reading, SpillFile};
use crate::sync::now;
use crate::thread_time::{Measuring, Use};

/// Whether a run is to go on after results were handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    /// The taker has enough for now.
    Enough,
    /// The taker wants no more at all.
    Stop,
}

/// What takes the results of a run, with the credit that they hold. It keeps the credit as long as
/// it has the results, and drops it when it has handed them over.
pub(crate) trait Outlet {
    /// Where the results of the next `count` items in order are to lie, if the outlet cares.
    fn place(&mut self, _count: usize) -> Option<Results> {
        None
    }

    /// Says that all places that were not used are free again.
    fn reclaim(&mut self) {}

    /// Takes results; `start` is the index of the first one's item.
    fn accept(&mut self, results: Results, start: usize) -> Flow;

    /// Hands over what is held back to fill a batch.
    fn flush(&mut self) -> Flow {
        Flow::Continue
    }

    /// How many more results fill the batch.
    fn wanted(&self) -> usize {
        usize::MAX
    }

    /// Whether results are held back that `flush` would hand over.
    fn holds(&self) -> bool {
        false
    }

    /// Whether what it holds goes to a sink as soon as it is a batch.
    fn hands_over(&self) -> bool {
        false
    }

    /// Sets the items per batch that the plan found.
    fn set_batch_size(&mut self, _items: usize) {}

    /// Begins to time what it hands over; seconds count from `origin`.
    fn begin_timing(&mut self, _origin: Instant) {}

    /// Seconds that the sink took of what was timed.
    fn sink_seconds(&self) -> f64 {
        0.0
    }

    /// How many results it has, where it keeps them until the end, so that no credit comes back before.
    fn collected(&self) -> Option<usize> {
        None
    }

    /// Whether the results are kept until the end.
    fn collects(&self) -> bool {
        self.collected().is_some()
    }
}

/// Finds the first result that ends the run.
pub(crate) type FindEnd<'a> = &'a dyn Fn(&Results) -> Option<usize>;

/// Takes all results into one collection.
pub(crate) struct Collecting<'a> {
    pub(crate) all: Collection,
    /// After this many results it is to be asked whether more can be collected.
    pub(crate) enough: usize,
    pub(crate) places: Places,
    /// Given where a result can end the run.
    pub(crate) find_end: Option<FindEnd<'a>>,
    /// The place of the result that ended it.
    pub(crate) ended_at: Option<usize>,
}

/// The indices of results that lie one behind another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) first: usize,
    /// The index that follows unless items in between have no results.
    next: usize,
    /// Where items were left out: a result's place, and the index of its item.
    pub(crate) jumps: Vec<(usize, usize)>,
}

impl Places {
    /// Notes the next results, behind the `place` that there are.
    fn note(&mut self, place: usize, start: usize, count: usize) {
        if place == 0 {
            self.first = start;
        } else if start != self.next {
            self.jumps.push((place, start));
        }
        self.next = start + count;
    }

    /// The index of the result at a place.
    pub(crate) fn index(&self, place: usize) -> usize {
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
}

impl Outlet for Collecting<'_> {
    fn place(&mut self, count: usize) -> Option<Results> {
        Some(self.all.place(count))
    }

    fn reclaim(&mut self) {
        self.all.reclaim();
    }

    fn accept(&mut self, results: Results, start: usize) -> Flow {
        let place = self.all.len();
        if results.len() > 0 {
            self.places.note(place, start, results.len());
        }
        self.ended_at = self.find_end.and_then(|find| find(&results)).map(|at| place + at);
        self.all.add(results);
        if self.ended_at.is_some() {
            Flow::Stop
        } else if self.all.len() >= self.enough {
            Flow::Enough
        } else {
            Flow::Continue
        }
    }

    fn wanted(&self) -> usize {
        if self.find_end.is_some() { 1 } else { usize::MAX }
    }

    fn collected(&self) -> Option<usize> {
        Some(self.all.len())
    }
}

/// How items are taken from an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// For the calling thread; the clock is read where that is a small part of the calls.
    Inline { timed: bool },
    /// For a worker.
    Worker,
}

/// Items that need not run, and the results that they have.
#[derive(Default)]
pub(crate) struct Restored {
    /// Items that were passed over. None may have been yet, where many are compared together.
    pub(crate) items: usize,
    /// A result for each of them, if there are results.
    pub(crate) results: Option<Results>,
    /// Bytes that the results take where they are stored.
    pub(crate) bytes: u64,
    pub(crate) has_ended: bool,
}

/// Where items come from.
pub(crate) trait Input {
    /// Passes over the next items, if they need not run; over one where the input may wait.
    fn restore(&mut self, may_wait: bool) -> Option<Restored>;
    /// The number of items taken so far, and whether earlier runs knew that the input ends there.
    fn end(&self) -> (usize, bool);
    /// Takes up to `most` items into a chunk without items, as far as `asks` allows, and says if the
    /// input has ended.
    fn fill(&mut self, chunk: &mut RawChunk, most: usize, way: Way, asks: &mut Asks) -> bool;
    /// True if the lengths that the input tells are the truth.
    fn tells_the_truth(&mut self) -> bool;
    /// Items that are left, at least and at most.
    fn size_hint(&mut self) -> (usize, Option<usize>);
    /// A chunk without items.
    fn chunk(&self) -> Box<RawChunk>;
    /// The results of a file's frame, without credit, and the index of the first item of each part.
    #[cfg(feature = "durable")]
    fn read(&mut self, file: &SpillFile, frame: usize) -> Result<Vec<(Results, usize)>, Error>;
}

/// The input of a run: what it is made of, until it is first asked for items, and its iterator after that.
pub(crate) struct Source<I: IntoIterator, R> {
    input: Option<I>,
    iterator: Option<I::IntoIter>,
    types: Types<I::Item, R>,
    /// There where items can be done, or are skipped.
    #[cfg(feature = "durable")]
    resume: Option<Box<Resume<I::Item, R>>>,
    /// There where results are in files.
    #[cfg(feature = "durable")]
    spilled: Option<Box<SpillReader<R>>>,
}

/// Reads results from files.
#[cfg(feature = "durable")]
struct SpillReader<R> {
    read: ReadSpilled<R>,
    reading: Reading,
}

#[cfg(feature = "durable")]
pub(crate) type ReadSpilled<R> = fn(&SpillFile, usize, &mut Reading) -> Result<Vec<R>, Error>;

impl<I: IntoIterator, R> Source<I, R> {
    pub(crate) fn new(input: I, types: Types<I::Item, R>) -> Self {
        Self {
            input: Some(input),
            iterator: None,
            types,
            #[cfg(feature = "durable")]
            resume: None,
            #[cfg(feature = "durable")]
            spilled: None,
        }
    }

    /// True if items can be done, or are skipped.
    #[cfg(feature = "durable")]
    pub(crate) fn resumes(&self) -> bool {
        self.resume.is_some()
    }

    #[cfg(feature = "durable")]
    pub(crate) fn resume(&mut self) -> Option<&mut Resume<I::Item, R>> {
        self.resume.as_deref_mut()
    }

    /// Has items passed over that need not run.
    #[cfg(feature = "durable")]
    pub(crate) fn set_resume(&mut self, resume: Resume<I::Item, R>) {
        self.resume = Some(Box::new(resume));
    }

    /// Sets how results are read from files.
    #[cfg(feature = "durable")]
    pub(crate) fn set_spilled(&mut self, read: ReadSpilled<R>) {
        self.spilled = Some(Box::new(SpillReader { read, reading: Reading::default() }));
    }

    /// Whether items were asked for.
    pub(crate) fn has_begun(&self) -> bool {
        self.input.is_none()
    }

    /// The input of a run with other results.
    pub(crate) fn retyped<O>(self, types: Types<I::Item, O>) -> Source<I, O> {
        Source {
            input: self.input,
            iterator: self.iterator,
            types,
            #[cfg(feature = "durable")]
            resume: None,
            #[cfg(feature = "durable")]
            spilled: None,
        }
    }

    fn iterator(&mut self) -> &mut I::IntoIter {
        begun(&mut self.input, &mut self.iterator)
    }
}

fn begun<'a, I: IntoIterator>(input: &mut Option<I>, iterator: &'a mut Option<I::IntoIter>) -> &'a mut I::IntoIter {
    if let Some(input) = input.take() {
        *iterator = Some(input.into_iter());
    }
    match iterator {
        Some(iterator) => iterator,
        // The one panic that can come between the two is that of `into_iter`.
        None => panic!("an input whose `into_iter` panicked has no items"),
    }
}

impl<I: IntoIterator, R> Input for Source<I, R> {
    fn fill(&mut self, chunk: &mut RawChunk, most: usize, way: Way, asks: &mut Asks) -> bool {
        let types = self.types;
        #[cfg(feature = "durable")]
        if let Some(resume) = &mut self.resume {
            return resume.fill(types, chunk, begun(&mut self.input, &mut self.iterator), most, (asks, way));
        }
        types.fill(chunk, self.iterator(), most, (asks, way))
    }

    #[cfg(feature = "durable")]
    fn restore(&mut self, may_wait: bool) -> Option<Restored> {
        self.resume.as_mut()?.restore(self.types, begun(&mut self.input, &mut self.iterator), may_wait)
    }

    #[cfg(not(feature = "durable"))]
    fn restore(&mut self, _may_wait: bool) -> Option<Restored> {
        None
    }

    #[cfg(feature = "durable")]
    fn end(&self) -> (usize, bool) {
        self.resume.as_ref().map_or((0, true), |resume| resume.end())
    }

    #[cfg(not(feature = "durable"))]
    fn end(&self) -> (usize, bool) {
        (0, true)
    }

    fn tells_the_truth(&mut self) -> bool {
        // The standard library's types tell their true lengths, and no other crate has these paths. If
        // the paths change, such inputs are counted as they come, like all others.
        let name = type_name::<I::IntoIter>();
        ["core::ops::range::Range<", "core::ops::range::RangeInclusive<", "core::slice::iter::Iter<"]
            .iter()
            .any(|known| name.starts_with(known))
    }

    fn size_hint(&mut self) -> (usize, Option<usize>) {
        self.iterator().size_hint()
    }

    fn chunk(&self) -> Box<RawChunk> {
        self.types.chunk()
    }

    #[cfg(feature = "durable")]
    fn read(&mut self, file: &SpillFile, frame: usize) -> Result<Vec<(Results, usize)>, Error> {
        let types = self.types;
        let Some(SpillReader { read, reading }) = self.spilled.as_deref_mut() else {
            unreachable!("who put the file here has said how it is read")
        };
        let mut results = read(file, frame, reading)?.into_iter();
        let part = |(first, items)| (types.results_of(results.by_ref().take(items).collect(), Credit::NONE), first);
        Ok(file.runs(frame).map(part).collect())
    }
}

/// How far the input was taken, and the chunks that are not in use.
#[derive(Default)]
pub(crate) struct Stock {
    ended: bool,
    /// True if items can be done, or are skipped.
    pub(crate) resumes: bool,
    pub(crate) asks: Asks,
    /// What the calling thread enters its calls with.
    ledger: Option<Ledger>,
    /// Items pulled for the calling thread itself that are not run yet.
    held: Option<Box<RawChunk>>,
    /// The first of the spare ones: a run that stays on the calling thread has no other, and needs no list.
    last: Option<Box<RawChunk>>,
    #[expect(clippy::vec_box, reason = "chunks travel boxed, so that handing one on moves a pointer")]
    spare: Vec<Box<RawChunk>>,
}

impl Stock {
    fn held_items(&self) -> usize {
        self.held.as_ref().map_or(0, |chunk| chunk.items())
    }

    /// Keeps the items of a chunk to be run next.
    fn hold(&mut self, chunk: Box<RawChunk>) {
        if chunk.items() > 0 {
            self.held = Some(chunk);
        } else {
            self.recycle(chunk);
        }
    }

    fn recycle(&mut self, chunk: Box<RawChunk>) {
        // More than the chunks ahead of a few workers are never in use at a time.
        if self.last.is_none() {
            self.last = Some(chunk);
        } else if self.spare.len() < 64 {
            self.spare.push(chunk);
        }
    }

    /// Lets a collection end that results were to be put in.
    pub(crate) fn leave_collection(&mut self) {
        self.held.iter_mut().chain(&mut self.last).chain(&mut self.spare).for_each(|chunk| chunk.leave_collection());
    }

    /// Items of an input that are left, at least and at most.
    pub(crate) fn left(&self, input: &mut dyn Input) -> (usize, Option<usize>) {
        let held = self.held_items();
        if self.ended {
            return (held, Some(held));
        }
        let (least, most) = input.size_hint();
        (least.saturating_add(held), most.and_then(|most| most.checked_add(held)))
    }

    /// Items of an input that are left, where it says so, which it may be wrong about. No input has as
    /// many as there are addresses.
    pub(crate) fn left_exactly(&self, input: &mut dyn Input) -> Option<usize> {
        let (least, most) = self.left(input);
        most.filter(|&most| most == least && most <= isize::MAX as usize)
    }
}

/// What the calling thread did by itself.
pub(crate) struct Inlined {
    pub(crate) items: usize,
    /// Bytes that the results own beside their own size.
    pub(crate) heap: u64,
    pub(crate) largest: u64,
    /// The most that a call needed beside its result.
    pub(crate) working: u64,
    /// Seconds in the function, where they were asked for.
    pub(crate) seconds: Option<f64>,
    /// What the calling thread did meanwhile, where that was asked for and can be told.
    pub(crate) used: Option<Use>,
    /// Seconds that it took to find that out.
    pub(crate) measuring: f64,
    /// Seconds that the input took, where they were timed.
    pub(crate) asked: f64,
    pub(crate) panic: Option<Payload>,
    /// True if an item was taken by the call that panicked, and has no result.
    pub(crate) is_lost: bool,
}

/// What was pulled for the workers.
pub(crate) struct Pulled {
    pub(crate) id: ChunkId,
    pub(crate) items: usize,
    /// Bytes that the items own beside their own size.
    pub(crate) heap: u64,
}

/// Input, function and outlet of a run.
pub(crate) struct Line<'a> {
    pub(crate) input: &'a mut dyn Input,
    pub(crate) stock: &'a mut Stock,
    pub(crate) work: Work<'a>,
    pub(crate) outlet: &'a mut dyn Outlet,
}

impl Line<'_> {
    /// A chunk with up to `count` items.
    fn take(&mut self, count: usize, way: Way) -> Box<RawChunk> {
        if let Some(held) = self.stock.held.take() {
            return held;
        }
        let spare = self.stock.last.take().or_else(|| self.stock.spare.pop());
        let mut chunk = spare.unwrap_or_else(|| self.input.chunk());
        chunk.is_unmeasurable = false;
        if !self.stock.ended {
            match catch_unwind(AssertUnwindSafe(|| self.fill(&mut chunk, count, way))) {
                // An iterator that said `None` is not asked again: it need not be fused.
                Ok(has_ended) => self.stock.ended = has_ended,
                Err(payload) => {
                    // The items before the panic are run where the caller goes on.
                    self.stock.hold(chunk);
                    resume_unwind(payload);
                }
            }
        }
        chunk
    }

    fn fill(&mut self, chunk: &mut RawChunk, count: usize, way: Way) -> bool {
        let asks = &mut self.stock.asks;
        if !self.work.tracks {
            return self.input.fill(chunk, count, way, asks);
        }
        let buffer = chunk.item_buffer();
        let frame = Frame::begin();
        let has_ended = self.input.fill(chunk, count, way, asks);
        let used = frame.end().retained();
        tracking::settle(used);
        let own = chunk.item_buffer() as i64 - buffer as i64;
        chunk.item_heap = u64::try_from(used - own).unwrap_or(0) / chunk.items().max(1) as u64;
        has_ended
    }

    /// Passes over the next items, if they need not run.
    pub(crate) fn restore(&mut self) -> Option<Restored> {
        if !self.stock.resumes || self.stock.ended || self.stock.held_items() > 0 {
            return None;
        }
        // An input that may wait is asked for one item at a time.
        let restored = self.input.restore(self.stock.asks.may_wait())?;
        self.stock.ended |= restored.has_ended;
        Some(restored)
    }

    /// A chunk with results that were there already.
    pub(crate) fn chunk_of(&mut self, results: Results) -> ChunkId {
        let spare = self.stock.last.take().or_else(|| self.stock.spare.pop());
        let mut chunk = spare.unwrap_or_else(|| self.input.chunk());
        chunk.results = results;
        self.work.chunks.add(chunk)
    }

    fn place(&mut self, chunk: &mut RawChunk, count: usize) {
        if let Some(places) = self.outlet.place(count) {
            chunk.results = places;
        }
    }

    /// Pulls up to `count` items and calls the function for them until the results own more than `allowance` bytes. With `timed`
    /// it tells how long the calls alone took, and where `measured` what the thread did meanwhile, closely or not. The results are to be [`accept`](Outlet::accept)ed.
    pub(crate) fn inline(
        &mut self,
        count: usize,
        allowance: u64,
        timed: bool,
        measured: Option<bool>,
    ) -> (Inlined, Results) {
        self.stock.asks.seconds = 0.0;
        let mut chunk = self.take(count, Way::Inline { timed });
        let count = chunk.items().min(count);
        self.place(&mut chunk, count);
        chunk.results.ensure(count);
        let mut done = Inlined {
            items: 0,
            heap: 0,
            largest: 0,
            working: 0,
            seconds: None,
            used: None,
            measuring: 0.0,
            asked: self.stock.asks.seconds,
            panic: None,
            is_lost: false,
        };
        let waiting = chunk.items();
        let measuring = measured.and_then(|closely| {
            let begun = now();
            let measuring = Measuring::begin(closely);
            done.measuring = (now() - begun).as_secs_f64();
            measuring
        });
        let begun = timed.then(now);
        let work = self.work;
        let at_once = if work.one_by_one() { 1 } else { count };
        let entered = self.stock.ledger.take().unwrap_or_else(|| work.ledger.clone()).entered();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            while done.items < count && done.heap <= allowance && work.interrupts.now().is_none() {
                let heap = work.step(&mut chunk, at_once, &|| false);
                done.items += at_once;
                done.heap = done.heap.saturating_add(heap.sum);
                done.largest = done.largest.max(heap.largest);
                done.working = done.working.max(heap.working);
            }
        }));
        self.stock.ledger = entered.leave();
        done.panic = outcome.err();
        if let Some(begun) = begun {
            let ended = now();
            done.seconds = Some((ended - begun).as_secs_f64());
            self.stock.asks.call_ended(ended);
        }
        if let Some(measuring) = measuring {
            let ended = now();
            done.used = measuring.end();
            done.measuring += (now() - ended).as_secs_f64();
        }
        let results = chunk.results.take();
        done.items = results.len();
        done.is_lost = waiting - chunk.items() > done.items;
        self.stock.hold(chunk);
        (done, results)
    }

    /// Hands over what [`inline`](Self::inline) made.
    pub(crate) fn hand_over_inlined(&mut self, results: Results, start: usize) -> Flow {
        let flow = self.accept(results, start);
        self.outlet.reclaim();
        flow
    }

    /// Hands over what is held back to fill a batch.
    pub(crate) fn flush(&mut self) -> Flow {
        let before = self.work.ledger.results_handed_over();
        let flow = self.outlet.flush();
        self.note(before);
        flow
    }

    fn accept(&mut self, results: Results, start: usize) -> Flow {
        let before = self.work.ledger.results_handed_over();
        let flow = self.outlet.accept(results, start);
        self.note(before);
        flow
    }

    /// Notes if the outlet has handed results over since they were as many as `before`.
    fn note(&mut self, before: usize) {
        if self.work.ledger.results_handed_over() != before {
            self.stock.asks.handed_over();
        }
    }

    /// True if results are held back that are to be handed over before the input is asked again.
    pub(crate) fn is_to_flush(&self, inline: bool) -> bool {
        self.stock.asks.hand_over_first(inline) && self.stock.held_items() == 0 && self.outlet.holds()
    }

    /// True if the calling thread asks for each item of its own by itself.
    pub(crate) fn asks_are_single(&self) -> bool {
        self.stock.asks.are_single()
    }

    /// Notes how long calls took that the calling thread made.
    pub(crate) fn note_calls(&mut self, stretch: &Stretch) {
        if stretch.items > 0 {
            self.stock.asks.note_call(stretch.seconds / stretch.items as f64);
        }
    }

    /// True if the input may wait when it is asked, so that nothing is to be left undone before.
    pub(crate) fn may_wait(&self) -> bool {
        self.stock.asks.may_wait()
    }

    /// Pulls up to `count` items for a worker, if there are any.
    pub(crate) fn pull(&mut self, count: usize) -> Option<Pulled> {
        let mut chunk = self.take(count, Way::Worker);
        let items = chunk.items();
        if items == 0 {
            self.stock.recycle(chunk);
            return None;
        }
        let heap = match catch_unwind(AssertUnwindSafe(|| self.work.items_heap(&chunk))) {
            Ok(heap) => heap,
            Err(payload) => {
                // Where the caller goes on, its items count as large as those before.
                chunk.is_unmeasurable = true;
                self.stock.hold(chunk);
                resume_unwind(payload);
            }
        };
        self.place(&mut chunk, items);
        Some(Pulled { id: self.work.chunks.add(chunk), items, heap })
    }

    /// Hands over a chunk's results.
    pub(crate) fn hand_over(&mut self, finished: Finished) -> Flow {
        let mut chunk = self.work.chunks.remove(finished.id);
        let mut results = chunk.results.take();
        results.credit = finished.credit;
        self.stock.recycle(chunk);
        self.accept(results, finished.start)
    }

    /// Items that are left, at least and at most.
    pub(crate) fn left(&mut self) -> (usize, Option<usize>) {
        self.stock.left(self.input)
    }

    /// Items that are left, where the input knows it.
    pub(crate) fn left_exactly(&mut self) -> Option<usize> {
        self.stock.left_exactly(self.input)
    }

    /// True if there is no item left, as far as the input has said so. One that claims to have no more
    /// is asked for another.
    pub(crate) fn ended(&mut self) -> bool {
        if !self.stock.ended && self.left().1 == Some(0) {
            let chunk = self.take(1, Way::Inline { timed: false });
            self.stock.hold(chunk);
        }
        self.stock.ended && self.stock.held_items() == 0
    }
}
