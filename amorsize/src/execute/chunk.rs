//! Chunks: consecutive items that one worker takes at a time, and the function as that which runs them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
#[cfg(feature = "durable")]
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use super::buffer::Quota;
use super::buffer::{RawChunk, Results, Types};
use super::control::{ChunkId, Control, Steps, ThreadKind};
use super::jobs::Grant;
use crate::bounds::{RetryItem, RetryOutput};
use crate::cancel::Interrupts;
use crate::durable::Keeper;
#[cfg(feature = "durable")]
use crate::durable::{CodeOf, Durable, Functions};
use crate::memory::budget::Ledger;
use crate::memory::measure::{Heap, Measure, MeasuredBy};
use crate::memory::tracking::{self, Frame};
use crate::retry::Retry;
use crate::trace::RunSpan;

/// The function of a run, as a call over a chunk: one call through a pointer for many items.
pub(crate) type Kernel<T, R, C> = fn(Quota<'_, T, R>, &C);

/// A function with its shared parameters, as the part of the executor sees it that is compiled once.
pub(crate) trait Function: Sync {
    /// Allocates what stays with a chunk, so that it does not count as part of what a call needs.
    fn prepare(&self, chunk: &mut RawChunk);

    /// Calls the function for the next `count` items of a chunk. Once the run `is_over`, no call is made again.
    fn call(&self, chunk: &mut RawChunk, count: usize, is_over: &dyn Fn() -> bool);

    /// What the last `count` results own beside their own size, as far as their type says it.
    fn results_heap(&self, chunk: &RawChunk, count: usize) -> Heap;

    /// Whether the type of results says what they own, where that can be anything.
    fn knows_results(&self) -> bool;

    /// Whether results can own anything.
    fn results_own(&self) -> bool;

    /// True if items may own something that their type doesn't tell.
    fn items_are_opaque(&self) -> bool;

    /// Bytes that the first `count` waiting items own beside their own size; `None` where their type does not say it.
    fn items_heap(&self, chunk: &RawChunk, count: usize) -> Option<u64>;
    /// Has results kept that calls gave for items from `first` on, if results are kept.
    fn keep(&self, keeper: &Keeper, first: usize, results: &Results);
    /// Bytes that results own beside their own size, if they can be asked.
    fn heap_of(&self, results: &Results) -> Option<u64>;
}

/// The function of a run, its shared parameters, and its types: all that is compiled for each function.
pub(crate) struct Shared<T, R, C> {
    pub(crate) context: C,
    pub(crate) body: Body<T, R, C>,
    pub(crate) measure: (Measure<T>, Measure<R>),
    pub(crate) types: Types<T, R>,
    pub(crate) retrying: Option<Retrying<T, R, C>>,
    /// Whether a result is an error of which a policy decides; set with the policy.
    pub(crate) fails: fn(&R) -> bool,
    /// Tells the bytes that a result owns, where the run was told how.
    pub(crate) weigh: Option<Weigh<R>>,
    /// The function's code, where its attribute tells it.
    #[cfg(feature = "durable")]
    pub(crate) code: Option<CodeOf<C>>,
    /// The settings of a durable run.
    #[cfg(feature = "durable")]
    pub(crate) durable: Option<Arc<Durable<T, R>>>,
}

/// Tells the bytes that a result owns beside its own size.
pub(crate) type Weigh<R> = Box<dyn Fn(&R) -> usize + Send + Sync>;

/// What is run for each item.
pub(crate) enum Body<T, R, C> {
    /// The user's function.
    Function(Kernel<T, R, C>),
    /// The stages of a pipeline, which are in the context.
    Stages(Stages<T, R, C>),
}

/// What a pipeline can do that needs the types of its stages.
pub(crate) struct Stages<T, R, C> {
    /// Makes what a chunk needs for that, where it has not got it.
    pub(crate) prepare: fn(&C, &mut RawChunk),
    /// Runs the next so many items, and measures their results.
    pub(crate) run: RunStages<T, R, C>,
    /// Calls that stages made again.
    pub(crate) retries: fn(&C) -> usize,
    /// Whether a type says what it owns of what the stages return.
    pub(crate) measures: bool,
    /// Tells the functions of the stages.
    #[cfg(feature = "durable")]
    pub(crate) tell: fn(&C, &mut Functions),
}

pub(crate) type RunStages<T, R, C> = fn(&Shared<T, R, C>, &mut RawChunk, usize, &dyn Fn() -> bool);

/// How calls that fail are made again: by a function that exists only for runs that do so.
pub(crate) struct Retrying<T, R, C> {
    retry: Retry,
    call: CallAgain<T, R, C>,
    /// Calls that were made again.
    retries: AtomicUsize,
}

type CallAgain<T, R, C> = fn(&Shared<T, R, C>, &Retrying<T, R, C>, &mut RawChunk, &dyn Fn() -> bool);

impl<T: RetryItem, R: RetryOutput, C> Retrying<T, R, C> {
    pub(crate) fn new(retry: Retry) -> Self {
        Self { retry, call: Shared::call_again, retries: AtomicUsize::new(0) }
    }
}

impl<T: RetryItem, R: RetryOutput, C> Shared<T, R, C> {
    /// Calls the function for the next item of a chunk, and again while it fails and may be called again.
    ///
    /// A panic, be it of the call, of `Clone` or of `Drop`, leaves neither the item nor a result of it.
    fn call_again(&self, retrying: &Retrying<T, R, C>, chunk: &mut RawChunk, is_over: &dyn Fn() -> bool) {
        let types = self.types;
        for waits in 0..retrying.retry.times() {
            let item = types.take_item(chunk);
            let again = item.for_the_next_call();
            types.put_back(chunk, item);
            let measured = chunk.measured;
            self.call_body(chunk, 1, is_over);
            let failed = types.last_results_of(chunk, 1)[0].failed();
            // Of a run that is over the error stays: a chunk has a result for each of its items.
            if !failed || !retrying.retry.wait(waits, is_over) {
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(again))) {
                    drop(types.take_result(chunk));
                    resume_unwind(payload);
                }
                return;
            }
            drop(types.take_result(chunk));
            // What a failed call needed, it needed.
            chunk.measured = Heap { working: chunk.measured.working, ..measured };
            types.put_back(chunk, again);
            retrying.retries.fetch_add(1, Ordering::Relaxed);
        }
        // Nothing is kept for a call after the last one.
        self.call_body(chunk, 1, is_over);
    }
}

