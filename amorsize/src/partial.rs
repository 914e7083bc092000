use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;

use crate::error::{Error, TryError};
use crate::failure::Failure;
use crate::report::Report;

/// What a run that could not finish gives back: the results that are finished, the rest of the run,
/// and why it ended: an error or a panic of the function, a token that was cancelled, a deadline,
/// or the budget.
///
/// Nothing is lost, and nothing has to be computed again: the rest is a run like any other, whose
/// input begins where the finished results end. What it has computed out of order already is handed
/// over when its turn comes, items are numbered as in the whole input, and its report is of what
/// the rest did. [`report`](Self::report) is of the part that ended.
///
/// The rest keeps the run's options, token and deadline. After a token or a deadline ended the run
/// it needs another one to go on: `rest.cancel_token(&CancelToken::new())`, `rest.timeout(..)`. A
/// timeout isn't counted anew.
///
/// The text begins with the cause's, and [`source`](StdError::source) gives `None`:
/// [`cause`](Self::cause) and [`into_cause`](Self::into_cause) give the cause itself.
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
///
/// let run = process_in_batches(|i: usize| vec![i; 10_000], 0..1000).max_memory("8MiB");
/// let partial = run.collect_partial::<Vec<_>>().unwrap_err();
/// assert!(partial.cause().is_over_budget());
///
/// let (finished, rest, _cause) = partial.into_parts();
/// let mut next = finished.len();
/// assert!((1..1000).contains(&next));
/// drop(finished); // Saved somewhere.
///
/// // The rest goes batch by batch: no item is run twice, none is left out.
/// rest.for_each_batch(|batch| {
///     assert_eq!(batch.first_index(), next);
///     next += batch.len();
/// })?;
/// assert_eq!(next, 1000);
/// # Ok::<(), amorsize::Error>(())
/// ```
#[must_use = "it holds what is finished and the rest of the run: take both by `into_parts`, or go on by `into_rest`"]
pub struct Partial<T, B, E = Infallible>(Box<Parts<T, B, E>>);

// Boxed, so that a `Result` of it stays small.
struct Parts<T, B, E> {
    finished: Vec<T>,
    failures: Vec<Failure<E>>,
    report: Report,
    rest: B,
    cause: TryError<E>,
}

impl<T, B, E> Partial<T, B, E> {
    #[cold]
    pub(crate) fn new(finished: Vec<T>, report: Report, rest: B, cause: TryError<E>) -> Self {
        Self(Box::new(Parts { finished, failures: Vec::new(), report, rest, cause }))
    }

    pub(crate) fn with_failures(mut self, failures: Vec<Failure<E>>) -> Self {
        self.0.failures = failures;
        self
    }

    /// The results of all items before the first one that is missing, in input order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let partial = process_in_batches(|x: u32| 100 / x, [5, 4, 0, 2]).collect_partial::<Vec<_>>().unwrap_err();
    /// assert_eq!(partial.finished(), [20, 25]);
    /// ```
    #[must_use]
    pub fn finished(&self) -> &[T] {
        &self.0.finished
    }

    /// The items that failed before the run ended, by input order, where the run goes on without
    /// them and gathers them: with [`Collect`](crate::on_error::Collect). With
    /// `on_panic = "collect"` panics are among them; threads can have met some of items that the
    /// rest begins with. Of a run with another policy, [`report`](Self::report) tells.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{on_error::Collect, process_in_batches};
    /// let invert = |x: i32| if x < 0 { Err("below zero") } else { Ok(100 / x) };
    /// let run = process_in_batches(invert, [5, -1, 0, 2]).on_error(Collect);
    /// let partial = run.collect_partial::<Vec<_>>().unwrap_err();
    /// // Item 2 panicked and ended the run; item 1 had failed before.
    /// assert_eq!((partial.cause().item(), partial.failures()[0].item()), (Some(2), 1));
    /// ```
    #[must_use]
    pub fn failures(&self) -> &[Failure<E>] {
        &self.0.failures
    }

    /// Takes the failures out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{on_error::Collect, process_in_batches};
    /// let invert = |x: i32| if x < 0 { Err("below zero") } else { Ok(100 / x) };
    /// let run = process_in_batches(invert, [5, -1, 0, 2]).on_error(Collect);
    /// let mut partial = run.collect_partial::<Vec<_>>().unwrap_err();
    /// let failures = partial.take_failures();
    /// let (finished, _rest, _cause) = partial.into_parts();
    /// assert_eq!((finished, failures[0].error()), (vec![20], Some(&"below zero")));
    /// ```
    #[must_use = "the failures are dropped: to look at them, call `failures`"]
    pub fn take_failures(&mut self) -> Vec<Failure<E>> {
        std::mem::take(&mut self.0.failures)
    }

