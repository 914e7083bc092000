//! A method for each option of a run.

use std::time::{Duration, Instant};

use super::Batched;
use super::bounds::{MaxMemoryOption, RetryOption};
use super::then::{Follows, Joins, Pipes, Stage, StageError, StageOfItemsAlone};
use crate::call::{Retrying, Weigh};
use crate::options::cancel::CancelToken;
use crate::options::choices::{OnPanic, Oversize};
use crate::options::retry::{RetryItem, RetryOutput};
use crate::policy::on_error::Flatten;
use crate::policy::{Policy, Whole};
use crate::progress::Progress;

impl<I: IntoIterator, R, C, P> Batched<I, R, C, P> {
    /// Sets the memory budget: a fraction of what is available (`0 < x <= 1`, 0.5 by default), or
    /// bytes as [`ByteSize`](crate::ByteSize) or as a text such as `"512MiB"`: anything that
    /// becomes a [`MaxMemory`](crate::MaxMemory).
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{ByteSize, process_in_batches};
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..9).max_memory("512MiB");
    /// assert_eq!(run.plan()?.budget(), ByteSize::mib(512));
    /// // Set again: a tenth of what is available.
    /// assert!(run.max_memory(0.1).collect::<Vec<_>>().is_ok());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn max_memory(mut self, max_memory: impl MaxMemoryOption) -> Self {
        let max_memory = max_memory.max_memory();
        self.core.change_options(|options| options.max_memory(max_memory));
        self
    }

    /// Sets the maximum number of items in a batch. A batch is smaller at the end of the input, or
    /// if the budget closes it early. By default the plan finds it from memory and time.
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

    /// Sets the maximum number of items in the sample (5 by default).
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

    /// Sets the number of workers. If the pool that the run would use has another size, the run
    /// uses a pool of its own with this size. The first calls are on the calling thread, all others
    /// on that pool. The pools of the last four numbers are kept for further runs, and others end
    /// when no run uses them.
    ///
    /// If there are few items, up to four for each thread, none is on the calling thread: two calls
    /// start together, and as soon as both are seen only to wait, every thread gets one. Their
    /// memory is unknown then; a smaller number, or [`in_flight`](Self::in_flight), bounds it.
    ///
    /// By default the run uses the pool that it is called in, or rayon's global one, as far as the
    /// plan finds it worthwhile: no more threads than can run at a time. That is the least of the
    /// pool's size, the cores that the process may use (by its affinity mask), and its share of
    /// their time (by a quota of its cgroup). On other systems than Linux and those of Apple it is
    /// the pool's size.
    ///
    /// A function that waits, for a device, the network, a lock or a timer, gets more: threads that
    /// sleep need no core. The run finds by itself how many pay, up to 256 or four for each core.
    /// They are [threads of the run's own](crate::guide::waiting) beside the pool's. They have a
    /// stack as large, end with the run, and are not bounded by `RAYON_NUM_THREADS`, which says how
    /// many cores to use. They take no more than half of what the limits of the process leave
    /// (address space, tasks of its user and its cgroups), and none is added while memory is short.
    /// A run that is called on a pool's thread keeps to that pool, and one within a call of another
    /// run to the cores.
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

    /// Sets the maximum number of items between the input and the sink: items that were taken from
    /// the input, items that are being run, and results that were not handed over. By default only
    /// the budget bounds them.
    ///
    /// It is for items and results that hold what a process has few of: file descriptors, child
    /// processes, connections, contexts of a GPU. There are never more than that, on any threads,
    /// and in the sample of a plan too:
    ///
    /// - a batch counts until the sink returns;
    /// - what an iterator gave belongs to its caller and counts no longer; the run takes further
    ///   items when it has given all that are ready;
    /// - what a collection took counts no longer, because it is kept to the end: with `collect` the
    ///   bound is on items that were taken and on those that are being run;
    /// - an item that panicked no longer counts, if the run goes on without it; one that failed and
    ///   that a policy leaves out counts until its batch is handed over;
    /// - a clone that [`retry`](Self::retry) keeps does not count.
    ///
    /// No more calls run at a time than that, whatever [`threads`](Self::threads) says. A batch has
    /// no more items than that, and by default about a quarter of it, so that calls go on while the
    /// sink has one. With 1 the run takes an item, calls the function and hands the result over,
    /// and then takes the next one.
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

    /// Sets what becomes of an item that is expected to need more than the whole budget. By
    /// default, [`Oversize::Alone`], it runs while nothing else is held; with [`Oversize::Error`]
    /// the run ends before it is started.
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
    /// let error = load_batched([2048; 4]).oversize(amorsize::Oversize::Error).for_each_batch(|_| ()).unwrap_err();
    /// assert_eq!(error.item(), Some(1));
    /// assert_eq!(load_batched([2048; 4]).oversize(amorsize::Oversize::Alone).for_each_batch(|_| ())?.items(), 4);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn oversize(mut self, oversize: Oversize) -> Self {
        self.core.change_options(|options| options.oversize(oversize));
        self
    }

    /// Sets what becomes of a panic of the function. By default, with
    /// [`Propagate`](OnPanic::Propagate), the first one by input order goes on to the caller of the
    /// terminal. With [`Skip`](OnPanic::Skip) and [`Collect`](OnPanic::Collect) the run goes on
    /// without the item.
    ///
    /// Reports tell of such items, and with [`OnPanic::Collect`] so do all terminals of a run with
    /// [`Collect`](crate::on_error::Collect). Other terminals leave them out and tell nothing.
    ///
    /// An item that is left out ends its batch early, since a [`Batch`](crate::Batch) has
    /// consecutive items. With [`Skip`](crate::on_error::Skip) or
    /// [`Collect`](crate::on_error::Collect) the batch goes on after it, and
    /// [`Batch::indices`](crate::Batch::indices) tells where.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let report = process_in_batches(|x: u32| 100 / x, [5, 0, 4]).on_panic(amorsize::OnPanic::Skip).for_each_batch(|_| ())?;
    /// assert_eq!((report.items(), report.panicked()), (2, 1));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn on_panic(mut self, on_panic: OnPanic) -> Self {
        self.core.change_options(|options| options.on_panic(on_panic));
        self
    }

    /// Ends the run when `token` is cancelled: no item starts after it, what is finished by then is
    /// handed over, and the terminal fails with an error that [is
    /// cancelled](crate::Error::is_cancelled).
    ///
    /// It replaces the token that was given before. A run that was cancelled keeps its token: to go
    /// on with it, give it another one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{CancelToken, process_in_batches};
    /// let token = CancelToken::new();
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..).cancel_token(&token);
    /// // Here, or from another thread, a handler of Ctrl-C, the sink.
    /// let error = run.for_each_batch(|_| token.cancel()).unwrap_err();
    /// assert!(error.is_cancelled());
    /// ```
    pub fn cancel_token(mut self, token: &CancelToken) -> Self {
        self.core.interrupts().set_token(token.clone());
        self
    }

    /// Ends the run at this time: no item starts after it, what is finished by then is handed over,
    /// and the terminal fails with an error that [is timed out](crate::Error::is_timed_out). It
    /// replaces a timeout.
    ///
    /// A run keeps a deadline that has passed: to go on with it, give it another one or a
    /// [`timeout`](Self::timeout).
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

    /// Ends the run this long after its terminal or [`plan`](Self::plan) was called, whichever came
    /// first, as [`deadline`](Self::deadline) does. It replaces a deadline.
    ///
    /// The next terminal doesn't start the time again: to go on, give the run another timeout or a
    /// deadline.
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
    /// let mut run = process_in_batches(slow, 0..).timeout(Duration::from_millis(20));
    /// let error = run.for_each_batch(|batch| done += batch.len()).unwrap_err();
    /// assert!(error.is_timed_out());
    /// println!("{done} items: {error}");
    ///
    /// // To go on with what is left takes another one.
    /// let mut run = process_in_batches(|x: u64| x, 0..4).timeout(Duration::ZERO);
    /// assert!(run.collect::<Vec<_>>().unwrap_err().is_timed_out());
    /// assert_eq!(run.timeout(Duration::from_secs(60)).collect::<Vec<_>>()?, [0, 1, 2, 3]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.core.interrupts().set_timeout(timeout);
        self
    }

    /// Repeats a call that returned an error, up to this many times: a number, or a
    /// [`Retry`](crate::Retry) that also says how long to wait before each. The last error is the
    /// item's result. It is for functions that return a `Result`; a panic is not retried.
    ///
    /// The function uses up its item, so a clone is kept during each call that may be followed by
    /// another. If items are borrowed, that is a reference; a clone that owns memory does not count
    /// for the budget, unless [`Tracking`](crate::Tracking) measures it as part of what a call
    /// needs.
    ///
    /// A worker that waits does nothing else, and the seconds of an item, in sample, plan and
    /// report, include its waits. A run that is over, for example by an error of its sink, waits no
    /// longer.
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
        self.core.change_options(|options| options.retry(retry));
        self.shared.retrying = Some(Retrying::new(retry));
        self
    }

    #[doc = include_str!("../then.md")]
    pub fn then<N, D, Q, F>(self, next: F) -> <Q as Pipes<I, R, C, P, <P as Policy<R>>::Value, N, D>>::Pipeline
    where
        P: Policy<R> + Joins<R, N, Q>,
        F: StageOfItemsAlone<<P as Policy<R>>::Value, N, D, Q>,
        <P as Joins<R, N, Q>>::Failure: StageError<<P as Policy<R>>::Error>,
        Q: Follows<P> + Pipes<I, R, C, P, <P as Policy<R>>::Value, N, D>,
    {
        Q::join(self, next(Stage::new()))
    }

    /// Sets how many bytes a result owns beside its own size, for types that can't be asked: those
    /// of other crates, and all results of a closure.
    ///
    /// Without it they are estimated from the process's resident memory, which other threads of the
    /// program change too. With [`Tracking`](crate::Tracking) as the program's allocator it is not
    /// needed. `weigh` is called once for each result, on the thread that made it, and so should be
    /// cheap.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{MeasuredBy, process_in_batches};
    ///
    /// // Stands for a type of another crate.
    /// struct Raster(Vec<f32>);
    ///
    /// let mut run = process_in_batches(|size: usize| Raster(vec![0.5; size]), [1000; 50])
    ///     .weigh(|raster| raster.0.len() * size_of::<f32>());
    /// assert_eq!(run.plan()?.measured_by(), MeasuredBy::DeepSize);
    /// # assert_eq!(run.for_each(|raster| assert_eq!(raster.0[0], 0.5))?.items(), 50);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn weigh<W: Fn(&R) -> usize + Send + Sync + 'static>(mut self, weigh: W) -> Self {
        self.shared.weigh = Some(Weigh::new(weigh));
        self.shared.facts.knows_results = true;
        self.core.know_results();
        self
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
        self.core.set_verbose(verbose);
        self
    }

    /// Calls `callback` with the run's [`Progress`]: when it begins, when its sample is done, about
    /// twenty times a second while calls end, and when it is over. It replaces another callback,
    /// and the bar that the attribute's `progress` shows.
    ///
    /// Any thread of the run may call it, one at a time, in place of running an item: so keep it
    /// short. The feature `progress` has a bar for people, [`progress_bar`](crate::report#functions).
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
    /// let mut run = process_in_batches(|x: u64| x * x, 0..1000).progress(|progress| {
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
}

