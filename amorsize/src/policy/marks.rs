//! The policies by name.

macro_rules! policies {
    ($($(#[$doc:meta])* $policy:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $policy;
    )*};
}

policies! {
    /// Hands over all results as they are: a run without a policy for errors does this.
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
    Each
    /// Ends the run at the first error by input order, and the terminal fails with that error. The
    /// values of all items before it are handed over first; no item behind it is started once it is
    /// known. [`unordered`](crate::Batched::unordered) ends at the first error that is met instead.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Stop, process_in_batches};
    ///
    /// let mut run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Stop);
    /// let mut numbers = Vec::new();
    /// let error = run.for_each_batch(|batch| numbers.extend(batch)).unwrap_err();
    /// assert_eq!((numbers, error.item()), (vec![1], Some(1)));
    /// ```
    Stop
    /// Leaves errors out. The report counts them, and keeps the first
    /// [`Report::MOST_FAILURES`](crate::Report::MOST_FAILURES).
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Skip, process_in_batches};
    ///
    /// let mut run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Skip);
    /// assert_eq!(run.collect::<Vec<_>>()?, [1, 3]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    Skip
    /// Gathers errors beside the values, each with the index of its item: the terminal gives an
    /// [`Outcome`](crate::Outcome).
    ///
    /// With `on_panic = "collect"` it also gathers panics.
    ///
    /// A terminal that hands results over, such as `for_each_batch`, keeps every error to its end,
    /// and the memory budget does not count them: where many items may fail, use [`Skip`]. A
    /// `collect` counts them among its results.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Collect, process_in_batches};
    ///
    /// let mut run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Collect);
    /// let (numbers, failures) = run.collect::<Vec<_>>()?.into_parts();
    /// assert_eq!((numbers, failures[0].index()), (vec![1, 3], 1));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    Collect
    /// Leaves out the `None`s of a function that returns an `Option`:
    /// [`flatten`](crate::Batched::flatten) sets it. They do not count as failures.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::on_error::Flatten;
    /// use amorsize::{Batched, process_in_batches};
    ///
    /// type Digits = Batched<std::str::Chars<'static>, Option<u32>, fn(char) -> Option<u32>, Flatten>;
    ///
    /// let digit: fn(char) -> Option<u32> = |letter| letter.to_digit(10);
    /// let mut digits: Digits = process_in_batches(digit, "a1b2".chars()).flatten();
    /// assert_eq!(digits.collect::<Vec<_>>()?, [1, 2]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    Flatten
}