impl<T, R, C> Shared<T, R, C> {
    /// Calls that were made again.
    pub(crate) fn retries(&self) -> usize {
        let own = self.retrying.as_ref().map_or(0, |retrying| retrying.retries.load(Ordering::Relaxed));
        match &self.body {
            Body::Function(_) => own,
            Body::Stages(stages) => own + (stages.retries)(&self.context),
        }
    }

    /// Whether this is a pipeline, which tells the time and its results' bytes itself.
    pub(crate) fn is_pipeline(&self) -> bool {
        matches!(self.body, Body::Stages(_))
    }

    /// Whether a type says what it owns of what is returned to the run, in stages too.
    pub(crate) fn measures(&self) -> bool {
        self.weigh.is_some()
            || match &self.body {
                Body::Function(_) => self.measure.1.heap.is_some(),
                Body::Stages(stages) => stages.measures,
            }
    }

    /// Makes what a chunk needs beside its items and results, where it has not got it.
    pub(crate) fn prepare_chunk(&self, chunk: &mut RawChunk) {
        if let Body::Stages(stages) = &self.body {
            (stages.prepare)(&self.context, chunk);
        }
    }

    /// Calls what is called for each item.
    #[inline]
    fn call_body(&self, chunk: &mut RawChunk, count: usize, is_over: &dyn Fn() -> bool) {
        match &self.body {
            Body::Function(kernel) => kernel(self.types.quota(chunk, count), &self.context),
            Body::Stages(stages) => (stages.run)(self, chunk, count, is_over),
        }
    }

    /// Calls the function for the next `count` items of a chunk. Once the run `is_over`, no call is made again.
    #[inline]
    pub(crate) fn call_for(&self, chunk: &mut RawChunk, count: usize, is_over: &dyn Fn() -> bool) {
        chunk.measured = Heap::default();
        match &self.retrying {
            None => self.call_body(chunk, count, is_over),
            Some(retrying) => (0..count).for_each(|_| (retrying.call)(self, retrying, chunk, is_over)),
        }
    }

