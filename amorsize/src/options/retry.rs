//! Calls that are made again after an error: their number, and the waits before them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::thread;
use std::time::{Duration, Instant};

/// The number of times that a call is made again after an error, and the waits of its worker before
/// each.
///
/// The waits double from the first one up to the longest. Each is drawn at random between half of
/// that and all of it, so that calls that failed together are not made again together: "equal
/// jitter" in [Exponential Backoff and Jitter], AWS Architecture Blog.
///
/// A number converts to it: `3` is `Retry::new(3)`.
///
/// [Exponential Backoff and Jitter]: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
///
/// use amorsize::{Retry, batched};
///
/// #[batched]
/// fn fetch(page: u32, calls: &AtomicU32) -> Result<String, &'static str> {
///     // Every third call fails.
///     if calls.fetch_add(1, Ordering::Relaxed) % 3 == 2 { Err("too busy") } else { Ok(format!("page {page}")) }
/// }
///
/// let patient = Retry::new(5).backoff(Duration::from_millis(1)).max_backoff(Duration::from_millis(20));
/// let pages: Vec<String> = fetch_batched(0..10, &AtomicU32::new(0)).retry(patient).try_collect()?;
/// assert_eq!(pages[9], "page 9");
/// # Ok::<(), amorsize::TryError<&'static str>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "its methods return a changed one, and no call is made again until a run is given it by `retry`"]
pub struct Retry {
    times: u32,
    first: Duration,
    longest: Duration,
}

/// About the time that a server or a disk needs if it is overloaded for a moment.
const FIRST: Duration = Duration::from_millis(10);
/// While it waits, a worker does nothing else.
const LONGEST: Duration = Duration::from_secs(1);

impl Retry {
    /// Makes a failed call again at most `times` times, first after 5 to 10 ms, and never after
    /// more than 1 s. A run refuses 0.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Retry, process_in_batches};
    /// let mut run = process_in_batches(|_: u32| Err::<u32, _>("busy"), 0..1).retry(Retry::new(2));
    /// assert_eq!(run.for_each_batch(|_| ())?.retries(), 2);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub const fn new(times: u32) -> Self {
        Self { times, first: FIRST, longest: LONGEST }
    }

    /// Sets the first wait, before jitter; each wait after it is twice as long. With zero, calls
    /// are made again at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use amorsize::Retry;
    /// // Waits of 50 to 100, 100 to 200, and 200 to 400 ms.
    /// const PATIENT: Retry = Retry::new(3).backoff(Duration::from_millis(100));
    /// # assert_ne!(PATIENT, Retry::new(3));
    /// ```
    pub const fn backoff(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// Sets the longest wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use amorsize::Retry;
    /// // The sixth wait would be 320 ms.
    /// const HASTY: Retry = Retry::new(9).max_backoff(Duration::from_millis(200));
    /// # assert_ne!(HASTY, Retry::new(9));
    /// ```
    pub const fn max_backoff(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    pub(crate) const fn times(self) -> u32 {
        self.times
    }

    /// The next wait after `waits` waits; `random`, in `0.0..1.0`, is its place between the
    /// shortest and the longest.
    fn wait_after(self, waits: u32, random: f64) -> Duration {
        let mut most = self.first.min(self.longest);
        for _ in 0..waits {
            if most.is_zero() || most >= self.longest {
                break;
            }
            most = most.saturating_mul(2).min(self.longest);
        }
        let least = most / 2;
        least.saturating_add((most - least).mul_f64(random)).min(most)
    }

    /// Waits before the next try, after `waits` earlier waits. True if there is to be a next try:
    /// if the run is over, it stops waiting and returns false.
    pub(crate) fn wait(self, waits: u32, is_over: &dyn Fn() -> bool) -> bool {
        let wait = self.wait_after(waits, random());
        let begun = Instant::now();
        loop {
            if is_over() {
                return false;
            }
            let left = wait.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return true;
            }
            // A run that ends waits no longer for its calls that wait for their next try.
            thread::sleep(left.min(FIRST));
        }
    }
}

/// A random number in `0.0..1.0`. Each `RandomState` has other keys, and its hash of nothing is as
/// random as they are.
fn random() -> f64 {
    const BITS: u32 = f64::MANTISSA_DIGITS;
    (RandomState::new().build_hasher().finish() >> (u64::BITS - BITS)) as f64 / (1u64 << BITS) as f64
}

impl From<u32> for Retry {
    fn from(times: u32) -> Self {
        Self::new(times)
    }
}

/// A const expression given as `retry` in the attribute; its type decides how it is read.
#[derive(Debug)]
pub struct RetryValue<T>(T);

impl<T: RetryConstant> RetryValue<T> {
    /// Takes what is to be checked.
    pub const fn of(value: T) -> Self {
        Self(value)
    }
}

