//! The terminals, which start a run: each once, for every policy for errors.
//!
//! A terminal that ends early leaves the run as it is. What it had handed over is the caller's; all
//! other results are put back, and the next terminal begins with them.

use super::Batched;
#[cfg(feature = "durable")]
use super::bounds::WriteError;
use super::bounds::{SinkError, SinkOutput};
use super::inside::why;
use super::iter::{IntoIter, Unordered};
#[cfg(feature = "durable")]
use super::opening::InHand;
use crate::error::failure::Failure;
use crate::error::{Error, TryError};
use crate::output::batch::Batch;
use crate::output::batches::{HandedOver, Taken};
use crate::plan::Plan;
use crate::policy::on_error::Stop;
use crate::policy::{Policy, Whole};
use crate::report::Report;
#[cfg(feature = "durable")]
use crate::sink::Sink;

impl<I: IntoIterator, R, C, P: Policy<R>> Batched<I, R, C, P> {
    /// Runs everything and collects the values in input order; a `Vec` is filled in place.
    ///
    /// With [`Collect`](crate::on_error::Collect) the failures come with them, as an
    /// [`Outcome`](crate::Outcome).
    ///
    /// If the input doesn't tell its length, as after `filter`, values move to a larger allocation
    /// as they come, and the budget must have room for both. What they own does not move: only
    /// values that are large themselves, such as arrays, fit no more than half of the budget then.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take, when the results don't fit the
    /// memory budget, when the run was cancelled or its deadline passed; with [`Stop`] the
    /// function's first error by input order, with the index of its item.
    ///
    /// Nothing that is finished is lost: the next terminal gives it, such as
    /// [`collect_into`](Self::collect_into), `collect` with more memory, or
    /// [`for_each_batch`](Self::for_each_batch).
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
    ///
    /// Results that don't fit go to a sink:
    ///
    /// ```
    /// use amorsize::{batched, ByteSize};
    ///
    /// #[batched(max_memory = "16MiB")]
    /// fn render(seed: u8) -> Vec<u8> {
    ///     vec![seed; 1 << 20]
    /// }
    ///
    /// let mut bytes = 0;
    /// let mut store = |image: Vec<u8>| bytes += image.len();
    /// let mut run = render_batched(0..100);
    /// match run.collect::<Vec<_>>() {
    ///     Ok(images) => images.into_iter().for_each(&mut store),
    ///     // No image is rendered twice.
    ///     Err(_) => _ = run.for_each_batch(|batch| batch.into_iter().for_each(&mut store))?,
    /// }
    /// assert_eq!(ByteSize::new(bytes as u64), ByteSize::mib(100));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn collect<V: FromIterator<P::Value>>(&mut self) -> Result<P::Given<V>, P::Failed> {
        self.collect_by::<P, V>()
    }

    /// Runs everything and hands the values to `sink` batch by batch, in input order. Work goes on
    /// while a batch is with the sink, as far as the budget allows.
    ///
    /// With [`Skip`](crate::on_error::Skip) the report tells how many items failed; with
    /// [`Collect`](crate::on_error::Collect) the failures come with it, as an
    /// [`Outcome`](crate::Outcome).
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take, when the run was cancelled or its
    /// deadline passed, or, with [`Oversize::Error`](crate::Oversize::Error), when an item is
    /// expected to need more than the budget; with [`Stop`] the function's first error by input
    /// order, with the index of its item. All values before it were handed over, and the next
    /// terminal goes on after them.
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
    ///
    /// To go on after an error:
    ///
    /// ```
    /// use amorsize::{on_error::Stop, process_in_batches};
    ///
    /// let mut sum = 0;
    /// let texts = ["1", "2", "three", "4"];
    /// let mut run = process_in_batches(str::parse::<u32>, texts).on_error(Stop);
    /// let error = run.for_each_batch(|numbers| sum += numbers.iter().sum::<u32>()).unwrap_err();
    /// assert_eq!((sum, error.item()), (3, Some(2)));
    /// run.for_each_batch(|numbers| sum += numbers.iter().sum::<u32>()).unwrap();
    /// assert_eq!(sum, 7);
    /// ```
    pub fn for_each_batch<O: SinkOutput, F: FnMut(Batch<P::Value>) -> O>(
        &mut self,
        mut sink: F,
    ) -> Result<P::Given<Report>, P::Failed> {
        let mut report = self.hand_over_all::<P>(&mut |batch| _ = sink(batch))?;
        report.set_not_removed(self.remove_kept()?);
        Ok(P::given(report, &mut self.seen))
    }

    /// Runs everything and hands the values to `sink` batch by batch, until it returns an error.
    ///
    /// # Errors
    ///
    /// The sink's first error, as it is; or what [`for_each_batch`](Self::for_each_batch) fails
    /// with, converted into the sink's error type: the first by input order, of both. The next
    /// terminal goes on after the batch that the sink had.
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
    pub fn try_for_each_batch<S: SinkError<P::Failed>, F: FnMut(Batch<P::Value>) -> Result<(), S>>(
        &mut self,
        mut sink: F,
    ) -> Result<P::Given<Report>, S> {
        let mut failure = None;
        let outcome = self.hand_over::<P>(&mut |batch| {
            failure = sink(batch).err();
            Taken::whole(failure.is_none())
        });
        let mut report = ended(outcome, failure, S::of_run)?;
        report.set_not_removed(self.remove_kept().map_err(|error| S::of_run(error.into()))?);
        Ok(P::given(report, &mut self.seen))
    }

    /// Runs everything and appends the values to `values`, in input order.
    ///
    /// If the run ends early, `values` has the values before the end, and the next terminal goes on
    /// after them. An item that ended the run because it failed or panicked is not run again.
    ///
    /// # Errors
    ///
    /// As those of [`collect`](Self::collect).
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let mut run = process_in_batches(|i: usize| vec![i; 10_000], 0..1000).max_memory("8MiB");
    /// let mut finished = Vec::new();
    /// assert!(run.collect_into(&mut finished).unwrap_err().is_over_budget());
    /// let mut next = finished.len();
    /// assert!((1..1000).contains(&next));
    /// drop(finished); // Saved somewhere.
    ///
    /// // The rest goes batch by batch: no item is run twice, none is left out.
    /// run.for_each_batch(|batch| {
    ///     assert_eq!(batch.first_index(), next);
    ///     next += batch.len();
    /// })?;
    /// assert_eq!(next, 1000);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn collect_into(&mut self, values: &mut Vec<P::Value>) -> Result<P::Given<Report>, P::Failed> {
        let (mut found, mut ended) = self.find_all::<P>();
        let failed = self.cut::<P>(&mut found, &mut ended);
        let items = found.results.len();
        let restored = self.core.restored(&found);
        let mut new = self.values::<P>(found);
        let count = new.len();
        if values.capacity() == 0 {
            *values = new;
        } else {
            values.append(&mut new);
        }
        let handed_over = HandedOver { items, restored, ..HandedOver::default() };
        if failed.is_none() && ended.is_none() {
            let mut report = self.end::<P>(handed_over, count);
            report.set_not_removed(self.remove_kept()?);
            return Ok(P::given(report, &mut self.seen));
        }
        self.core.give_away();
        self.end_early::<P>(handed_over, count);
        Err(why(failed, ended))
    }

    /// Runs everything and calls `sink` with each value, in input order.
    ///
    /// # Errors
    ///
    /// As those of [`for_each_batch`](Self::for_each_batch), with the same effect on the run.
    ///
    /// # Panics
    ///
    /// A panic of `sink` reaches the caller. If the run goes on, it does so after the batch of that
    /// value.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use amorsize::process_in_batches;
    ///
    /// let mut counts = BTreeMap::new();
    /// process_in_batches(str::len, ["to", "be", "or", "not"])
    ///     .for_each(|length| *counts.entry(length).or_insert(0) += 1)?;
    /// assert_eq!(counts, BTreeMap::from([(2, 3), (3, 1)]));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn for_each<F: FnMut(P::Value)>(&mut self, mut sink: F) -> Result<P::Given<Report>, P::Failed> {
        self.for_each_batch(|mut batch| batch.drain().for_each(&mut sink))
    }

    /// Folds the values into one, in input order, on the calling thread. No value is held longer
    /// than that takes.
    ///
    /// Put work that threads can do into the function. If folding is most of the work, let the
    /// function fold many items, such as a chunk of a slice.
    ///
    /// # Errors
    ///
    /// As those of [`for_each_batch`](Self::for_each_batch). The value of the fold is lost then: to
    /// keep it, fold into a variable by [`for_each`](Self::for_each). A run with a `journal` is
    /// refused: its results belong to a sink.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let longest = process_in_batches(|n: usize| "ab".repeat(n), 0..100)
    ///     .fold(0, |most, text| most.max(text.len()))?;
    /// assert_eq!(longest, 198);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn fold<A, F: FnMut(A, P::Value) -> A>(&mut self, init: A, mut fold: F) -> Result<P::Given<A>, P::Failed> {
        self.refuse_journal()?;
        let mut folded = Some(init);
        self.hand_over_all::<P>(&mut |mut batch| folded = folded.take().map(|all| batch.drain().fold(all, &mut fold)))?;
        self.remove_kept()?;
        let folded = folded.unwrap_or_else(|| unreachable!("a fold that panics ends the run"));
        Ok(P::given(folded, &mut self.seen))
    }

    /// Joins the values to one, in input order, on the calling thread; `None` if there are none.
    ///
    /// # Errors
    ///
    /// As those of [`fold`](Self::fold).
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let sum = process_in_batches(|x: u64| x * x, 1..=10).reduce(|a, b| a + b)?;
    /// assert_eq!(sum, Some(385));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn reduce<F>(&mut self, mut join: F) -> Result<P::Given<Option<P::Value>>, P::Failed>
    where
        F: FnMut(P::Value, P::Value) -> P::Value,
    {
        self.fold(None, |all, value| match all {
            Some(all) => Some(join(all, value)),
            None => Some(value),
        })
    }

    /// Runs everything and hands the values to a [`Sink`] batch by batch: to a file, or a sink of
    /// your own. Needs the feature `durable`.
    ///
    /// The sink is told when the run has ended whole, and when it ended early. To go on after an
    /// early end, lend the sink, `&mut sink`, and call `write_to` again with the same one.
    ///
    /// # Errors
    ///
    /// The sink's first error; or what [`for_each_batch`](Self::for_each_batch) fails with,
    /// converted into the sink's error type. An error of amorsize's own sinks becomes one of the
    /// run instead: an [`Error`], with [`Stop`] a [`TryError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    /// use amorsize::sink::JsonLines;
    ///
    /// # let name = format!("amorsize-write-to-{}", std::process::id());
    /// # let directory = std::env::temp_dir().join(name);
    /// # std::fs::create_dir_all(&directory).unwrap();
    /// # let path = directory.join("squares.jsonl");
    /// let report = process_in_batches(|x: u64| x * x, 0..4).write_to(JsonLines::new(&path))?;
    /// assert_eq!(report.items(), 4);
    /// assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\n4\n9\n");
    /// # std::fs::remove_dir_all(directory).unwrap();
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[cfg(feature = "durable")]
    pub fn write_to<S: Sink<P::Value, Error: WriteError<P::Failed>>>(
        &mut self,
        sink: S,
    ) -> Result<P::Given<Report>, <S::Error as WriteError<P::Failed>>::Failed> {
        let of_run = <S::Error as WriteError<P::Failed>>::of_run;
        let mut sink = self.begin_sink(sink).map_err(|error| match error {
            Ok(error) => error.of_sink(),
            Err(error) => of_run(error.into()),
        })?;
        let keeper = self.core.keeper().clone();
        let mut in_hand = InHand::new(keeper.clone());
        let mut failure = None;
        let outcome = self.hand_over::<P>(&mut |batch| {
            in_hand.is_stored = false;
            failure = sink.batch(batch).err();
            if failure.is_none() {
                Self::keep_place(&keeper, &mut sink);
                in_hand.is_stored = true;
            }
            Taken::whole(in_hand.is_stored)
        });
        let mut report = ended(outcome, failure.map(WriteError::of_sink), of_run)?;
        sink.finish().map_err(WriteError::of_sink)?;
        self.core.is_sunk = true;
        report.set_not_removed(self.remove_kept().map_err(|error| of_run(error.into()))?);
        Ok(P::given(report, &mut self.seen))
    }

    /// Runs the items when the values are asked for, and gives each as soon as it is ready, with
    /// the index of its item.
    ///
    /// With a checkpoint, the results of an earlier process come first, in input order, up to the
    /// first item that has none. From there on they come among the new ones, as these are ready.
    ///
    /// # Panics
    ///
    /// At an error of the run, see [`IntoIter`].
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
    ///
    /// With a policy for errors:
    ///
    /// ```
    /// use amorsize::{on_error::Skip, process_in_batches};
    ///
    /// let mut numbers = [None; 3];
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Skip);
    /// for (index, number) in run.unordered() {
    ///     numbers[index] = Some(number);
    /// }
    /// assert_eq!(numbers, [Some(1), None, Some(3)]);
    /// ```
    #[track_caller]
    pub fn unordered(mut self) -> Unordered<I, R, C, P> {
        let started = self.refuse_journal().and_then(|()| self.start_unordered());
        Unordered::new(self, started)
    }

    /// Takes out the failures that were gathered and that no terminal gave, in input order. There
    /// are some only with [`Collect`](crate::on_error::Collect), after an early end.
    ///
    /// Without this call they come with the [`Outcome`](crate::Outcome) of the next terminal that
    /// ends whole.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    ///
    /// use amorsize::{on_error::Collect, process_in_batches};
    ///
    /// let mut run = process_in_batches(str::parse::<u32>, ["one", "2", "3"]).on_error(Collect);
    /// run.try_for_each_batch(|_| Err(io::Error::other("the disk is full"))).unwrap_err();
    /// assert_eq!(run.take_failures()[0].index(), 0);
    /// ```
    #[must_use = "the failures are dropped"]
    pub fn take_failures(&mut self) -> Vec<Failure<P::Error>> {
        self.seen.take_failures::<P>()
    }
}