impl<I: IntoIterator, T, C, P: Whole> Batched<I, Option<T>, C, P> {
    /// Leaves out each item for which the function returns `None`; terminals give the values in the
    /// other items' `Some`. It is like `filter_map` of a plain iterator.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::batched;
    ///
    /// #[batched]
    /// fn even_half(x: u32) -> Option<u32> {
    ///     x.is_multiple_of(2).then_some(x / 2)
    /// }
    ///
    /// assert_eq!(even_half_batched(0..7).flatten().collect::<Vec<_>>()?, [0, 1, 2, 3]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn flatten(self) -> Batched<I, Option<T>, C, Flatten> {
        self.with_policy(Flatten::fails)
    }
}

impl<I: IntoIterator, T, E, C, P> Batched<I, Result<T, E>, C, P> {
    /// Sets what becomes of the function's errors: [`Stop`](crate::on_error::Stop),
    /// [`Skip`](crate::on_error::Skip), [`Collect`](crate::on_error::Collect), or
    /// [`Each`](crate::on_error::Each) to get every result as it is. From then on the terminals
    /// give values rather than results; an iterator still gives `Result`s with `Stop` and
    /// `Collect`. See [`on_error`](crate::policy::on_error).
    ///
    /// The attribute has an option of the same name: `on_error = "skip"`.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::on_error::{Collect, Skip};
    /// use amorsize::{TryError, batched};
    ///
    /// #[batched(on_error = "stop")]
    /// fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    ///     text.parse()
    /// }
    ///
    /// let texts = ["1", "two", "3"];
    /// assert!(matches!(parse_batched(texts).collect::<Vec<_>>(), Err(TryError::Item { item: 1, .. })));
    /// // The run can set it anew.
    /// assert_eq!(parse_batched(texts).on_error(Skip).collect::<Vec<_>>()?, [1, 3]);
    /// assert_eq!(parse_batched(texts).on_error(Collect).collect::<Vec<_>>()?.failures().len(), 1);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn on_error<Q: Policy<Result<T, E>>>(self, policy: Q) -> Batched<I, Result<T, E>, C, Q> {
        let _ = policy;
        self.with_policy(Q::fails)
    }
}
