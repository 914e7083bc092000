//! Pipelines: functions that are run one after the other for each item, as one run.

use std::convert::Infallible;
use std::fmt;
use std::iter::{self, Empty};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use crate::execute::buffer::{RawChunk, Types};
use crate::execute::chunk::{Body, RunStages, Shared, Stages, as_function};
use crate::execute::stages::{Clock, Part, Scratch};
use crate::memory::measure::{Heap, Measure};
use crate::on_error::{Collect, Each, OnError, Skip, Stop};
use crate::run::{Batched, Parts};
use crate::stage::StageCounts;

/// The input of a stage of a pipeline: what the stages before it return, where an input of its own would stand.
///
/// [`then`](Batched::then) makes one, for the wrapper of the next function or for
/// [`process_in_batches`](crate::process_in_batches), whose items are then those `M`. It has none itself: there are some only when
/// the whole pipeline runs.
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

/// What the calls of a pipeline share: all that those of its stages do. It is the third parameter of a pipeline's [`Batched`], and of
/// use in the name of its type alone.
///
/// `T`, `R` and `C` are the items, the results and the context of what is before the stage that [`then`](Batched::then) added; `M`,
/// `N` and `D` are that stage's.
pub struct Then<T, R, C, M, N, D> {
    before: Shared<T, R, C>,
    next: Shared<M, N, D>,
    /// Where the parts that are no pipelines themselves count.
    counts: [Option<Arc<StageCounts>>; 2],
    /// Functions in all.
    stages: u32,
}

impl<T, R, C, M, N, D> fmt::Debug for Then<T, R, C, M, N, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Then").field("stages", &self.stages).finish_non_exhaustive()
    }
}

/// What flows into the next stage of results `R`, where this is the policy for errors.
pub trait Flows<R>: OnError {
    /// What the next stage takes.
    type Value;
    /// What keeps an item from it.
    type Error;

    #[doc(hidden)]
    fn split(result: R) -> Result<Self::Value, Self::Error>;

    /// Whether the item ends here.
    #[doc(hidden)]
    fn fails(result: &R) -> bool;
}

impl<R> Flows<R> for Each {
    type Value = R;
    type Error = Infallible;

    #[inline]
    fn split(result: R) -> Result<R, Infallible> {
        Ok(result)
    }

    #[inline]
    fn fails(_: &R) -> bool {
        false
    }
}

/// How a stage whose policy is `Q` follows stages whose policy is the implementor: these return `R`, and it returns `N`.
#[diagnostic::on_unimplemented(
    message = "the stages of a pipeline share one policy for errors, but here `{Q}` follows `{Self}`",
    label = "this stage has another policy than those before it",
    note = "set that policy on the stage: `.then(|items| stage_batched(items).on_error({Self}))`, or by `on_error` of its attribute; \
            or leave its own out, where all that it returns is a value"
)]
pub trait Joins<R, N, Q>: Flows<R> {
    /// What the pipeline returns.
    type Output;
    /// The policy for its errors.
    type Policy;
    /// What an error of the stages before becomes.
    type Failure;

    #[doc(hidden)]
    fn join(result: Result<N, Self::Failure>) -> Self::Output;

    /// Whether an item ends in the last stage.
    #[doc(hidden)]
    fn fails(output: &Self::Output) -> bool;
}

impl<R, N, Q: Flows<N>> Joins<R, N, Q> for Each {
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

    #[inline]
    fn fails(output: &N) -> bool {
        Q::fails(output)
    }
}

macro_rules! policies {
    ($($policy:ident)*) => {$(
        impl<T, E> Flows<Result<T, E>> for $policy {
            type Value = T;
            type Error = E;

            #[inline]
            fn split(result: Result<T, E>) -> Result<T, E> {
                result
            }

            #[inline]
            fn fails(result: &Result<T, E>) -> bool {
                result.is_err()
            }
        }

        impl<T, E, N> Joins<Result<T, E>, N, Each> for $policy {
            type Output = Result<N, E>;
            type Policy = Self;
            type Failure = E;

            #[inline]
            fn join(result: Result<N, E>) -> Result<N, E> {
                result
            }

            #[inline]
            fn fails(output: &Result<N, E>) -> bool {
                output.is_err()
            }
        }

        impl<T, E, U, X> Joins<Result<T, E>, Result<U, X>, $policy> for $policy {
            type Output = Result<U, X>;
            type Policy = Self;
            type Failure = X;

            #[inline]
            fn join(result: Result<Result<U, X>, X>) -> Result<U, X> {
                result?
            }

            #[inline]
            fn fails(output: &Result<U, X>) -> bool {
                output.is_err()
            }
        }
    )*};
}

policies!(Stop Skip Collect);

/// What an error `E` of a stage can become in a pipeline: what the next stage's error is made of it, as by `?`.
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

