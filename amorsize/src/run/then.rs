//! Pipelines: functions that are run one after the other for each item, as one run.

use std::convert::Infallible;
use std::fmt;
use std::iter::{self, Empty};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use super::Batched;
use crate::buffer::{Clock, Part, RawChunk, Scratch};
use crate::call::{Body, Facts, Function, Shared, Stages, as_function};
use crate::memory::measure::{Heap, Measure};
use crate::policy::on_error::{Collect, Each, Flatten, Skip, Stop};
use crate::policy::{Absent, Policy, Sealed, ToldAsText};
use crate::progress::stage::StageCounts;
use crate::system::sync::now;
use crate::units::measured_by::MeasuredBy;

/// The input of a pipeline's stage: it stands for the results of the stages before.
///
/// [`then`](crate::Batched::then) makes one, for the wrapper of the next function or for
/// [`process_in_batches`](crate::process_in_batches), where items then have the type `M`. It holds
/// no items itself: they exist only while the whole pipeline runs.
///
/// If the compiler expects `fn(Stage<M>) -> _` and found `fn(M) -> _`, `then` was given a function
/// in place of its wrapper: `resize` for `resize_batched`. If it expects a function that takes 1
/// argument, the wrapper has shared parameters and has to be called in a closure:
/// `|photos| resize_batched(photos, width)` for `resize_batched`. If it finds that
/// `<Stage<M> as IntoIterator>::Item` is not what a wrapper takes, `M` is the type that the stages
/// before return.
///
/// # Examples
///
/// ```
/// use amorsize::{Stage, batched};
///
/// #[batched]
/// fn scale(x: f64, by: f64) -> f64 {
///     x * by
/// }
///
/// let halves = |numbers: Stage<f64>| scale_batched(numbers, 0.5);
/// let roots: Vec<f64> = amorsize::process_in_batches(f64::sqrt, [4.0, 36.0]).then(halves).collect()?;
/// assert_eq!(roots, [1.0, 3.0]);
/// # Ok::<(), amorsize::Error>(())
/// ```
pub struct Stage<M>(PhantomData<fn() -> M>);

impl<M> Stage<M> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M> IntoIterator for Stage<M> {
    type Item = M;
    type IntoIter = Empty<M>;

    fn into_iter(self) -> Empty<M> {
        iter::empty()
    }
}

impl<M> fmt::Debug for Stage<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stage")
    }
}

/// The values that the calls of a pipeline share: those of all its stages. It is the third
/// parameter of a pipeline's [`Batched`](crate::Batched), and is needed only to name that type.
///
/// `T`, `R` and `C` are the items, the results and the context of the stages before the one that
/// [`then`](crate::Batched::then) added; `M`, `N` and `D` are those of that one.
///
/// # Examples
///
/// ```
/// use amorsize::run::Then;
/// use amorsize::{Batched, batched};
///
/// #[batched]
/// fn length(word: &'static str) -> usize {
///     word.len()
/// }
///
/// #[batched]
/// fn square(x: usize) -> usize {
///     x * x
/// }
///
/// // The contexts of attributed functions have no names.
/// fn lengths<I: Iterator<Item = &'static str>>(
///     words: I,
/// ) -> Batched<I, usize, Then<&'static str, usize, impl Sync, usize, usize, impl Sync>> {
///     length_batched(words).then(square_batched)
/// }
///
/// assert_eq!(lengths(["to", "be"].into_iter()).collect::<Vec<_>>()?, [4, 4]);
/// # Ok::<(), amorsize::Error>(())
/// ```
pub struct Then<T, R, C, M, N, D> {
    before: Shared<T, R, C>,
    next: Shared<M, N, D>,
    /// The counts of the parts that are no pipelines themselves.
    counts: [Option<Arc<StageCounts>>; 2],
    /// The number of functions.
    stages: u32,
}

impl<T, R, C, M, N, D> fmt::Debug for Then<T, R, C, M, N, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Then").field("stages", &self.stages).finish_non_exhaustive()
    }
}

/// A function that makes the next stage of a pipeline: it takes a [`Stage`] alone and returns a run
/// of its items.
///
/// If it takes more, rustc counts the parameters, and shows this name and no other text of ours.
#[diagnostic::on_unimplemented(
    message = "this makes no stage of a pipeline: it can't be called with a `Stage<{M}>`",
    label = "no function that makes a run of a `Stage<{M}>`",
    note = "give `then` the wrapper of a function, such as `resize_batched`, without calling it; if that has shared parameters, \
            a closure: `|photos| resize_batched(photos, width)`"
)]
pub trait StageOfItemsAlone<M, N, D, Q>: FnOnce(Stage<M>) -> Batched<Stage<M>, N, D, Q> {}

