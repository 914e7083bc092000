use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::env::VarError;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::Cursor;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::num::{Saturating, Wrapping};
use std::ops::{Bound, ControlFlow, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Output;
use std::string::FromUtf8Error;
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize,
};
use std::sync::{Mutex, OnceLock, RwLock, TryLockError};
use std::task::Poll;

use super::{DeepSize, b_tree, elements, hash_table, pairs};

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
    CStr,
    OsStr,
    Path,
    RangeFull,
    std::alloc::Layout,
    std::any::TypeId,
    std::array::TryFromSliceError,
    std::char::CharTryFromError,
    std::char::ParseCharError,
    std::cmp::Ordering,
    std::collections::hash_map::DefaultHasher,
    std::collections::hash_map::RandomState,
    std::convert::Infallible,
    std::ffi::FromBytesWithNulError,
    std::fmt::Error,
    std::fs::FileType,
    std::fs::Permissions,
    // An error of the operating system or a static message owns nothing, a custom one a few words.
    std::io::Error,
    std::io::ErrorKind,
    std::marker::PhantomPinned,
    std::net::AddrParseError,
    std::net::IpAddr,
    std::net::Ipv4Addr,
    std::net::Ipv6Addr,
    std::net::SocketAddr,
    std::net::SocketAddrV4,
    std::net::SocketAddrV6,
    std::num::FpCategory,
    std::num::IntErrorKind,
    // `NonZero<T>` needs a trait that can't be named.
    std::num::NonZeroI8,
    std::num::NonZeroI16,
    std::num::NonZeroI32,
    std::num::NonZeroI64,
    std::num::NonZeroI128,
    std::num::NonZeroIsize,
    std::num::NonZeroU8,
    std::num::NonZeroU16,
    std::num::NonZeroU32,
    std::num::NonZeroU64,
    std::num::NonZeroU128,
    std::num::NonZeroUsize,
    std::num::ParseFloatError,
    std::num::ParseIntError,
    std::num::TryFromIntError,
    std::process::ExitCode,
    std::process::ExitStatus,
    std::str::ParseBoolError,
    std::str::Utf8Error,
    std::thread::ThreadId,
    std::time::Duration,
    std::time::Instant,
    std::time::SystemTime,
    std::time::SystemTimeError,
);

owns_nothing_generic!(
    [T: ?Sized] &T, [T: ?Sized] &mut T, [T: ?Sized] *const T, [T: ?Sized] *mut T, [T] AtomicPtr<T>,
    [T: ?Sized] PhantomData<T>, [T: ?Sized] std::ptr::NonNull<T>, [T] std::mem::Discriminant<T>,
    [H] std::hash::BuildHasherDefault<H>,
    [T: ?Sized] std::rc::Weak<T>, [T: ?Sized] std::sync::Weak<T>,
);

/// Makes a function for each number of values. It takes the values and, from one on, their tuple.
macro_rules! several {
    ($($name:ident $index:tt,)*) => {
        owns_nothing_generic!(
            [R, $($name),*] fn($($name),*) -> R, [R, $($name),*] unsafe fn($($name),*) -> R,
            [R, $($name),*] extern "C" fn($($name),*) -> R, [R, $($name),*] unsafe extern "C" fn($($name),*) -> R,
        );
        several!(@tuple $($name $index,)*);
    };
    (@tuple) => {};
    (@tuple $($name:ident $index:tt,)+) => {
        impl<$($name: DeepSize),+> DeepSize for ($($name,)+) {
            const OWNS_HEAP: bool = $($name::OWNS_HEAP)||+;

            fn heap_size(&self) -> usize {
                0_usize$(.saturating_add(self.$index.heap_size()))+
            }
        }
    };
}

several!();
several!(A 0,);
several!(A 0, B 1,);
several!(A 0, B 1, C 2,);
several!(A 0, B 1, C 2, D 3,);
several!(A 0, B 1, C 2, D 3, E 4,);
several!(A 0, B 1, C 2, D 3, E 4, F 5,);
several!(A 0, B 1, C 2, D 3, E 4, F 5, G 6,);
several!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7,);
several!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8,);
several!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9,);
several!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10,);
several!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11,);

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

