use std::collections::BTreeMap;
use std::fmt;
use std::iter::FusedIterator;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::error::{Error, TryError};
use crate::execute::line::Flow;
use crate::failure::{Cause, Ended, Failure, Payload};
use crate::on_error::{Collect, Each, Skip, Stop};
use crate::outcome::Failures;
use crate::run::Batched;
use crate::sink::Buffer;

/// The results of a run one by one, in input order; made by [`Batched::into_iter`].
///
/// Items are run when the results are asked for: each time the buffer is empty, a batch of them is run on all threads. So
/// nothing runs while the caller works on results, and a slow consumer never makes them pile up.
///
/// What it gives depends on what becomes of errors, `P`:
///
/// | policy | an item |
/// | --- | --- |
/// | [`Each`] | the result as it is |
/// | [`Stop`] | `Result<T, TryError<E>>`; the first error by input order is the last item |
/// | [`Skip`] | `T`; [`failed`](Self::failed) and [`failures`](Self::failures) tell what was left out so far |
/// | [`Collect`] | `Result<T, Failure<E>>`; with `on_panic = "collect"` panics are failures too, in their places |
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
///
/// let mut cubes = process_in_batches(|x: u64| x.pow(3), 0..).into_iter();
/// assert_eq!(cubes.next(), Some(0));
/// assert_eq!(cubes.find(|cube| cube % 7 == 1), Some(1));
/// assert_eq!(cubes.find(|cube| *cube > 1000), Some(1331));
/// ```
#[must_use = "no item is run until results are asked for, as by a `for` loop; to run everything, call `for_each_batch` on the run"]
pub struct IntoIter<I: IntoIterator, R, C, P = Each> {
    stream: Stream<I, R, C, P>,
}

/// The results of a run as they are there, each with the index of its item; made by [`Batched::unordered`].
///
/// What it gives depends on what becomes of errors, `P`:
///
/// | policy | an item |
/// | --- | --- |
/// | [`Each`] | `(usize, R)`, the result as it is |
/// | [`Stop`] | `Result<(usize, T), TryError<E>>`; the first error that is met is the last item |
/// | [`Skip`] | `(usize, T)`; [`failed`](Self::failed) and [`failures`](Self::failures) tell what was left out so far |
/// | [`Collect`] | `Result<(usize, T), Failure<E>>`; with `on_panic = "collect"` panics are failures too |
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
///
/// let mut sum = 0;
/// for (index, cube) in process_in_batches(|x: usize| x.pow(3), 0..100).unordered() {
///     assert_eq!(cube, index.pow(3));
///     sum += cube;
/// }
/// assert_eq!(sum, 24_502_500);
/// ```
#[must_use = "no item is run until results are asked for, as by a `for` loop; to run everything, call `for_each_batch` on the run"]
pub struct Unordered<I: IntoIterator, R, C, P = Each> {
    stream: Stream<I, R, C, P>,
}

struct Stream<I: IntoIterator, R, C, P> {
    run: Batched<I, R, C, P>,
    buffer: Buffer<I::Item, R>,
    ended: bool,
    /// A panic that comes when everything before it was given.
    panic: Option<Payload>,
    /// Why the run could not be started, or went no further.
    error: Option<Error>,
    /// What was left out so far.
    failures: Failures,
    /// Panics that are given as failures, by their items, and a result that comes behind the first.
    panicked: BTreeMap<usize, Failure>,
    waiting: Option<(usize, R)>,
}

/// Whether an iterator just ends with an error: somebody wanted it to.
fn is_quiet(error: &Error) -> bool {
    error.is_cancelled() || error.is_timed_out()
}

impl<I: IntoIterator, R, C, P> Stream<I, R, C, P> {
    fn new(run: Batched<I, R, C, P>) -> Self {
        let buffer = Buffer::new(run.types());
        Self {
            run,
            buffer,
            ended: false,
            panic: None,
            error: None,
            failures: Failures::default(),
            panicked: BTreeMap::new(),
            waiting: None,
        }
    }

    /// The next result. An error of the run is a panic here.
    fn next(&mut self) -> Option<(usize, R)> {
        let next = self.try_next();
        if next.is_none()
            && let Some(error) = self.error.take_if(|error| !is_quiet(error))
        {
            panic!("{error}");
        }
        next
    }

    /// The next result; after the last of them there may be an `error`.
    fn try_next(&mut self) -> Option<(usize, R)> {
        loop {
            if let Some(next) = self.buffer.next() {
                return Some(next);
            }
            if let Some(payload) = self.panic.take() {
                resume_unwind(payload);
            }
            if self.ended {
                return None;
            }
            self.fill();
        }
    }

