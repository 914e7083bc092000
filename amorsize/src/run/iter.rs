use std::fmt;
use std::iter::FusedIterator;

use super::Batched;
use crate::error::Error;
use crate::error::failure::{Ended, Failure};
use crate::output::outlet::Flow;
use crate::output::pull::Buffer;
use crate::policy::Policy;
use crate::policy::on_error::Each;
use crate::units::by_index::ByIndex;

/// The results of a run one by one, in input order; made by [`Batched::into_iter`].
///
/// Items are run when the results are asked for: each time the buffer is empty, a batch of them is
/// run on all threads. So nothing runs while the caller works on results, and a slow consumer never
/// makes them pile up. With [`iterate`](Batched::iterate) the run goes on meanwhile.
///
/// Its items depend on the policy for errors, `P`:
///
/// | policy | an item |
/// | --- | --- |
/// | [`Each`] | the result as it is |
/// | [`Stop`] | `Result<T, TryError<E>>`; the first error by input order is the last item |
/// | [`Skip`] | `T`; [`failed`] and [`failures`] tell what was left out so far |
/// | [`Collect`] | `Result<T, Failure<E>>`; with `on_panic = "collect"` panics too, in their places |
///
/// [`Collect`]: crate::on_error::Collect
/// [`Skip`]: crate::on_error::Skip
/// [`Stop`]: crate::on_error::Stop
/// [`failed`]: Self::failed
/// [`failures`]: Self::failures
///
/// # Panics
///
/// An iterator can't return an error of the run, and a loop that just ended would look like one
/// that is done. So [`into_iter`](IntoIterator::into_iter) and `next` panic with the text of the
/// error: for an option with a value that it does not take, and where a run with a checkpoint finds
/// another input, a damaged directory, one that is in use, or a full disk. With the policy [`Stop`]
/// the error is the last item instead. A token and a deadline just end the loop, because somebody
/// asked for that. [`error`](Self::error) tells in each case.
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

/// The results of a run as soon as they are ready, each with the index of its item; made by
/// [`Batched::unordered`].
///
/// Its items depend on the policy for errors, `P`:
///
/// | policy | an item |
/// | --- | --- |
/// | [`Each`] | `(usize, R)`, the result as it is |
/// | [`Stop`] | `Result<(usize, T), TryError<E>>`; the first error that is met is the last item |
/// | [`Skip`] | `(usize, T)`; [`failed`] and [`failures`] tell what was left out so far |
/// | [`Collect`] | `Result<(usize, T), Failure<E>>`; with `on_panic = "collect"` panics too |
///
/// [`Collect`]: crate::on_error::Collect
/// [`Skip`]: crate::on_error::Skip
/// [`Stop`]: crate::on_error::Stop
/// [`failed`]: Self::failed
/// [`failures`]: Self::failures
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
    /// True if the run gives no more.
    ended: bool,
    /// True if the last item was given, or the end was told: nothing follows.
    stopped: bool,
    /// The reason why the run could not be started, or went no further: it is told when everything
    /// before it was given.
    why: Option<Ended>,
    /// Panics that are given as failures, by their items.
    panicked: ByIndex<Failure>,
}

/// True if an iterator just ends with this error: somebody asked for the end.
fn is_quiet(error: &Error) -> bool {
    error.is_cancelled() || error.is_timed_out()
}

impl<I: IntoIterator, R, C, P> Stream<I, R, C, P> {
    /// Results and panics that are there.
    fn ready(&self) -> usize {
        self.buffer.len() + self.panicked.len()
    }

    fn error(&self) -> Option<&Error> {
        match &self.why {
            Some(Ended::Error(error)) if self.ready() == 0 => Some(error),
            _ => None,
        }
    }

    /// Runs until the buffer has enough, or the run ends.
    fn fill(&mut self) {
        // Results from before a panic are given first; nothing after the lost item follows.
        match self.run.drive(&mut self.buffer) {
            Ok(flow) => self.ended = flow != Flow::Enough,
            Err(why) => (self.ended, self.why) = (true, Some(why)),
        }
    }
}

impl<I: IntoIterator, R, C, P: Policy<R>> Stream<I, R, C, P> {
    /// A run that could not be `started` gives that error as its only item, or panics if it can't.
    #[track_caller]
    fn new(run: Batched<I, R, C, P>, started: Result<(), Error>) -> Self {
        let mut buffer = Buffer::new(run.shared.types);
        if P::STOPS {
            // The caller gets a failure as soon as there is one.
            buffer.give_at_once(|results| results.iter().any(P::fails));
        }
        let why = match started {
            Ok(()) => None,
            Err(error) if P::STOPS => Some(Ended::Error(error)),
            Err(error) => panic!("{error}"),
        };
        Self { run, buffer, ended: why.is_some(), stopped: false, why, panicked: ByIndex::default() }
    }

    /// The next item, made of the value and the index of its item; by input order if it is
    /// `ordered`.
    #[inline]
    #[track_caller]
    fn next<V>(&mut self, ordered: bool, item: impl Fn(usize, P::Value) -> V) -> Option<P::Item<V>> {
        loop {
            if self.stopped {
                return None;
            }
            if P::GATHERS
                && let Some(panic) = self.next_panic(ordered)
            {
                return P::panicked_item(panic);
            }
            let Some((index, result)) = self.buffer.next() else {
                if self.ended {
                    return self.last_item();
                }
                self.fill();
                if P::GATHERS {
                    for panic in self.run.core.take_panics() {
                        self.panicked.insert(panic.index(), panic);
                    }
                }
                continue;
            };
            let value = P::split(result).map(|value| item(index, value)).map_err(|error| (index, error));
            self.stopped = P::STOPS && value.is_err();
            if let Some(item) = P::item(value, &mut self.run.seen) {
                return Some(item);
            }
        }
    }

