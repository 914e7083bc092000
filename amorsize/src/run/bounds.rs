//! Traits that the types of a function must have, with messages that speak of the function.
//!
//! Each is implemented for all types that can do it and can't be implemented otherwise; a user
//! meets them in messages only. Messages name them by their path, so this module can be reached
//! from outside, and is part of the public interface no more than `__private` is.

#[cfg(feature = "array")]
mod array;
#[cfg(feature = "durable")]
mod durable;

#[cfg(feature = "durable")]
pub use crate::durable::{Codec, StoredResult};
#[cfg(feature = "array")]
pub use array::{ArrayResult, EncodeItem, KnownLength, KnowsInput};
#[cfg(feature = "durable")]
pub use durable::{
    DirectoryConstant, DirectoryValue, DiskOption, HashedItem, HashedKey, HashedShared, KnowsItems, MaxDiskConstant,
    MaxDiskValue, SpilledResult, StoredOutput, VersionConstant, VersionOption, VersionValue,
};

pub use super::then::{Follows, Joins, Pipes, StageError, StageOfItemsAlone};
pub use crate::error::try_error::{ErrorSource, Held, Itself, Shown};
pub use crate::memory::deep_size::of;
use crate::memory::max_memory::MaxMemory;
pub use crate::memory::max_memory::{MaxMemoryConstant, MaxMemoryValue};
use crate::memory::measure::Measure;
pub use crate::options::choices::{OnPanicConstant, OnPanicValue, OversizeConstant, OversizeValue};
use crate::options::retry::Retry;
pub use crate::options::retry::{RetryConstant, RetryItem, RetryOutput, RetryValue};
pub use crate::policy::{Absent, Seen, ToldAsText, Whole};
#[cfg(feature = "durable")]
pub use crate::sink::write_error::WriteError;
use crate::units::ByteSize;

/// A value that can be an item: one that can be sent to a worker thread.
///
/// The expansion asks for `CHECKED` before it prepares the run: a message about a trait's constant
/// ends with what the trait says, and one about a function's bound goes on with that function,
/// which the user never wrote.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of a `#[batched]` function: it cannot be sent between threads",
    label = "this item type is not `Send`",
    note = "items are sent to worker threads; use a type that is `Send`, such as `Arc` in place of `Rc`"
)]
pub trait BatchItem {
    #[doc(hidden)]
    const CHECKED: () = ();
}

impl<T: Send> BatchItem for T {}

/// The same for an item if the signature shows what is at fault: the compiler speaks of the item,
/// and not of how the standard library's types are made.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of a `#[batched]` function: it cannot be sent between threads",
    label = "this item type is not `Send`",
    note = "items are sent to worker threads; use a type that is `Send`: `Arc` in place of `Rc`, and with `dyn` say `+ Send`, as \
            in `Box<dyn Fn() + Send>`"
)]
pub trait SendItem {
    #[doc(hidden)]
    const CHECKED: () = ();
}

#[diagnostic::do_not_recommend]
impl<T: Send> SendItem for T {}

/// A value that can be a result: one that can be sent back from a worker thread.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from a `#[batched]` function: it cannot be sent between threads",
    label = "this return type is not `Send`",
    note = "results are handed back from worker threads; return a type that is `Send`, such as `Arc` in place of `Rc`"
)]
pub trait BatchOutput: Sized {
    #[doc(hidden)]
    const CHECKED: () = ();

    /// The measure for a type that can't be written: none. The call has the inferred type checked.
    #[doc(hidden)]
    #[must_use]
    fn unmeasured() -> Measure<Self> {
        Measure::unknown()
    }
}

impl<T: Send> BatchOutput for T {}

/// The same for a result if the signature shows what is at fault, or hides it behind an alias of
/// `Result`: there it is nearly always the error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from a `#[batched]` function: it cannot be sent between threads",
    label = "this return type is not `Send`",
    note = "results are handed back from worker threads; return a type that is `Send`: `Box<dyn Error + Send + Sync>` in place \
            of `Box<dyn Error>`, `Arc` in place of `Rc`"
)]
pub trait SendOutput {
    #[doc(hidden)]
    const CHECKED: () = ();
}

