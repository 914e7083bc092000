//! What becomes of the errors of a function that returns a `Result`: the policies that [`Batched::on_error`](crate::Batched::on_error)
//! takes.
//!
//! A policy is the last type parameter of [`Batched`](crate::Batched), so that the result type of every terminal follows from it:
//!
//! | policy | as an option of the attribute | [`collect`](crate::Batched::collect) of a function that returns `Result<T, E>` |
//! | --- | --- | --- |
//! | [`Each`] | left out | `Result<V, Error>`, `V` a collection of `Result<T, E>` |
//! | [`Stop`] | `on_error = "stop"` | `Result<V, TryError<E>>`, `V` a collection of `T` |
//! | [`Skip`] | `on_error = "skip"` | `Result<V, Error>`, `V` a collection of `T` |
//! | [`Collect`] | `on_error = "collect"` | `Result<Outcome<V, E>, Error>`, `V` a collection of `T` |
//!
//! # Examples
//!
//! ```
//! use amorsize::on_error::{Collect, Skip, Stop};
//! use amorsize::process_in_batches;
//!
//! let numbers = || process_in_batches(str::parse::<u32>, ["1", "two", "3"]);
//!
//! let error = numbers().on_error(Stop).collect::<Vec<_>>().unwrap_err();
//! assert_eq!(error.to_string(), "item 1 failed: invalid digit found in string");
//!
//! assert_eq!(numbers().on_error(Skip).collect::<Vec<_>>()?, [1, 3]);
//!
//! let outcome = numbers().on_error(Collect).collect::<Vec<_>>()?;
//! assert_eq!((outcome.value().as_slice(), outcome.failures()[0].item()), ([1, 3].as_slice(), 1));
//! # Ok::<(), amorsize::Error>(())
//! ```

mod sealed {
    /// Keeps the policies those that the terminals know.
    #[expect(unnameable_types, reason = "so that nobody else implements it")]
    pub trait Sealed {
        /// Whether errors are anything else than results.
        const DECIDES: bool;
    }
}

/// What becomes of errors: [`Each`], [`Stop`], [`Skip`] or [`Collect`].
///
/// The trait is sealed: each policy has terminals of its own.
///
/// # Examples
///
/// ```
/// use std::fmt::Debug;
///
/// use amorsize::on_error::{OnError, Skip};
///
/// fn name(policy: impl OnError + Debug) -> String {
///     format!("{policy:?}")
/// }
/// assert_eq!(name(Skip), "Skip");
/// ```
#[diagnostic::on_unimplemented(
    message = "`on_error` can't be of the type `{Self}`",
    label = "this is no policy for errors",
    note = "use `Stop`, `Skip` or `Collect` of `amorsize::on_error`: names in quotes, such as \"skip\", are for the attribute"
)]
pub trait OnError: sealed::Sealed {}

macro_rules! policies {
    ($($(#[$doc:meta])* $policy:ident $decides:literal)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $policy;

        impl sealed::Sealed for $policy {
            const DECIDES: bool = $decides;
        }
        #[diagnostic::do_not_recommend]
        impl OnError for $policy {}
    )*};
}

policies! {
    /// Results are handed over as they are, whatever they are: what a run does where nothing is said of errors.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::on_error::{Each, Skip};
    /// use amorsize::process_in_batches;
    ///
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two"]).on_error(Skip);
    /// // Back to what it was without a policy.
    /// let results: Vec<Result<u32, _>> = run.on_error(Each).collect()?;
    /// assert!(results[0].is_ok() && results[1].is_err());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    Each false
    /// The first error by input order ends the run, and is what the terminal fails with. The values of all items before it are
    /// handed over first; nothing behind it is started once it is known.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Stop, process_in_batches};
    ///
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Stop);
    /// let mut numbers = Vec::new();
    /// let error = run.for_each_batch(|batch| numbers.extend(batch)).unwrap_err();
    /// assert_eq!((numbers, error.item()), (vec![1], Some(1)));
    /// ```
    Stop true
    /// Errors are left out. The report counts them, and keeps the first [`Report::MOST_FAILURES`](crate::Report::MOST_FAILURES).
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
    Skip true
    /// Errors are gathered, each with the index of its item, beside the values: the terminal gives an
    /// [`Outcome`](crate::Outcome).
    ///
    /// With `on_panic = "collect"` panics are gathered with them.
    ///
    /// Errors are small beside results; those that `for_each_batch` gathers are not counted in the memory budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Collect, process_in_batches};
    ///
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Collect);
    /// let (numbers, failures) = run.collect::<Vec<_>>()?.into_parts();
    /// assert_eq!((numbers, failures[0].item()), (vec![1, 3], 1));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    Collect true
}
