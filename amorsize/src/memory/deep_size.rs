use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::{CString, OsStr, OsString};
use std::marker::PhantomData;
use std::mem::size_of;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
    AtomicUsize,
};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

/// A type that can tell how many bytes it owns on the heap.
///
/// `#[batched]` finds it by itself where the return type has it, and counts the results by it; no bound ever asks for it. It
/// is implemented for the standard library's types, and by cargo features for types of other crates. Implement it for your
/// own type to have it counted exactly:
///
/// ```
/// use amorsize::{batched, DeepSize, MeasuredBy};
///
/// struct Spectrum {
///     name: String,
///     power: Vec<f32>,
/// }
///
/// impl DeepSize for Spectrum {
///     fn heap_size(&self) -> usize {
///         self.name.heap_size() + self.power.heap_size()
///     }
/// }
///
/// #[batched]
/// fn analyse(seed: u32) -> Spectrum {
///     Spectrum { name: seed.to_string(), power: vec![0.0; 100_000] }
/// }
///
/// let mut run = analyse_batched(0..8);
/// let plan = run.plan()?;
/// assert_eq!(plan.measured_by(), MeasuredBy::DeepSize);
/// assert!(plan.bytes_per_item() >= 400_000);
/// # Ok::<(), amorsize::Error>(())
/// ```
///
/// What is borrowed or shared is not owned: `&T`, `Rc<T>` and `Arc<T>` count as the pointer that they are, because the same
/// value may stand behind many results.
pub trait DeepSize {
    /// Whether any value of the type can own bytes on the heap; `false` lets a collection of them be counted at once.
    const OWNS_HEAP: bool = true;

    /// Bytes that the value owns on the heap, beside its own `size_of`: capacity rather than length where the two differ.
    fn heap_size(&self) -> usize;

    /// All bytes of the value: its own size and what it owns on the heap.
    fn deep_size(&self) -> usize {
        size_of_val(self) + self.heap_size()
    }
}

macro_rules! owns_nothing {
    ($($type:ty),* $(,)?) => {$(
        impl DeepSize for $type {
            const OWNS_HEAP: bool = false;

            fn heap_size(&self) -> usize {
                0
            }
        }
    )*};
}

owns_nothing!(
    (),
    bool,
    char,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    str,
    AtomicBool,
    AtomicI8,
    AtomicI16,
    AtomicI32,
    AtomicI64,
    AtomicIsize,
    AtomicU8,
    AtomicU16,
    AtomicU32,
    AtomicU64,
    AtomicUsize,
    OsStr,
    Path,
    std::cmp::Ordering,
    std::net::IpAddr,
    std::net::Ipv4Addr,
    std::net::Ipv6Addr,
    std::net::SocketAddr,
    std::num::NonZeroU8,
    std::num::NonZeroU16,
    std::num::NonZeroU32,
    std::num::NonZeroU64,
    std::num::NonZeroUsize,
    std::num::NonZeroI8,
    std::num::NonZeroI16,
    std::num::NonZeroI32,
    std::num::NonZeroI64,
    std::num::NonZeroIsize,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::num::TryFromIntError,
    std::char::ParseCharError,
    std::str::Utf8Error,
    std::str::ParseBoolError,
    std::fmt::Error,
    std::net::AddrParseError,
    std::time::Duration,
    std::time::Instant,
    std::time::SystemTime,
    // What an error of the operating system or a static message owns is nothing; a custom one a few words.
    std::io::Error,
    std::io::ErrorKind,
);

macro_rules! owns_nothing_generic {
    ($([$($generics:tt)*] $type:ty),* $(,)?) => {$(
        impl<$($generics)*> DeepSize for $type {
            const OWNS_HEAP: bool = false;

            fn heap_size(&self) -> usize {
                0
            }
        }
    )*};
}

owns_nothing_generic!(
    [T: ?Sized] &T, [T: ?Sized] PhantomData<T>, [T: ?Sized] Rc<T>, [T: ?Sized] Arc<T>,
    [T: ?Sized] std::rc::Weak<T>, [T: ?Sized] std::sync::Weak<T>, [T: ?Sized] *const T, [T: ?Sized] *mut T,
);

macro_rules! tuples {
    ($(($($name:ident $index:tt),+)),* $(,)?) => {$(
        impl<$($name: DeepSize),+> DeepSize for ($($name,)+) {
            const OWNS_HEAP: bool = $($name::OWNS_HEAP)||+;

            fn heap_size(&self) -> usize {
                0 $(+ self.$index.heap_size())+
            }
        }
    )*};
}

