//! The only place that decides if a result is a failure, and what the run does with it.

mod marks;
pub mod on_error;

use self::marks::{Collect, Each, Flatten, Skip, Stop};
use crate::error::failure::{Cause, Failure};
use crate::error::outcome::{Failures, Outcome};
use crate::error::{Error, TryError};
use std::convert::Infallible;
use std::fmt;
use std::mem::take;

/// No other crate can make a policy: its decisions are part of how a run works.
#[expect(unnameable_types, reason = "so that nobody else implements it")]
pub trait Sealed {}

impl Sealed for Each {}
impl Sealed for Stop {}
impl Sealed for Skip {}
impl Sealed for Collect {}
impl Sealed for Flatten {}

/// The policies that hand results over as they are: [`Each`], with a key or without.
pub trait Whole: Sealed {}

impl Whole for Each {}

/// A policy for errors: [`Each`], [`Stop`], [`Skip`] or [`Collect`]. It says which of a function's
/// results `R` are failures, and what a run does with them.
///
/// It determines the types that a terminal gives. The trait is sealed.
///
/// # Examples
///
/// A function that takes any run, with any policy for errors:
///
/// ```
/// use amorsize::on_error::{Policy, Skip};
/// use amorsize::{Batched, process_in_batches};
///
/// fn count<I: IntoIterator, R, C, P: Policy<R>>(mut run: Batched<I, R, C, P>) -> Result<usize, P::Failed> {
///     let mut count = 0;
///     run.for_each_batch(|batch| count += batch.len())?;
///     Ok(count)
/// }
///
/// assert_eq!(count(process_in_batches(str::parse::<u32>, ["1", "two"]))?, 2);
/// assert_eq!(count(process_in_batches(str::parse::<u32>, ["1", "two"]).on_error(Skip))?, 1);
/// # Ok::<(), amorsize::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no policy for results of the type `{R}`",
    label = "this is no policy for errors",
    note = "use `Stop`, `Skip` or `Collect` of `amorsize::on_error`: names in quotes, such as \"skip\", are for the attribute"
)]
pub trait Policy<R>: Sealed + Sized {
    /// The value of an item that did not fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::on_error::{Policy, Skip};
    ///
    /// let value: <Skip as Policy<Result<u32, String>>>::Value = 7_u32;
    /// # assert_eq!(value, 7);
    /// ```
    type Value;
    /// The reason why an item failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::on_error::{Collect, Policy};
    ///
    /// let error: <Collect as Policy<Result<u32, String>>>::Error = String::from("too dark");
    /// # assert_eq!(error, "too dark");
    /// ```
    type Error;
    /// The reason why a terminal failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::on_error::{Policy, Stop};
    /// use amorsize::process_in_batches;
    ///
    /// let run = || process_in_batches(str::parse::<u8>, ["one"]).on_error(Stop).collect::<Vec<_>>();
    /// let error: <Stop as Policy<Result<u8, std::num::ParseIntError>>>::Failed = run().unwrap_err();
    /// assert_eq!(error.item(), Some(0));
    /// ```
    type Failed: From<Error>;
    /// The value that a terminal gives for a `V`.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::on_error::{Collect, Policy};
    /// use amorsize::{Outcome, process_in_batches};
    ///
    /// type Given<V> = <Collect as Policy<Result<u8, String>>>::Given<V>;
    ///
    /// let run = || process_in_batches(|x: u8| Ok::<_, String>(x), [7]).on_error(Collect).collect::<Vec<_>>();
    /// let outcome: Given<Vec<u8>> = run()?;
    /// let outcome: Outcome<Vec<u8>, String> = outcome;
    /// assert_eq!(outcome.value(), &[7]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    type Given<V>;
    /// The value that an iterator gives for a `V`.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::on_error::{Policy, Skip};
    ///
    /// let next: <Skip as Policy<Result<u32, String>>>::Item<(usize, u32)> = (0, 7);
    /// # assert_eq!(next, (0, 7));
    /// ```
    type Item<V>;

    /// True if the first failure ends the run.
    #[doc(hidden)]
    const STOPS: bool = false;
    /// True if the caller gets the failures, and the collected panics with them.
    #[doc(hidden)]
    const GATHERS: bool = false;
    /// True if an iterator gives something for each result.
    #[doc(hidden)]
    const GIVES_ALL: bool = Self::NEVER_FAILS || Self::GATHERS;
    /// True if no result can be a failure: then none has to be looked at.
    #[doc(hidden)]
    const NEVER_FAILS: bool = false;