#[diagnostic::do_not_recommend]
impl<M, N, D, Q, F: FnOnce(Stage<M>) -> Batched<Stage<M>, N, D, Q>> StageOfItemsAlone<M, N, D, Q> for F {}

/// The pipeline of a run with the input `I` and the policy `P`, and a stage after it. The stage's
/// policy implements this.
///
/// Only this trait names the pipeline. So it has no type until the stage's type is known, and rustc
/// reports nothing more about a stage that is at fault.
pub trait Pipes<I: IntoIterator, R, C, P, M, N, D>: Sized {
    /// The run of all stages.
    type Pipeline;

    #[doc(hidden)]
    fn join(before: Batched<I, R, C, P>, next: Batched<Stage<M>, N, D, Self>) -> Self::Pipeline;
}

impl<I, R, C, P, M, N, D, Q> Pipes<I, R, C, P, M, N, D> for Q
where
    I: IntoIterator<Item: Send>,
    P: Policy<R, Value = M> + Joins<R, N, Q, Output: Send, Failure: StageError<<P as Policy<R>>::Error>>,
    C: Sync,
    D: Sync,
{
    type Pipeline = Batched<I, P::Output, Then<I::Item, R, C, M, N, D>, P::Policy>;

    fn join(before: Batched<I, R, C, P>, next: Batched<Stage<M>, N, D, Self>) -> Self::Pipeline {
        let has_begun = [before.has_begun(), next.has_begun()];
        let Batched { source, shared: before, core, .. } = before;
        let Batched { shared: next, core: core_of_next, .. } = next;
        let (mut core, mut core_of_next) = (core.into_parts(), core_of_next.into_parts());
        let counts = [core.own_stage(), core_of_next.own_stage()];
        let mut core = core.join(core_of_next);
        match has_begun {
            [true, _] => core.options.refuse_pipeline("called on a run that was planned or has begun"),
            [false, true] => core.options.refuse_pipeline("given a stage that was planned or has begun"),
            [false, false] => {}
        }
        let body = Body::Stages(Stages {
            prepare: prepare_chunk::<I::Item, R, C, M, N, D>,
            run: run_stages::<I::Item, R, C, M, N, D, P, Q>,
            retries: |then: &Then<I::Item, R, C, M, N, D>| then.before.retries() + then.next.retries(),
            #[cfg(feature = "durable")]
            tell: |then: &Then<I::Item, R, C, M, N, D>, functions| {
                then.before.tell(functions);
                then.next.tell(functions);
            },
        });
        #[cfg(feature = "durable")]
        let (is_error, mut before, mut next) = (before.is_error, before, next);
        #[cfg(feature = "durable")]
        let durable = {
            if let Some(option) = before.keeps().or(next.keeps()) {
                core.options.refuse_stage_that_keeps(option);
            }
            match (&mut before.durable, &mut next.durable) {
                (None, None) => None,
                (before, next) => {
                    let before = Arc::get_mut(before.get_or_insert_default());
                    let next = Arc::get_mut(next.get_or_insert_default());
                    // A run that has begun is refused above; no other run shares its settings.
                    before.zip(next).map(|(before, next)| Arc::new(before.then(next)))
                }
            }
        };
        // The stages' results are measured as they are made.
        let by = if next.weigh.is_some() { MeasuredBy::DeepSize } else { next.measure.1.by };
        let measure = (before.measure.0, Measure { heap: None, by });
        let knows_results = before.facts.knows_results || next.facts.knows_results;
        let stages = u32::try_from(core.stages.len()).unwrap_or(u32::MAX);
        let context = Then { before, next, counts, stages };
        let shared = Shared::new(context, body, measure);
        let shared = Shared {
            facts: Facts { knows_results, ..shared.facts },
            fails: Some(P::Policy::fails),
            #[cfg(feature = "durable")]
            is_error,
            #[cfg(feature = "durable")]
            durable,
            ..shared
        };
        Batched::of_parts(source.retyped(shared.types), shared, as_function, core)
    }
}