#[diagnostic::do_not_recommend]
impl<T: Send> SendOutput for T {}

impl<T: Clone> RetryItem for T {
    #[inline]
    fn for_the_next_call(&self) -> T {
        self.clone()
    }
}

/// A value that can be a shared parameter: all calls have a reference to it at once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a shared parameter of a `#[batched]` function: it cannot be used from several threads at once",
    label = "this parameter is not `Sync`",
    note = "a parameter after the item is used by all calls at once; use a type that is `Sync`: an atomic in place of `Cell`, \
            `Mutex` or `RwLock` in place of `RefCell`, `Arc` in place of `Rc`"
)]
pub trait BatchShared {
    #[doc(hidden)]
    const CHECKED: () = ();
}

impl<T: Sync> BatchShared for T {}

/// The same for a shared parameter if the signature shows what is at fault.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a shared parameter of a `#[batched]` function: it cannot be used from several threads at once",
    label = "this parameter is not `Sync`",
    note = "a parameter after the item is used by all calls at once; use a type that is `Sync`: an atomic in place of `Cell`, \
            `Mutex` or `RwLock` in place of `RefCell`, `Arc` in place of `Rc`, and with `dyn` say `+ Sync`, as in `&(dyn Fn() + Sync)`"
)]
pub trait SyncShared {
    #[doc(hidden)]
    const CHECKED: () = ();
}

#[diagnostic::do_not_recommend]
impl<T: Sync> SyncShared for T {}

/// A value that can be a shared parameter by value: it is kept once, and cloned for each call.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a shared parameter by value of a `#[batched]` function: it cannot be cloned",
    label = "this parameter is not `Clone`",
    note = "a parameter after the item is the same for all calls, and one that is taken by value is cloned for each; take \
            it by reference, `&{Self}`, or implement `Clone`"
)]
pub trait BatchValue: Sized {
    /// The value for one call.
    #[doc(hidden)]
    #[must_use]
    fn value(&self) -> Self;
}

impl<T: Clone> BatchValue for T {
    #[inline]
    fn value(&self) -> T {
        self.clone()
    }
}

/// The output of a function with a policy for its errors.
#[diagnostic::on_unimplemented(
    message = "`on_error` needs a function that returns a `Result`",
    label = "`{Self}` is no `Result`",
    note = "return a `Result`: `on_error` decides about its error; or remove `on_error`"
)]
pub trait OnErrorOutput: RetryOutput {
    #[doc(hidden)]
    const CHECKED: () = ();
}

impl<T, E> OnErrorOutput for Result<T, E> {}

/// The output of a function with an input that can fail.
#[diagnostic::on_unimplemented(
    message = "`fallible_input` needs a function that returns a `Result`",
    label = "`{Self}` is no `Result`",
    note = "return a `Result`: an error of the input becomes its error; or remove `fallible_input`"
)]
pub trait FallibleInputOutput: RetryOutput {
    #[doc(hidden)]
    const CHECKED: () = ();
}

impl<T, E> FallibleInputOutput for Result<T, E> {}

/// An error of an input that can become the error of a function that returns `R`.
#[diagnostic::on_unimplemented(
    message = "the input's error `{Self}` can't become the error of this `#[batched]` function",
    label = "an error of this input can't become an error of the function",
    note = "with `fallible_input` an error of the input becomes the function's by `Into`, on a worker thread: so it must be `Send`, \
            and the function's error must be `From<{Self}>`, as `Box<dyn Error + Send + Sync>` is of most errors"
)]
pub trait InputError<R>: Send {
    /// The result of the missing item.
    fn into_result(self) -> R;
}

#[diagnostic::do_not_recommend]
impl<T, E, N: Into<E> + Send> InputError<Result<T, E>> for N {
    #[inline]
    fn into_result(self) -> Result<T, E> {
        Err(self.into())
    }
}

