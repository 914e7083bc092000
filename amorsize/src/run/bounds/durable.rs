//! The traits that a durable run asks of types.

use std::hash::Hash;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::code::{HashOf, HashProbe, Version};
use crate::durable::{Codec, StoredResult};
use crate::options::constants::refused;
use crate::policy::Policy;
use crate::policy::on_error::{Collect, Each, Flatten, Skip, Stop};
use crate::units::ByteSize;

/// A value that `spill` can store and read back.
#[diagnostic::on_unimplemented(
    message = "`spill` can't store `{Self}`: it is not both `Serialize` and `DeserializeOwned`",
    label = "this can't be stored",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; where only the error of a `Result` can't be stored, leave \
            errors to `on_error`; or take results batch by batch with `for_each_batch`, which asks nothing of them"
)]
pub trait SpilledResult: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<R: Serialize + DeserializeOwned> SpilledResult for R {}

/// The output of a function with a checkpoint in its attribute, and the policy `P`.
#[diagnostic::on_unimplemented(
    message = "a checkpoint can't store `{Self}`: it is not both `Serialize` and `DeserializeOwned`",
    label = "this can't be stored",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; of a `Result` the value alone is stored where errors are \
            left to `on_error`; or let the sink store results, and use `journal`, which asks nothing of them"
)]
pub trait StoredOutput<P>: Sized {
    /// Results as bytes.
    #[doc(hidden)]
    fn codec() -> Codec<Self>;
}

#[diagnostic::do_not_recommend]
impl<R, P: Policy<R, Value: StoredResult>> StoredOutput<P> for R {
    fn codec() -> Codec<R> {
        Codec::of::<P>()
    }
}

/// An item of a durable run: a value that can be told apart from others in a later process.
#[diagnostic::on_unimplemented(
    message = "a run that goes on in a later process can't tell items of the type `{Self}` apart: they are not `Hash`",
    label = "this item type is not `Hash`",
    note = "derive or implement `Hash` for it, or state by `key` what tells items apart, as a value that is `Hash`: \
            `key = |item: &{Self}| ..` gives a field such as an id, or the `to_bits()` of an `f64`"
)]
pub trait HashedItem: Sized {
    /// The function that hashes an item.
    #[doc(hidden)]
    fn hash() -> Option<HashOf<Self>>;

    /// The function that hashes the items of an input that can fail: an item, or an error in its
    /// place. Nothing is kept of an error, so all errors have one hash.
    #[doc(hidden)]
    fn hash_if_given<N>() -> Option<HashOf<Result<Self, N>>>;
}

#[diagnostic::do_not_recommend]
impl<T: Hash> HashedItem for T {
    fn hash() -> Option<HashOf<T>> {
        HashProbe::<T>::NEW.hash_fn()
    }

    fn hash_if_given<N>() -> Option<HashOf<Result<T, N>>> {
        Some(|item, mut hasher| item.as_ref().ok().hash(&mut hasher))
    }
}

/// The output of a key.
#[diagnostic::on_unimplemented(
    message = "`key` can't tell items apart by `{Self}`: it is not `Hash`",
    label = "this key is not `Hash`",
    note = "give what is `Hash` and owns what it is made of: of an `f64` its `to_bits()`, of several values a tuple, of a text a clone"
)]
pub trait HashedKey: Hash {}

#[diagnostic::do_not_recommend]
impl<K: Hash> HashedKey for K {}

/// A shared parameter of a durable run.
#[diagnostic::on_unimplemented(
    message = "a run that goes on in a later process can't tell whether `{Self}` is still the same: it is not `Hash`",
    label = "this shared parameter is not `Hash`",
    note = "results depend on a shared parameter, so its hash is kept with them: derive or implement `Hash` for it; of an `f64` \
            pass its `to_bits()`; or, where they don't depend on it, name it in the attribute: `ignore(name)`"
)]
pub trait HashedShared {
    #[doc(hidden)]
    const CHECKED: () = ();
}