    #[doc(hidden)]
    fn split(result: R) -> Result<Self::Value, Self::Error>;

    /// The results that have these values.
    #[doc(hidden)]
    fn unsplit(values: Vec<Self::Value>) -> Vec<R>;

    /// The value in a result, if it is no failure.
    #[doc(hidden)]
    fn value(result: &R) -> Option<&Self::Value>;

    /// True if a result is a failure.
    #[doc(hidden)]
    #[inline]
    fn fails(result: &R) -> bool {
        Self::value(result).is_none()
    }

    /// Notes a failure for a terminal. If it returns an error, the run ends.
    #[doc(hidden)]
    fn fail(_seen: &mut Seen<R>, _index: usize, _error: Self::Error) -> Result<(), Self::Failed> {
        Ok(())
    }

    /// Takes the value out of a result, or notes its failure, which does not end the run.
    #[doc(hidden)]
    fn take(result: R, index: usize, seen: &mut Seen<R>) -> Option<Self::Value> {
        Self::split(result).map_err(|error| _ = Self::fail(seen, index, error)).ok()
    }

    /// Takes the values out of results, and notes their failures.
    #[doc(hidden)]
    fn values(results: Vec<R>, indices: impl Iterator<Item = usize>, seen: &mut Seen<R>) -> Vec<Self::Value> {
        // The values take over the memory of the results.
        results.into_iter().zip(indices).filter_map(|(result, index)| Self::take(result, index, seen)).collect()
    }

    /// The result of a terminal that ended without an error.
    #[doc(hidden)]
    fn given<V>(value: V, seen: &mut Seen<R>) -> Self::Given<V>;

    /// The next value of an iterator for a value, or for a failure with the index of its item;
    /// `None` leaves the failure out.
    #[doc(hidden)]
    fn item<V>(value: Result<V, (usize, Self::Error)>, seen: &mut Seen<R>) -> Option<Self::Item<V>>;

    /// The next value of an iterator for a collected panic.
    #[doc(hidden)]
    fn panicked_item<V>(_panic: Failure) -> Option<Self::Item<V>> {
        None
    }

    /// The next value of an iterator for an error of the run; `Err` if the iterator can't give one.
    #[doc(hidden)]
    fn last_item<V>(error: Error) -> Result<Self::Item<V>, Error> {
        Err(error)
    }
}

/// The failures that a run met and has not yet given to the caller.
#[derive(Debug)]
pub struct Seen<R> {
    pub(crate) told: Told,
    /// The gathered failures, with the indices of their items.
    gathered: Vec<(usize, R)>,
}

/// The part of [`Seen`] without the type of results.
#[derive(Debug)]
pub(crate) struct Told {
    /// The failures of the current part of the run, for its report.
    pub(crate) failures: Failures,
    /// The panics that are gathered with failures.
    pub(crate) panicked: Vec<Failure>,
}

impl Told {
    const NONE: Self = Self { failures: Failures::new(), panicked: Vec::new() };
}

impl<R> Seen<R> {
    /// A constant, so that a run of each function does not need code to make one.
    pub(crate) const NONE: Self = Self { told: Told::NONE, gathered: Vec::new() };

    /// Takes out the gathered failures, in input order.
    pub(crate) fn take_failures<P: Policy<R>>(&mut self) -> Vec<Failure<P::Error>> {
        let errors = take(&mut self.gathered)
            .into_iter()
            .filter_map(|(index, result)| P::split(result).err().map(|error| Failure::new(index, Cause::Error(error))));
        let mut failures: Vec<_> = errors.collect();
        if !self.told.panicked.is_empty() {
            failures.extend(self.told.panicked.drain(..).map(Failure::among_errors));
            failures.sort_by_key(Failure::index);
        }
        failures
    }
}

impl<R> Policy<R> for Each {
    type Value = R;
    type Error = Infallible;
    type Failed = Error;
    type Given<V> = V;
    type Item<V> = V;

    const NEVER_FAILS: bool = true;

    #[inline]
    fn split(result: R) -> Result<R, Infallible> {
        Ok(result)
    }

    #[inline]
    fn unsplit(values: Vec<R>) -> Vec<R> {
        values
    }

    #[inline]
    fn value(result: &R) -> Option<&R> {
        Some(result)
    }

    #[inline]
    fn values(results: Vec<R>, _: impl Iterator<Item = usize>, _: &mut Seen<R>) -> Vec<R> {
        results
    }

    #[inline]
    fn given<V>(value: V, _: &mut Seen<R>) -> V {
        value
    }