impl<I: IntoIterator, T, E, C, P: Whole> Batched<I, Result<T, E>, C, P> {
    /// Runs everything and collects the values of the function's results in input order, or gives
    /// its first error by input order; no item after an error is started once the error is known.
    ///
    /// # Errors
    ///
    /// The function's first error with the index of its item, or what [`collect`](Self::collect)
    /// fails with. The next terminal gives the values before it, as results, and all that follow.
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
    pub fn try_collect<V: FromIterator<T>>(&mut self) -> Result<V, TryError<E>> {
        let mut once = StopsOnce::new(self);
        let outcome = once.run.collect_by::<Stop, V>();
        once.is_whole = outcome.is_ok();
        outcome
    }
}

/// A run with errors that count as failures: its stages count them so, and they are not kept. It is
/// given back as it was, by a panic too.
struct StopsOnce<'a, I: IntoIterator, R, C, P> {
    run: &'a mut Batched<I, R, C, P>,
    fails: Option<fn(&R) -> bool>,
    is_whole: bool,
}

impl<'a, I: IntoIterator, T, E, C, P> StopsOnce<'a, I, Result<T, E>, C, P> {
    fn new(run: &'a mut Batched<I, Result<T, E>, C, P>) -> Self {
        let fails = run.shared.fails.replace(Stop::fails);
        Self { run, fails, is_whole: false }
    }
}

