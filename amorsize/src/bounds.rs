//! What the types of a function must be able to do, as traits whose messages speak of the function.
//!
//! Each is implemented for all types that can do it and can't be implemented otherwise; a user meets them in messages only. Messages
//! name them by their path, so this module can be reached from outside, and is part of the public interface no more than
//! `__private` is.

use crate::memory::measure::Measure;
pub use crate::then::{Flows, Follows, Joins, Pipes, StageError, StageOfItemsAlone};

/// What can be an item: a value that can be sent to a worker thread.
///
/// The expansion asks for `CHECKED` before it prepares the run: a message about a trait's constant ends with what the trait says,
/// and one about a function's bound goes on with that function, which the user never wrote.
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

/// The same of an item where what is at fault can be seen in the signature: the compiler speaks of the item, and not of how the
/// standard library's types are made.
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

/// What can be a result: a value that can be sent back from a worker thread.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from a `#[batched]` function: it cannot be sent between threads",
    label = "this return type is not `Send`",
    note = "results are handed back from worker threads; return a type that is `Send`, such as `Arc` in place of `Rc`"
)]
pub trait BatchOutput: Sized {
    #[doc(hidden)]
    const CHECKED: () = ();

    /// How it is measured where its type can't be written: not at all. So what the type comes to be is checked.
    #[doc(hidden)]
    #[must_use]
    fn unmeasured() -> Measure<Self> {
        Measure::unknown()
    }
}

impl<T: Send> BatchOutput for T {}

/// The same of a result where what is at fault can be seen in the signature, or stands behind an alias of `Result`: there it is
/// nearly always the error.
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

/// What can be an item of calls that are made again: a value that can be kept for the next one. References can.
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

impl<T: Clone> RetryItem for T {
    #[inline]
    fn for_the_next_call(&self) -> T {
        self.clone()
    }
}

/// What tells whether a call is to be made again: a `Result`, under any name.
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

/// What can be a shared parameter: all calls have a reference to it at once.
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

/// The same of a shared parameter where what is at fault can be seen in the signature.
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

/// What can be a shared parameter that the function takes by value: it is kept once, and cloned for each call.
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

/// What a function must return whose errors have a policy.
#[diagnostic::on_unimplemented(
    message = "`on_error` needs a function that returns a `Result`",
    label = "`{Self}` is no `Result`",
    note = "return a `Result`, whose error `on_error` then decides about; or remove `on_error`"
)]
pub trait OnErrorOutput: RetryOutput {
    #[doc(hidden)]
    const CHECKED: () = ();
}

impl<T, E> OnErrorOutput for Result<T, E> {}

/// What a function must return whose input can fail.
#[diagnostic::on_unimplemented(
    message = "`try_input` needs a function that returns a `Result`",
    label = "`{Self}` is no `Result`",
    note = "return a `Result`, whose error an error of the input then becomes; or remove `try_input`"
)]
pub trait TryInputOutput: RetryOutput {
    #[doc(hidden)]
    const CHECKED: () = ();
}

impl<T, E> TryInputOutput for Result<T, E> {}

/// What can be an error of an input, where the function returns `R`: what the function's own error can be made of.
#[diagnostic::on_unimplemented(
    message = "the input's error `{Self}` can't become the error of this `#[batched]` function",
    label = "an error of this input can't become an error of the function",
    note = "with `try_input` an error of the input becomes the function's by `Into`, on a worker thread: so it must be `Send` too"
)]
pub trait InputError<R>: Send {
    /// What the item that is missing gives.
    fn into_result(self) -> R;
}

impl<T, E, N: Into<E> + Send> InputError<Result<T, E>> for N {
    #[inline]
    fn into_result(self) -> Result<T, E> {
        Err(self.into())
    }
}

/// The same where the value's type can't be written.
///
/// # Errors
///
/// Always: what is given is an error.
#[inline]
pub fn failed<T, E, N: InputError<Result<(), E>>>(error: N) -> Result<T, E> {
    match error.into_result() {
        Err(error) => Err(error),
        Ok(()) => unreachable!("an error of the input stays one"),
    }
}