    #[inline]
    fn item<V>(value: Result<V, (usize, Infallible)>, _: &mut Seen<R>) -> Option<V> {
        value.ok()
    }
}

/// The reason why an item has no value: its function returned `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent;

impl<T> Policy<Option<T>> for Flatten {
    type Value = T;
    type Error = Absent;
    type Failed = Error;
    type Given<V> = V;
    type Item<V> = V;

    #[inline]
    fn split(result: Option<T>) -> Result<T, Absent> {
        result.ok_or(Absent)
    }

    fn unsplit(values: Vec<T>) -> Vec<Option<T>> {
        values.into_iter().map(Some).collect()
    }

    fn value(result: &Option<T>) -> Option<&T> {
        result.as_ref()
    }

    fn given<V>(value: V, _: &mut Seen<Option<T>>) -> V {
        value
    }

    fn item<V>(value: Result<V, (usize, Absent)>, _: &mut Seen<Option<T>>) -> Option<V> {
        value.ok()
    }
}

/// The part that all policies for `Result` share.
macro_rules! of_results {
    () => {
        type Value = T;
        type Error = E;

        #[inline]
        fn split(result: Result<T, E>) -> Result<T, E> {
            result
        }

        fn unsplit(values: Vec<T>) -> Vec<Result<T, E>> {
            values.into_iter().map(Ok).collect()
        }

        fn value(result: &Result<T, E>) -> Option<&T> {
            result.as_ref().ok()
        }
    };
}

impl<T, E> Policy<Result<T, E>> for Stop {
    of_results!();
    type Failed = TryError<E>;
    type Given<V> = V;
    type Item<V> = Result<V, TryError<E>>;

    const STOPS: bool = true;

    fn fail(_: &mut Seen<Result<T, E>>, index: usize, error: E) -> Result<(), TryError<E>> {
        Err(TryError::of_item(index, error))
    }

    fn given<V>(value: V, _: &mut Seen<Result<T, E>>) -> V {
        value
    }

    fn item<V>(value: Result<V, (usize, E)>, _: &mut Seen<Result<T, E>>) -> Option<Self::Item<V>> {
        Some(value.map_err(|(index, error)| TryError::of_item(index, error)))
    }

    fn last_item<V>(error: Error) -> Result<Self::Item<V>, Error> {
        Ok(Err(TryError::Run(error)))
    }
}

impl<T, E: ToldAsText> Policy<Result<T, E>> for Skip {
    of_results!();
    type Failed = Error;
    type Given<V> = V;
    type Item<V> = V;

    fn fail(seen: &mut Seen<Result<T, E>>, index: usize, error: E) -> Result<(), Error> {
        seen.told.failures.add(index, error);
        Ok(())
    }

    fn given<V>(value: V, _: &mut Seen<Result<T, E>>) -> V {
        value
    }

    fn item<V>(value: Result<V, (usize, E)>, seen: &mut Seen<Result<T, E>>) -> Option<V> {
        value.map_err(|(index, error)| seen.told.failures.add(index, error)).ok()
    }
}

impl<T, E> Policy<Result<T, E>> for Collect {
    of_results!();
    type Failed = Error;
    type Given<V> = Outcome<V, E>;
    type Item<V> = Result<V, Failure<E>>;

    const GATHERS: bool = true;

    fn fail(seen: &mut Seen<Result<T, E>>, index: usize, error: E) -> Result<(), Error> {
        seen.told.failures.add_counted();
        seen.gathered.push((index, Err(error)));
        Ok(())
    }

    fn given<V>(value: V, seen: &mut Seen<Result<T, E>>) -> Outcome<V, E> {
        Outcome::new(value, seen.take_failures::<Self>())
    }

    fn item<V>(value: Result<V, (usize, E)>, _: &mut Seen<Result<T, E>>) -> Option<Self::Item<V>> {
        Some(value.map_err(|(index, error)| Failure::new(index, Cause::Error(error))))
    }

    fn panicked_item<V>(panic: Failure) -> Option<Self::Item<V>> {
        Some(Err(panic.among_errors()))
    }
}

/// An error that a report can show as text, because the report outlives the run.
#[diagnostic::on_unimplemented(
    message = "with the policy `Skip`, a report tells errors as texts, but `{Self}` has none",
    label = "the errors of this run are no texts",
    note = "implement `std::fmt::Display` for `{Self}`; or gather the errors as they are: `on_error = \"collect\"` or \
            `.on_error(Collect)`"
)]
pub trait ToldAsText: fmt::Display {}

#[diagnostic::do_not_recommend]
impl<E: fmt::Display> ToldAsText for E {}
