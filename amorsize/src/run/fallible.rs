//! The terminals of a run whose errors have a policy.

use std::fmt;

use super::Batched;
use crate::bounds::{SinkError, SinkOutput};
use crate::error::{Error, TryError};
use crate::failure::{Cause, Ended, Failure};
use crate::handover::HandedOver;
use crate::iter::{IntoIter, Unordered};
use crate::on_error::{Collect, OnError, Skip, Stop};
use crate::options::OnPanic;
use crate::outcome::{Failures, Outcome};
use crate::report::Report;
use crate::sink::{Batch, OnFailure, Sorting, Values};

impl<I: IntoIterator, T, E, C, P> Batched<I, Result<T, E>, C, P> {
    /// Sets what becomes of the function's errors: [`Stop`], [`Skip`], [`Collect`], or [`Each`](crate::on_error::Each) to have
    /// every result as it is. From then on the terminals give values rather than results; see [`on_error`](crate::on_error).
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
    pub fn on_error<Q: OnError>(self, policy: Q) -> Batched<I, Result<T, E>, C, Q> {
        let _ = policy;
        self.with_policy(if Q::DECIDES { Result::is_err } else { |_| false })
    }

    /// Runs everything, collects the values, and gives the failures to `fail`.
    fn collect_values<V: FromIterator<T>>(mut self, eager: bool, fail: OnFailure<'_, E>) -> Result<V, Error> {
        match self.collect_some(eager, fail) {
            (values, None) => Ok(values.into_iter().collect()),
            (_, Some(ended)) => Err(ended.error_or_panic()),
        }
    }

    /// The same, with what there is when the run ends early. What is left can be run.
    pub(super) fn collect_some(&mut self, eager: bool, fail: OnFailure<'_, E>) -> (Vec<T>, Option<Ended>) {
        if let Err(error) = self.start() {
            return (Vec::new(), Some(error.into()));
        }
        let types = self.types();
        let mut outlet = Values::new(types, eager, fail);
        let ended = self.drive(&mut outlet).err();
        let Values { values, taken, stopped, made, bytes, leftover, .. } = outlet;
        if stopped || ended.is_some() {
            let left = leftover.as_ref().map_or(0, |(results, _)| results.len());
            let leftover = leftover.map(|(results, start)| (types.results_of(results), start));
            self.core.leave(made - left, bytes, leftover);
        } else {
            let verbose = self.core.verbose();
            verbose.end(taken);
            verbose.failed(taken - values.len());
        }
        (values, ended)
    }

    /// Runs everything, hands the values to `sink`, and gives the failures to `fail`. The report doesn't know of these yet.
    fn for_each_value(
        mut self,
        eager: bool,
        fail: OnFailure<'_, E>,
        sink: &mut dyn FnMut(Batch<T>) -> bool,
    ) -> Result<(Report, usize), Error> {
        self.for_each_value_left(eager, fail, sink).map_err(|(ended, ..)| ended.error_or_panic())
    }

    /// The same, for a run that can be gone on with: with what ended it come what was handed over before, failures among that, and
    /// how many values that were.
    pub(super) fn for_each_value_left(
        &mut self,
        eager: bool,
        fail: OnFailure<'_, E>,
        sink: &mut dyn FnMut(Batch<T>) -> bool,
    ) -> Result<(Report, usize), (Ended, HandedOver, usize)> {
        self.start().map_err(|error| (error.into(), HandedOver::default(), 0))?;
        let types = self.types();
        let mut failed = 0;
        let mut counting = |item, error| {
            failed += 1;
            fail(item, error)
        };
        let mut outlet = Sorting::new(types, self.core.handover(), eager, &mut counting, sink);
        let outcome = self.drive(&mut outlet);
        let Sorting { handover, values, stopped, leftover, .. } = outlet;
        self.core.leave(0, 0, leftover.map(|(results, start)| (types.results_of(results), start)));
        let handed_over = HandedOver { items: values + failed, ..handover.finish() };
        if let Err(ended) = outcome {
            return Err((ended, handed_over, values));
        }
        let report = self.core.report(handed_over, self.shared.retries());
        if !stopped {
            self.core.verbose().failed(report.items() - values);
        }
        Ok((report, values))
    }
}