    /// The report of the part of the run that ended: what was handed over or is
    /// [finished](Self::finished), the items that were left out, by [`Skip`](crate::on_error::Skip)
    /// or `on_panic`, time and memory. The rest's report is of the rest alone.
    ///
    /// Of a `collect_partial` it counts finished results as items, and no batches. The item that
    /// ended the run is not among the failures and panics that it counts: it is in the
    /// [`cause`](Self::cause). Panics are counted in the part in which they were met: threads can
    /// have met some of items that the rest begins with.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{CancelToken, on_error::Skip, process_in_batches};
    ///
    /// let token = CancelToken::new();
    /// let run = process_in_batches(str::parse::<u32>, ["1", "two", "3", "four", "5"]).on_error(Skip).batch_size(1);
    /// let partial = run.cancel_token(&token).for_each_batch_partial(|batch| {
    ///     if *batch == [3] {
    ///         token.cancel();
    ///     }
    /// });
    /// let partial = partial.unwrap_err();
    /// let told = partial.report();
    /// println!("{} done, {} failed in {} s: {}", told.items(), told.failed(), told.seconds(), partial.cause());
    /// assert_eq!(told.failures()[0].to_string(), "item 1 failed: invalid digit found in string");
    ///
    /// // Each failure is in one of the two reports.
    /// let (items, failed) = (told.items(), told.failed());
    /// let rest = partial.into_rest().cancel_token(&CancelToken::new()).for_each_batch(|_| ())?;
    /// assert_eq!((items + rest.items(), failed + rest.failed()), (3, 2));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    /// Why the run ended. An item that failed or panicked is not part of the rest.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let partial = process_in_batches(|x: u32| 100 / x, [5, 4, 0, 2]).collect_partial::<Vec<_>>().unwrap_err();
    /// assert_eq!(partial.cause().to_string(), "item 2 panicked: attempt to divide by zero");
    /// ```
    #[must_use]
    pub fn cause(&self) -> &TryError<E> {
        &self.0.cause
    }

    /// The finished results, without the rest, which is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let partial = process_in_batches(|x: u32| 100 / x, [5, 4, 0, 2]).collect_partial::<Vec<_>>().unwrap_err();
    /// assert_eq!(partial.into_finished(), [20, 25]);
    /// ```
    #[must_use = "all that was finished is dropped: to go on with the rest, call `into_rest`"]
    pub fn into_finished(self) -> Vec<T> {
        self.0.finished
    }

    /// The rest of the run, without the finished results, which are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let partial = process_in_batches(|x: u32| 100 / x, [5, 4, 0, 2]).collect_partial::<Vec<_>>().unwrap_err();
    /// // The item that panicked is left out.
    /// assert_eq!(partial.into_rest().collect::<Vec<_>>()?, [50]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn into_rest(self) -> B {
        self.0.rest
    }

    /// Why the run ended, alone.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{TryError, process_in_batches};
    /// let partial = process_in_batches(|x: u32| 100 / x, [5, 4, 0, 2]).collect_partial::<Vec<_>>().unwrap_err();
    /// assert!(matches!(partial.into_cause(), TryError::Panic { item: 2, .. }));
    /// ```
    #[must_use = "all else is dropped: to look at the cause, call `cause`"]
    pub fn into_cause(self) -> TryError<E> {
        self.0.cause
    }

    /// The finished results, the rest of the run, and why it ended. (Failures are [taken
    /// out](Self::take_failures) before.)
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let partial = process_in_batches(|x: u32| 100 / x, [5, 4, 0, 2]).collect_partial::<Vec<_>>().unwrap_err();
    /// let (mut quotients, rest, cause) = partial.into_parts();
    /// eprintln!("{cause}");
    /// quotients.extend(rest.collect::<Vec<_>>()?);
    /// assert_eq!(quotients, [20, 25, 50]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn into_parts(self) -> (Vec<T>, B, TryError<E>) {
        let Parts { finished, rest, cause, .. } = *self.0;
        (finished, rest, cause)
    }
}

impl<T, B, E: fmt::Display> fmt::Display for Partial<T, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.cause {
            TryError::Run(error) => error.tell(f)?,
            cause => write!(f, "{cause}")?,
        }
        match self.0.finished.len() {
            0 => f.write_str("; `into_rest` gives the rest of the run"),
            1 => f.write_str(
                "; `into_parts` gives the one result before the first that is missing, and the rest of the run",
            ),
            finished => write!(
                f,
                "; `into_parts` gives the {finished} results before the first that is missing, and the rest of the run"
            ),
        }
    }
}

// The values in it need not be printable, and there may be gigabytes of them.
impl<T, B, E: fmt::Debug> fmt::Debug for Partial<T, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partial")
            .field("finished", &self.0.finished.len())
            .field("cause", &self.0.cause)
            .finish_non_exhaustive()
    }
}

// The text holds the cause's already, so it has no source to be shown beside it.
impl<T, B, E: fmt::Debug + fmt::Display> StdError for Partial<T, B, E> {}

/// Lets `?` turn it into the error that [`collect`](crate::Batched::collect) would have given.
impl<T, B> From<Partial<T, B>> for Error {
    fn from(partial: Partial<T, B>) -> Self {
        partial.into_cause().into()
    }
}
