//! Passes batches from the calling thread to one that takes their values one by one.
//!
//! | state | written by | when | wakes |
//! | --- | --- | --- | --- |
//! | `Wanted` | the taker | it has no value left | the calling thread |
//! | `Given` | the calling thread | a batch is full | the taker |
//! | `Taken` | the taker | it has got the batch | nobody |
//! | `Over` | both | the run has ended, or the taker wants no more | the other one |
//!
//! The calling thread gives a batch, and waits until the taker wants the next one. Until then the
//! batch counts against the budget, as one that a sink works on.

use std::fmt;
use std::iter::FusedIterator;
use std::mem::{replace, take};

use super::batch::Batch;
use super::batches::Taken;
use crate::system::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The place where batches are passed on.
pub(crate) struct Exchange<V> {
    state: Mutex<State<V>>,
    changed: Condvar,
}

enum State<V> {
    Wanted,
    Given(Batch<V>),
    Taken,
    /// Nobody has taken this part of the last batch.
    Over(Option<Batch<V>>),
}

impl<V> Exchange<V> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::Wanted), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<V>>) -> MutexGuard<'a, State<V>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a batch, and waits until the taker has all its values or wants no more.
    pub(crate) fn give(&self, batch: Batch<V>) -> Taken<V> {
        let mut state = self.state();
        if matches!(*state, State::Over(_)) {
            return Taken::Part(Box::new(batch));
        }
        *state = State::Given(batch);
        self.changed.notify_one();
        loop {
            match &mut *state {
                State::Wanted => return Taken::Whole,
                State::Over(left) => return left.take().map_or(Taken::Last, |rest| Taken::Part(Box::new(rest))),
                State::Given(_) | State::Taken => {}
            }
            state = self.wait(state);
        }
    }

    /// Asks for the next batch; `None` if the run has ended.
    fn next(&self) -> Option<Batch<V>> {
        let mut state = self.state();
        if matches!(*state, State::Taken) {
            *state = State::Wanted;
            self.changed.notify_one();
        }
        loop {
            match replace(&mut *state, State::Taken) {
                State::Given(batch) => return Some(batch),
                over @ State::Over(_) => {
                    *state = over;
                    return None;
                }
                wanted => *state = wanted,
            }
            state = self.wait(state);
        }
    }

    /// Ends it. `rest` is the part of the taker's batch that it has not taken.
    fn end(&self, rest: Option<Batch<V>>) {
        let mut state = self.state();
        let rest = match replace(&mut *state, State::Taken) {
            State::Given(batch) => Some(batch),
            State::Over(left) => left,
            State::Wanted | State::Taken => rest,
        };
        *state = State::Over(rest);
        self.changed.notify_one();
    }

    /// A guard that ends it: the taker gets no more batches then.
    pub(crate) fn close_on_drop(&self) -> impl Drop + use<'_, V> {
        struct Close<'a, V>(&'a Exchange<V>);

        impl<V> Drop for Close<'_, V> {
            fn drop(&mut self) {
                self.0.end(None);
            }
        }

        Close(self)
    }
}

/// The values of a run one by one, in input order, while the run goes on; given by
/// [`Batched::iterate`](crate::Batched::iterate).
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
///
/// let mut run = process_in_batches(|x: u64| x * x, 0..1000);
/// let first = run.iterate(|squares| squares.skip(10).step_by(5).take(3).collect::<Vec<_>>())?;
/// assert_eq!(first, [100, 225, 400]);
/// # Ok::<(), amorsize::Error>(())
/// ```
#[must_use = "dropping it ends the run"]
pub struct Iterate<V> {
    exchange: Arc<Exchange<V>>,
    /// The batch at hand, without its values.
    batch: Option<Batch<V>>,
    values: std::vec::IntoIter<V>,
    /// Values of the batch that were taken.
    taken: usize,
}

impl<V> Iterate<V> {
    pub(crate) fn new(exchange: Arc<Exchange<V>>) -> Self {
        Self { exchange, batch: None, values: Vec::new().into_iter(), taken: 0 }
    }
}

impl<V> Iterator for Iterate<V> {
    type Item = V;

    #[inline]
    fn next(&mut self) -> Option<V> {
        loop {
            if let Some(value) = self.values.next() {
                self.taken += 1;
                return Some(value);
            }
            self.batch = None;
            let mut batch = self.exchange.next()?;
            (self.values, self.taken) = (take(&mut batch.results).into_iter(), 0);
            self.batch = Some(batch);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.values.len(), None)
    }
}

impl<V> FusedIterator for Iterate<V> {}

impl<V> Drop for Iterate<V> {
    fn drop(&mut self) {
        let rest = self.batch.take().filter(|_| self.values.len() > 0).map(|mut batch| {
            batch.results = take(&mut self.values).collect();
            batch.places = batch.places.split_off(self.taken);
            batch
        });
        self.exchange.end(rest);
    }
}

impl<V> fmt::Debug for Iterate<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iterate").field("ready", &self.values.len()).finish_non_exhaustive()
    }
}

#[cfg(all(loom, test))]
mod loom;
