//! The run: [`Batched`], the functions that make one, and the iterators that it becomes. The
//! guide's page [`terminals`](crate::guide::terminals) says which way out is for what.

// The docs list methods in the order of these files: first those that a newcomer calls.
mod terminals;

#[cfg(feature = "array")]
mod array;
// For the docs alone: rustc's messages write the whole path of a name that is hidden.
#[cfg_attr(doc, doc(hidden))]
pub mod bounds;
mod builder;
mod core;
#[cfg(feature = "durable")]
mod durable;
pub(crate) mod functions;
mod inside;
pub(crate) mod iter;
mod iterate;
#[cfg(feature = "durable")]
pub(crate) mod keyed;
#[cfg(feature = "durable")]
mod opening;
#[cfg(feature = "durable")]
mod spilling;
pub(crate) mod then;

pub use functions::{
    IntoBatched, estimate_safe_batch_size, execute, optimize, process_fallible_in_batches, process_in_batches,
};
pub use iter::{IntoIter, Unordered};
#[cfg(feature = "durable")]
pub use keyed::Keyed;
pub use then::{Stage, Then};

pub use crate::output::batch::Indices;
pub use crate::output::exchange::Iterate;

use std::fmt;
use std::marker::PhantomData;

use self::core::{Core, CoreParts};
use crate::call::{AsFunction, Body, Kernel, Shared, as_function};
use crate::error::Error;
use crate::error::failure::Ended;
use crate::input::Source;
use crate::memory::measure::Measure;
use crate::options::Options;
use crate::output::outlet::{Flow, Outlet};
use crate::policy::Seen;
use crate::policy::on_error::Each;

/// A run that has not started: a function, its input, and how to go about it.
///
/// The wrapper of an annotated function returns one, and so does [`process_in_batches`]. Builder
/// methods set options; a [terminal](crate::guide::terminals) starts it:
/// [`collect`](Self::collect), [`try_collect`](Self::try_collect),
/// [`for_each_batch`](Self::for_each_batch), [`try_for_each_batch`](Self::try_for_each_batch),
/// iterating, or [`unordered`](Self::unordered). [`plan`](Self::plan) runs the sample alone.
/// [`then`](Self::then) adds a function that takes what this one returns.
///
/// `I` is the input, `R` the function's return type, `C` the values that all calls share, `P` the
/// policy for errors: results are handed over as they are unless [`on_error`](Self::on_error) says
/// otherwise.
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
///
/// // Nothing is called yet.
/// let run = process_in_batches(|x: u64| x * x, 0..1000);
/// let mut run = run.max_memory("64MiB").batch_size(100);
/// // Now it is.
/// let squares: Vec<u64> = run.collect()?;
/// assert_eq!(squares[999], 998_001);
/// # Ok::<(), amorsize::Error>(())
/// ```
///
/// # Panics
///
/// A panic of the function, of the input's iterator or of the sink reaches the caller of the
/// terminal with its own payload, after the calls in flight have ended. Results of the items before
/// a panicking call still go to the sink.
///
/// # Going on
///
/// A terminal that ends early, by an error, a caught panic, a token, a deadline or a lack of
/// memory, leaves the run as it is. The next terminal begins after what was handed over: no item is
/// run twice, and no result is lost. The item that failed or panicked is left out. A run that has
/// ended whole gives nothing more.
#[must_use = "a run does nothing until a terminal such as `collect` or `for_each_batch` starts it"]
pub struct Batched<I: IntoIterator, R, C, P = Each> {
    source: Source<I, R>,
    shared: Shared<I::Item, R, C>,
    as_function: AsFunction<I::Item, R, C>,
    core: Core,
    /// The core holds items and results without naming their types.
    owns: PhantomData<(I::Item, R)>,
    /// Failures that no terminal has given yet.
    seen: Seen<R>,
    policy: PhantomData<P>,
}

