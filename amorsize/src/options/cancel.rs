//! A token that cancels runs.

use crate::system::sync::{Arc, AtomicBool, Ordering};

/// Cancels the runs that it was given to: no item starts afterwards.
///
/// Clones are the same token. [`cancel`](Self::cancel) only sets a flag, so it may be called by a
/// handler of Ctrl-C, by another thread, or by the sink.
///
/// # Examples
///
/// ```
/// use amorsize::{CancelToken, process_in_batches};
///
/// let token = CancelToken::new();
/// // With the crate ctrlc: `let on_ctrl_c = token.clone();`
/// // and `ctrlc::set_handler(move || on_ctrl_c.cancel())?;`.
/// let mut stored = 0;
/// let mut run = process_in_batches(|x: u64| x * x, 0..).cancel_token(&token).batch_size(100);
/// let error = run
///     .for_each_batch(|batch| {
///         stored += batch.len();
///         if stored >= 1000 {
///             token.cancel();
///         }
///     })
///     .unwrap_err();
/// assert!(error.is_cancelled());
/// // Results that were finished when it came were handed over too.
/// assert!(stored >= 1000);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it can cancel no run but those that are given it by `cancel_token`"]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that is not cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::CancelToken;
    /// assert!(!CancelToken::new().is_cancelled());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels for good: a later run takes a new token.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::CancelToken;
    /// let token = CancelToken::new();
    /// let same = token.clone();
    /// std::thread::spawn(move || same.cancel()).join().unwrap();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True if it was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{CancelToken, process_in_batches};
    /// // A function that takes long can look at the token itself.
    /// let token = CancelToken::new();
    /// let long = |x: u64| (0..1000).take_while(|_| !token.is_cancelled()).count() as u64 + x;
    /// let mut run = process_in_batches(long, 0..2).cancel_token(&token);
    /// assert_eq!(run.collect::<Vec<_>>()?, [1000, 1001]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