tuples!(
    (A 0), (A 0, B 1), (A 0, B 1, C 2), (A 0, B 1, C 2, D 3), (A 0, B 1, C 2, D 3, E 4),
    (A 0, B 1, C 2, D 3, E 4, F 5), (A 0, B 1, C 2, D 3, E 4, F 5, G 6), (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7),
);

/// What the elements own, at no cost where they can't own anything.
fn elements<'a, T: DeepSize + 'a>(elements: impl IntoIterator<Item = &'a T>) -> usize {
    if T::OWNS_HEAP { elements.into_iter().map(T::heap_size).sum() } else { 0 }
}

fn pairs<'a, K: DeepSize + 'a, V: DeepSize + 'a>(pairs: impl IntoIterator<Item = (&'a K, &'a V)>) -> usize {
    if K::OWNS_HEAP || V::OWNS_HEAP {
        pairs.into_iter().map(|(key, value)| key.heap_size() + value.heap_size()).sum()
    } else {
        0
    }
}

impl<T: DeepSize> DeepSize for [T] {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        elements(self)
    }
}

impl<T: DeepSize, const N: usize> DeepSize for [T; N] {
    const OWNS_HEAP: bool = N > 0 && T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        elements(self)
    }
}

impl<T: DeepSize> DeepSize for Vec<T> {
    fn heap_size(&self) -> usize {
        self.capacity() * size_of::<T>() + elements(self)
    }
}

impl<T: DeepSize> DeepSize for VecDeque<T> {
    fn heap_size(&self) -> usize {
        self.capacity() * size_of::<T>() + elements(self)
    }
}

impl<T: DeepSize> DeepSize for BinaryHeap<T> {
    fn heap_size(&self) -> usize {
        self.capacity() * size_of::<T>() + elements(self)
    }
}

impl<T: DeepSize> DeepSize for LinkedList<T> {
    fn heap_size(&self) -> usize {
        // Each node holds two links beside the element.
        self.len() * (size_of::<T>() + 2 * size_of::<usize>()) + elements(self)
    }
}

impl DeepSize for String {
    fn heap_size(&self) -> usize {
        self.capacity()
    }
}

impl DeepSize for OsString {
    fn heap_size(&self) -> usize {
        self.capacity()
    }
}

impl DeepSize for PathBuf {
    fn heap_size(&self) -> usize {
        self.capacity()
    }
}

impl DeepSize for CString {
    fn heap_size(&self) -> usize {
        self.as_bytes_with_nul().len()
    }
}

impl<T: DeepSize + ?Sized> DeepSize for Box<T> {
    fn heap_size(&self) -> usize {
        (**self).deep_size()
    }
}

impl<T: DeepSize> DeepSize for Option<T> {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        self.as_ref().map_or(0, T::heap_size)
    }
}

impl<T: DeepSize, E: DeepSize> DeepSize for Result<T, E> {
    const OWNS_HEAP: bool = T::OWNS_HEAP || E::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        match self {
            Ok(value) => value.heap_size(),
            Err(error) => error.heap_size(),
        }
    }
}

impl<B: ?Sized + ToOwned<Owned: DeepSize>> DeepSize for Cow<'_, B> {
    const OWNS_HEAP: bool = <B::Owned as DeepSize>::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        match self {
            Cow::Borrowed(_) => 0,
            Cow::Owned(owned) => owned.heap_size(),
        }
    }
}

impl<T: DeepSize> DeepSize for Range<T> {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        self.start.heap_size() + self.end.heap_size()
    }
}

impl<T: DeepSize> DeepSize for RangeInclusive<T> {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        self.start().heap_size() + self.end().heap_size()
    }
}

impl<T: DeepSize + Copy> DeepSize for Cell<T> {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        self.get().heap_size()
    }
}

impl<T: DeepSize> DeepSize for RefCell<T> {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        self.try_borrow().map_or(0, |value| value.heap_size())
    }
}

impl<T: DeepSize> DeepSize for OnceCell<T> {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        self.get().map_or(0, T::heap_size)
    }
}

impl<T: DeepSize> DeepSize for OnceLock<T> {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        self.get().map_or(0, T::heap_size)
    }
}

// A lock that somebody holds counts as empty: waiting for it could hang the run.
impl<T: DeepSize> DeepSize for Mutex<T> {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        self.try_lock().map_or(0, |value| value.heap_size())
    }
}

impl<T: DeepSize> DeepSize for RwLock<T> {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        self.try_read().map_or(0, |value| value.heap_size())
    }
}