/// A sink that can't fail, as one that can.
pub(super) fn always<B, O: SinkOutput>(mut sink: impl FnMut(B) -> O) -> impl FnMut(B) -> bool {
    move |batch| {
        sink(batch);
        true
    }
}

/// Runs until `sink` fails. Its error comes before the run's, which `convert` makes one of the same type: the sink had what comes
/// before that.
pub(super) fn until_sink_fails<B, V, E, S>(
    mut sink: impl FnMut(B) -> Result<(), S>,
    run: impl FnOnce(&mut dyn FnMut(B) -> bool) -> Result<V, E>,
    convert: impl FnOnce(E) -> S,
) -> Result<V, S> {
    let mut failure = None;
    let outcome = run(&mut |batch| {
        failure = sink(batch).err();
        failure.is_none()
    });
    match failure {
        Some(error) => Err(error),
        None => outcome.map_err(convert),
    }
}

/// The first error of an item.
pub(super) fn first<E>(failure: &mut Option<(usize, E)>) -> impl FnMut(usize, E) -> bool {
    |item, error| {
        *failure = Some((item, error));
        false
    }
}

/// With [`Stop`], the function's first error by input order ends the run.
impl<I: IntoIterator, T, E, C> Batched<I, Result<T, E>, C, Stop> {
    /// Runs everything and collects the values in input order.
    ///
    /// # Errors
    ///
    /// The function's first error by input order, with the index of its item; when an option was given a value that it does not
    /// take; or when the results don't fit the memory budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Stop, process_in_batches};
    ///
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "three"]).on_error(Stop);
    /// let error = run.collect::<Vec<_>>().unwrap_err();
    /// assert_eq!(error.to_string(), "item 1 failed: invalid digit found in string");
    /// ```
    pub fn collect<V: FromIterator<T>>(self) -> Result<V, TryError<E>> {
        let mut failure = None;
        let values = self.collect_values(true, &mut first(&mut failure));
        match failure {
            Some((item, error)) => Err(TryError::Item { item, error }),
            None => Ok(values?),
        }
    }

    /// Runs everything and hands the values to `sink` batch by batch, in input order. Before the run ends with an error, all
    /// values before it are handed over.
    ///
    /// # Errors
    ///
    /// The function's first error by input order, with the index of its item; or when an option was given a value that it does
    /// not take.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Stop, process_in_batches};
    ///
    /// let mut sum = 0;
    /// let run = process_in_batches(str::parse::<u32>, ["1", "2", "three", "4"]).on_error(Stop);
    /// let error = run.for_each_batch(|numbers| sum += numbers.iter().sum::<u32>()).unwrap_err();
    /// assert_eq!((sum, error.item()), (3, Some(2)));
    /// ```
    pub fn for_each_batch<O: SinkOutput, F: FnMut(Batch<T>) -> O>(self, sink: F) -> Result<Report, TryError<E>> {
        self.until_failure(&mut always(sink))
    }

    /// Runs everything and hands the values to `sink` batch by batch, until it returns an error or the function does.
    ///
    /// # Errors
    ///
    /// The sink's first error, as it is; or what [`for_each_batch`](Self::for_each_batch) fails with, converted into the sink's
    /// error type. The first by input order, of both.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs;
    /// use std::io::{self, Write};
    ///
    /// use amorsize::batched;
    ///
    /// #[batched(on_error = "stop")]
    /// fn read(path: &str) -> io::Result<String> {
    ///     fs::read_to_string(path)
    /// }
    ///
    /// fn concatenate(paths: &[&str], mut out: impl Write) -> io::Result<()> {
    ///     read_batched(paths.iter().copied())
    ///         .try_for_each_batch(|texts| texts.iter().try_for_each(|text| out.write_all(text.as_bytes())))?;
    ///     Ok(())
    /// }
    ///
    /// assert_eq!(concatenate(&["/no/such/file"], Vec::new()).unwrap_err().kind(), io::ErrorKind::NotFound);
    /// ```
    pub fn try_for_each_batch<S: SinkError<TryError<E>>, F: FnMut(Batch<T>) -> Result<(), S>>(
        self,
        sink: F,
    ) -> Result<Report, S> {
        until_sink_fails(sink, |sink| self.until_failure(sink), S::of_run)
    }

    fn until_failure(self, sink: &mut dyn FnMut(Batch<T>) -> bool) -> Result<Report, TryError<E>> {
        let mut failure = None;
        let report = self.for_each_value(true, &mut first(&mut failure), sink);
        match failure {
            Some((item, error)) => Err(TryError::Item { item, error }),
            None => Ok(report?.0),
        }
    }

    /// Runs the items when the values are asked for, and gives each as soon as it is there, with the index of its item. The first
    /// error that is met is the last that it gives.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Stop, process_in_batches};
    ///
    /// let mut squares = [0; 100];
    /// for next in process_in_batches(|x: usize| x.checked_mul(x).ok_or("too large"), 0..100).on_error(Stop).unordered() {
    ///     let (index, square) = next.expect("they are small");
    ///     squares[index] = square;
    /// }
    /// assert_eq!(squares[9], 81);
    /// ```
    pub fn unordered(self) -> Unordered<I, Result<T, E>, C, Stop> {
        let started = self.core.check();
        Unordered::stopping(self, started)
    }
}