#[diagnostic::do_not_recommend]
impl<T: Hash> HashedShared for T {}

/// The policies of runs that can tell items of the type `T` apart.
#[diagnostic::on_unimplemented(
    message = "a run that goes on in a later process can't tell items of the type `{T}` apart: they are not `Hash`",
    label = "the items of this run are not `Hash`",
    note = "derive or implement `Hash` for `{T}`, or state what tells items apart before this call, as a value that is `Hash`: \
            `.key(|item| ..)` gives a field such as an id, or the `to_bits()` of an `f64`, and comes behind `on_error`"
)]
pub trait KnowsItems<T> {
    /// The function that hashes an item; `None` for the key to do it.
    #[doc(hidden)]
    fn hash() -> Option<HashOf<T>>;
}

macro_rules! knows_items {
    ($($policy:ident)*) => {$(
        #[diagnostic::do_not_recommend]
        impl<T: Hash> KnowsItems<T> for $policy {
            fn hash() -> Option<HashOf<T>> {
                HashProbe::<T>::NEW.hash_fn()
            }
        }
    )*};
}

knows_items!(Each Stop Skip Collect Flatten);

/// An argument of the builder method `version`.
#[diagnostic::on_unimplemented(
    message = "`version` can't be of the type `{Self}`",
    label = "this is neither a whole number nor a text",
    note = "use a whole number, or a text such as `env!(\"CARGO_PKG_VERSION\")`"
)]
pub trait VersionOption {
    #[doc(hidden)]
    fn version(self) -> String;
}

macro_rules! versions {
    ($($ty:ty)*) => {$(
        impl VersionOption for $ty {
            fn version(self) -> String {
                self.to_string()
            }
        }
    )*};
}

versions!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize &str &String String);

/// An argument of the builder method `max_disk`.
#[diagnostic::on_unimplemented(
    message = "`max_disk` can't be of the type `{Self}`",
    label = "this is no number of bytes",
    note = "use a text such as \"20GiB\", or `ByteSize`: of `n` bytes it is `ByteSize::new(n)`"
)]
pub trait DiskOption {
    /// The bytes, or the text that is no number of bytes.
    #[doc(hidden)]
    fn bytes(self) -> Result<ByteSize, String>;
}

impl DiskOption for ByteSize {
    fn bytes(self) -> Result<ByteSize, String> {
        Ok(self)
    }
}

impl DiskOption for &str {
    fn bytes(self) -> Result<ByteSize, String> {
        self.parse().map_err(|_| self.to_owned())
    }
}

impl DiskOption for String {
    fn bytes(self) -> Result<ByteSize, String> {
        DiskOption::bytes(self.as_str())
    }
}

/// A const expression given as `version` in the attribute.
#[derive(Debug)]
pub struct VersionValue<T>(T);

/// A type of constants that the attribute takes as `version`.
#[diagnostic::on_unimplemented(
    message = "`version` can't be of the type `{Self}`",
    label = "this is neither a whole number nor a text",
    note = "use a `u64`, another unsigned number, or a text such as `env!(\"CARGO_PKG_VERSION\")`"
)]
pub trait VersionConstant {}

impl<T: VersionConstant> VersionValue<T> {
    /// Takes the value to check.
    pub const fn of(value: T) -> Self {
        Self(value)
    }
}

impl VersionConstant for &str {}

impl VersionValue<&'static str> {
    /// Checks the text at compile time.
    ///
    /// # Panics
    ///
    /// When it is empty, which the compiler reports at the expression.
    #[must_use]
    #[track_caller]
    pub const fn checked(self) -> Version {
        assert!(!self.0.is_empty(), "`version` must not be empty");
        Version::Text(self.0)
    }
}

