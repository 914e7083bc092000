//! The terminals that give back what they have, and the rest of the run, where errors have a policy.

use std::fmt;

use super::Batched;
use super::fallible::{always, and_panics, first, gathering, report_and_failures};
use crate::bounds::SinkOutput;
use crate::error::TryError;
use crate::on_error::{Collect, Skip, Stop};
use crate::outcome::{Failures, Outcome};
use crate::partial::Partial;
use crate::report::Report;
use crate::sink::Batch;

impl<I: IntoIterator, T, E, C> Batched<I, Result<T, E>, C, Stop> {
    /// Collects like [`collect`](Self::collect), and where that can't finish, gives back the values before the first error by input
    /// order and the rest of the run, which begins behind it.
    ///
    /// # Errors
    ///
    /// The function's first error, or its panic; when an option was given a value that it does not take, when the results don't
    /// fit the memory budget, when the run was cancelled or its deadline passed. The [`Partial`] holds everything that there is.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Stop, process_in_batches};
    ///
    /// let run = process_in_batches(str::parse::<u32>, ["1", "2", "three", "4"]).on_error(Stop);
    /// let (numbers, rest, cause) = run.collect_partial::<Vec<_>>().unwrap_err().into_parts();
    /// assert_eq!((numbers, cause.item()), (vec![1, 2], Some(2)));
    /// assert_eq!(rest.collect::<Vec<_>>().unwrap(), [4]);
    /// ```
    pub fn collect_partial<V: FromIterator<T>>(mut self) -> Result<V, Partial<T, Self, E>> {
        let mut failure = None;
        let (values, ended) = self.collect_some(true, &mut first(&mut failure));
        let cause = match (failure, ended) {
            (None, None) => return Ok(values.into_iter().collect()),
            // It came before whatever else ended the run.
            (Some((item, error)), _) => TryError::Item { item, error },
            (None, Some(ended)) => ended.into(),
        };
        let report = self.report_of_collected(values.len());
        Err(self.into_partial(values, report, cause))
    }

    /// Hands over batches like [`for_each_batch`](Self::for_each_batch), and where that can't finish, gives back the rest of the
    /// run.
    ///
    /// # Errors
    ///
    /// As those of [`collect_partial`](Self::collect_partial), but for the budget. All values before the error were handed over.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Stop, process_in_batches};
    ///
    /// let mut sum = 0;
    /// let run = process_in_batches(str::parse::<u32>, ["1", "2", "three", "4"]).on_error(Stop);
    /// let partial = run.for_each_batch_partial(|numbers| sum += numbers.iter().sum::<u32>()).unwrap_err();
    /// assert_eq!((sum, partial.cause().item()), (3, Some(2)));
    /// partial.into_rest().for_each_batch(|numbers| sum += numbers.iter().sum::<u32>()).unwrap();
    /// assert_eq!(sum, 7);
    /// ```
    pub fn for_each_batch_partial<O: SinkOutput, F: FnMut(Batch<T>) -> O>(
        mut self,
        sink: F,
    ) -> Result<Report, Partial<T, Self, E>> {
        let mut failure = None;
        let outcome = self.for_each_value_left(true, &mut first(&mut failure), &mut always(sink));
        let (report, values, ended) = match outcome {
            Ok((report, values)) => (report, values, None),
            Err((ended, handed_over, values)) => (self.report_of_part(handed_over), values, Some(ended)),
        };
        let cause = match (failure, ended) {
            (None, None) => return Ok(report),
            (Some((item, error)), _) => TryError::Item { item, error },
            (None, Some(ended)) => ended.into(),
        };
        // The item that failed is the cause, and none that was left out.
        Err(self.into_partial(Vec::new(), report.of_values(values, Failures::default()), cause))
    }
}