/// With [`Skip`], errors are left out, and the report counts them.
impl<I: IntoIterator, T, E, C> Batched<I, Result<T, E>, C, Skip> {
    /// Runs everything and collects the values of the items that don't fail, in input order.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take, or when the results don't fit the memory budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Skip, process_in_batches};
    ///
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Skip);
    /// assert_eq!(run.collect::<Vec<_>>()?, [1, 3]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn collect<V: FromIterator<T>>(self) -> Result<V, Error> {
        self.collect_values(false, &mut |_, _| true)
    }

    /// Runs everything and hands the values of the items that don't fail to `sink` batch by batch, in input order. The report tells
    /// how many failed.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Skip, process_in_batches};
    ///
    /// let mut sum = 0;
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Skip);
    /// let report = run.for_each_batch(|numbers| sum += numbers.iter().sum::<u32>())?;
    /// assert_eq!((sum, report.failed()), (4, 1));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn for_each_batch<O: SinkOutput, F: FnMut(Batch<T>) -> O>(self, sink: F) -> Result<Report, Error>
    where
        E: fmt::Display,
    {
        self.but_failures(&mut always(sink))
    }

    /// Runs everything and hands the values of the items that don't fail to `sink` batch by batch, until it returns an error.
    ///
    /// # Errors
    ///
    /// The sink's first error, as it is; or what [`for_each_batch`](Self::for_each_batch) fails with, converted into the sink's
    /// error type.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{self, Write};
    ///
    /// use amorsize::{on_error::Skip, process_in_batches};
    ///
    /// let mut out = Vec::new();
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Skip);
    /// run.try_for_each_batch(|numbers| numbers.iter().try_for_each(|number| writeln!(out, "{number}")))?;
    /// assert_eq!(out, b"1\n3\n");
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn try_for_each_batch<S: SinkError<Error>, F: FnMut(Batch<T>) -> Result<(), S>>(
        self,
        sink: F,
    ) -> Result<Report, S>
    where
        E: fmt::Display,
    {
        until_sink_fails(sink, |sink| self.but_failures(sink), S::of_run)
    }

    fn but_failures(self, sink: &mut dyn FnMut(Batch<T>) -> bool) -> Result<Report, Error>
    where
        E: fmt::Display,
    {
        let mut failures = Failures::default();
        let mut fail = |item, error| {
            failures.add(item, &error);
            true
        };
        let (report, values) = self.for_each_value(false, &mut fail, sink)?;
        Ok(report.of_values(values, failures))
    }

    /// Runs the items when the values are asked for, and gives each as soon as it is there, with the index of its item.
    ///
    /// # Panics
    ///
    /// Its `next` panics when an option was given a value that it does not take.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Skip, process_in_batches};
    ///
    /// let mut numbers = [None; 3];
    /// for (index, number) in process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Skip).unordered() {
    ///     numbers[index] = Some(number);
    /// }
    /// assert_eq!(numbers, [Some(1), None, Some(3)]);
    /// ```
    pub fn unordered(self) -> Unordered<I, Result<T, E>, C, Skip>
    where
        E: fmt::Display,
    {
        self.check();
        Unordered::new(self)
    }
}