    /// What the last `count` results own, which were the last call's.
    #[inline]
    pub(crate) fn heap_of_last(&self, chunk: &RawChunk, count: usize) -> Heap {
        if let Some(weigh) = &self.weigh {
            let heap = Heap::of(self.types.last_results_of(chunk, count), weigh);
            return Heap { working: chunk.measured.working, ..heap };
        }
        match self.measure.1.heap {
            Some(heap) => heap(self.types.last_results_of(chunk, count)),
            // Nothing of a function's, and what a pipeline measured itself.
            None => chunk.measured,
        }
    }
}

impl<T, R, C: Sync> Function for Shared<T, R, C> {
    fn prepare(&self, chunk: &mut RawChunk) {
        self.prepare_chunk(chunk);
    }

    fn call(&self, chunk: &mut RawChunk, count: usize, is_over: &dyn Fn() -> bool) {
        self.call_for(chunk, count, is_over);
    }

    fn results_heap(&self, chunk: &RawChunk, count: usize) -> Heap {
        self.heap_of_last(chunk, count)
    }

    fn knows_results(&self) -> bool {
        self.measures()
    }

    fn results_own(&self) -> bool {
        std::mem::needs_drop::<R>()
    }

    fn items_are_opaque(&self) -> bool {
        self.measure.0.by == MeasuredBy::Resident
    }

    #[cfg(feature = "durable")]
    fn keep(&self, keeper: &Keeper, first: usize, results: &Results) {
        if let Some((_, codec)) = self.durable.as_ref().and_then(|durable| durable.checkpoint.as_ref()) {
            let results = self.types.last_of(results, results.len());
            keeper.keep(|encoded, item, result| self.push(codec, encoded, item, result), first, results);
        }
    }

    #[cfg(not(feature = "durable"))]
    fn keep(&self, _keeper: &Keeper, _first: usize, _results: &Results) {}

    fn heap_of(&self, results: &Results) -> Option<u64> {
        let results = self.types.last_of(results, results.len());
        match (&self.weigh, self.measure.1.heap) {
            (Some(weigh), _) => Some(Heap::of(results, weigh).sum),
            (None, Some(heap)) => Some(heap(results).sum),
            (None, None) => None,
        }
    }

    fn items_heap(&self, chunk: &RawChunk, count: usize) -> Option<u64> {
        match self.measure.0.heap {
            Some(heap) => Some(heap(&self.types.items_of(chunk)[..count]).sum),
            None if self.measure.0.by == MeasuredBy::Resident => None,
            None => Some(0),
        }
    }
}

/// Lends a function to other threads. Made where the types are known to allow that, and kept as a pointer, so that the terminals
/// need no bounds.
pub(crate) type AsFunction<T, R, C> = for<'a> fn(&'a Shared<T, R, C>) -> &'a (dyn Function + 'a);

pub(crate) fn as_function<T, R, C: Sync>(shared: &Shared<T, R, C>) -> &(dyn Function + '_) {
    shared
}

/// The chunks of a run that wait, run, or are done, by name.
pub(crate) struct Chunks(Mutex<Places>);

/// The place of a chunk that a worker has is empty and still the chunk's.
struct Places {
    chunks: Vec<Option<Box<RawChunk>>>,
    free: Vec<ChunkId>,
}

impl Chunks {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Places { chunks: Vec::new(), free: Vec::new() }))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a chunk and gives it a name.
    pub(crate) fn add(&self, chunk: Box<RawChunk>) -> ChunkId {
        let mut places = self.places();
        if let Some(id) = places.free.pop() {
            places.chunks[id] = Some(chunk);
            return id;
        }
        places.chunks.push(Some(chunk));
        places.chunks.len() - 1
    }

    /// Takes a chunk out to [`put`](Self::put) it back.
    fn take(&self, id: ChunkId) -> Box<RawChunk> {
        self.places().chunks[id].take().expect("a chunk has one user at a time")
    }

    fn put(&self, id: ChunkId, chunk: Box<RawChunk>) {
        self.places().chunks[id] = Some(chunk);
    }

    /// Lets a collection end that chunks were to put their results in.
    pub(crate) fn leave_collection(&self) {
        self.places().chunks.iter_mut().flatten().for_each(|chunk| chunk.leave_collection());
    }

    /// Gives up the name of a chunk that was taken out.
    fn forget(&self, id: ChunkId) {
        self.places().free.push(id);
    }

    /// Takes a chunk out for good.
    pub(crate) fn remove(&self, id: ChunkId) -> Box<RawChunk> {
        let mut places = self.places();
        places.free.push(id);
        places.chunks[id].take().expect("a chunk has one user at a time")
    }
}