owning! {
    [] String, |this| this.capacity();
    [] OsString, |this| this.capacity();
    [] PathBuf, |this| this.capacity();
    [] CString, |this| this.as_bytes_with_nul().len();
    // The spare capacity can't be seen.
    [] FromUtf8Error, |this| this.as_bytes().len();
    [] Output, |this| this.stdout.heap_size() + this.stderr.heap_size();
    [] VarError, |this| match this {
        VarError::NotPresent => 0,
        VarError::NotUnicode(value) => value.heap_size(),
    };
    [T: DeepSize + ?Sized] Box<T>, |this| (**this).deep_size();
    [T: DeepSize + ?Sized] Pin<Box<T>>, |this| (**this).deep_size();
    [T: DeepSize] Vec<T>, |this| (this.capacity() * size_of::<T>()).saturating_add(elements(this));
    [T: DeepSize] VecDeque<T>, |this| (this.capacity() * size_of::<T>()).saturating_add(elements(this));
    [T: DeepSize] BinaryHeap<T>, |this| (this.capacity() * size_of::<T>()).saturating_add(elements(this));
    // Each node holds two links beside the element.
    [T: DeepSize] LinkedList<T>, |this| {
        (this.len() * (size_of::<T>() + 2 * size_of::<usize>())).saturating_add(elements(this))
    };
    [T: DeepSize, S] HashSet<T, S>, |this| hash_table(this.capacity(), size_of::<T>()).saturating_add(elements(this));
    [K: DeepSize, V: DeepSize, S] HashMap<K, V, S>, |this| {
        hash_table(this.capacity(), size_of::<(K, V)>()).saturating_add(pairs(this))
    };
    [T: DeepSize] BTreeSet<T>, |this| b_tree(this.len(), size_of::<T>()).saturating_add(elements(this));
    [K: DeepSize, V: DeepSize] BTreeMap<K, V>, |this| {
        b_tree(this.len(), size_of::<K>() + size_of::<V>()).saturating_add(pairs(this))
    };
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

around! {
    [T] Bound<T>, |this| match this {
        Bound::Included(value) | Bound::Excluded(value) => value.heap_size(),
        Bound::Unbounded => 0,
    };
    [B, C] ControlFlow<B, C>, |this| match this {
        ControlFlow::Break(value) => value.heap_size(),
        ControlFlow::Continue(value) => value.heap_size(),
    };
    [T] Cursor<T>, |this| this.get_ref().heap_size();
    [T] ManuallyDrop<T>, |this| T::heap_size(this);
    [T] OnceCell<T>, |this| this.get().map_or(0, T::heap_size);
    [T] OnceLock<T>, |this| this.get().map_or(0, T::heap_size);
    [T] Option<T>, |this| this.as_ref().map_or(0, T::heap_size);
    [T] Poll<T>, |this| match this {
        Poll::Ready(value) => value.heap_size(),
        Poll::Pending => 0,
    };
    [T] Range<T>, |this| this.start.heap_size().saturating_add(this.end.heap_size());
    [T] RangeFrom<T>, |this| this.start.heap_size();
    [T] RangeInclusive<T>, |this| this.start().heap_size().saturating_add(this.end().heap_size());
    [T] RangeTo<T>, |this| this.end.heap_size();
    [T] RangeToInclusive<T>, |this| this.end.heap_size();
    [T] RefCell<T>, |this| this.try_borrow().map_or(0, |value| T::heap_size(&value));
    [T, E] Result<T, E>, |this| match this {
        Ok(value) => value.heap_size(),
        Err(error) => error.heap_size(),
    };
    [T] Reverse<T>, |this| this.0.heap_size();
    [T] Saturating<T>, |this| this.0.heap_size();
    [T] Wrapping<T>, |this| this.0.heap_size();

    // A lock that another thread holds counts as empty: waiting for it could hang the run.
    [T] Mutex<T>, |this| match this.try_lock() {
        Ok(value) => T::heap_size(&value),
        Err(TryLockError::Poisoned(poisoned)) => T::heap_size(poisoned.get_ref()),
        Err(TryLockError::WouldBlock) => 0,
    };
    [T] RwLock<T>, |this| match this.try_read() {
        Ok(value) => T::heap_size(&value),
        Err(TryLockError::Poisoned(poisoned)) => T::heap_size(poisoned.get_ref()),
        Err(TryLockError::WouldBlock) => 0,
    };
}

impl<T: DeepSize + Copy> DeepSize for Cell<T> {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        self.get().heap_size()
    }
}

