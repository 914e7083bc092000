//! The code of an annotated function, as its attribute tells it. It decides if results of an
//! earlier run are still those of the function.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;

/// A function as its attribute sees it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "durable"), expect(dead_code, reason = "only durable runs read it"))]
pub struct Code {
    /// The path of its module, and its name.
    pub(crate) path: &'static str,
    /// The hash of the tokens of its signature and body.
    pub(crate) tokens: u64,
    pub(crate) version: Option<Version>,
}

impl Code {
    /// A function without a version.
    #[must_use]
    pub const fn new(path: &'static str, tokens: u64) -> Self {
        Self { path, tokens, version: None }
    }

    /// States the author's version of the function.
    #[must_use]
    pub const fn version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }
}

/// A version that the author states for a function.
#[derive(Clone, Copy, Debug)]
pub enum Version {
    /// A number.
    Number(u64),
    /// A text.
    Text(&'static str),
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Tells the generic arguments of a function, and each shared parameter with its hash. It is called
/// for durable runs alone.
pub type Tell<C> = fn(&C, &mut dyn Listener);

/// Hashes a value.
pub type HashOf<T> = fn(&T, &mut dyn Hasher);

/// Hashes the value that it was made for.
pub type HashesOne<'v> = &'v dyn Fn(&mut dyn Hasher);

/// Takes what a function's results depend on beside its code.
pub trait Listener {
    /// Takes the name of the type that a method belongs to.
    fn take_type(&mut self, name: &'static str);

    /// Takes the next generic argument of the function: the name of a type, or a constant's value.
    fn take_generic(&mut self, argument: String);

    /// Takes the name of a shared parameter, and a function that hashes it; `None` if its type is
    /// not `Hash`.
    fn take_shared(&mut self, name: &'static str, hash: Option<HashesOne<'_>>);
}

/// The methods that the expansion calls.
impl dyn Listener + '_ {
    /// Tells the type that a method belongs to.
    pub fn method_of<T: ?Sized>(&mut self) {
        self.take_type(std::any::type_name::<T>());
    }

    /// Tells the type that stands for the function's next type parameter.
    pub fn generic_type<T: ?Sized>(&mut self) {
        self.take_generic(std::any::type_name::<T>().to_owned());
    }

    /// Tells the value of the function's next const parameter.
    pub fn generic_value(&mut self, value: &dyn fmt::Debug) {
        self.take_generic(format!("{value:?}"));
    }

    /// Tells a shared parameter.
    pub fn shared<T>(&mut self, name: &'static str, hash: Option<HashOf<T>>, value: &T) {
        match hash {
            Some(hash) => self.take_shared(name, Some(&|hasher: &mut dyn Hasher| hash(value, hasher))),
            None => self.take_shared(name, None),
        }
    }
}

/// Finds a hash function for a type: `HashProbe::<T>::NEW.hash_fn()` is the method here if `T` is
/// `Hash`, and that of [`UnhashedProbe`] otherwise. It works as
/// [`Probe`](crate::memory::measure::Probe) does.
#[derive(Debug)]
pub struct HashProbe<T>(PhantomData<fn() -> T>);

/// Last choice: a type that can't be hashed.
#[derive(Debug)]
pub struct UnhashedProbe<T>(PhantomData<fn() -> T>);

impl<T> HashProbe<T> {
    /// The only value.
    pub const NEW: Self = Self(PhantomData);
}

impl<T: Hash> HashProbe<T> {
    /// The function that hashes a value.
    #[must_use]
    pub const fn hash_fn(&self) -> Option<HashOf<T>> {
        Some(|value, mut hasher| value.hash(&mut hasher))
    }
}

impl<T> UnhashedProbe<T> {
    /// There is no such function.
    #[must_use]
    pub const fn hash_fn(&self) -> Option<HashOf<T>> {
        None
    }
}

impl<T> Deref for HashProbe<T> {
    type Target = UnhashedProbe<T>;

    fn deref(&self) -> &UnhashedProbe<T> {
        const { &UnhashedProbe(PhantomData) }
    }
}

/// A type for each lifetime.
pub trait Borrowed<'l> {
    /// The type for this lifetime.
    type Type;
}

/// Does the same as [`HashProbe`] for types that borrow a trait object: they must be `Hash` for
/// every lifetime. `impl Hash for dyn Trait` alone makes them so for `'static`, and the compiler
/// would choose it for any lifetime, and then refuse the lifetime.
#[derive(Debug)]
pub struct BorrowedHashProbe<F: ?Sized>(PhantomData<fn(&F)>);

/// Last choice: a type that can't be hashed for every lifetime.
#[derive(Debug)]
pub struct UnhashedBorrowedProbe<F: ?Sized>(PhantomData<fn(&F)>);

impl<F: ?Sized> BorrowedHashProbe<F> {
    /// The only value.
    pub const NEW: Self = Self(PhantomData);
}

impl<F: ?Sized + for<'l> Borrowed<'l>> BorrowedHashProbe<F>
where
    for<'l> <F as Borrowed<'l>>::Type: Hash,
{
    /// The function that hashes a value.
    #[must_use]
    pub const fn hash_fn<'l>(&self) -> Option<HashOf<<F as Borrowed<'l>>::Type>> {
        Some(|value, mut hasher| value.hash(&mut hasher))
    }
}

impl<F: ?Sized + for<'l> Borrowed<'l>> UnhashedBorrowedProbe<F> {
    /// There is no such function.
    #[must_use]
    pub const fn hash_fn<'l>(&self) -> Option<HashOf<<F as Borrowed<'l>>::Type>> {
        None
    }
}

impl<F: ?Sized> Deref for BorrowedHashProbe<F> {
    type Target = UnhashedBorrowedProbe<F>;

    fn deref(&self) -> &UnhashedBorrowedProbe<F> {
        const { &UnhashedBorrowedProbe(PhantomData) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Opaque;

    fn in_generic_code<T>(_: &T) -> bool {
        HashProbe::<T>::NEW.hash_fn().is_some()
    }

    fn in_code_with_the_bound<T: Hash>(_: &T) -> bool {
        HashProbe::<T>::NEW.hash_fn().is_some()
    }

    #[test]
    fn a_type_that_is_hash_is_hashed() {
        assert!(HashProbe::<u32>::NEW.hash_fn().is_some());
        assert!(HashProbe::<&str>::NEW.hash_fn().is_some());
        assert!(HashProbe::<(&'static [u8], Option<String>)>::NEW.hash_fn().is_some());
        assert!(HashProbe::<Opaque>::NEW.hash_fn().is_none());
        assert!(HashProbe::<&Opaque>::NEW.hash_fn().is_none());
        assert!(HashProbe::<f64>::NEW.hash_fn().is_none());
        // A bound that the signature doesn't have isn't known there.
        assert!(in_code_with_the_bound(&1) && !in_generic_code(&1));
    }
}
