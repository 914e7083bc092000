use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::error::Error;
use crate::execute::line::Flow;
use crate::failure::{Ended, Payload};
use crate::run::Batched;
use crate::sink::Buffer;

/// The results of a run one by one, in input order; made by [`Batched::into_iter`].
///
/// Items are run when the results are asked for: each time the buffer is empty, a batch of them is run on all threads. So
/// nothing runs while the caller works on results, and a slow consumer never makes them pile up.
#[must_use = "an iterator does nothing until it is asked for results"]
pub struct IntoIter<I: IntoIterator, R, C> {
    stream: Stream<I, R, C>,
}

/// The results of a run as they are there, each with the index of its item; made by [`Batched::unordered`].
#[must_use = "an iterator does nothing until it is asked for results"]
pub struct Unordered<I: IntoIterator, R, C> {
    stream: Stream<I, R, C>,
}

struct Stream<I: IntoIterator, R, C> {
    run: Batched<I, R, C>,
    buffer: Buffer<I::Item, R>,
    ended: bool,
    /// A panic that comes when everything before it was given.
    panic: Option<Payload>,
    /// Why the run failed; comes then, too.
    error: Option<Error>,
}

/// Whether an iterator just ends with an error: somebody wanted it to.
fn is_quiet(error: &Error) -> bool {
    error.is_cancelled() || error.is_timed_out()
}

impl<I: IntoIterator, R, C> Stream<I, R, C> {
    fn next(&mut self) -> Option<(usize, R)> {
        loop {
            if let Some(next) = self.buffer.next() {
                return Some(next);
            }
            if let Some(payload) = self.panic.take() {
                resume_unwind(payload);
            }
            if self.ended {
                match self.error.take_if(|error| !is_quiet(error)) {
                    Some(error) => panic!("{error}"),
                    None => return None,
                }
            }
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
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.buffer.len(), None)
    }
}

impl<I: IntoIterator, R, C> IntoIter<I, R, C> {
    pub(crate) fn new(run: Batched<I, R, C>) -> Self {
        Self { stream: Stream { buffer: Buffer::new(run.types()), run, ended: false, panic: None, error: None } }
    }
}

impl<I: IntoIterator, R, C> Unordered<I, R, C> {
    pub(crate) fn new(mut run: Batched<I, R, C>) -> Self {
        run.set_unordered();
        Self { stream: Stream { buffer: Buffer::new(run.types()), run, ended: false, panic: None, error: None } }
    }
}

impl<I: IntoIterator, R, C> IntoIter<I, R, C> {
    /// Why the iterator ended before its input did: the run was cancelled, or its deadline passed. `None` before, and where it
    /// ended with its input.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.stream.error.as_ref().filter(|_| self.stream.buffer.len() == 0)
    }
}

impl<I: IntoIterator, R, C> Iterator for IntoIter<I, R, C> {
    type Item = R;

    #[inline]
    fn next(&mut self) -> Option<R> {
        self.stream.next().map(|(_, result)| result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<I: IntoIterator, R, C> Unordered<I, R, C> {
    /// Why the iterator ended before its input did: the run was cancelled, or its deadline passed. `None` before, and where it
    /// ended with its input.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.stream.error.as_ref().filter(|_| self.stream.buffer.len() == 0)
    }
}

impl<I: IntoIterator, R, C> Iterator for Unordered<I, R, C> {
    type Item = (usize, R);

    #[inline]
    fn next(&mut self) -> Option<(usize, R)> {
        self.stream.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<I: IntoIterator, R, C> std::iter::FusedIterator for IntoIter<I, R, C> {}
impl<I: IntoIterator, R, C> std::iter::FusedIterator for Unordered<I, R, C> {}

impl<I: IntoIterator, R, C> fmt::Debug for IntoIter<I, R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("ready", &self.stream.buffer.len()).finish_non_exhaustive()
    }
}

impl<I: IntoIterator, R, C> fmt::Debug for Unordered<I, R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unordered").field("ready", &self.stream.buffer.len()).finish_non_exhaustive()
    }
}
