//! Chunks: consecutive items that one worker takes at a time, and the function that runs them.

pub(crate) mod interrupts;
#[cfg(feature = "durable")]
mod keeping;

use std::any::Any;
use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
#[cfg(feature = "durable")]
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use crate::buffer::Quota;
use crate::buffer::{RawChunk, Results, Types};
#[cfg(feature = "durable")]
use crate::code::{Code, Tell};
use crate::durable::Keeper;
#[cfg(feature = "durable")]
use crate::durable::{Durable, Functions};
use crate::memory::measure::{Heap, Measure};
use crate::options::retry::{Retry, RetryItem, RetryOutput};
use crate::units::measured_by::MeasuredBy;

/// The function of a run, as a call over a chunk: one call through a pointer for many items.
pub(crate) type Kernel<T, R, C> = fn(Quota<'_, T, R>, &C);

/// A function with its shared parameters, as the code that is compiled once for all functions sees
/// it.
pub(crate) trait Function: Sync {
    /// Allocates what stays with a chunk, so that it does not count as part of what a call needs.
    fn prepare(&self, chunk: &mut RawChunk);

    /// Calls the function for the next `count` items of a chunk. Once the run `is_over`, no call is
    /// repeated.
    fn call(&self, chunk: &mut RawChunk, count: usize, is_over: &dyn Fn() -> bool);

    /// The bytes that the last `count` of `results` own beside their own size, if their type or the
    /// user tells it.
    fn heap_of_results(&self, results: &Results, count: usize) -> Option<Heap>;

    /// The bytes that the first `count` waiting items own beside their own size, if their type
    /// tells it.
    fn heap_of_items(&self, chunk: &RawChunk, count: usize) -> Option<Heap>;

    /// The facts about items and results.
    fn facts(&self) -> Facts;

    /// Keeps the first `count` results, of the items from `first` on, if the run keeps results.
    fn keep(&self, _keeper: &Keeper, _first: usize, _results: &Results, _count: usize) {}
}

impl dyn Function + '_ {
    /// The bytes that the last `count` results of a chunk own beside their own size. They are those
    /// of the last call.
    #[inline]
    pub(crate) fn results_heap(&self, chunk: &RawChunk, count: usize) -> Heap {
        chunk.with_working(self.heap_of_results(&chunk.results, count))
    }

    /// The bytes that the first `count` waiting items own beside their own size; `None` if they may
    /// own something that their type does not tell.
    pub(crate) fn items_heap(&self, chunk: &RawChunk, count: usize) -> Option<u64> {
        match self.heap_of_items(chunk, count) {
            Some(heap) => Some(heap.sum),
            None => (!self.facts().items_are_opaque).then_some(0),
        }
    }
}

/// The facts about a function's items and results that decide how they are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// True if the type of results tells the bytes that they own, in case they can own anything, or
    /// the user does; in stages too.
    pub(crate) knows_results: bool,
    /// True if results can own anything.
    pub(crate) results_own: bool,
    /// True if items may own something that their type doesn't tell.
    pub(crate) items_are_opaque: bool,
    /// True if the type of items tells the bytes that they own, in case they can own anything.
    pub(crate) knows_items: bool,
}