/// The same for a value of a type that can't be written.
///
/// # Errors
///
/// Always: the argument is an error.
#[inline]
pub fn failed<T, E, N: InputError<Result<(), E>>>(error: N) -> Result<T, E> {
    match error.into_result() {
        Err(error) => Err(error),
        Ok(()) => unreachable!("an error of the input stays one"),
    }
}

/// The output of a sink of `for_each_batch`: nothing.
///
/// A trait rather than `()` alone, so that the message for a `Result` names the method that takes
/// one.
#[diagnostic::on_unimplemented(
    message = "a sink of `for_each_batch` returns nothing, but this one returns `{Self}`",
    label = "this sink returns `{Self}`",
    note = "with `?` in it, or to end the run at its first error, give the sink to `try_for_each_batch`, and say which error it \
            returns: `|batch| -> std::io::Result<()> {{ .. }}`",
    note = "otherwise end its last line with a semicolon"
)]
pub trait SinkOutput {}

#[diagnostic::do_not_recommend]
impl SinkOutput for () {}

/// The type `!`, which has no name in stable Rust: that of a sink that panics or ends the process.
#[diagnostic::do_not_recommend]
impl SinkOutput for <fn() -> ! as Returns>::Output {}

/// The output of a function pointer.
pub trait Returns {
    /// The type.
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

/// The error of a sink of `try_for_each_batch`, which an error `E` of the run can become.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the error of a sink: the run's own `{E}` can't become one",
    label = "the sink's error is not made from `{E}`",
    note = "`try_for_each_batch` gives the sink's error or the run's, as one type: implement `From<{E}>` for it, or let the sink \
            return a `Box<dyn Error>`"
)]
pub trait SinkError<E>: Sized {
    #[doc(hidden)]
    fn of_run(error: E) -> Self;
}

impl<E, S: From<E>> SinkError<E> for S {
    fn of_run(error: E) -> S {
        error.into()
    }
}

/// The bytes of a result, as `estimate_safe_batch_size` takes them.
///
/// The only whole numbers are `usize`, which `size_of_val` gives: so a literal is one too, and not
/// an `i32`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` isn't the bytes of a result",
    label = "neither a `usize` nor `ByteSize`",
    note = "give a `usize`, as `size_of_val` does, or `ByteSize`: of a `u64` it is `ByteSize::new(n)`"
)]
pub trait ResultBytes {
    #[doc(hidden)]
    fn bytes(self) -> ByteSize;
}

impl ResultBytes for ByteSize {
    fn bytes(self) -> ByteSize {
        self
    }
}

impl ResultBytes for usize {
    fn bytes(self) -> ByteSize {
        ByteSize::new(self as u64)
    }
}

/// An argument of the builder method `max_memory`.
#[diagnostic::on_unimplemented(
    message = "`max_memory` can't be of the type `{Self}`",
    label = "this is neither a fraction nor a number of bytes",
    note = "use an `f64` above 0 and up to 1, a text such as \"512MiB\", or `ByteSize`: of `n` bytes it is `ByteSize::new(n)`"
)]
pub trait MaxMemoryOption {
    #[doc(hidden)]
    fn max_memory(self) -> MaxMemory;
}

#[diagnostic::do_not_recommend]
impl<V: Into<MaxMemory>> MaxMemoryOption for V {
    fn max_memory(self) -> MaxMemory {
        self.into().judged()
    }
}

/// An argument of the builder method `retry`.
#[diagnostic::on_unimplemented(
    message = "`retry` can't be of the type `{Self}`",
    label = "this is neither a `u32` nor a `Retry`",
    note = "use a `u32`, how often a call is made again at most, or a `Retry`, which has the waits too"
)]
pub trait RetryOption {
    #[doc(hidden)]
    fn retry(self) -> Retry;
}

#[diagnostic::do_not_recommend]
impl<V: Into<Retry>> RetryOption for V {
    fn retry(self) -> Retry {
        self.into()
    }
}
