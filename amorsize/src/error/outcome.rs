//! The results of a run that goes on in spite of errors.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::TryError;
use super::failure::{Cause, Failure, Panicked, discard};

/// The values of a run, and the items that gave none. The terminals of a run that collects errors
/// return it ([`Collect`](crate::on_error::Collect)).
///
/// With `on_panic = "collect"` items that panicked are among the failures, even if the value is a
/// report, which tells of them too. With `on_panic = "skip"` only a report counts them.
///
/// # Examples
///
/// ```
/// use amorsize::batched;
///
/// #[batched(on_error = "collect")]
/// fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// let outcome = parse_batched(["1", "two", "3", "four"]).collect::<Vec<_>>()?;
/// assert!(!outcome.is_complete());
/// let (numbers, failures) = outcome.into_parts();
/// assert_eq!(numbers, [1, 3]);
/// assert_eq!(failures.iter().map(|failure| failure.index()).collect::<Vec<_>>(), [1, 3]);
/// assert_eq!(failures[0].to_string(), "item 1 failed: invalid digit found in string");
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "an outcome may hold failures: look at `failures`, or let `into_result` fail with the first"]
pub struct Outcome<V, E> {
    value: V,
    failures: Vec<Failure<E>>,
}

impl<V, E> Outcome<V, E> {
    pub(crate) fn new(value: V, failures: Vec<Failure<E>>) -> Self {
        Self { value, failures }
    }

    /// The value for the items that did not fail: a collection of their values, or a report.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{on_error::Collect, process_in_batches};
    /// let mut run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Collect);
    /// let outcome = run.collect::<Vec<_>>()?;
    /// assert_eq!(outcome.value(), &[1, 3]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn value(&self) -> &V {
        &self.value
    }

    /// The items that failed, in input order, each with its index and its cause.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{on_error::Collect, process_in_batches};
    /// let mut run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Collect);
    /// let outcome = run.collect::<Vec<_>>()?;
    /// let text = outcome.failures()[0].to_string();
    /// assert_eq!(text, "item 1 failed: invalid digit found in string");
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn failures(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// True if no item failed, so that there are no [`failures`](Self::failures).
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{on_error::Collect, process_in_batches};
    /// let mut run = process_in_batches(str::parse::<u32>, ["1", "2"]).on_error(Collect);
    /// let outcome = run.collect::<Vec<_>>()?;
    /// assert!(outcome.is_complete());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }

    /// The value, and the items that failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{on_error::Collect, process_in_batches};
    /// let mut run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Collect);
    /// let outcome = run.collect::<Vec<_>>()?;
    /// let (numbers, failures) = outcome.into_parts();
    /// assert_eq!((numbers, failures.len()), (vec![1, 3], 1));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn into_parts(self) -> (V, Vec<Failure<E>>) {
        (self.value, self.failures)
    }

    /// The value, if no item failed.
    ///
    /// # Errors
    ///
    /// The first failure by input order.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{TryError, on_error::Collect, process_in_batches};
    ///
    /// fn sum(texts: &[&str]) -> Result<u32, TryError<std::num::ParseIntError>> {
    ///     let run = process_in_batches(|text: &&str| text.parse::<u32>(), texts);
    ///     let outcome = run.on_error(Collect).collect::<Vec<_>>()?;
    ///     Ok(outcome.into_result()?.iter().sum())
    /// }
    ///
    /// assert_eq!(sum(&["1", "2"]).unwrap(), 3);
    /// assert_eq!(sum(&["1", "two"]).unwrap_err().item(), Some(1));
    /// ```
    pub fn into_result(self) -> Result<V, Failure<E>> {
        match self.failures.into_iter().next() {
            Some(first) => Err(first),
            None => Ok(self.value),
        }
    }
}

/// Lets `?` convert the failure of an item to the type of the run's own error.
impl<E> From<Failure<E>> for TryError<E> {
    fn from(failure: Failure<E>) -> Self {
        match failure.into_parts() {
            (item, Cause::Error(error)) => Self::of_item(item, error),
            (item, Cause::Panic(panic)) => Self::Panic { item, panic },
        }
    }
}

/// The failures that a report counts, and the first of them as texts.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    count: usize,
    kept: Vec<Failure<String>>,
}

/// A text of at most some kibibytes: texts are no part of the budget, and a page shows many.
pub(crate) fn shortened(text: String) -> String {
    /// More than a screen.
    const MOST: usize = 4 << 10;
    if text.len() <= MOST {
        return text;
    }
    let end = (0..=MOST).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{} ... ({} bytes)", &text[..end], text.len())
}

impl Failures {
    /// The most texts that are kept: enough to see the kinds of errors, in a report that still fits
    /// a screen. Of panics that are only counted, as many are kept.
    pub(crate) const MOST: usize = 16;

    pub(crate) const fn new() -> Self {
        Self { count: 0, kept: Vec::new() }
    }

    /// Counts a failure, and keeps its text while there are few. Telling and dropping the error are
    /// user code. A panic there takes the place of the text: the item has failed anyway, and the
    /// results of others must not be lost with it.
    pub(crate) fn add<E: fmt::Display>(&mut self, item: usize, error: E) {
        let text = (self.count < Self::MOST).then(|| catch_unwind(AssertUnwindSafe(|| error.to_string())));
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(error)));
        self.note(item, text, dropped);
    }

    fn note(&mut self, item: usize, text: Option<thread::Result<String>>, dropped: thread::Result<()>) {
        self.count += 1;
        let panic = |payload| {
            let panicked = Panicked::new(payload);
            let text = format!("its error {panicked}");
            discard(panicked.into_payload());
            text
        };
        let dropped = dropped.map_err(panic).err();
        if let Some(text) = text {
            let text = text.unwrap_or_else(panic);
            self.kept.push(Failure::new(item, Cause::Error(shortened(dropped.unwrap_or(text)))));
        }
    }

    /// Counts a failure, but keeps no text of it: the error itself is kept elsewhere.
    pub(crate) fn add_counted(&mut self) {
        self.count += 1;
    }

    /// These and those of the next run.
    #[cfg(feature = "array")]
    pub(crate) fn and(mut self, next: &Self) -> Self {
        self.count += next.count;
        let room = Self::MOST.saturating_sub(self.kept.len());
        self.kept.extend(next.kept.iter().take(room).map(|failure| {
            let text = failure.error().cloned().unwrap_or_default();
            Failure::new(failure.index(), Cause::Error(text))
        }));
        self
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn kept(&self) -> &[Failure<String>] {
        &self.kept
    }
}