impl<I: IntoIterator, R, C, P> Batched<I, R, C, P> {
    /// Adds a stage: what this run returns for an item, `next` takes, on the same thread and at once. What comes out is one run, a
    /// pipeline, with all options and terminals; each stage is compiled with the types of those beside it.
    ///
    /// `next` makes the stage from what flows into it: the wrapper of an annotated function can be given as it is, a closure passes
    /// shared parameters, sets options for this stage, or makes a stage of a closure by
    /// [`process_in_batches`](crate::process_in_batches).
    ///
    /// An item goes through all stages in one call of the executor. So what stages hand to each other lives only while its item's
    /// call is in flight, one for each thread, however long the input is; a slow stage is done by as many threads as there are, while
    /// others do other stages of other items; and nothing is queued between stages. The results come in the order of the items.
    ///
    /// # What flows
    ///
    /// | errors of the stages before | what the next stage takes | the pipeline returns |
    /// | --- | --- | --- |
    /// | have no policy, or there are none | `R`, what they return | what the next stage returns, with its policy |
    /// | have a policy, and they return `Result<T, E>`; the next stage has none | `T` | `Result<N, E>` where the next stage returns `N` |
    /// | have a policy, and the next stage has the same and returns `Result<N, X>` | `T` | `Result<N, X>`; an `E` becomes an `X` by `From`, as with `?` |
    ///
    /// An item whose stage returned an error goes no further, and the error is that of the item. What becomes of it the policy
    /// decides ([`on_error`](Self::on_error)), which can be set anew for the whole pipeline.
    ///
    /// # Options
    ///
    /// | | of the pipeline |
    /// | --- | --- |
    /// | `max_memory` | the least that a stage states: one budget for all |
    /// | `threads` | the least that a stage states: no stage runs on more, and so no other does either |
    /// | `sample_size` | the most that a stage states |
    /// | `batch_size` | what the last stage that states one does, because batches are of its results |
    /// | `oversize`, `on_panic` | what the last stage does that states another than the default |
    /// | `verbose` | whether any stage is |
    /// | `retry` | each stage's own: it alone is called again, with a clone of what it was given |
    /// | `cancel_token`, `deadline`, `timeout` | whichever of any stage comes first |
    ///
    /// What is set on the pipeline, after `then`, overrides that; [`retry`](Self::retry) there runs all stages again.
    ///
    /// # Memory
    ///
    /// A call in flight needs, beside its result, what its stages hand to each other. What a stage was given and what it returns are
    /// taken to be there at the same time, each with what its type says that it owns, or as [`Tracking`](crate::Tracking) measures
    /// it.
    ///
    /// # Errors
    ///
    /// The terminal of the pipeline refuses it, by an error that [is about an option](crate::Error::is_invalid_option), where this
    /// run or the next stage was [planned](Self::plan) or has begun: its results are not those of the pipeline.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{batched, process_in_batches};
    ///
    /// /// The numbers of a line.
    /// #[batched(on_error = "stop", max_memory = "64MiB")]
    /// fn parse(line: &str) -> Result<Vec<f64>, std::num::ParseFloatError> {
    ///     line.split(' ').map(str::parse).collect()
    /// }
    ///
    /// #[batched]
    /// fn scale(mut row: Vec<f64>, factor: f64) -> Vec<f64> {
    ///     row.iter_mut().for_each(|x| *x *= factor);
    ///     row
    /// }
    ///
    /// #[batched(batch_size = 100)]
    /// fn sum(row: Vec<f64>) -> f64 {
    ///     row.iter().sum()
    /// }
    ///
    /// let pipeline = |lines| parse_batched(lines).then(|rows| scale_batched(rows, 10.0)).then(sum_batched);
    /// assert_eq!(pipeline(["1 2", "3 4"]).collect::<Vec<_>>()?, [30.0, 70.0]);
    ///
    /// let error = pipeline(["1 2", "3 x"]).collect::<Vec<_>>().unwrap_err();
    /// assert_eq!(error.to_string(), "item 1 failed: invalid float literal");
    ///
    /// // A stage of a closure, and what each stage did.
    /// let report = pipeline(["1 2", "3 4"])
    ///     .then(|sums| process_in_batches(f64::sqrt, sums))
    ///     .for_each_batch(|roots| println!("{roots:?}"))?;
    /// let names: Vec<_> = report.stages().iter().map(|stage| stage.name()).collect();
    /// assert_eq!(names, ["parse", "scale", "sum", "closure"]);
    /// # Ok::<(), amorsize::TryError<std::num::ParseFloatError>>(())
    /// ```
    ///
    /// A stage takes its items by value, because nobody else has them. A function that borrows its item is called by a closure:
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// fn length(text: &str) -> usize {
    ///     text.len()
    /// }
    ///
    /// let lengths: Vec<usize> = process_in_batches(|x: u32| x.to_string(), [7, 77])
    ///     .then(|texts| process_in_batches(|text: String| length(&text), texts))
    ///     .collect()?;
    /// assert_eq!(lengths, [1, 2]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[expect(clippy::type_complexity, reason = "the types are those of the stages")]
    pub fn then<N, D, Q, F>(
        self,
        next: F,
    ) -> Batched<
        I,
        <P as Joins<R, N, Q>>::Output,
        Then<I::Item, R, C, <P as Flows<R>>::Value, N, D>,
        <P as Joins<R, N, Q>>::Policy,
    >
    where
        P: Flows<R> + Joins<R, N, Q>,
        F: FnOnce(Stage<<P as Flows<R>>::Value>) -> Batched<Stage<<P as Flows<R>>::Value>, N, D, Q>,
        <P as Joins<R, N, Q>>::Failure: StageError<<P as Flows<R>>::Error>,
        I::Item: Send,
        <P as Joins<R, N, Q>>::Output: Send,
        C: Sync,
        D: Sync,
    {
        let before = self.into_parts();
        let next = next(Stage(PhantomData)).into_parts();
        // A pipeline has more than one stage, each of which counts for itself.
        let counts = [&before.core.stages, &next.core.stages].map(|stages| match stages.as_slice() {
            [own] => Some(Arc::clone(own)),
            _ => None,
        });
        let mut core = before.core.join(next.core);
        if before.has_begun {
            core.options.refuse_pipeline("called on a run that was planned or has begun");
        } else if next.has_begun {
            core.options.refuse_pipeline("given a stage that was planned or has begun");
        }
        let types = Types::new();
        let measure = (before.shared.measure.0, Measure { heap: None, by: next.shared.measure.1.by });
        let run: RunStages<_, _, _> = run_stages::<_, R, C, <P as Flows<R>>::Value, N, D, P, Q>;
        let body = Body::Stages(Stages {
            run,
            retries: |then: &Then<_, _, _, _, _, _>| then.before.retries() + then.next.retries(),
            measures: before.shared.measures() || next.shared.measures(),
        });
        let then = Then {
            before: before.shared,
            next: next.shared,
            counts,
            stages: u32::try_from(core.stages.len()).unwrap_or(u32::MAX),
        };
        let shared =
            Shared { context: then, body, measure, types, retrying: None, fails: <P as Joins<R, N, Q>>::fails };
        Batched::of_parts(
            before.source.retyped(types),
            as_function,
            Parts { shared, core, source: (), has_begun: false },
        )
    }
}

