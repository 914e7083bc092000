//! What the types of a function must be able to do, as traits whose messages speak of the function.
//!
//! Each is implemented for all types that can do it and can't be implemented otherwise; a user meets them in messages only.

/// What can be an item: a value that can be sent to a worker thread.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of a `#[batched]` function: it cannot be sent between threads",
    label = "this item type is not `Send`",
    note = "items are sent to worker threads; use a type that is `Send`, such as `Arc` in place of `Rc`"
)]
pub trait BatchItem: Send {}

impl<T: Send> BatchItem for T {}

/// What can be a result: a value that can be sent back from a worker thread.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from a `#[batched]` function: it cannot be sent between threads",
    label = "this return type is not `Send`",
    note = "results are handed back from worker threads; return a type that is `Send`, such as `Arc` in place of `Rc`"
)]
pub trait BatchOutput: Send {}

impl<T: Send> BatchOutput for T {}

/// What can be an item of calls that are made again: a value that can be kept for the next one. References can.
#[diagnostic::on_unimplemented(
    message = "a call with `{Self}` cannot be made again: it cannot be cloned",
    label = "this item type is not `Clone`, as `retry` needs it",
    note = "the function uses up its item, so `retry` keeps a clone for the next call; take the item by reference, or use a \
            type that is `Clone`"
)]
pub trait RetryItem: Clone {}

impl<T: Clone> RetryItem for T {}

/// What tells whether a call is to be made again: a `Result`, under any name.
#[diagnostic::on_unimplemented(
    message = "a function that returns `{Self}` cannot be retried: it returns no `Result`",
    label = "this return type is not a `Result`, as `retry` needs it",
    note = "a call is made again when it returned `Err`; return a `Result`, or leave `retry` out"
)]
pub trait RetryOutput {
    #[doc(hidden)]
    fn failed(&self) -> bool;
}

impl<T, E> RetryOutput for Result<T, E> {
    fn failed(&self) -> bool {
        self.is_err()
    }
}

/// What can be a shared parameter: `&T` where `T: Sync`, or a [`ByValue`] that is cloned for each call.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a shared parameter of a `#[batched]` function",
    label = "this parameter cannot be used from several threads",
    note = "a parameter after the item is used by all calls at once: take it by reference to a `Sync` type, or by value of a \
            type that is `Clone` and `Sync`"
)]
pub trait BatchShared: Sync {}

impl<T: Sync + ?Sized> BatchShared for &T {}

/// A shared parameter that the function takes by value: kept once, cloned for each call.
#[derive(Clone, Debug)]
pub struct ByValue<T>(pub T);

impl<T: Clone + Sync> BatchShared for ByValue<T> {}

/// The value for one call. A function rather than a method, so that a type that is not `Clone` is reported once: rustc drops
/// what it has said of the same type at the same place, but reports a missing method beside a missing trait.
#[inline]
pub fn value<T: Clone>(shared: &ByValue<T>) -> T {
    shared.0.clone()
}

/// What a function must return whose errors have a policy.
#[diagnostic::on_unimplemented(
    message = "`on_error` needs a function that returns a `Result`",
    label = "`{Self}` is no `Result`",
    note = "return a `Result`, whose error `on_error` then decides about; or remove `on_error`"
)]
pub trait OnErrorOutput {
    #[doc(hidden)]
    fn failed(&self) -> bool;
}

impl<T, E> OnErrorOutput for Result<T, E> {
    fn failed(&self) -> bool {
        self.is_err()
    }
}

/// What a function must return whose input can fail.
#[diagnostic::on_unimplemented(
    message = "`try_input` needs a function that returns a `Result`",
    label = "`{Self}` is no `Result`",
    note = "return a `Result`, whose error an error of the input then becomes; or remove `try_input`"
)]
pub trait TryInputOutput {}

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