/// With [`Collect`], errors are gathered beside the values, each with the index of its item.
impl<I: IntoIterator, T, E, C> Batched<I, Result<T, E>, C, Collect> {
    /// Runs everything and collects values and failures, both in input order.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take, or when the results don't fit the memory budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Collect, process_in_batches};
    ///
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Collect);
    /// let (numbers, failures) = run.collect::<Vec<_>>()?.into_parts();
    /// assert_eq!(numbers, [1, 3]);
    /// assert_eq!((failures.len(), failures[0].item()), (1, 1));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn collect<V: FromIterator<T>>(mut self) -> Result<Outcome<V, E>, Error> {
        let mut failures = Vec::new();
        let (values, ended) = self.collect_some(false, &mut gathering(&mut failures));
        if let Some(ended) = ended {
            return Err(ended.error_or_panic());
        }
        let failures = and_panics(failures, self.take_panics());
        Ok(Outcome::new(values.into_iter().collect(), failures))
    }

    /// Runs everything and hands the values to `sink` batch by batch, in input order. The failures come with the report.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Collect, process_in_batches};
    ///
    /// let mut sum = 0;
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Collect);
    /// let (report, failures) = run.for_each_batch(|numbers| sum += numbers.iter().sum::<u32>())?.into_parts();
    /// assert_eq!((sum, report.items(), failures[0].item()), (4, 2, 1));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn for_each_batch<O: SinkOutput, F: FnMut(Batch<T>) -> O>(self, sink: F) -> Result<Outcome<Report, E>, Error> {
        self.and_failures(&mut always(sink))
    }

    /// Runs everything and hands the values to `sink` batch by batch, until it returns an error.
    ///
    /// # Errors
    ///
    /// The sink's first error, as it is; or what [`for_each_batch`](Self::for_each_batch) fails with, converted into the sink's
    /// error type.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{self, Write};
    ///
    /// use amorsize::{on_error::Collect, process_in_batches};
    ///
    /// let mut out = Vec::new();
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Collect);
    /// let outcome = run.try_for_each_batch(|numbers| numbers.iter().try_for_each(|number| writeln!(out, "{number}")))?;
    /// assert_eq!(out, b"1\n3\n");
    /// assert!(!outcome.is_complete());
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn try_for_each_batch<S: SinkError<Error>, F: FnMut(Batch<T>) -> Result<(), S>>(
        self,
        sink: F,
    ) -> Result<Outcome<Report, E>, S> {
        until_sink_fails(sink, |sink| self.and_failures(sink), S::of_run)
    }

    fn and_failures(self, sink: &mut dyn FnMut(Batch<T>) -> bool) -> Result<Outcome<Report, E>, Error> {
        let (mut failures, keeps_panics) = (Vec::new(), self.keeps_panics());
        let (report, values) = self.for_each_value(false, &mut gathering(&mut failures), sink)?;
        let (report, failures) = report_and_failures(report, values, failures, keeps_panics);
        Ok(Outcome::new(report, failures))
    }

    pub(super) fn keeps_panics(&self) -> bool {
        self.core.options().panics() == OnPanic::Collect
    }

    /// Runs the items when they are asked for, and gives each value or failure as soon as it is there, with the index of its item.
    ///
    /// # Panics
    ///
    /// Its `next` panics when an option was given a value that it does not take.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Collect, process_in_batches};
    ///
    /// let mut numbers = [None; 3];
    /// for next in process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Collect).unordered() {
    ///     match next {
    ///         Ok((index, number)) => numbers[index] = Some(number),
    ///         Err(failure) => assert_eq!(failure.item(), 1),
    ///     }
    /// }
    /// assert_eq!(numbers, [Some(1), None, Some(3)]);
    /// ```
    pub fn unordered(self) -> Unordered<I, Result<T, E>, C, Collect> {
        self.check();
        Unordered::new(self)
    }
}

