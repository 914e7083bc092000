//! The run as its user sees it.

mod fallible;
mod partial;

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use self::fallible::{always, until_sink_fails};
use crate::bounds::{
    MaxMemoryOption, OnPanicOption, OversizeOption, RetryItem, RetryOption, RetryOutput, SinkError, SinkOutput,
};
use crate::cancel::CancelToken;
use crate::error::{Error, TryError};
use crate::execute::buffer::Types;
use crate::execute::chunk::{AsFunction, Body, Kernel, Retrying, Shared, as_function};
use crate::execute::line::{Flow, Outlet, Source};
use crate::failure::{Ended, Failure};
use crate::handover::HandedOver;
use crate::iter::{IntoIter, Unordered};
use crate::memory::deep_size::features::Unasked;
use crate::memory::measure::Measure;
use crate::on_error::{Each, Stop};
use crate::options::Options;
use crate::partial::Partial;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::Report;
use crate::run_core::{Core, Parts};
use crate::sink::{Batch, Batches};
use crate::stage::StageCounts;
use crate::then::{self, Flows, Follows, Joins, Pipes, Stage, StageError, StageOfItemsAlone, Then};

/// A run that has not started: a function, its input, and how to go about it.
///
/// An annotated function's wrapper gives one, and so does [`process_in_batches`](crate::process_in_batches). Builder methods set options, a terminal
/// starts it: [`collect`](Self::collect), [`try_collect`](Self::try_collect), [`for_each_batch`](Self::for_each_batch),
/// [`try_for_each_batch`](Self::try_for_each_batch), iterating, or [`unordered`](Self::unordered).
/// [`plan`](Self::plan) runs the sample alone. [`then`](Self::then) adds a function that takes what this one returns.
///
/// `I` is the input, `R` what the function returns, `C` what all calls share, `P` what becomes of errors: results are handed over
/// as they are unless [`on_error`](Self::on_error) says otherwise.
///
/// # Panics
///
/// A panic of the function, of the input's iterator or of the sink reaches the caller of the terminal with its own payload,
/// after the calls in flight have ended. Results of the items before a panicking call still go to the sink.
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
///
/// // Nothing is called yet.
/// let run = process_in_batches(|x: u64| x * x, 0..1000).max_memory("64MiB").batch_size(100);
/// // Now it is.
/// let squares: Vec<u64> = run.collect()?;
/// assert_eq!(squares[999], 998_001);
/// # Ok::<(), amorsize::Error>(())
/// ```
#[must_use = "a run does nothing until a terminal such as `collect` or `for_each_batch` starts it"]
pub struct Batched<I: IntoIterator, R, C, P = Each> {
    source: Source<I, R>,
    shared: Shared<I::Item, R, C>,
    as_function: AsFunction<I::Item, R, C>,
    core: Core,
    /// The core holds items and results without naming their types.
    owns: PhantomData<(I::Item, R)>,
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
        let types = Types::new();
        Self {
            source: Source::new(items, types),
            shared: Shared {
                context: shared,
                body: Body::Function(kernel),
                measure,
                types,
                retrying: None,
                // Until a policy is set, an error is a result like any other.
                fails: |_| false,
            },
            as_function: as_function::<I::Item, R, C>,
            core: Core::new(options, [size_of::<I::Item>(), size_of::<R>()], measure.1.by, Unasked::of(&measure)),
            owns: PhantomData,
            policy: PhantomData,
        }
    }
}

impl<I: IntoIterator, R, C, P> Batched<I, R, C, P> {
    // ---- options ----