impl RetryValue<u32> {
    /// Checks the number at compile time.
    ///
    /// # Panics
    ///
    /// If the number is refused, which the compiler reports at the expression.
    #[track_caller]
    pub const fn checked(self) -> Retry {
        RetryValue(Retry::new(self.0)).checked()
    }
}

impl RetryValue<Retry> {
    /// Checks the number at compile time.
    ///
    /// # Panics
    ///
    /// If the number is refused, which the compiler reports at the expression.
    #[track_caller]
    pub const fn checked(self) -> Retry {
        assert!(self.0.times >= 1, "`retry` must be at least 1");
        self.0
    }
}

/// The types of a constant that is given as `retry` in the attribute.
#[diagnostic::on_unimplemented(
    message = "`retry` can't be of the type `{Self}`",
    label = "this is neither a `u32` nor a `Retry`",
    note = "use a `u32`, how often a call is made again at most, or a `Retry`, which has the waits too"
)]
pub trait RetryConstant {}

impl RetryConstant for u32 {}

impl RetryConstant for Retry {}

/// An item of calls that are made again: a value that can be kept for the next call. References
/// can.
#[diagnostic::on_unimplemented(
    message = "a call with `{Self}` cannot be made again: it cannot be cloned",
    label = "this item type is not `Clone`, as `retry` needs it",
    note = "the function uses up its item, so `retry` keeps a clone for the next call; take the item by reference, or use a \
            type that is `Clone`"
)]
pub trait RetryItem: Sized {
    #[doc(hidden)]
    const CHECKED: () = ();

    /// The item for the next call.
    #[doc(hidden)]
    #[must_use]
    fn for_the_next_call(&self) -> Self;
}

/// A result that tells if a call is to be made again: a `Result`, under any name.
#[diagnostic::on_unimplemented(
    message = "a function that returns `{Self}` cannot be retried: it returns no `Result`",
    label = "this return type is not a `Result`, as `retry` needs it",
    note = "a call is made again when it returned `Err`; return a `Result`, or leave `retry` out"
)]
pub trait RetryOutput {
    #[doc(hidden)]
    const CHECKED: () = ();

    #[doc(hidden)]
    fn failed(&self) -> bool;
}

impl<T, E> RetryOutput for Result<T, E> {
    fn failed(&self) -> bool {
        self.is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = Retry::new(9).backoff(millis(10)).max_backoff(millis(100));
        let spans = (0..6).map(|waits| (retry.wait_after(waits, 0.0), retry.wait_after(waits, 1.0)));
        let expected = [(5, 10), (10, 20), (20, 40), (40, 80), (50, 100), (50, 100)];
        assert!(spans.eq(expected.map(|(least, most)| (millis(least), millis(most)))));
    }

    #[test]
    fn without_a_wait_there_is_none() {
        for retry in [Retry::new(1).backoff(Duration::ZERO), Retry::new(1).max_backoff(Duration::ZERO)] {
            assert_eq!(retry.wait_after(u32::MAX, 0.9), Duration::ZERO);
        }
    }

    #[test]
    fn random_numbers_are_in_their_span_and_fill_it() {
        let numbers: Vec<f64> = (0..1_000).map(|_| random()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        // Of 1000 fair numbers about 100 fall in each tenth, with a deviation of 10.
        for tenth in 0..10 {
            let count = numbers.iter().filter(|&&number| (number * 10.0) as u32 == tenth).count();
            assert!((20..=180).contains(&count), "{count} numbers in tenth {tenth}");
        }
    }

    #[test]
    fn a_run_that_is_over_waits_no_longer() {
        let looks = Cell::new(0);
        let is_over = || {
            looks.set(looks.get() + 1);
            looks.get() == 3
        };
        let hour = Duration::from_secs(3600);
        assert!(!Retry::new(1).backoff(hour).max_backoff(hour).wait(0, &is_over));
        assert_eq!(looks.get(), 3);
        assert!(Retry::new(1).backoff(Duration::ZERO).wait(0, &|| false));
    }

    proptest! {
        #[test]
        fn each_wait_is_between_half_and_all_of_what_it_may_be(
            first in 0..=u64::MAX, longest in 0..=u64::MAX, waits in 0..200u32, random in 0.0..1.0,
        ) {
            let (first, longest) = (Duration::from_nanos(first), Duration::from_nanos(longest));
            let retry = Retry::new(3).backoff(first).max_backoff(longest);
            let doubled = first.as_nanos().saturating_mul(1u128.checked_shl(waits).unwrap_or(u128::MAX));
            let most = doubled.min(longest.as_nanos());
            let wait = retry.wait_after(waits, random).as_nanos();
            prop_assert!(most / 2 <= wait && wait <= most, "{wait} of {most}");
        }

        #[test]
        fn any_backoff_can_be_waited_for(first: Duration, longest: Duration, waits: u32, random in 0.0..=1.0) {
            let wait = Retry::new(1).backoff(first).max_backoff(longest).wait_after(waits, random);
            prop_assert!(wait <= longest);
        }
    }
}
