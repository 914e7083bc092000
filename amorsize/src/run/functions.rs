//! The functions under Amorsize's own names.

use super::Batched;
use super::bounds::{MaxMemoryOption, ResultBytes};
use crate::call::Quota;
use crate::error::Error;
use crate::memory::budget::Budget;
use crate::memory::measure::Measure;
use crate::memory::source;
use crate::options::Options;
use crate::units::ByteSize;

/// A run of `function` over `items`, without the attribute. Amorsize's `process_in_batches`.
///
/// Without the attribute nothing is known of the result's type, so its bytes are estimated from the
/// process's resident memory, or are the size of a type that owns nothing.
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
///
/// let offset = 10;
/// let sums: Vec<u32> = process_in_batches(|x: &u32| x + offset, &[1, 2, 3]).collect()?;
/// assert_eq!(sums, [11, 12, 13]);
/// # Ok::<(), amorsize::Error>(())
/// ```
pub fn process_in_batches<I, R, F>(function: F, items: I) -> Batched<I, R, F>
where
    I: IntoIterator<Item: Send>,
    R: Send,
    F: Fn(I::Item) -> R + Sync,
{
    let kernel = |quota: Quota<'_, I::Item, R>, function: &F| quota.run(function);
    Batched::new(items, function, kernel, (Measure::unknown(), Measure::unknown()), Options::new(None))
}

/// Adds `batched` to everything that iterates: `items.batched(function)` is
/// [`process_in_batches(function, items)`](process_in_batches).
///
/// # Examples
///
/// ```
/// use amorsize::IntoBatched;
///
/// let texts = ["to be", "or not"];
/// let words: Vec<usize> = texts.iter().map(|text| text.split(' ')).batched(Iterator::count).collect()?;
/// assert_eq!(words, [2, 2]);
///
/// // Items that are changed in place are borrowed mutably.
/// let mut numbers = [1, 2, 3];
/// numbers.iter_mut().batched(|x: &mut u32| *x *= 10).for_each_batch(|_| ())?;
/// assert_eq!(numbers, [10, 20, 30]);
/// # Ok::<(), amorsize::Error>(())
/// ```
pub trait IntoBatched: IntoIterator + Sized {
    /// A run of `function` over these items.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::IntoBatched;
    ///
    /// let cubes: Vec<u64> = (0..4).batched(|x: u64| x.pow(3)).max_memory("64MiB").collect()?;
    /// assert_eq!(cubes, [0, 1, 8, 27]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    fn batched<R, F>(self, function: F) -> Batched<Self, R, F>
    where
        Self::Item: Send,
        R: Send,
        F: Fn(Self::Item) -> R + Sync,
    {
        process_in_batches(function, self)
    }
}

impl<I: IntoIterator> IntoBatched for I {}

/// A run of `function` over an input that can fail itself, such as the lines of a file: an `Err`
/// among the items is not given to the function, but becomes the error of that item. From there it
/// is treated like the function's own errors.
///
/// An input that gives errors without end, as [`lines`](std::io::BufRead::lines) of a directory
/// does, makes an endless run unless that stops at the first: so use
/// [`Stop`](crate::on_error::Stop), or `take` a number of items.
///
/// # Examples
///
/// ```
/// use std::io::{self, BufRead};
///
/// use amorsize::on_error::Stop;
/// use amorsize::process_fallible_in_batches;
///
/// let count = |line: String| -> io::Result<usize> { Ok(line.split(' ').count()) };
///
/// let text = &b"to be\nor not\nto be"[..];
/// let words: Vec<usize> = process_fallible_in_batches(count, text.lines()).on_error(Stop).collect()?;
/// assert_eq!(words, [2, 2, 2]);
///
/// let broken = &b"to be\n\xff\nto be"[..];
/// let error = process_fallible_in_batches(count, broken.lines()).on_error(Stop).collect::<Vec<_>>().unwrap_err();
/// assert_eq!(error.to_string(), "item 1 failed: stream did not contain valid UTF-8");
/// # Ok::<(), amorsize::TryError<io::Error>>(())
/// ```
pub fn process_fallible_in_batches<I, X, N, T, E, F>(function: F, items: I) -> Batched<I, Result<T, E>, F>
where
    I: IntoIterator<Item = Result<X, N>>,
    X: Send,
    N: Into<E> + Send,
    T: Send,
    E: Send,
    F: Fn(X) -> Result<T, E> + Sync,
{
    let kernel = |quota: Quota<'_, I::Item, Result<T, E>>, function: &F| {
        quota.run(|item| item.map_err(Into::into).and_then(function));
    };
    Batched::new(items, function, kernel, (Measure::unknown(), Measure::unknown()), Options::new(None)).of_fallible()
}