    /// Sets the memory budget: a fraction of what is available (`0 < x <= 1`, 0.5 by default), or bytes as [`Bytes`](crate::Bytes) or as a
    /// text such as `"512MiB"`: whatever becomes a [`MaxMemory`](crate::MaxMemory).
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Bytes, process_in_batches};
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..9).max_memory("512MiB");
    /// assert_eq!(run.plan()?.budget(), Bytes::mib(512));
    /// // Set again: a tenth of what is available.
    /// assert!(run.max_memory(0.1).collect::<Vec<_>>().is_ok());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn max_memory(mut self, max_memory: impl MaxMemoryOption) -> Self {
        let max_memory = max_memory.max_memory();
        self.core.change_options(|mut options| {
            options.set_max_memory(max_memory);
            options
        });
        self
    }

    /// Sets the items per batch at most; a batch is smaller at the end of the input, or where the budget closes it early. By
    /// default the plan finds it from memory and time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut sizes = Vec::new();
    /// process_in_batches(|x: u64| x + 1, 0..10).batch_size(4).for_each_batch(|batch| sizes.push(batch.len()))?;
    /// assert_eq!(sizes, [4, 4, 2]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn batch_size(mut self, items: usize) -> Self {
        self.core.change_options(|options| options.batch_size(items));
        self
    }

    /// Sets the items in the sample at most (5 by default).
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..100).sample_size(20);
    /// assert!(run.plan()?.explain().starts_with("sampled 20 items"));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn sample_size(mut self, items: usize) -> Self {
        self.core.change_options(|options| options.sample_size(items));
        self
    }

    /// Sets the number of workers: the run uses a pool of that size, if the one that it would find has another. The pools of the last
    /// four numbers are kept for further runs, and others end when no run uses them. Calls are on no other threads then, but for the
    /// first ones, which are on the calling thread.
    ///
    /// Few items, up to four for each thread, don't wait for the first call: two start together, and all threads have one as soon as
    /// those are seen to do nothing but wait. Nothing is known of their memory then; a smaller number, or
    /// [`in_flight`](Self::in_flight), bounds it.
    ///
    /// By default the run uses the pool that it is called in, or rayon's global one, as far as the plan finds it worthwhile: no more
    /// threads than can run at a time, which is the size of the pool, the cores that the process may use (by its affinity mask) or
    /// its share of their time (by a quota of its cgroup), whichever is least.
    ///
    /// A function that waits, for a device, the network, a lock or a timer, gets more: threads that sleep need no core. The run finds
    /// by itself how many pay, up to 256 or four for each core. They are [threads of the run's own](crate::guide::waiting) beside the
    /// pool's, with a stack as large, end with it, and are not bounded by `RAYON_NUM_THREADS`, which says how many cores to use. They take no more
    /// than half of what the limits of the process leave (address space, tasks of its user and its
    /// cgroups), and none is added while memory is short. A run that is called on a pool's thread
    /// keeps to that pool, and one within a call of another run to the cores.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// // A service that takes eight calls at a time: without a number the run tries whether more pay.
    /// let fetch = |x: u64| {
    ///     std::thread::sleep(std::time::Duration::from_millis(2));
    ///     x
    /// };
    /// let report = process_in_batches(fetch, 0..100).threads(8).for_each_batch(|_| ())?;
    /// assert_eq!(report.threads(), 8);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn threads(mut self, threads: usize) -> Self {
        self.core.change_options(|options| options.threads(threads));
        self
    }

    /// Sets the items between the input and the sink at most: items that were taken from the input,
    /// items that are being run, and results that were not handed over. By default only the budget
    /// bounds them.
    ///
    /// It is for items and results that hold what a process has few of: file descriptors, child
    /// processes, connections, contexts of a GPU. At no moment are there more than that, on whatever
    /// threads the run is, and in the sample of a plan too:
    ///
    /// - a batch counts until the sink returns;
    /// - what an iterator gave belongs to its caller and counts no longer; the run takes further items
    ///   when it has given all that are ready;
    /// - what a collection took counts no longer, because it is kept to the end: with `collect` the
    ///   bound is on items that were taken and on those that are being run;
    /// - an item that panicked is gone, where the run goes on without it; one that failed, where a
    ///   policy leaves it out, counts until the batch is handed over that it belongs to;
    /// - a clone that [`retry`](Self::retry) keeps does not count.
    ///
    /// No more calls run at a time than that, whatever [`threads`](Self::threads) says. A batch has no
    /// more items than that, and by default about a quarter of it, so that calls go on while the sink
    /// has one. With 1 the run takes an item, calls the function and hands the result over, and then
    /// takes the next one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    ///
    /// use amorsize::process_in_batches;
    ///
    /// // Stands for the files that are open.
    /// let open = AtomicUsize::new(0);
    /// let files = (0..1000).map(|name| {
    ///     assert!(open.fetch_add(1, Relaxed) < 8);
    ///     name
    /// });
    /// process_in_batches(|file: u32| file, files)
    ///     .in_flight(8)
    ///     .for_each_batch(|batch| _ = open.fetch_sub(batch.len(), Relaxed))?;
    /// assert_eq!(open.into_inner(), 0);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn in_flight(mut self, items: usize) -> Self {
        self.core.change_options(|options| options.in_flight(items));
        self
    }

    /// Sets what becomes of an item that is expected to need more than the whole budget: [`Oversize`](crate::Oversize) or its
    /// name. By default, `"alone"`, it runs while nothing else is held; with `"error"` the run ends before it is started.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::batched;
    /// #[batched(max_memory = "1MiB")]
    /// fn load(kib: usize) -> Vec<u8> {
    ///     vec![1; kib << 10]
    /// }
    ///
    /// // The run learns from the first result that the second one won't fit.
    /// let error = load_batched([2048; 4]).oversize("error").for_each_batch(|_| ()).unwrap_err();
    /// assert_eq!(error.item(), Some(1));
    /// assert_eq!(load_batched([2048; 4]).oversize("alone").for_each_batch(|_| ())?.items(), 4);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn oversize(self, oversize: impl OversizeOption) -> Self {
        self.choose(oversize.oversize(), Options::oversize)
    }

    /// Sets what becomes of a panic of the function: [`OnPanic`](crate::OnPanic) or its name. By default, `"propagate"`, the first
    /// one by input order goes on to the caller of the terminal; with `"skip"` and `"collect"` the run goes on without the item.
    ///
    /// Reports tell of such items, and with `"collect"` so do all terminals of a run with
    /// [`Collect`](crate::on_error::Collect). Others without a report leave them out and tell nothing.
    ///
    /// An item that is left out ends its batch early, since a [`Batch`] is of consecutive items. With
    /// [`Skip`](crate::on_error::Skip) or [`Collect`](crate::on_error::Collect) the batch goes on behind it, and
    /// [`Batch::indices`] tells where.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let report = process_in_batches(|x: u32| 100 / x, [5, 0, 4]).on_panic("skip").for_each_batch(|_| ())?;
    /// assert_eq!((report.items(), report.panicked()), (2, 1));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn on_panic(self, on_panic: impl OnPanicOption) -> Self {
        self.choose(on_panic.on_panic(), Options::on_panic)
    }

    /// Ends the run when `token` is cancelled: no item starts after it, what is finished by then is handed over, and the terminal
    /// fails with an error that [is cancelled](Error::is_cancelled).
    ///
    /// It replaces the token that was given before. The rest of a run ([`Partial`]) keeps its token: where that was cancelled the
    /// rest ends at once, unless it is given another one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{CancelToken, process_in_batches};
    /// let token = CancelToken::new();
    /// let run = process_in_batches(|x: u64| x + 1, 0..).cancel_token(&token);
    /// // Here, or from another thread, a handler of Ctrl-C, the sink.
    /// let error = run.for_each_batch(|_| token.cancel()).unwrap_err();
    /// assert!(error.is_cancelled());
    /// ```
    pub fn cancel_token(mut self, token: &CancelToken) -> Self {
        self.core.interrupts().set_token(token.clone());
        self
    }

    /// Ends the run at this time: no item starts after it, what is finished by then is handed over, and the terminal fails with an
    /// error that [is timed out](Error::is_timed_out). It replaces a timeout.
    ///
    /// The rest of a run ([`Partial`]) keeps its deadline: where that has passed the rest ends at once, unless it is given another
    /// one or a [`timeout`](Self::timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::{Duration, Instant};
    /// # use amorsize::process_in_batches;
    /// let soon = Instant::now() + Duration::from_millis(20);
    /// let error = process_in_batches(|x: u64| x + 1, 0..).deadline(soon).for_each_batch(|_| ()).unwrap_err();
    /// assert!(error.is_timed_out());
    /// ```
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.core.interrupts().set_deadline(deadline);
        self
    }

    /// Ends the run so long after its terminal or [`plan`](Self::plan) was called, whichever came first, as
    /// [`deadline`](Self::deadline) does. It replaces a deadline.
    ///
    /// The time isn't counted anew for the rest of a run ([`Partial`]): where it is over the rest ends at once, unless it is given
    /// another timeout or a deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use amorsize::process_in_batches;
    ///
    /// let mut done = 0;
    /// let slow = |x: u64| { std::thread::sleep(Duration::from_millis(1)); x };
    /// let run = process_in_batches(slow, 0..).timeout(Duration::from_millis(20));
    /// let error = run.for_each_batch(|batch| done += batch.len()).unwrap_err();
    /// assert!(error.is_timed_out());
    /// println!("{done} items: {error}");
    ///
    /// // To go on with what is left takes another one.
    /// let run = process_in_batches(|x: u64| x, 0..4).timeout(Duration::ZERO);
    /// let rest = run.collect_partial::<Vec<_>>().unwrap_err().into_rest();
    /// assert_eq!(rest.timeout(Duration::from_secs(60)).collect::<Vec<_>>()?, [0, 1, 2, 3]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.core.interrupts().set_timeout(timeout);
        self
    }

    /// Makes a call that returned an error again, up to so many times: a number, or a
    /// [`Retry`](crate::Retry) that also says how long to wait before each. The last error is the item's result. It is for functions that return a `Result`; a panic is not retried.
    ///
    /// The function uses up its item, so a clone is kept during each call that may be followed by another. Where items are
    /// borrowed, that is a reference; a clone that owns memory is held beside the budget, unless
    /// [`Tracking`](crate::Tracking) measures it as part of what a call needs.
    ///
    /// A worker that waits does nothing else, and the seconds of an item, in the sample as in plan and report, include its waits.
    /// A run that is over, as by an error of its sink, does not wait any longer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// use amorsize::process_in_batches;
    ///
    /// let asleep = AtomicBool::new(true);
    /// let ask = |x: u32| if asleep.swap(false, Ordering::Relaxed) { Err("asleep") } else { Ok(x + 1) };
    ///
    /// let mut answers = Vec::new();
    /// let report = process_in_batches(ask, 0..5).retry(3).for_each_batch(|batch| answers.extend(batch))?;
    /// assert_eq!(answers, [Ok(1), Ok(2), Ok(3), Ok(4), Ok(5)]);
    /// assert_eq!(report.retries(), 1);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn retry(mut self, retry: impl RetryOption) -> Self
    where
        I::Item: RetryItem,
        R: RetryOutput,
    {
        let retry = retry.retry();
        self.core.change_options(|mut options| {
            options.set_retry(retry);
            options
        });
        self.shared.retrying = Some(Retrying::new(retry));
        self
    }

    #[doc = include_str!("then.md")]
    pub fn then<N, D, Q, F>(self, next: F) -> <Q as Pipes<I, R, C, P, <P as Flows<R>>::Value, N, D>>::Pipeline
    where
        P: Flows<R> + Joins<R, N, Q>,
        F: StageOfItemsAlone<<P as Flows<R>>::Value, N, D, Q>,
        <P as Joins<R, N, Q>>::Failure: StageError<<P as Flows<R>>::Error>,
        Q: Follows<P> + Pipes<I, R, C, P, <P as Flows<R>>::Value, N, D>,
    {
        Q::join(self, next(Stage::new()))
    }

    /// The run of all stages, with one more.
    #[expect(clippy::type_complexity, reason = "the types are those of the stages")]
    pub(crate) fn joined<M, N, D, Q>(
        self,
        next: Batched<Stage<M>, N, D, Q>,
    ) -> Batched<I, <P as Joins<R, N, Q>>::Output, Then<I::Item, R, C, M, N, D>, <P as Joins<R, N, Q>>::Policy>
    where
        I::Item: Send,
        P: Flows<R, Value = M> + Joins<R, N, Q, Output: Send, Failure: StageError<<P as Flows<R>>::Error>>,
        C: Sync,
        D: Sync,
    {
        let (source, before) = self.into_parts();
        let (_, next) = next.into_parts();
        let Parts { shared, core, .. } = then::joined::<_, _, _, _, _, _, P, Q>(before, next);
        let sizes = [size_of::<I::Item>(), size_of::<<P as Joins<R, N, Q>>::Output>()];
        let core = Core::of_parts(core, sizes, shared.measure.1.by, Unasked::of(&shared.measure));
        Batched {
            source: source.retyped(shared.types),
            as_function: as_function::<I::Item, <P as Joins<R, N, Q>>::Output, _>,
            shared,
            core,
            owns: PhantomData,
            policy: PhantomData,
        }
    }

    /// Sets whether the run prints its plan and its batches to stderr.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// // Prints "Processing 100 items in 2 batches" and more to stderr.
    /// let report = process_in_batches(|x: u64| x + 1, 0..100).batch_size(50).verbose(true).for_each_batch(|_| ())?;
    /// assert_eq!(report.batches(), 2);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn verbose(mut self, verbose: bool) -> Self {
        self.core.change_options(|options| options.verbose(verbose));
        self
    }

    /// Calls `callback` with the run's [`Progress`]: when it begins, when its sample is done, about twenty times a second while
    /// calls end, and when it is over. It replaces another callback, and the bar that the attribute's `progress` shows.
    ///
    /// Any thread of the run may be the one to call it, one at a time, and it does so while it could do an item: so keep it short. The
    /// feature `progress` has a bar for people, [`progress_bar`](crate::progress_bar()).
    ///
    /// # Panics
    ///
    /// A panic of `callback` ends the run and reaches the caller of the terminal.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let run = process_in_batches(|x: u64| x * x, 0..1000).progress(|progress| {
    ///     if let Some(total) = progress.total() {
    ///         println!("{}: {} of {total}, {} held", progress.phase(), progress.done(), progress.bytes());
    ///     }
    /// });
    /// assert_eq!(run.collect::<Vec<_>>()?.len(), 1000);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn progress<F: FnMut(&Progress) + Send + 'static>(mut self, callback: F) -> Self {
        self.core.set_progress(Box::new(callback));
        self
    }

    pub(crate) fn begin_unordered(&mut self) {
        self.core.begin_unordered();
    }

    /// Runs the sample and plans the rest. The sample's results stay in the run: planning and then running calls the function
    /// once per item.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take; when a token was cancelled or a deadline passed during the sample. A
    /// `timeout` counts from here on. What was sampled stays in the run.
    ///
    /// # Panics
    ///
    /// With the panic of the function, of the input, or of a `heap_size`. The items that were taken before it stay in the run.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..100);
    /// println!("{}", run.plan()?);
    /// assert_eq!(run.collect::<Vec<_>>()?, (1..=100).collect::<Vec<_>>());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn plan(&mut self) -> Result<&Plan, Error> {
        self.core.plan(&mut self.source, (self.as_function)(&self.shared))
    }

    fn check(&self) {
        if let Err(error) = self.core.check() {
            panic!("{error}");
        }
    }

    // ---- inside ----

    /// Sets what is one of several, or has the terminal refuse what is none of them.
    fn choose<W>(mut self, choice: Result<W, Error>, set: fn(Options, W) -> Options) -> Self {
        self.core.change_options(|mut options| match choice {
            Ok(choice) => set(options, choice),
            Err(error) => {
                options.refuse(&error);
                options
            }
        });
        self
    }

    pub(crate) fn types(&self) -> Types<I::Item, R> {
        self.shared.types
    }

    /// The same run with another policy, which decides of results that `fail`.
    pub(crate) fn with_policy<Q>(self, fails: fn(&R) -> bool) -> Batched<I, R, C, Q> {
        let Self { source, shared, as_function, core, owns, policy: _ } = self;
        Batched { source, shared: Shared { fails, ..shared }, as_function, core, owns, policy: PhantomData }
    }

    /// Takes a run apart that is to be part of another one.
    fn into_parts(self) -> (Source<I, R>, Parts<I::Item, R, C>) {
        let Self { source, shared, core, .. } = self;
        let has_begun = source.has_begun() || core.planned().is_some();
        let mut core = core.into_parts();
        if core.stages.is_empty() {
            core.stages.push(StageCounts::new(core.options.name()));
        }
        (source, Parts { shared, core, has_begun })
    }

    /// Refuses what can't be run with.
    fn start(&mut self) -> Result<(), Error> {
        self.core.start(&mut self.source, (self.as_function)(&self.shared))
    }

    /// What a terminal gives back that could not finish.
    #[cold]
    pub(super) fn into_partial<T, E>(
        mut self,
        finished: Vec<T>,
        report: Report,
        cause: TryError<E>,
    ) -> Partial<T, Self, E> {
        self.core.begin_part(self.shared.retries());
        Partial::new(finished, report, self, cause)
    }

    /// The report of a `collect` that could not finish. A collection is no batch.
    #[cold]
    pub(super) fn report_of_collected(&mut self, items: usize) -> Report {
        self.report_of_part(HandedOver { items, ..HandedOver::default() })
    }

    /// The report of a run that could not finish.
    #[cold]
    pub(super) fn report_of_part(&mut self, handed_over: HandedOver) -> Report {
        self.core.report_of_part(handed_over, self.shared.retries())
    }

    /// Takes out the panics that were noted so far, where the run keeps all.
    pub(crate) fn take_panics(&mut self) -> Vec<Failure> {
        self.core.take_panics()
    }

    /// Gives back the credit of results that an iterator's caller has taken.
    pub(crate) fn release(&mut self, items: usize, bytes: u64) {
        self.core.release(items, bytes);
    }

    /// Runs until the input ends or the outlet has enough. Results of the sample go first.
    pub(crate) fn drive(&mut self, outlet: &mut dyn Outlet) -> Result<Flow, Ended> {
        self.core.drive(&mut self.source, (self.as_function)(&self.shared), outlet)
    }
}

