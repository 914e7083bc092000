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

/// Appends an item's bytes, by which an input is known. They are never read back, so JSON serves
/// for an item that leaves out fields, or does not tell how many it has.
fn item_bytes<T: Serialize>(item: &T, to: &mut Vec<u8>) -> Result<(), String> {
    let before = to.len();
    encode(item, to).or_else(|cause| {
        serde_json::to_writer(&mut *to, item).map_err(|_| {
            to.truncate(before);
            cause
        })
    })
}

macro_rules! knows_input {
    ($($policy:ident)*) => {$(
        #[diagnostic::do_not_recommend]
        impl<T: Serialize> KnowsInput<T> for $policy {
            fn encode() -> Option<EncodeItem<T>> {
                Some(item_bytes)
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

#[cfg(test)]
mod tests {
    use serde::ser::{SerializeStruct, Serializer};

    use super::*;

    /// An item that leaves out a field.
    struct Noted(Option<u64>);

    impl Serialize for Noted {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            let mut fields = to.serialize_struct("Noted", 1)?;
            match &self.0 {
                Some(note) => fields.serialize_field("note", note)?,
                None => fields.skip_field("note")?,
            }
            fields.end()
        }
    }

    /// An item that has no bytes.
    struct Refusing;

    impl Serialize for Refusing {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not this one"))
        }
    }

    #[test]
    fn items_need_not_be_read_back() {
        let bytes_of = |note| {
            let mut bytes = vec![7];
            item_bytes(&Noted(note), &mut bytes).unwrap();
            bytes
        };
        assert_eq!(bytes_of(Some(300)), [7, 0xAC, 2]);
        assert_eq!(bytes_of(None), [7, b'{', b'}']);
        let mut bytes = vec![7];
        assert_eq!(item_bytes(&Refusing, &mut bytes), Err("not this one".to_owned()));
        assert_eq!(bytes, [7]);
    }
}