/// The failures with the panics among them, by input order.
pub(super) fn and_panics<E>(mut failures: Vec<Failure<E>>, panics: Vec<Failure>) -> Vec<Failure<E>> {
    if !panics.is_empty() {
        failures.extend(panics.into_iter().map(Failure::among_errors));
        failures.sort_by_key(Failure::item);
    }
    failures
}

/// The report of a run that gathers `failures`, and these with the panics among them where they are kept.
pub(super) fn report_and_failures<E>(
    report: Report,
    values: usize,
    failures: Vec<Failure<E>>,
    keeps_panics: bool,
) -> (Report, Vec<Failure<E>>) {
    let mut report = report.of_values(values, Failures::counted(failures.len()));
    let panics = if keeps_panics { report.take_panics() } else { Vec::new() };
    (report, and_panics(failures, panics))
}

pub(super) fn gathering<E>(failures: &mut Vec<Failure<E>>) -> impl FnMut(usize, E) -> bool {
    |item, error| {
        failures.push(Failure::new(item, Cause::Error(error)));
        true
    }
}

/// Runs the items when the values are asked for, and gives them in input order. The first error by input order, of the function or
/// of the run, is the last item.
impl<I: IntoIterator, T, E, C> IntoIterator for Batched<I, Result<T, E>, C, Stop> {
    type Item = Result<T, TryError<E>>;
    type IntoIter = IntoIter<I, Result<T, E>, C, Stop>;

    fn into_iter(mut self) -> Self::IntoIter {
        let started = self.start();
        IntoIter::stopping(self, started)
    }
}

/// Runs the items when the values are asked for, and gives those of the items that don't fail, in input order.
///
/// # Panics
///
/// `into_iter` panics when an option was given a value that it does not take, because an iterator could not return the error.
impl<I: IntoIterator, T, E: fmt::Display, C> IntoIterator for Batched<I, Result<T, E>, C, Skip> {
    type Item = T;
    type IntoIter = IntoIter<I, Result<T, E>, C, Skip>;

    fn into_iter(mut self) -> Self::IntoIter {
        if let Err(error) = self.start() {
            panic!("{error}");
        }
        IntoIter::new(self)
    }
}

/// Runs the items when they are asked for, and gives values and failures in input order.
///
/// # Panics
///
/// `into_iter` panics when an option was given a value that it does not take, because an iterator could not return the error.
impl<I: IntoIterator, T, E, C> IntoIterator for Batched<I, Result<T, E>, C, Collect> {
    type Item = Result<T, Failure<E>>;
    type IntoIter = IntoIter<I, Result<T, E>, C, Collect>;

    fn into_iter(mut self) -> Self::IntoIter {
        if let Err(error) = self.start() {
            panic!("{error}");
        }
        IntoIter::new(self)
    }
}