/// The function of a run, its shared parameters, and its types: all that is compiled for each
/// function.
pub(crate) struct Shared<T, R, C> {
    pub(crate) context: C,
    pub(crate) body: Body<T, R, C>,
    pub(crate) measure: (Measure<T>, Measure<R>),
    pub(crate) facts: Facts,
    pub(crate) types: Types<T, R>,
    pub(crate) retrying: Option<Retrying<T, R, C>>,
    /// Calls that were made again.
    pub(crate) retries: AtomicUsize,
    /// True for a result that is an error, which a policy decides about; set with the policy.
    pub(crate) fails: Option<fn(&R) -> bool>,
    /// Tells the bytes that a result owns, if the run was told how.
    pub(crate) weigh: Option<Weigh<R>>,
    /// True for an item that is an error of the input, if the input can fail.
    #[cfg(feature = "durable")]
    pub(crate) is_error: Option<fn(&T) -> bool>,
    /// The function's code, if its attribute tells it, and a function that tells the values of its
    /// shared parameters.
    #[cfg(feature = "durable")]
    pub(crate) code: Option<(&'static Code, Tell<C>)>,
    /// The settings of a durable run.
    #[cfg(feature = "durable")]
    pub(crate) durable: Option<Arc<Durable<T, R>>>,
}

/// Tells the bytes that results own beside their own size, by a function of the user. It is kept
/// without its type, so that a run without one has no code for it.
pub(crate) struct Weigh<R> {
    weigh: Box<dyn Any + Send + Sync>,
    heap: fn(&(dyn Any + Send + Sync), &[R]) -> Heap,
}

impl<R> Weigh<R> {
    pub(crate) fn new<W: Fn(&R) -> usize + Send + Sync + 'static>(weigh: W) -> Self {
        let heap = |weigh: &(dyn Any + Send + Sync), results: &[R]| {
            let weigh = weigh.downcast_ref::<W>().unwrap_or_else(|| unreachable!("both were made here"));
            Heap::of(results, weigh)
        };
        Self { weigh: Box::new(weigh), heap }
    }
}

/// The code that runs for each item.
pub(crate) enum Body<T, R, C> {
    /// The user's function.
    Function(Kernel<T, R, C>),
    /// The stages of a pipeline, which are in the context.
    Stages(Stages<T, R, C>),
}

/// The operations of a pipeline that need the types of its stages.
pub(crate) struct Stages<T, R, C> {
    /// Makes what a chunk needs for them, unless it has that.
    pub(crate) prepare: fn(&C, &mut RawChunk),
    /// Runs this number of next items, and measures their results.
    pub(crate) run: RunStages<T, R, C>,
    /// Calls that stages made again.
    pub(crate) retries: fn(&C) -> usize,
    /// Tells the functions of the stages.
    #[cfg(feature = "durable")]
    pub(crate) tell: fn(&C, &mut Functions),
}

pub(crate) type RunStages<T, R, C> = fn(&Shared<T, R, C>, &mut RawChunk, usize, &dyn Fn() -> bool);

/// Repeats failed calls, by a function that exists only for runs that do so.
pub(crate) struct Retrying<T, R, C> {
    retry: Retry,
    call: CallAgain<T, R, C>,
}

type CallAgain<T, R, C> = fn(&Shared<T, R, C>, &Retry, &mut RawChunk, &dyn Fn() -> bool);

impl<T: RetryItem, R: RetryOutput, C> Retrying<T, R, C> {
    pub(crate) fn new(retry: Retry) -> Self {
        Self { retry, call: Shared::call_again }
    }
}

impl<T: RetryItem, R: RetryOutput, C> Shared<T, R, C> {
    /// Calls the function for the next item of a chunk, and repeats a failed call while that is
    /// allowed.
    ///
    /// A panic of the call, of `Clone` or of `Drop` leaves neither the item nor a result of it.
    fn call_again(&self, retry: &Retry, chunk: &mut RawChunk, is_over: &dyn Fn() -> bool) {
        let types = self.types;
        for waits in 0..retry.times() {
            let item = types.take_item(chunk);
            let again = item.for_the_next_call();
            types.put_back(chunk, item);
            let measured = chunk.measured;
            self.call_body(chunk, 1, is_over);
            let failed = types.last_of(&chunk.results, 1)[0].failed();
            let is_last = !failed || !retry.wait(waits, is_over);
            if failed && is_last {
                // The run is over. The error stays, as a chunk has a result for each of its items;
                // but it is not the result that a run to the end would have.
                chunk.cut_at.get_or_insert(chunk.results.len() - 1);
            }
            if is_last {
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(again))) {
                    drop(types.take_last(&mut chunk.results));
                    resume_unwind(payload);
                }
                return;
            }
            drop(types.take_last(&mut chunk.results));
            // The memory that a failed call needed counts, too.
            chunk.measured = Heap { working: chunk.measured.working, ..measured };
            types.put_back(chunk, again);
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        // Nothing is kept for a call after the last one.
        self.call_body(chunk, 1, is_over);
    }
}

