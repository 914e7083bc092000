//! The traits that an array job asks of types.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::policy::on_error::{Collect, Each, Flatten, Skip, Stop};
use crate::store::encode;

/// A result that a task can leave for the process that gathers them.
#[diagnostic::on_unimplemented(
    message = "a task of an array can't store `{Self}`: it is not both `Serialize` and `DeserializeOwned`",
    label = "this can't be stored",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it, and own what it borrows; where only the error of a `Result` \
            can't be stored, leave errors to `on_error`"
)]
pub trait ArrayResult: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<R: Serialize + DeserializeOwned> ArrayResult for R {}

/// The inputs that the tasks of an array can share.
#[diagnostic::on_unimplemented(
    message = "an array can't share `{Self}` out: its length is not known",
    label = "this input does not tell its length",
    note = "each task takes a part of the items, so their number must be known: collect them into a `Vec`, in an order that is the \
            same in each process"
)]
pub trait KnownLength: IntoIterator<IntoIter: ExactSizeIterator> {}

#[diagnostic::do_not_recommend]
impl<I: IntoIterator<IntoIter: ExactSizeIterator>> KnownLength for I {}

/// Appends the bytes of an item, by which the input is known; the text says why it can't.
pub type EncodeItem<T> = fn(&T, &mut Vec<u8>) -> Result<(), String>;

/// The policies of runs that can tell whether the input is the same in each process.
#[diagnostic::on_unimplemented(
    message = "an array can't tell whether each process has the same input: items of the type `{T}` are not `Serialize`",
    label = "the items of this run are not `Serialize`",
    note = "derive `serde::Serialize` for `{T}`; or state before this call what tells the input from another one: \
            `.input_id(\"photos of 2026\")`"
)]
pub trait KnowsInput<T> {
    /// Appends the bytes of an item; `None` where a key or a text stands for it.
    #[doc(hidden)]
    fn encode() -> Option<EncodeItem<T>>;
}

macro_rules! knows_input {
    ($($policy:ident)*) => {$(
        #[diagnostic::do_not_recommend]
        impl<T: Serialize> KnowsInput<T> for $policy {
            fn encode() -> Option<EncodeItem<T>> {
                Some(encode)
            }
        }
    )*};
}

knows_input!(Each Stop Skip Collect Flatten);

#[diagnostic::do_not_recommend]
impl<T, P> KnowsInput<T> for crate::Keyed<P> {
    fn encode() -> Option<EncodeItem<T>> {
        None
    }
}