/// Bytes of a hash table of the standard library (hashbrown): 8/7 of the capacity rounded up to a power of two buckets, each
/// with one control byte, and a group of 16 control bytes more.
fn hash_table(capacity: usize, entry: usize) -> usize {
    if capacity == 0 { 0 } else { (capacity * 8).div_ceil(7).next_power_of_two() * (entry + 1) + 16 }
}

impl<K: DeepSize, V: DeepSize, S> DeepSize for HashMap<K, V, S> {
    fn heap_size(&self) -> usize {
        hash_table(self.capacity(), size_of::<(K, V)>()) + pairs(self)
    }
}

impl<T: DeepSize, S> DeepSize for HashSet<T, S> {
    fn heap_size(&self) -> usize {
        hash_table(self.capacity(), size_of::<T>()) + elements(self)
    }
}

/// Bytes of a B-tree of the standard library: leaves have room for 11 entries beside 12 bytes of links and are at least half
/// full; random insertion leaves them about two thirds full (Yao 1978, "On random 2-3 trees"), and inner nodes add a tenth. A tree
/// that was collected is packed tighter, and so counts for more than it takes.
fn b_tree(len: usize, entry: usize) -> usize {
    if len == 0 { 0 } else { len.div_ceil(7) * (11 * entry + 12) * 11 / 10 }
}

impl<K: DeepSize, V: DeepSize> DeepSize for BTreeMap<K, V> {
    fn heap_size(&self) -> usize {
        b_tree(self.len(), size_of::<K>() + size_of::<V>()) + pairs(self)
    }
}

impl<T: DeepSize> DeepSize for BTreeSet<T> {
    fn heap_size(&self) -> usize {
        b_tree(self.len(), size_of::<T>()) + elements(self)
    }
}

#[cfg(feature = "image")]
mod image_types {
    use super::DeepSize;
    use image::{DynamicImage, ImageBuffer, Pixel};

    impl<P: Pixel> DeepSize for ImageBuffer<P, Vec<P::Subpixel>> {
        fn heap_size(&self) -> usize {
            // The buffer's spare capacity can't be seen from outside.
            size_of_val::<[P::Subpixel]>(self.as_raw())
        }
    }

    impl DeepSize for DynamicImage {
        fn heap_size(&self) -> usize {
            self.as_bytes().len()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_counts_rather_than_length() {
        assert_eq!(Vec::<u32>::with_capacity(100).heap_size(), 400);
        assert_eq!(Vec::<u32>::with_capacity(100).deep_size(), 400 + size_of::<Vec<u32>>());
        assert_eq!(String::with_capacity(33).heap_size(), 33);
    }

    #[test]
    fn what_is_nested_counts() {
        let nested = vec![vec![0u8; 10], Vec::with_capacity(20)];
        assert_eq!(nested.heap_size(), 2 * size_of::<Vec<u8>>() + 30);
        assert_eq!(Some(Box::new([1u64; 4])).heap_size(), 32);
        assert_eq!((1u8, String::from("abc")).heap_size(), 3);
        assert_eq!(Ok::<_, String>(vec![1u16]).heap_size(), 2);
        assert_eq!(Box::<[String]>::from([String::from("ab")]).heap_size(), size_of::<String>() + 2);
    }

    #[test]
    fn what_is_borrowed_or_shared_does_not() {
        assert_eq!(<&Vec<u8>>::deep_size(&&vec![0u8; 10]), size_of::<usize>());
        assert_eq!(Arc::new([0u8; 1000]).heap_size(), 0);
        assert_eq!(Cow::Borrowed("borrowed").heap_size(), 0);
        assert_eq!(Cow::<str>::Owned("owned".into()).heap_size(), 5);
    }

    #[test]
    fn plain_collections_are_counted_at_once() {
        const { assert!(!<[u8; 100]>::OWNS_HEAP && !<Option<(u8, f64)>>::OWNS_HEAP && <Vec<()>>::OWNS_HEAP) };
    }

    #[test]
    fn maps_are_counted_without_looking_into_them() {
        // What a counting allocator said for 1,000 entries in a scrambled order: the table to the byte; the tree 28,224 bytes when
        // they were inserted one by one, and 18,432 when they were collected, which packs it.
        let scrambled = || (0..1000u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15), i));
        assert_eq!(HashMap::<u64, u64>::from_iter(scrambled()).heap_size(), 34_832);
        let tree = BTreeMap::<u64, u64>::from_iter(scrambled()).heap_size();
        assert!((28_224..28_224 * 11 / 10).contains(&tree), "{tree}");
    }
}