impl<T: Send, R: Send, C> Shared<T, R, C> {
    /// A function without a policy: an error is a result like any other.
    #[inline]
    pub(crate) fn new(context: C, body: Body<T, R, C>, measure: (Measure<T>, Measure<R>)) -> Self {
        let facts = Facts {
            knows_results: measure.1.heap.is_some(),
            results_own: const { needs_drop::<R>() },
            items_are_opaque: matches!(measure.0.by, MeasuredBy::Resident),
            knows_items: measure.0.heap.is_some(),
        };
        Self {
            context,
            body,
            measure,
            facts,
            types: Types::new(),
            retrying: None,
            retries: AtomicUsize::new(0),
            fails: None,
            weigh: None,
            #[cfg(feature = "durable")]
            is_error: None,
            #[cfg(feature = "durable")]
            code: None,
            #[cfg(feature = "durable")]
            durable: None,
        }
    }
}

impl<T, R, C> Shared<T, R, C> {
    /// Calls that were made again.
    pub(crate) fn retries(&self) -> usize {
        let of_stages = match &self.body {
            Body::Function(_) => 0,
            Body::Stages(stages) => (stages.retries)(&self.context),
        };
        self.retries.load(Ordering::Relaxed) + of_stages
    }

    /// True for a pipeline, which tells the time and its results' bytes itself.
    pub(crate) fn is_pipeline(&self) -> bool {
        matches!(self.body, Body::Stages(_))
    }

    /// Calls the function or the stages.
    #[inline]
    fn call_body(&self, chunk: &mut RawChunk, count: usize, is_over: &dyn Fn() -> bool) {
        match &self.body {
            Body::Function(kernel) => kernel(self.types.quota(chunk, count), &self.context),
            Body::Stages(stages) => (stages.run)(self, chunk, count, is_over),
        }
    }
}

impl<T, R, C: Sync> Function for Shared<T, R, C> {
    fn prepare(&self, chunk: &mut RawChunk) {
        if let Body::Stages(stages) = &self.body {
            (stages.prepare)(&self.context, chunk);
        }
    }

    #[inline]
    fn call(&self, chunk: &mut RawChunk, count: usize, is_over: &dyn Fn() -> bool) {
        chunk.measured = Heap::default();
        match &self.retrying {
            None => self.call_body(chunk, count, is_over),
            Some(retrying) => {
                for _ in 0..count {
                    (retrying.call)(self, &retrying.retry, chunk, is_over);
                }
            }
        }
    }

    // As a separate call it would be 2 % of an item of a trivial pipeline.
    #[inline(always)]
    fn heap_of_results(&self, results: &Results, count: usize) -> Option<Heap> {
        match (&self.weigh, self.measure.1.heap) {
            (Some(Weigh { weigh, heap }), _) => Some(heap(&**weigh, self.types.last_of(results, count))),
            (None, Some(heap)) => Some(heap(self.types.last_of(results, count))),
            (None, None) => None,
        }
    }

    fn heap_of_items(&self, chunk: &RawChunk, count: usize) -> Option<Heap> {
        let heap = self.measure.0.heap?;
        Some(heap(self.types.first_items_of(chunk, count)))
    }

    fn facts(&self) -> Facts {
        self.facts
    }

    #[cfg(feature = "durable")]
    fn keep(&self, keeper: &Keeper, first: usize, results: &Results, count: usize) {
        if let Some((_, codec)) = self.durable.as_ref().and_then(|durable| durable.checkpoint.as_ref()) {
            let results = self.types.last_of(results, results.len());
            keeper.keep(
                |result| self.takes_out(result),
                |encoded, item, result| self.push(codec, encoded, item, result),
                first,
                &results[..count],
            );
        }
    }
}

/// Lends a function to other threads. It is made where the types are known to allow that, and is
/// kept as a pointer, so that the terminals need no bounds.
pub(crate) type AsFunction<T, R, C> = for<'a> fn(&'a Shared<T, R, C>) -> &'a (dyn Function + 'a);

pub(crate) fn as_function<T, R, C: Sync>(shared: &Shared<T, R, C>) -> &(dyn Function + '_) {
    shared
}