impl<I: IntoIterator, T, E: fmt::Display, C> Batched<I, Result<T, E>, C, Skip> {
    /// Collects like [`collect`](Self::collect), and where that can't finish, gives back the values that there are and the rest of
    /// the run.
    ///
    /// # Errors
    ///
    /// When the function panicked; when an option was given a value that it does not take, when the results don't fit the memory
    /// budget, when the run was cancelled or its deadline passed. The [`Partial`] holds everything that there is.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{CancelToken, on_error::Skip, process_in_batches};
    ///
    /// let token = CancelToken::new();
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Skip).cancel_token(&token);
    /// token.cancel();
    /// let partial = run.collect_partial::<Vec<_>>().unwrap_err();
    /// assert!(partial.cause().is_cancelled());
    /// let rest = partial.into_rest().cancel_token(&CancelToken::new());
    /// assert_eq!(rest.collect::<Vec<_>>().unwrap(), [1, 3]);
    /// ```
    pub fn collect_partial<V: FromIterator<T>>(mut self) -> Result<V, Partial<T, Self, E>> {
        let mut failures = Failures::default();
        let mut fail = |item, error| {
            failures.add(item, &error);
            true
        };
        match self.collect_some(false, &mut fail) {
            (values, None) => Ok(values.into_iter().collect()),
            (values, Some(ended)) => {
                let report = self.report_of_collected(values.len()).of_values(values.len(), failures);
                Err(self.into_partial(values, report, ended.into()))
            }
        }
    }

    /// Hands over batches like [`for_each_batch`](Self::for_each_batch), and where that can't finish, gives back the rest of the
    /// run.
    ///
    /// # Errors
    ///
    /// As those of [`collect_partial`](Self::collect_partial), but for the budget. All values that there were were handed over.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{CancelToken, on_error::Skip, process_in_batches};
    ///
    /// let token = CancelToken::new();
    /// token.cancel();
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Skip).cancel_token(&token);
    /// let mut sum = 0;
    /// let partial = run.for_each_batch_partial(|numbers| sum += numbers.iter().sum::<u32>()).unwrap_err();
    /// assert!(partial.cause().is_cancelled());
    ///
    /// let rest = partial.into_rest().cancel_token(&CancelToken::new());
    /// rest.for_each_batch(|numbers| sum += numbers.iter().sum::<u32>()).unwrap();
    /// assert_eq!(sum, 4);
    /// ```
    pub fn for_each_batch_partial<O: SinkOutput, F: FnMut(Batch<T>) -> O>(
        mut self,
        sink: F,
    ) -> Result<Report, Partial<T, Self, E>> {
        let mut failures = Failures::default();
        let mut fail = |item, error| {
            failures.add(item, &error);
            true
        };
        let outcome = self.for_each_value_left(false, &mut fail, &mut always(sink));
        match outcome {
            Ok((report, values)) => Ok(report.of_values(values, failures)),
            Err((ended, handed_over, values)) => {
                let report = self.report_of_part(handed_over).of_values(values, failures);
                Err(self.into_partial(Vec::new(), report, ended.into()))
            }
        }
    }
}

impl<I: IntoIterator, T, E, C> Batched<I, Result<T, E>, C, Collect> {
    /// Collects like [`collect`](Self::collect), and where that can't finish, gives back the values and failures that there are
    /// and the rest of the run.
    ///
    /// # Errors
    ///
    /// When the function panicked; when an option was given a value that it does not take, when the results don't fit the memory
    /// budget, when the run was cancelled or its deadline passed. The [`Partial`] holds everything that there is.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Collect, process_in_batches};
    ///
    /// let parse = |text: &str| if text.is_empty() { panic!("no text") } else { text.parse::<u32>() };
    /// let run = process_in_batches(parse, ["1", "two", "", "4"]).on_error(Collect);
    /// let mut partial = run.collect_partial::<Vec<_>>().unwrap_err();
    /// assert_eq!(partial.take_failures()[0].item(), 1);
    /// assert_eq!((partial.finished(), partial.cause().to_string()), (&[1][..], "item 2 panicked: no text".into()));
    /// assert_eq!(partial.into_rest().collect::<Vec<_>>()?.into_parts().0, [4]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn collect_partial<V: FromIterator<T>>(mut self) -> Result<Outcome<V, E>, Partial<T, Self, E>> {
        let mut failures = Vec::new();
        let collected = self.collect_some(false, &mut gathering(&mut failures));
        match collected {
            (values, None) => {
                let failures = and_panics(failures, self.take_panics());
                Ok(Outcome::new(values.into_iter().collect(), failures))
            }
            (values, Some(ended)) => {
                let report = self.report_of_collected(values.len());
                let (report, failures) = report_and_failures(report, values.len(), failures, self.keeps_panics());
                Err(self.into_partial(values, report, ended.into()).with_failures(failures))
            }
        }
    }

    /// Hands over batches like [`for_each_batch`](Self::for_each_batch), and where that can't finish, gives back the failures
    /// that there are and the rest of the run.
    ///
    /// # Errors
    ///
    /// As those of [`collect_partial`](Self::collect_partial), but for the budget. All values that there were were handed over.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{CancelToken, on_error::Collect, process_in_batches};
    ///
    /// let token = CancelToken::new();
    /// token.cancel();
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Collect).cancel_token(&token);
    /// let mut sum = 0;
    /// let partial = run.for_each_batch_partial(|numbers| sum += numbers.iter().sum::<u32>()).unwrap_err();
    /// assert!(partial.cause().is_cancelled());
    ///
    /// let rest = partial.into_rest().cancel_token(&CancelToken::new());
    /// let outcome = rest.for_each_batch(|numbers| sum += numbers.iter().sum::<u32>()).unwrap();
    /// assert_eq!((sum, outcome.failures()[0].item()), (4, 1));
    /// ```
    pub fn for_each_batch_partial<O: SinkOutput, F: FnMut(Batch<T>) -> O>(
        mut self,
        sink: F,
    ) -> Result<Outcome<Report, E>, Partial<T, Self, E>> {
        let mut failures = Vec::new();
        let outcome = self.for_each_value_left(false, &mut gathering(&mut failures), &mut always(sink));
        match outcome {
            Ok((report, values)) => {
                let (report, failures) = report_and_failures(report, values, failures, self.keeps_panics());
                Ok(Outcome::new(report, failures))
            }
            Err((ended, handed_over, values)) => {
                let report = self.report_of_part(handed_over);
                let (report, failures) = report_and_failures(report, values, failures, self.keeps_panics());
                Err(self.into_partial(Vec::new(), report, ended.into()).with_failures(failures))
            }
        }
    }
}