/// What the threads of a run share, but for its function.
pub(crate) struct Tools {
    pub(crate) chunks: Chunks,
    pub(crate) ledger: Ledger,
    /// Whether the program's allocator tells what calls need.
    pub(crate) tracks: bool,
    pub(crate) interrupts: Interrupts,
    pub(crate) span: RunSpan,
}

impl Tools {
    pub(crate) fn new(ledger: Ledger, tracks: bool) -> Self {
        Self { chunks: Chunks::new(), ledger, tracks, interrupts: Interrupts::default(), span: RunSpan::default() }
    }

    pub(crate) fn work<'a>(&'a self, function: &'a dyn Function) -> Work<'a> {
        let Self { chunks, ledger, tracks, interrupts, span } = self;
        Work { function, chunks, ledger, tracks: *tracks, interrupts, span }
    }
}

/// What any thread needs to run chunks.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) function: &'a dyn Function,
    pub(crate) chunks: &'a Chunks,
    pub(crate) ledger: &'a Ledger,
    /// Whether the program's allocator tells what calls need.
    pub(crate) tracks: bool,
    pub(crate) interrupts: &'a Interrupts,
    pub(crate) span: &'a RunSpan,
}

impl Work<'_> {
    /// Whether results are measured one by one.
    pub(crate) fn measures(&self) -> bool {
        self.function.knows_results() || (self.tracks && self.function.results_own())
    }

    /// Whether there is something to look at before each call.
    pub(crate) fn one_by_one(&self) -> bool {
        self.measures() || self.interrupts.are_possible()
    }

    /// Calls the function for the next `count` items of a chunk, and measures their results. `count` is 1 where results are
    /// measured one by one. Once the run `is_over`, no call is made again.
    pub(crate) fn step(&self, chunk: &mut RawChunk, count: usize, is_over: &dyn Fn() -> bool) -> Heap {
        let is_over: &dyn Fn() -> bool = &|| is_over() || self.interrupts.now().is_some();
        if !self.tracks {
            self.function.call(chunk, count, is_over);
            return self.function.results_heap(chunk, count);
        }
        self.function.prepare(chunk);
        if !self.function.results_own() {
            // Nothing that these calls allocate can be part of their results, so their peak is that of a single call.
            let frame = Frame::begin();
            self.function.call(chunk, count, is_over);
            let used = frame.end();
            tracking::settle(used.retained());
            return Heap { working: used.peak(), ..Heap::default() };
        }
        // What the item owns was there before the call: the call frees it, or the result owns it now.
        let known = if chunk.is_unmeasurable {
            Ok(None)
        } else {
            catch_unwind(AssertUnwindSafe(|| self.function.items_heap(chunk, count)))
        };
        let owned = known.as_ref().map_or(None, |known| *known).unwrap_or(chunk.item_heap);
        let frame = Frame::begin();
        self.function.call(chunk, count, is_over);
        let used = frame.end();
        tracking::settle(used.retained());
        let mut kept = u64::try_from(used.retained().saturating_add_unsigned(owned)).unwrap_or(0);
        let deep = self.function.results_heap(chunk, count).sum;
        // A result that owns far more than this thread kept was made on other threads, or of an item that was made before the run
        // and can't tell how large it was. Deep sizes of trees are estimates, by up to 1.6 times too high.
        let elsewhere = kept < deep / 2;
        if elsewhere {
            kept = deep;
        }
        if let Err(payload) = known {
            // The item could not be measured. It was run nevertheless, and its result is there.
            resume_unwind(payload);
        }
        let grown = u64::try_from(used.retained()).unwrap_or(0);
        Heap { sum: kept, largest: kept, working: used.peak().saturating_sub(grown), elsewhere }
    }

    /// True if resident memory alone can tell what items own.
    pub(crate) fn items_are_opaque(&self) -> bool {
        !self.tracks && self.function.items_are_opaque()
    }

    /// Bytes that the waiting items of a chunk own beside their own size.
    pub(crate) fn items_heap(&self, chunk: &RawChunk) -> u64 {
        let count = chunk.items();
        let known = if chunk.is_unmeasurable { None } else { self.function.items_heap(chunk, count) };
        known.unwrap_or(chunk.item_heap * count as u64)
    }

    /// Runs the next chunk that there is credit for. Says whether there was one, and, to a job, whether there is more.
    pub(crate) fn run_next(&self, control: &Control, job: Option<ThreadKind>, forced: bool) -> bool {
        if !self.tracks {
            return self.run_untracked(control, job, forced);
        }
        if job.is_some() {
            tracking::mark_worker();
        }
        let frame = Frame::begin();
        let more = self.run_untracked(control, job, forced);
        control.add_kept(frame.end().retained());
        more
    }

    /// Bytes of results that were `stored` as so many, to count with. Their own size is `size`.
    pub(crate) fn bytes_of(&self, results: &Results, stored: u64, size: usize) -> u64 {
        let heap = self.function.heap_of(results).unwrap_or(stored);
        ((size * results.len()) as u64).saturating_add(heap)
    }

    /// Has results kept, and `lost` items behind them forgotten, if the run is durable.
    pub(crate) fn keep(&self, first: usize, results: &Results, lost: usize) {
        if let Some(keeper) = self.interrupts.keeper().get() {
            self.function.keep(keeper, first, results);
            keeper.forget(first + results.len(), lost);
        }
    }

    fn run_untracked(&self, control: &Control, job: Option<ThreadKind>, forced: bool) -> bool {
        let mut split = |id, keep| {
            let mut chunk = self.chunks.take(id);
            let rest = chunk.split_off(keep);
            self.chunks.put(id, chunk);
            self.chunks.add(rest)
        };
        let Some((grant, held)) = control.start_next(job, forced, &mut split) else { return false };
        // Whatever panics from here on, the chunk is booked as ended.
        let started = Started { control, grant };
        let mut chunk = self.chunks.take(grant.id);
        chunk.results.ensure(grant.items);
        let entered = self.ledger.enter();
        let mut running = Running { work: *self, chunk: &mut chunk, control, start: grant.start };
        let ran = control.run_chunk(grant, held, &mut running);
        drop(entered);
        self.keep(grant.start, &chunk.results, ran.lost());
        let rest = if !ran.leaves_items() {
            None
        } else if chunk.results.len() == 0 {
            Some(grant.id)
        } else {
            Some(self.chunks.add(chunk.split_off(0)))
        };
        if rest.is_none() && chunk.results.len() == 0 {
            // Its only item panicked.
            self.chunks.forget(grant.id);
        } else {
            self.chunks.put(grant.id, chunk);
        }
        // The results are where the run finds them.
        std::mem::forget(started);
        control.finish(ran, rest, job) || job.is_none()
    }
}

/// A chunk that was started and is not booked.
struct Started<'a> {
    control: &'a Control,
    grant: Grant,
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        self.control.lose(&self.grant);
    }
}

/// A chunk in the hands of a worker.
struct Running<'a> {
    work: Work<'a>,
    chunk: &'a mut RawChunk,
    control: &'a Control,
    /// Index of the first item.
    start: usize,
}

impl Steps for Running<'_> {
    fn step(&mut self, count: usize) -> Heap {
        let next = self.start + self.chunk.results.len();
        self.work.step(self.chunk, count, &|| self.control.course.gives_up(next))
    }

    fn done(&self) -> usize {
        self.chunk.results.len()
    }

    fn left(&self) -> usize {
        self.chunk.items()
    }

    fn measures(&self) -> bool {
        self.work.measures()
    }

    fn one_by_one(&self) -> bool {
        self.work.one_by_one()
    }

    fn is_interrupted(&self) -> bool {
        self.work.interrupts.now().is_some()
    }
}