impl<I: IntoIterator, R, C> Batched<I, R, C> {
    // ---- terminals ----

    /// Runs everything and collects the results in input order; a `Vec` is filled in place.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take, or when the results don't fit the memory budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let squares: Vec<u64> = process_in_batches(|x: u64| x * x, 0..4).collect()?;
    /// assert_eq!(squares, [0, 1, 4, 9]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn collect<V: FromIterator<R>>(mut self) -> Result<V, Error> {
        // A `Vec` takes over the allocation of what it is collected from.
        self.collect_vec().map(V::from_iter).map_err(|(ended, _)| ended.error_or_panic())
    }

    /// Collects like [`collect`](Self::collect), and where that can't finish, gives back what is finished and the rest of the run, so
    /// that nothing has to be computed again.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take, when the results don't fit the memory budget, when the run was cancelled
    /// or its deadline passed, or when a call panicked: here that is a cause like any other. The [`Partial`] holds everything that there
    /// is.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{batched, Bytes};
    ///
    /// #[batched(max_memory = "16MiB")]
    /// fn render(seed: u8) -> Vec<u8> {
    ///     vec![seed; 1 << 20]
    /// }
    ///
    /// let mut bytes = 0;
    /// let mut store = |image: Vec<u8>| bytes += image.len();
    /// match render_batched(0..100).collect_partial::<Vec<_>>() {
    ///     Ok(images) => images.into_iter().for_each(&mut store),
    ///     Err(partial) => {
    ///         let (images, rest, _) = partial.into_parts();
    ///         images.into_iter().for_each(&mut store);
    ///         rest.for_each_batch(|batch| batch.into_iter().for_each(&mut store))?;
    ///     }
    /// }
    /// assert_eq!(Bytes::new(bytes as u64), Bytes::mib(100));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn collect_partial<V: FromIterator<R>>(mut self) -> Result<V, Partial<R, Self>> {
        match self.collect_vec() {
            Ok(all) => Ok(V::from_iter(all)),
            Err((ended, finished)) => {
                let report = self.report_of_collected(finished.len());
                Err(self.into_partial(finished, report, ended.into()))
            }
        }
    }

    fn collect_vec(&mut self) -> Result<Vec<R>, (Ended, Vec<R>)> {
        let types = self.shared.types;
        match self.core.collect(&mut self.source, (self.as_function)(&self.shared), types.collector()) {
            Ok(all) => Ok(types.collected(all)),
            Err((error, all)) => Err((error, all.map_or_else(Vec::new, |all| types.collected(*all)))),
        }
    }

    /// Runs everything and hands the results to `sink` batch by batch, in input order. Work goes on while a batch is with the
    /// sink, as far as the budget allows.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let mut total = 0;
    /// let report = process_in_batches(|x: u64| vec![x; 1000], 0..100)
    ///     .max_memory("1MiB")
    ///     .for_each_batch(|batch| total += batch.iter().flatten().sum::<u64>())?;
    /// assert_eq!((total, report.items()), (4_950_000, 100));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn for_each_batch<O: SinkOutput, F: FnMut(Batch<R>) -> O>(mut self, sink: F) -> Result<Report, Error> {
        self.for_each(&mut always(sink)).map_err(|(ended, _)| ended.error_or_panic())
    }

    /// Hands over batches like [`for_each_batch`](Self::for_each_batch), and where that can't finish, gives the rest of the run back. A
    /// panic of the function is such a case, too: it comes back as the cause.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take, when a call panicked, when the run was cancelled or its deadline
    /// passed, or when an item is too large. The results of all items before it were handed over, and the [`Partial`] holds no
    /// finished ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let run = process_in_batches(|x: u32| 100 / x, [5, 4, 0, 2]);
    /// let mut quotients = Vec::new();
    /// let partial = run.for_each_batch_partial(|batch| quotients.extend(batch)).unwrap_err();
    /// assert_eq!(partial.cause().to_string(), "item 2 panicked: attempt to divide by zero");
    /// // The item is lost, and the others follow.
    /// partial.into_rest().for_each_batch(|batch| quotients.extend(batch))?;
    /// assert_eq!(quotients, [20, 25, 50]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn for_each_batch_partial<O: SinkOutput, F: FnMut(Batch<R>) -> O>(
        mut self,
        sink: F,
    ) -> Result<Report, Partial<R, Self>> {
        self.for_each(&mut always(sink)).map_err(|(ended, handed_over)| {
            let report = self.report_of_part(handed_over);
            self.into_partial(Vec::new(), report, ended.into())
        })
    }

    /// Runs everything and hands the results to `sink` batch by batch, until it returns an error.
    ///
    /// # Errors
    ///
    /// The sink's first error, as it is; or what [`for_each_batch`](Self::for_each_batch) fails with, converted into the
    /// sink's error type.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::{self, Write};
    ///
    /// use amorsize::process_in_batches;
    ///
    /// fn write_all(mut out: impl Write) -> io::Result<()> {
    ///     process_in_batches(|x: u32| format!("{x}\n"), 0..100).try_for_each_batch(|batch| {
    ///         batch.iter().try_for_each(|line| out.write_all(line.as_bytes()))
    ///     })?;
    ///     Ok(())
    /// }
    ///
    /// let mut out = Vec::new();
    /// write_all(&mut out)?;
    /// assert!(out.starts_with(b"0\n1\n2\n"));
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn try_for_each_batch<S: SinkError<Error>, F: FnMut(Batch<R>) -> Result<(), S>>(
        mut self,
        sink: F,
    ) -> Result<Report, S> {
        until_sink_fails(sink, |sink| self.for_each(sink), |(ended, _)| S::of_run(ended.error_or_panic()))
    }

    /// With what ended it comes what was handed over before.
    fn for_each(&mut self, sink: &mut dyn FnMut(Batch<R>) -> bool) -> Result<Report, (Ended, HandedOver)> {
        self.start().map_err(|error| (error.into(), HandedOver::default()))?;
        let mut batches = Batches::new(self.types(), self.core.handover(), sink);
        let outcome = self.drive(&mut batches);
        let handed_over = batches.handover.finish();
        match outcome {
            Ok(_) => Ok(self.core.report(handed_over, self.shared.retries())),
            Err(ended) => Err((ended, handed_over)),
        }
    }

    /// Runs the items when the results are asked for, and gives each as soon as it is there, with the index of its item.
    ///
    /// # Panics
    ///
    /// Its `next` panics when an option was given a value that it does not take.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let mut squares = [0; 100];
    /// for (index, square) in process_in_batches(|x: usize| x * x, 0..100).unordered() {
    ///     squares[index] = square;
    /// }
    /// assert_eq!(squares[9], 81);
    /// ```
    pub fn unordered(self) -> Unordered<I, R, C> {
        self.check();
        Unordered::new(self)
    }
}