macro_rules! version_constants {
    ($($ty:ty)*) => {$(
        impl VersionConstant for $ty {}

        impl VersionValue<$ty> {
            /// Accepts every number.
            #[must_use]
            #[track_caller]
            pub const fn checked(self) -> Version {
                Version::Number(self.0 as u64)
            }
        }
    )*};
}

version_constants!(u8 u16 u32 u64 usize);

/// A const expression given as a directory in the attribute, and the text that refuses an empty one.
#[derive(Debug)]
pub struct DirectoryValue<T>(T, &'static str);

/// A type of constants that the attribute takes as a directory.
#[diagnostic::on_unimplemented(
    message = "a directory in the attribute can't be of the type `{Self}`",
    label = "this is no text",
    note = "use a text such as \"runs/thumbs\"; a path that is made at run time goes to the method of the run: \
            `.checkpoint(path)`, `.journal(path)` or `.spill_dir(path)`"
)]
pub trait DirectoryConstant {}

#[diagnostic::do_not_recommend]
impl DirectoryConstant for &str {}
#[diagnostic::do_not_recommend]
impl DirectoryConstant for &&str {}

impl<T: DirectoryConstant> DirectoryValue<T> {
    /// Takes the value to check.
    pub const fn of(value: T, refusal: &'static str) -> Self {
        Self(value, refusal)
    }
}

impl DirectoryValue<&'static str> {
    /// Checks the path at compile time.
    ///
    /// # Panics
    ///
    /// When it is empty, which the compiler reports at the expression.
    #[must_use]
    #[track_caller]
    pub const fn checked(self) -> &'static str {
        assert!(!self.0.is_empty(), "{}", self.1);
        self.0
    }
}

impl DirectoryValue<&'static &'static str> {
    /// Checks the path, as that of a text.
    ///
    /// # Panics
    ///
    /// When it is empty, which the compiler reports at the expression.
    #[must_use]
    #[track_caller]
    pub const fn checked(self) -> &'static str {
        DirectoryValue::<&'static str>(*self.0, self.1).checked()
    }
}

/// A const expression given as `max_disk` in the attribute.
#[derive(Debug)]
pub struct MaxDiskValue<T>(T);

/// A type of constants that the attribute takes as `max_disk`.
#[diagnostic::on_unimplemented(
    message = "`max_disk` can't be of the type `{Self}`",
    label = "this is no number of bytes",
    note = "use a text such as \"20GiB\", or `ByteSize`: of `n` bytes it is `ByteSize::new(n)`"
)]
pub trait MaxDiskConstant {}

impl MaxDiskConstant for ByteSize {}
impl MaxDiskConstant for &str {}

impl<T: MaxDiskConstant> MaxDiskValue<T> {
    /// Takes the value to check.
    pub const fn of(value: T) -> Self {
        Self(value)
    }
}

impl MaxDiskValue<ByteSize> {
    /// Checks the bytes at compile time.
    ///
    /// # Panics
    ///
    /// When there are none, which the compiler reports at the expression.
    #[must_use]
    #[track_caller]
    pub const fn checked(self) -> ByteSize {
        assert!(self.0.as_u64() > 0, "`max_disk` must be at least one byte");
        self.0
    }
}

impl MaxDiskValue<&str> {
    /// Parses the text at compile time.
    ///
    /// # Panics
    ///
    /// When it is refused, which the compiler reports at the expression.
    #[must_use]
    #[track_caller]
    pub const fn checked(self) -> ByteSize {
        let Some(bytes) = ByteSize::parse_const(self.0) else {
            panic!("`max_disk` must be a number with a unit, such as \"20GiB\" or \"1.5 TB\"")
        };
        MaxDiskValue(bytes).checked()
    }
}

refused! {
    DirectoryValue: u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char String PathBuf &Path
        => &'static str;
    VersionValue: u128 i8 i16 i32 i64 i128 isize f32 f64 bool char String => Version;
    MaxDiskValue: u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char String => ByteSize;
}