impl<I: IntoIterator, R, C, P> Drop for StopsOnce<'_, I, R, C, P> {
    fn drop(&mut self) {
        self.run.shared.fails = self.fails;
        // Errors behind the one that ended the run are results for the next terminal, and a store
        // did not get them.
        #[cfg(feature = "durable")]
        if let Some(keeper) = self.run.core.keeper().get().filter(|_| !self.is_whole) {
            keeper.lack(None);
        }
    }
}

impl<I: IntoIterator, R, C, P> Batched<I, R, C, P> {
    /// Runs the sample and plans the rest. The sample's results stay in the run: planning and then
    /// running calls the function once per item.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take; when a token was cancelled or a
    /// deadline passed during the sample. A `timeout` counts from here on. What was sampled stays
    /// in the run.
    ///
    /// # Panics
    ///
    /// If the function, the input or a `heap_size` panics. The items that were taken before it stay
    /// in the run.
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
        self.begin_part()?;
        self.core.plan(&mut self.source, (self.as_function)(&self.shared))
    }

    /// The report of the last terminal, if it ended early: what was handed over, the items that
    /// were left out by [`Skip`](crate::on_error::Skip) or `on_panic`, time and memory. `None`
    /// before the first terminal, and after one that ended whole.
    ///
    /// Each terminal reports its own part of the run. Values that
    /// [`collect_into`](Self::collect_into) appended count as items, not as batches. The failures
    /// and panics that it counts leave out the item that ended the run. A panic counts in the part
    /// in which it was met: threads may have met some of later items.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{CancelToken, on_error::Skip, process_in_batches};
    ///
    /// let token = CancelToken::new();
    /// let texts = ["1", "two", "3", "four", "5"];
    /// let run = process_in_batches(str::parse::<u32>, texts).on_error(Skip);
    /// let mut run = run.batch_size(1).cancel_token(&token);
    /// let cancelled = run.for_each_batch(|batch| {
    ///     if *batch == [3] {
    ///         token.cancel();
    ///     }
    /// });
    /// let told = run.report().expect("it was cancelled");
    /// let (done, failed, seconds) = (told.items(), told.failed(), told.seconds());
    /// println!("{done} done, {failed} failed in {seconds} s: {}", cancelled.unwrap_err());
    /// assert_eq!(told.failures()[0].to_string(), "item 1 failed: invalid digit found in string");
    ///
    /// // Each failure is in one of the two reports.
    /// let (items, failed) = (told.items(), told.failed());
    /// let rest = run.cancel_token(&CancelToken::new()).for_each_batch(|_| ())?;
    /// assert_eq!((items + rest.items(), failed + rest.failed()), (3, 2));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.core.report.as_deref()
    }
}

/// Runs the items when the values are asked for, and gives them in input order.
///
/// # Panics
///
/// At an error of the run, see [`IntoIter`].
impl<I: IntoIterator, R, C, P: Policy<R>> IntoIterator for Batched<I, R, C, P> {
    type Item = P::Item<P::Value>;
    type IntoIter = IntoIter<I, R, C, P>;

    #[track_caller]
    fn into_iter(mut self) -> IntoIter<I, R, C, P> {
        let started = self.start_without_sink();
        IntoIter::new(self, started)
    }
}

/// The report of a run whose sink has everything; or the error that came first, as one of the
/// terminal.
#[inline]
fn ended<F, S>(outcome: Result<Report, Option<F>>, failure: Option<S>, of_run: fn(F) -> S) -> Result<Report, S> {
    match (outcome, failure) {
        (Ok(report), _) => Ok(report),
        // The sink had what comes before anything else that ended the run.
        (Err(_), Some(error)) => Err(error),
        (Err(Some(failed)), None) => Err(of_run(failed)),
        (Err(None), None) => unreachable!("the sink ends the run by an error"),
    }
}