/// A run of `function` over `items` that was planned already: its sample has been run, and its
/// results are kept for the terminal. Amorsize's `optimize`.
///
/// # Examples
///
/// ```
/// use amorsize::optimize;
///
/// let mut run = optimize(|x: u64| x.rotate_left(7), 0..1000);
/// let plan = run.plan()?;
/// println!("threads={}, chunk_size={}, {:.2}x", plan.threads(), plan.chunk_size(), plan.speedup());
/// let results: Vec<u64> = run.collect()?;
/// # assert_eq!(results.len(), 1000);
/// # Ok::<(), amorsize::Error>(())
/// ```
pub fn optimize<I, R, F>(function: F, items: I) -> Batched<I, R, F>
where
    I: IntoIterator<Item: Send>,
    R: Send,
    F: Fn(I::Item) -> R + Sync,
{
    let mut run = process_in_batches(function, items);
    // The default options are valid, and anything else that fails does so again when the plan is
    // asked for.
    let _ = run.plan();
    run
}

/// Plans and runs `function` over `items` and gives all results in input order. Amorsize's
/// `execute`.
///
/// # Errors
///
/// When the results don't fit half of the available memory; [`process_in_batches`] and its
/// terminals take any number.
///
/// # Examples
///
/// ```
/// assert_eq!(amorsize::execute(|x: u8| x / 2, [2, 4, 6])?, [1, 2, 3]);
/// # Ok::<(), amorsize::Error>(())
/// ```
pub fn execute<I, R, F>(function: F, items: I) -> Result<Vec<R>, Error>
where
    I: IntoIterator<Item: Send>,
    R: Send,
    F: Fn(I::Item) -> R + Sync,
{
    process_in_batches(function, items).collect()
}

/// The number of results of `result_bytes` that fit the budget at once, at least 1. Amorsize's
/// `estimate_safe_batch_size`.
///
/// `result_bytes` is a `usize`, such as a literal or the value of [`size_of_val`], or a
/// [`ByteSize`]. `size_of_val(&vec)` is the size of the `Vec` alone, 24 bytes on most machines,
/// without what it owns: `size_of_val(&vec[..])` is that of its elements, to which you add what
/// they own.
///
/// # Errors
///
/// When `result_bytes` is zero, or `max_memory` is neither a fraction nor bytes.
///
/// # Examples
///
/// ```
/// use amorsize::{ByteSize, estimate_safe_batch_size};
///
/// assert_eq!(estimate_safe_batch_size(ByteSize::mib(50), ByteSize::gib(1))?, 20);
/// assert!(estimate_safe_batch_size(50 * 1024 * 1024, 0.5)? >= 1);
///
/// // Of a `Vec` it is the slice that takes the room.
/// let result = vec![0.0; 1000];
/// assert_eq!((size_of_val(&result), size_of_val(&result[..])), (size_of::<Vec<f64>>(), 8000));
/// assert_eq!(estimate_safe_batch_size(size_of_val(&result[..]), "1MB")?, 125);
/// # Ok::<(), amorsize::Error>(())
/// ```
pub fn estimate_safe_batch_size(
    result_bytes: impl ResultBytes,
    max_memory: impl MaxMemoryOption,
) -> Result<usize, Error> {
    let result_bytes = result_bytes.bytes();
    if result_bytes == ByteSize::ZERO {
        return Err(Error::invalid_option("result_bytes", "0 B", "the bytes of one result, at least 1"));
    }
    let budget = Budget::resolve(&max_memory.max_memory(), &source::current(), ByteSize::ZERO)?.bytes;
    Ok(usize::try_from(budget.as_u64() / result_bytes.as_u64()).unwrap_or(usize::MAX).max(1))
}