/// Joins a stage that returns `N` with the policy `Q` to stages that return `R`. The policy of
/// those stages implements this.
pub trait Joins<R, N, Q>: Policy<R> {
    /// The type that the pipeline returns.
    type Output;
    /// The policy for its errors.
    type Policy: Policy<Self::Output>;
    /// The type that an error of the stages before becomes.
    type Failure;

    #[doc(hidden)]
    fn join(result: Result<N, Self::Failure>) -> Self::Output;
}

impl<R, N, Q: Policy<N>> Joins<R, N, Q> for Each {
    type Output = N;
    type Policy = Q;
    type Failure = Infallible;

    #[inline]
    fn join(result: Result<N, Infallible>) -> N {
        match result {
            Ok(result) => result,
            Err(never) => match never {},
        }
    }
}

macro_rules! policies {
    ($($policy:ident $(: $bound:path)?),*) => {$(
        impl<T, E $(: $bound)?, N> Joins<Result<T, E>, N, Each> for $policy {
            type Output = Result<N, E>;
            type Policy = Self;
            type Failure = E;

            #[inline]
            fn join(result: Result<N, E>) -> Result<N, E> {
                result
            }
        }

        // `Follows` accepts only one of the three. All have an output, so that rustc reports
        // nothing else about the others.
        joins!($policy Stop $(: $bound)?);
        joins!($policy Skip $(: $bound)?);
        joins!($policy Collect $(: $bound)?);

        impl Follows<$policy> for $policy {}
        impl Follows<$policy> for Each {}
    )*};
}

macro_rules! joins {
    ($before:ident $next:ident $(: $bound:path)?) => {
        impl<T, E $(: $bound)?, U, X $(: $bound)?> Joins<Result<T, E>, Result<U, X>, $next> for $before {
            type Output = Result<U, X>;
            type Policy = Self;
            type Failure = X;

            #[inline]
            fn join(result: Result<Result<U, X>, X>) -> Result<U, X> {
                result?
            }
        }
    };
}

/// The policies that can follow the policy `P`.
#[diagnostic::on_unimplemented(
    message = "the stages of a pipeline share one policy for errors, but here `{Self}` follows `{P}`",
    label = "this stage has another policy than those before it",
    note = "set the policy of the stages before on this one too, by `on_error` of its attribute or by `.on_error(..)` in the closure \
            that makes it; or leave its own out, where all that it returns is a value"
)]
pub trait Follows<P> {}

impl<Q: Sealed> Follows<Each> for Q {}

policies!(Stop, Skip: ToldAsText, Collect);

impl<T, N> Joins<Option<T>, N, Each> for Flatten {
    type Output = Option<N>;
    type Policy = Self;
    type Failure = Absent;

    #[inline]
    fn join(result: Result<N, Absent>) -> Option<N> {
        result.ok()
    }
}

impl<T, N> Joins<Option<T>, Option<N>, Flatten> for Flatten {
    type Output = Option<N>;
    type Policy = Self;
    type Failure = Absent;

    #[inline]
    fn join(result: Result<Option<N>, Absent>) -> Option<N> {
        result.ok().flatten()
    }
}

impl Follows<Flatten> for Flatten {}
impl Follows<Flatten> for Each {}

/// An error of the next stage that an error `E` of the stages before can become, as by `?`.
#[diagnostic::on_unimplemented(
    message = "the error `{E}` of the stages before can't become `{Self}`, the error of the next stage",
    label = "the next stage's error is not made from `{E}`",
    note = "a pipeline fails with the error of its last stage, to which those before are converted as by `?`: implement \
            `From<{E}>` for `{Self}`, or let the stages return the same error"
)]
pub trait StageError<E> {
    #[doc(hidden)]
    fn of(error: E) -> Self;
}

impl<E, X: From<E>> StageError<E> for X {
    #[inline]
    fn of(error: E) -> Self {
        error.into()
    }
}

impl<T, R, C, M, N, D> Then<T, R, C, M, N, D> {
    fn scratch(&self) -> Box<Scratch> {
        let (before, next) = (self.before.types.place_of_one(), self.next.types.place_of_one());
        Scratch::new([before, next], self.counts.clone())
    }
}

fn prepare_chunk<T, R, C: Sync, M, N, D: Sync>(then: &Then<T, R, C, M, N, D>, chunk: &mut RawChunk) {
    let scratch = chunk.scratch.get_or_insert_with(|| then.scratch());
    then.before.prepare(&mut scratch.before);
    then.next.prepare(&mut scratch.next);
}

