//! The terminal whose values are taken on a thread of their own, while the run goes on.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::{self, Builder};

use super::Batched;
use crate::error::failure::discard;
use crate::error::{Error, ErrorKind};
use crate::output::exchange::{Exchange, Iterate};
use crate::policy::Policy;
use crate::system::sync::Arc;

impl<I: IntoIterator, R, C, P: Policy<R>> Batched<I, R, C, P> {
    /// Runs everything, and lets `take` take the values from an iterator, in input order, on a
    /// thread of its own. Gives what `take` returns.
    ///
    /// The calls go on while `take` works on a value, as far as the budget has room and the run has
    /// threads. So it is for a caller that does much with each value and wants an iterator for
    /// that: for `zip`, `peekable`, or a loop with `?`. With [`into_iter`](IntoIterator::into_iter)
    /// nothing runs meanwhile, and [`for_each`](Self::for_each) calls a closure for each value. The
    /// batch that `take` is at counts against the budget, with the values that it has taken.
    ///
    /// If `take` drops the iterator before that has ended, the run ends there. The values that it
    /// has not taken are the next terminal's.
    ///
    /// # Deadlocks
    ///
    /// The calling thread waits while `take` works. If it is a thread of a pool, as within a call
    /// of another run or of rayon, `take` must not wait for that pool: it must start no run there,
    /// and use no method of rayon.
    ///
    /// # Errors
    ///
    /// As those of [`for_each_batch`](Self::for_each_batch). The iterator ends before that. What
    /// `take` returns is lost then, and so is a panic of it: to keep values, let `take` write them
    /// to a variable outside. A run with a `journal` is refused, as its results belong to a sink.
    /// So is a run if the system gives no thread for `take`; then nothing was run.
    ///
    /// # Panics
    ///
    /// A panic of `take` reaches the caller. The values that it has not taken stay with the run.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let squares = process_in_batches(|x: u64| x * x, 0..1000).iterate(|squares| {
    ///     let mut gaps = Vec::new();
    ///     let mut squares = squares.peekable();
    ///     while let Some(square) = squares.next() {
    ///         gaps.extend(squares.peek().map(|next| next - square));
    ///     }
    ///     gaps
    /// })?;
    /// assert_eq!(squares[..3], [1, 3, 5]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn iterate<T, F>(&mut self, take: F) -> Result<P::Given<T>, P::Failed>
    where
        P::Value: Send,
        F: FnOnce(Iterate<P::Value>) -> T + Send,
        T: Send,
    {
        self.refuse_journal()?;
        let exchange = Arc::new(Exchange::new());
        let (taken, outcome) = thread::scope(|scope| {
            let taker = Builder::new()
                .spawn_scoped(scope, || {
                    // The iterator may never be dropped.
                    let _close = exchange.close_on_drop();
                    take(Iterate::new(Arc::clone(&exchange)))
                })
                .map_err(|cause| Error::new(ErrorKind::Threads { threads: 1, cause: cause.to_string() }))?;
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let _close = exchange.close_on_drop();
                self.hand_over::<P>(&mut |batch| exchange.give(batch))
            }));
            Ok::<_, Error>((taker.join(), outcome))
        })?;
        let (is_whole, failed) = match outcome {
            Ok(Ok(_)) => (true, None),
            // Without an error, the taker wants no more.
            Ok(Err(failed)) => (false, failed.map(Ok)),
            Err(payload) => (false, Some(Err(payload))),
        };
        if let Some(failed) = failed {
            // A taker that panics because its values ended early must not hide the reason for that,
            // nor what it returns, if that panics when it is dropped.
            catch_unwind(AssertUnwindSafe(|| drop(taken))).unwrap_or_else(discard);
            return Err(failed.unwrap_or_else(|payload| resume_unwind(payload)));
        }
        // If the taker panics behind its last value, the results are only in what the run keeps.
        let taken = taken.unwrap_or_else(|payload| resume_unwind(payload));
        if is_whole {
            self.remove_kept()?;
        }
        Ok(P::given(taken, &mut self.seen))
    }
}