impl<I: IntoIterator, T, E, C> Batched<I, Result<T, E>, C> {
    /// Runs everything and collects the values of the function's results in input order, or gives its first error by input
    /// order; nothing behind an error is started once it is known.
    ///
    /// # Errors
    ///
    /// The function's first error with the index of its item, or what [`collect`](Self::collect) fails with.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::batched;
    ///
    /// #[batched]
    /// fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    ///     text.parse()
    /// }
    ///
    /// let numbers: Vec<u32> = parse_batched(["1", "2", "3"]).try_collect()?;
    /// assert_eq!(numbers, [1, 2, 3]);
    /// # Ok::<(), amorsize::TryError<std::num::ParseIntError>>(())
    /// ```
    pub fn try_collect<V: FromIterator<T>>(self) -> Result<V, TryError<E>> {
        self.on_error(Stop).collect()
    }
}

/// Runs the items when the results are asked for, and gives the results in input order.
///
/// # Panics
///
/// `into_iter` panics when an option was given a value that it does not take, because an iterator could not return the error.
impl<I: IntoIterator, R, C> IntoIterator for Batched<I, R, C> {
    type Item = R;
    type IntoIter = IntoIter<I, R, C>;

    fn into_iter(mut self) -> IntoIter<I, R, C> {
        if let Err(error) = self.start() {
            panic!("{error}");
        }
        IntoIter::new(self)
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