    /// Runs until the buffer has enough, or the run ends.
    fn fill(&mut self) {
        let (items, bytes) = self.buffer.take_credit();
        self.run.release(items, bytes);
        // What was finished before a panic is given first; nothing behind the lost item follows.
        match catch_unwind(AssertUnwindSafe(|| self.run.drive(&mut self.buffer))) {
            Ok(Ok(flow)) => self.ended = flow != Flow::Enough,
            Ok(Err(Ended::Error(error))) => {
                self.ended = true;
                self.error = Some(error);
            }
            Ok(Err(Ended::Panic(_, payload))) | Err(payload) => {
                self.ended = true;
                self.panic = Some(payload);
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.ready(), None)
    }

    /// Results and panics that are given without another item being run.
    fn ready(&self) -> usize {
        self.buffer.len() + usize::from(self.waiting.is_some()) + self.panicked.len()
    }

    fn error(&self) -> Option<&Error> {
        self.error.as_ref().filter(|_| self.ready() == 0)
    }
}

impl<I: IntoIterator, T, E, C, P> Stream<I, Result<T, E>, C, P> {
    fn next_or_first_error(&mut self) -> Option<Result<(usize, T), TryError<E>>> {
        match self.try_next() {
            Some((index, Ok(value))) => Some(Ok((index, value))),
            Some((item, Err(error))) => {
                self.ended = true;
                self.panic = None;
                self.buffer.clear();
                Some(Err(TryError::Item { item, error }))
            }
            None => self.error.take().map(|error| Err(TryError::Run(error))),
        }
    }

    fn next_value(&mut self) -> Option<(usize, T)>
    where
        E: fmt::Display,
    {
        loop {
            match self.next()? {
                (index, Ok(value)) => return Some((index, value)),
                (index, Err(error)) => self.failures.add(index, &error),
            }
        }
    }

    /// The next value, error or panic: by input order if it is `ordered`.
    fn next_or_failure(&mut self, ordered: bool) -> Option<Result<(usize, T), Failure<E>>> {
        loop {
            let next = self.waiting.take().or_else(|| self.buffer.next());
            // A panic behind all results that are there may have others before it that are not there yet.
            let is_due = |item| !ordered || next.as_ref().map_or(self.ended, |&(index, _)| item < index);
            if let Some(panic) = self.panicked.first_entry().filter(|panic| is_due(*panic.key())) {
                let panic = panic.remove().among_errors();
                self.waiting = next;
                return Some(Err(panic));
            }
            match next {
                Some((index, Ok(value))) => return Some(Ok((index, value))),
                Some((index, Err(error))) => return Some(Err(Failure::new(index, Cause::Error(error)))),
                // Tells of an error or a panic that ended it.
                None if self.ended => return self.next().map(|_| unreachable!("it gave its last result")),
                None => {
                    self.fill();
                    self.panicked.extend(self.run.take_panics().into_iter().map(|panic| (panic.item(), panic)));
                }
            }
        }
    }
}

impl<I: IntoIterator, R, C, P> IntoIter<I, R, C, P> {
    /// Why the iterator ended before its input did: the run was cancelled, or its deadline passed. `None` before, and where it
    /// ended with its input.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{CancelToken, process_in_batches};
    /// let token = CancelToken::new();
    /// let mut squares = process_in_batches(|x: u64| x * x, 0..).cancel_token(&token).into_iter();
    /// assert_eq!(squares.next(), Some(0));
    /// assert!(squares.error().is_none());
    /// token.cancel();
    /// // What was finished is still given, and then it ends.
    /// squares.by_ref().for_each(drop);
    /// assert!(squares.error().unwrap().is_cancelled());
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.stream.error()
    }

    pub(crate) fn new(run: Batched<I, R, C, P>) -> Self {
        Self { stream: Stream::new(run) }
    }
}

impl<I: IntoIterator, R, C, P> Unordered<I, R, C, P> {
    /// Why the iterator ended before its input did: the run was cancelled, or its deadline passed. `None` before, and where it
    /// ended with its input.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{CancelToken, process_in_batches};
    /// let token = CancelToken::new();
    /// let mut squares = process_in_batches(|x: u64| x * x, 0..).cancel_token(&token).unordered();
    /// assert!(squares.next().is_some() && squares.error().is_none());
    /// token.cancel();
    /// squares.by_ref().for_each(drop);
    /// assert!(squares.error().unwrap().is_cancelled());
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.stream.error()
    }

    pub(crate) fn new(mut run: Batched<I, R, C, P>) -> Self {
        run.begin_unordered();
        Self { stream: Stream::new(run) }
    }
}

impl<I: IntoIterator, T, E, C> IntoIter<I, Result<T, E>, C, Stop> {
    /// Goes back to the caller as soon as there is an error; one that is there already is the only item.
    pub(crate) fn stopping(run: Batched<I, Result<T, E>, C, Stop>, started: Result<(), Error>) -> Self {
        Self { stream: Stream::new(run).stopping(started) }
    }
}

impl<I: IntoIterator, T, E, C> Unordered<I, Result<T, E>, C, Stop> {
    /// Goes back to the caller as soon as there is an error; one that is there already is the only item.
    pub(crate) fn stopping(mut run: Batched<I, Result<T, E>, C, Stop>, started: Result<(), Error>) -> Self {
        run.begin_unordered();
        Self { stream: Stream::new(run).stopping(started) }
    }
}

