//! Encodes results for a store, and decodes them.

use std::any::type_name;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::policy::Policy;
use crate::store::{Encoded, Restored, Store, read_back};

/// A value that a checkpoint can store and read back.
#[diagnostic::on_unimplemented(
    message = "a checkpoint can't store `{Self}`: it is not both `Serialize` and `DeserializeOwned`",
    label = "this can't be stored",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; where only the error of a `Result` can't be stored, leave \
            errors to `on_error`; or let the sink store results, and use `journal`, which asks nothing of them"
)]
pub trait StoredResult: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<R: Serialize + DeserializeOwned> StoredResult for R {}

/// Encodes results for a store and decodes them, by functions for one type and one policy.
pub struct Codec<R> {
    /// The name of the type that is stored.
    pub(crate) result: &'static str,
    /// Adds the result of the next item, with the item's hash; `None` if the policy takes it out.
    pub(crate) push: Push<R>,
    pub(super) read_back: fn(&R) -> Option<Result<(), String>>,
    /// Refuses a directory with results of another type.
    pub(crate) check: fn(&mut Store) -> Result<(), Error>,
    /// Takes the next results of items that are done, and stops behind the one that brings it to
    /// this number of bytes, encoded or in memory; 0 is for one result.
    pub(crate) take: fn(&mut Restored, usize) -> Result<Vec<R>, Error>,
}

type Push<R> = fn(&mut Encoded, u64, &R) -> Option<Result<(), String>>;

impl<R> Clone for Codec<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Codec<R> {}

impl<R> fmt::Debug for Codec<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").field("result", &self.result).finish_non_exhaustive()
    }
}

impl<R> Codec<R> {
    /// Stores values, which the policy finds in results.
    pub(crate) fn of<P: Policy<R, Value: StoredResult>>() -> Self {
        Self {
            result: type_name::<P::Value>(),
            push: |encoded, item, result| Some(encoded.push(item, P::value(result)?)),
            read_back: |result| Some(read_back(P::value(result)?)),
            check: Store::check_results::<P::Value>,
            take: |restored, most| Ok(P::unsplit(restored.take::<P::Value>(of_values::<R, P::Value>(most))?)),
        }
    }
}

/// The bytes of values if their results have `most` bytes in memory. A result has room for an error
/// too, and may take more than the value in it.
fn of_values<R, V>(most: usize) -> usize {
    let (value, result) = (size_of::<V>().max(1), size_of::<R>());
    if result <= value { most } else { (most as u128 * value as u128).div_ceil(result as u128) as usize }
}