/// Runs the stages of a pipeline for the next `count` items of a chunk, one item after the other.
#[expect(clippy::type_complexity, reason = "the types are those of the stages")]
fn run_stages<T, R, C, M, N, D, P, Q>(
    shared: &Shared<T, P::Output, Then<T, R, C, M, N, D>>,
    chunk: &mut RawChunk,
    count: usize,
    is_over: &dyn Fn() -> bool,
) where
    P: Policy<R, Value = M> + Joins<R, N, Q>,
    P::Failure: StageError<<P as Policy<R>>::Error>,
    C: Sync,
    D: Sync,
{
    let then = &shared.context;
    let Then { before, next, stages, .. } = then;
    // While in use it is held here alone: so a panic drops it, with the values of the item.
    let mut scratch = chunk.scratch.take().unwrap_or_else(|| then.scratch());
    let mut clock = chunk.clock;
    let mut measured = chunk.measured;
    let outermost = matches!(clock, Clock::Own);
    // The end of one item is the beginning of the next.
    let mut ended: Option<Instant> = None;
    shared.types.quota(chunk, count).run(|item| {
        let begun = match clock {
            Clock::Own => scratch.pace.next().map(|weight| (ended.unwrap_or_else(now), weight)),
            Clock::Untimed => None,
            Clock::At(begun, weight) => Some((begun, weight)),
        };
        let (result, heap, passed) = call(before, &mut scratch, Part::Before, item, begun, is_over);
        let bytes = size_of::<R>() as u64 + heap.sum;
        let most = bytes + heap.working;
        let (output, heap, most, done) = match P::split(result) {
            Ok(value) => {
                scratch.tally(Part::Before).finish(bytes);
                let (result, heap, done) = call(next, &mut scratch, Part::Next, value, passed, is_over);
                let output = P::join(Ok(result));
                let last = size_of::<N>() as u64 + heap.sum;
                if shared.fails.is_some_and(|fails| fails(&output)) {
                    scratch.tally(Part::Next).failed += 1;
                } else {
                    scratch.tally(Part::Next).finish(last);
                }
                // A stage may hold what it took until it ends.
                (output, heap, most.max(bytes + last + heap.working), done)
            }
            Err(error) => {
                // It is counted even if its conversion panics.
                scratch.at = None;
                scratch.tally(Part::Before).failed += 1;
                // Errors are small.
                (P::join(Err(StageError::of(error))), Heap::default(), most, passed)
            }
        };
        scratch.at = None;
        let kept = size_of::<P::Output>() as u64 + heap.sum;
        measured.sum = measured.sum.saturating_add(heap.sum);
        measured.largest = measured.largest.max(heap.sum);
        measured.working = measured.working.max(most.saturating_sub(kept));
        if let (Some((begun, weight)), Some((done, _))) = (begun, done) {
            if outermost {
                scratch.pace.learn(done - begun, *stages);
                ended = Some(done);
            } else {
                clock = Clock::At(done, weight);
            }
        } else {
            ended = None;
        }
        output
    });
    if outermost {
        scratch.add_up();
    }
    chunk.clock = clock;
    chunk.measured = measured;
    chunk.scratch = Some(scratch);
}

/// Calls one part of a pipeline for an item. Gives its result, what that owns, and the time after
/// the call if it had one before.
fn call<T, R, C: Sync>(
    part: &Shared<T, R, C>,
    scratch: &mut Scratch,
    which: Part,
    item: T,
    begun: Option<(Instant, u64)>,
    is_over: &dyn Fn() -> bool,
) -> (R, Heap, Option<(Instant, u64)>) {
    scratch.at = Some(which);
    let chunk = match which {
        Part::Before => &mut *scratch.before,
        Part::Next => &mut *scratch.next,
    };
    part.types.put_one(chunk, item);
    chunk.clock = begun.map_or(Clock::Untimed, |(begun, weight)| Clock::At(begun, weight));
    part.call(chunk, 1, is_over);
    let heap = chunk.with_working(part.heap_of_results(&chunk.results, 1));
    let result = part.types.take_last(&mut chunk.results);
    let ended = match chunk.clock {
        Clock::At(ended, weight) if part.is_pipeline() => Some((ended, weight)),
        Clock::At(_, weight) => Some((now(), weight)),
        _ => None,
    };
    if let (Some((begun, weight)), Some((ended, _))) = (begun, ended) {
        scratch.tally(which).nanoseconds += weight * u64::try_from((ended - begun).as_nanos()).unwrap_or(u64::MAX);
    }
    (result, heap, ended)
}