impl<I: IntoIterator, T, E, C> Stream<I, Result<T, E>, C, Stop> {
    fn stopping(mut self, started: Result<(), Error>) -> Self {
        self.buffer.give_at_once(|results| results.iter().any(Result::is_err));
        self.error = started.err();
        self.ended = self.error.is_some();
        self
    }
}

macro_rules! failures_so_far {
    ($iterator:ident, $made_by:literal) => {
        impl<I: IntoIterator, T, E, C> $iterator<I, Result<T, E>, C, Skip> {
            /// Items that failed so far.
            ///
            /// # Examples
            ///
            /// ```
            /// use amorsize::{on_error::Skip, process_in_batches};
            ///
            #[doc = concat!("let run = process_in_batches(str::parse::<u32>, [\"1\", \"two\", \"3\"]).on_error(Skip);\nlet mut numbers = run.", $made_by, "();")]
            /// assert_eq!(numbers.by_ref().count(), 2);
            /// assert_eq!(numbers.failed(), 1);
            /// ```
            #[must_use]
            pub fn failed(&self) -> usize {
                self.stream.failures.count()
            }

            /// The first failures so far, up to [`Report::MOST_FAILURES`](crate::Report::MOST_FAILURES), each with the index of
            /// its item and its error as a text.
            ///
            /// # Examples
            ///
            /// ```
            /// use amorsize::{on_error::Skip, process_in_batches};
            ///
            #[doc = concat!("let run = process_in_batches(str::parse::<u32>, [\"1\", \"two\", \"3\"]).on_error(Skip);\nlet mut numbers = run.", $made_by, "();")]
            /// assert_eq!(numbers.by_ref().count(), 2);
            /// assert_eq!(numbers.failures()[0].to_string(), "item 1 failed: invalid digit found in string");
            /// ```
            #[must_use]
            pub fn failures(&self) -> &[Failure<String>] {
                self.stream.failures.kept()
            }
        }
    };
}

failures_so_far!(IntoIter, "into_iter");
failures_so_far!(Unordered, "unordered");

impl<I: IntoIterator, R, C> Iterator for IntoIter<I, R, C> {
    type Item = R;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next().map(|(_, result)| result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<I: IntoIterator, R, C> FusedIterator for IntoIter<I, R, C> {}

impl<I: IntoIterator, R, C> Iterator for Unordered<I, R, C> {
    type Item = (usize, R);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<I: IntoIterator, R, C> FusedIterator for Unordered<I, R, C> {}

impl<I: IntoIterator, T, E, C> Iterator for IntoIter<I, Result<T, E>, C, Stop> {
    type Item = Result<T, TryError<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_or_first_error().map(|next| next.map(|(_, value)| value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, None)
    }
}

impl<I: IntoIterator, T, E, C> FusedIterator for IntoIter<I, Result<T, E>, C, Stop> {}

impl<I: IntoIterator, T, E, C> Iterator for Unordered<I, Result<T, E>, C, Stop> {
    type Item = Result<(usize, T), TryError<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_or_first_error()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, None)
    }
}

impl<I: IntoIterator, T, E, C> FusedIterator for Unordered<I, Result<T, E>, C, Stop> {}

impl<I: IntoIterator, T, E: fmt::Display, C> Iterator for IntoIter<I, Result<T, E>, C, Skip> {
    type Item = T;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_value().map(|(_, value)| value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, None)
    }
}

impl<I: IntoIterator, T, E: fmt::Display, C> FusedIterator for IntoIter<I, Result<T, E>, C, Skip> {}

impl<I: IntoIterator, T, E: fmt::Display, C> Iterator for Unordered<I, Result<T, E>, C, Skip> {
    type Item = (usize, T);

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_value()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, None)
    }
}

impl<I: IntoIterator, T, E: fmt::Display, C> FusedIterator for Unordered<I, Result<T, E>, C, Skip> {}

impl<I: IntoIterator, T, E, C> Iterator for IntoIter<I, Result<T, E>, C, Collect> {
    type Item = Result<T, Failure<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_or_failure(true).map(|next| next.map(|(_, value)| value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<I: IntoIterator, T, E, C> FusedIterator for IntoIter<I, Result<T, E>, C, Collect> {}

impl<I: IntoIterator, T, E, C> Iterator for Unordered<I, Result<T, E>, C, Collect> {
    type Item = Result<(usize, T), Failure<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_or_failure(false)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<I: IntoIterator, T, E, C> FusedIterator for Unordered<I, Result<T, E>, C, Collect> {}

impl<I: IntoIterator, R, C, P> fmt::Debug for IntoIter<I, R, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("ready", &self.stream.buffer.len()).finish_non_exhaustive()
    }
}

impl<I: IntoIterator, R, C, P> fmt::Debug for Unordered<I, R, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unordered").field("ready", &self.stream.buffer.len()).finish_non_exhaustive()
    }
}