impl<I: IntoIterator, R, C> Batched<I, R, C> {
    #[inline]
    pub(crate) fn new(
        items: I,
        shared: C,
        kernel: Kernel<I::Item, R, C>,
        measure: (Measure<I::Item>, Measure<R>),
        options: Options,
    ) -> Self
    where
        I::Item: Send,
        R: Send,
        C: Sync,
    {
        // First what is the same for all functions: the less there is to drop if it panics.
        let core = Core::new(options, measure.0.facts(), measure.1.facts());
        let shared = Shared::new(shared, Body::Function(kernel), measure);
        Self {
            source: Source::new(items, shared.types, shared.measure.0.heap),
            shared,
            as_function: as_function::<I::Item, R, C>,
            core,
            owns: PhantomData,
            seen: Seen::NONE,
            policy: PhantomData,
        }
    }
}

impl<I: IntoIterator<Item = Result<T, N>>, T, N, R, C> Batched<I, R, C> {
    /// The same run over an input that can fail.
    pub(crate) fn of_fallible(self) -> Self {
        #[cfg(feature = "durable")]
        let shared = Shared { is_error: Some(Result::is_err), ..self.shared };
        #[cfg(feature = "durable")]
        return Self { shared, ..self };
        #[cfg(not(feature = "durable"))]
        self
    }
}

impl<I: IntoIterator, R, C, P> Batched<I, R, C, P> {
    /// The same run with another policy, which decides about results that `fail`.
    pub(crate) fn with_policy<Q>(self, fails: fn(&R) -> bool) -> Batched<I, R, C, Q> {
        let Self { source, shared, as_function, core, owns, seen, policy: _ } = self;
        Batched {
            source,
            shared: Shared { fails: Some(fails), ..shared },
            as_function,
            core,
            owns,
            seen,
            policy: PhantomData,
        }
    }

    /// A run that is made from parts of other runs.
    pub(super) fn of_parts(
        source: Source<I, R>,
        shared: Shared<I::Item, R, C>,
        as_function: AsFunction<I::Item, R, C>,
        core: CoreParts,
    ) -> Self {
        let core = Core::of_parts(core, shared.measure.0.facts(), shared.measure.1.facts());
        Self { source, shared, as_function, core, owns: PhantomData, seen: Seen::NONE, policy: PhantomData }
    }

    /// True if there are items or results of it already.
    fn has_begun(&self) -> bool {
        self.source.has_begun() || self.core.planned().is_some()
    }

    /// Begins a part of the run that is reported by itself, and opens what the run keeps.
    fn begin_part(&mut self) -> Result<(), Error> {
        self.core.begin_part(self.shared.retries(), &mut self.seen.told);
        #[cfg(feature = "durable")]
        self.open()?;
        Ok(())
    }

    /// Refuses a journal for a terminal without a sink: nobody would have the results that the
    /// journal counts as done.
    #[inline]
    pub(crate) fn refuse_journal(&self) -> Result<(), Error> {
        #[cfg(feature = "durable")]
        self.shared.durable.as_ref().map_or(Ok(()), |durable| durable.refuse_journal())?;
        Ok(())
    }

    /// Begins a part of the run, and refuses invalid options.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        self.begin_part()?;
        self.core.start(&mut self.source, (self.as_function)(&self.shared))
    }

    /// The same for a terminal without a sink.
    pub(crate) fn start_without_sink(&mut self) -> Result<(), Error> {
        self.refuse_journal()?;
        self.start()
    }

    /// The same for a run with results in any order; no call is started yet.
    pub(crate) fn start_unordered(&mut self) -> Result<(), Error> {
        self.begin_part()?;
        self.core.check()?;
        self.core.begin_unordered();
        Ok(())
    }

    /// Runs until the input ends or the outlet has enough. Results that are kept go first.
    pub(crate) fn drive(&mut self, outlet: &mut dyn Outlet) -> Result<Flow, Ended> {
        self.core.drive(&mut self.source, (self.as_function)(&self.shared), outlet)
    }

    #[cfg(not(feature = "durable"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "no run is durable")]
    pub(crate) fn remove_kept(&mut self) -> Result<Option<crate::plan::Warning>, Error> {
        Ok(None)
    }
}

impl<I: IntoIterator, R, C, P> fmt::Debug for Batched<I, R, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("options", self.core.options())
            .field("plan", &self.core.planned())
            .finish_non_exhaustive()
    }
}