#[cfg(test)]
mod tests {
    use super::super::GROUP;
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
    fn what_wraps_counts_what_it_wraps() {
        let text = || String::from("abc");
        assert_eq!((Wrapping(1u8), Reverse(text()), Bound::Included(text())).heap_size(), 6);
        assert_eq!(Cursor::new(text()).heap_size(), 3);
        assert_eq!(Box::pin([0u8; 10]).heap_size(), 10);
        assert_eq!(ControlFlow::<String, ()>::Break(text()).heap_size(), 3);
        assert_eq!(ManuallyDrop::new(5u8).heap_size(), 0);
        assert_eq!((text()..text()).heap_size() + (..=text()).heap_size(), 9);
        assert_eq!(String::from_utf8(vec![0xff; 5]).unwrap_err().heap_size(), 5);
        assert_eq!((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, text()).heap_size(), 3);
    }

    #[test]
    fn functions_own_nothing() {
        const { assert!(!<(fn(u8) -> String, fn(), extern "C" fn(u8))>::OWNS_HEAP) };
    }

    #[test]
    fn a_lock_counts_what_it_guards() {
        let lock = Mutex::new(vec![0u8; 10]);
        assert_eq!(lock.heap_size(), 10);
        let guard = lock.lock().unwrap();
        assert_eq!(lock.heap_size(), 0);
        drop(guard);
        let poisoned = std::thread::scope(|scope| {
            let poison = || {
                let _guard = lock.lock();
                panic!("to poison it");
            };
            scope.spawn(poison).join().is_err()
        });
        assert!(poisoned);
        assert_eq!(lock.heap_size(), 10);
        assert_eq!(RwLock::new(vec![0u8; 10]).heap_size(), 10);
        assert_eq!(RefCell::new(vec![0u8; 10]).heap_size(), 10);
    }

    #[test]
    fn what_is_borrowed_does_not() {
        assert_eq!(<&Vec<u8>>::deep_size(&&vec![0u8; 10]), size_of::<usize>());
        assert_eq!(<&mut Vec<u8>>::heap_size(&&mut vec![0u8; 10]), 0);
        assert_eq!(Cow::Borrowed("borrowed").heap_size(), 0);
        assert_eq!(Cow::<str>::Owned("owned".into()).heap_size(), 5);
    }

    #[test]
    fn plain_collections_are_counted_at_once() {
        const { assert!(!<[u8; 100]>::OWNS_HEAP && !<Option<(u8, f64)>>::OWNS_HEAP && <Vec<()>>::OWNS_HEAP) };
    }

    #[test]
    fn maps_are_counted_without_looking_into_them() {
        // A counting allocator measured, for 1,000 entries in a scrambled order: the table to the
        // byte; the tree 28,224 bytes when they were inserted one by one, and 18,432 when they were
        // collected, which packs it.
        let scrambled = || (0..1000u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15), i));
        assert_eq!(HashMap::<u64, u64>::from_iter(scrambled()).heap_size(), 34_816 + GROUP);
        let tree = BTreeMap::<u64, u64>::from_iter(scrambled()).heap_size();
        assert_eq!(BTreeMap::from([(1u64, 2u64)]).heap_size(), 192);
        assert!((28_224..28_224 * 11 / 10).contains(&tree), "{tree}");
    }
}