/// Runs the stages of a pipeline for the next `count` items of a chunk, one item after the other.
fn run_stages<T, R, C, M, N, D, P, Q>(
    shared: &Shared<T, P::Output, Then<T, R, C, M, N, D>>,
    chunk: &mut RawChunk,
    count: usize,
    is_over: &dyn Fn() -> bool,
) where
    P: Flows<R, Value = M> + Joins<R, N, Q>,
    P::Failure: StageError<<P as Flows<R>>::Error>,
{
    let Then { before, next, counts, stages } = &shared.context;
    let new = || Scratch::new([before.types.place_of_one(), next.types.place_of_one()], counts.clone());
    // While it is used it is held here alone: so a panic drops it, with what the item came to.
    let mut scratch = chunk.scratch.take().unwrap_or_else(new);
    let mut clock = chunk.clock;
    let mut measured = chunk.measured;
    let outermost = matches!(clock, Clock::Own);
    // The end of one item is the beginning of the next.
    let mut ended: Option<Instant> = None;
    shared.types.quota(chunk, count).run(|item| {
        let begun = match clock {
            Clock::Own => scratch.pace.next().map(|weight| (ended.unwrap_or_else(Instant::now), weight)),
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
                if (shared.fails)(&output) {
                    scratch.tally(Part::Next).failed += 1;
                } else {
                    scratch.tally(Part::Next).finish(last);
                }
                // What a stage took it may have to its end.
                (output, heap, most.max(bytes + last + heap.working), done)
            }
            Err(error) => {
                scratch.tally(Part::Before).failed += 1;
                // Errors are small.
                (P::join(Err(StageError::of(error))), Heap::default(), most, passed)
            }
        };
        scratch.at = None;
        let kept = size_of::<P::Output>() as u64 + heap.sum;
        measured.sum += heap.sum;
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

/// Calls one part of a pipeline for an item. Gives its result, what that owns, and the time after it where there was one before.
fn call<T, R, C>(
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
    part.call_for(chunk, 1, is_over);
    let heap = part.heap_of_last(chunk, 1);
    let result = part.types.take_result(chunk);
    let ended = match chunk.clock {
        Clock::At(ended, weight) if part.is_pipeline() => Some((ended, weight)),
        Clock::At(_, weight) => Some((Instant::now(), weight)),
        _ => None,
    };
    if let (Some((begun, weight)), Some((ended, _))) = (begun, ended) {
        scratch.tally(which).nanoseconds += weight * u64::try_from((ended - begun).as_nanos()).unwrap_or(u64::MAX);
    }
    (result, heap, ended)
}