    /// The next panic, if no result comes before it.
    fn next_panic(&mut self, ordered: bool) -> Option<Failure> {
        let (item, _) = self.panicked.first()?;
        // Before a panic that comes after all results at hand, there may be results that are not
        // there yet.
        let is_due = !ordered || self.buffer.next_index().map_or(self.ended, |index| item < index);
        if is_due { self.panicked.pop_first().map(|(_, panic)| panic) } else { None }
    }

    /// Gives the error or the panic that ended the run. If there is none, everything was given, and
    /// the run need not keep it.
    #[cold]
    #[track_caller]
    fn last_item<V>(&mut self) -> Option<P::Item<V>> {
        self.stopped = true;
        let error = match self.why.take() {
            Some(ended) => ended.error_or_panic(),
            None => self.run.remove_kept().err()?,
        };
        // Who gets it as an item or catches its panic can ask for it by `error`.
        self.why = Some(Ended::Error(Error::new(error.kind().clone())));
        match P::last_item(error) {
            Ok(item) => Some(item),
            Err(error) if is_quiet(&error) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (if P::GIVES_ALL { self.ready() } else { 0 }, None)
    }

    fn into_run(self) -> Batched<I, R, C, P> {
        let Self { mut run, buffer, why, panicked, .. } = self;
        run.seen.told.panicked.extend(panicked.into_iter().map(|(_, panic)| panic));
        run.core.put_back(buffer.into_left());
        run.core.delay(why);
        run.core.end_part();
        run
    }
}

impl<I: IntoIterator, R, C, P: Policy<R>> IntoIter<I, R, C, P> {
    #[track_caller]
    pub(crate) fn new(run: Batched<I, R, C, P>, started: Result<(), Error>) -> Self {
        Self { stream: Stream::new(run, started) }
    }

    /// Gives the run back: a terminal gives what the iterator did not. A panic that the iterator
    /// had not come to is that of the next terminal.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Stop, process_in_batches};
    ///
    /// let mut numbers = process_in_batches(str::parse::<u32>, ["1", "two", "3", "4"]).on_error(Stop).into_iter();
    /// assert_eq!(numbers.next().unwrap().unwrap(), 1);
    /// assert_eq!(numbers.next().unwrap().unwrap_err().item(), Some(1));
    /// assert!(numbers.next().is_none());
    /// assert_eq!(numbers.into_run().collect::<Vec<_>>().unwrap(), [3, 4]);
    /// ```
    pub fn into_run(self) -> Batched<I, R, C, P> {
        self.stream.into_run()
    }
}

impl<I: IntoIterator, R, C, P: Policy<R>> Unordered<I, R, C, P> {
    #[track_caller]
    pub(crate) fn new(run: Batched<I, R, C, P>, started: Result<(), Error>) -> Self {
        Self { stream: Stream::new(run, started) }
    }
}

macro_rules! told_so_far {
    ($iterator:ident, $made_by:literal) => {
        impl<I: IntoIterator, R, C, P> $iterator<I, R, C, P> {
            /// The reason for an end before that of the input: the run was cancelled, its deadline
            /// passed, or an error that was the last item or for which `next` panicked. `None`
            /// before, and if the iterator ended with its input.
            ///
            /// # Examples
            ///
            /// ```
            /// # use amorsize::{CancelToken, process_in_batches};
            /// let token = CancelToken::new();
            #[doc = concat!("let mut squares = process_in_batches(|x: u64| x * x, 0..).cancel_token(&token).", $made_by, "();")]
            /// assert!(squares.next().is_some() && squares.error().is_none());
            /// token.cancel();
            /// // What was finished is still given, and then it ends.
            /// squares.by_ref().for_each(drop);
            /// assert!(squares.error().unwrap().is_cancelled());
            /// ```
            #[must_use]
            pub fn error(&self) -> Option<&Error> {
                self.stream.error()
            }

            /// Items that failed so far and were left out, with [`Skip`](crate::on_error::Skip).
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
                self.stream.run.seen.told.failures.count()
            }

            /// The first failures that were left out so far, up to
            /// [`Report::MOST_FAILURES`](crate::Report::MOST_FAILURES), each with the index of its
            /// item and its error as a text.
            ///
            /// # Examples
            ///
            /// ```
            /// use amorsize::{on_error::Skip, process_in_batches};
            ///
            #[doc = concat!("let run = process_in_batches(str::parse::<u32>, [\"1\", \"two\", \"3\"]).on_error(Skip);\nlet mut numbers = run.", $made_by, "();")]
            /// assert_eq!(numbers.by_ref().count(), 2);
            /// let text = numbers.failures()[0].to_string();
            /// assert_eq!(text, "item 1 failed: invalid digit found in string");
            /// ```
            #[must_use]
            pub fn failures(&self) -> &[Failure<String>] {
                self.stream.run.seen.told.failures.kept()
            }
        }

        impl<I: IntoIterator, R, C, P: Policy<R>> FusedIterator for $iterator<I, R, C, P> {}

        impl<I: IntoIterator, R, C, P> fmt::Debug for $iterator<I, R, C, P> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($iterator)).field("ready", &self.stream.buffer.len()).finish_non_exhaustive()
            }
        }
    };
}

told_so_far!(IntoIter, "into_iter");
told_so_far!(Unordered, "unordered");

impl<I: IntoIterator, R, C, P: Policy<R>> Iterator for IntoIter<I, R, C, P> {
    type Item = P::Item<P::Value>;

    #[inline]
    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next(true, |_, value| value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<I: IntoIterator, R, C, P: Policy<R>> Iterator for Unordered<I, R, C, P> {
    type Item = P::Item<(usize, P::Value)>;

    #[inline]
    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next(false, |index, value| (index, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}
