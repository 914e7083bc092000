//! Memory for values, and the facts about their type that it needs.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, needs_drop};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// The type of the values that carry a mark.
///
/// Each key has its own mark, and a [`Kind`] gets its mark from a key. So a value with the mark of
/// a key is of the key's type, with all its lifetimes: `fn(V) -> V` allows none of them to change.
pub(super) struct Key<V> {
    pub(super) mark: u64,
    values: PhantomData<fn(V) -> V>,
}

impl<V> Clone for Key<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Key<V> {}

/// Two keys with unique marks. Values may be sent to other threads, because buffers are.
pub(super) fn keys<T: Send, R: Send>() -> (Key<T>, Key<R>) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // A process does not live long enough to count through 64 bits.
    let mark = NEXT.fetch_add(2, Ordering::Relaxed);
    (Key { mark, values: PhantomData }, Key { mark: mark + 1, values: PhantomData })
}

impl<V> Key<V> {
    const SHAPE: &'static Shape = &Shape {
        size: size_of::<V>(),
        none: Layout::new::<[V; 0]>(),
        drop: if needs_drop::<V>() { Some(drop_values::<V>) } else { None },
    };

    pub(super) fn kind(self) -> Kind {
        Kind { mark: self.mark, shape: Self::SHAPE }
    }
}

/// The type of values, for code that does not name it.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    mark: u64,
    shape: &'static Shape,
}

struct Shape {
    size: usize,
    /// The layout of zero values.
    none: Layout,
    drop: Option<DropValues>,
}

/// Drops the values in the first `count` places. They are of the kind, and nothing uses them any
/// longer.
type DropValues = unsafe fn(first: *mut u8, count: usize);

impl Kind {
    /// Panics unless values of both kinds are of the same type.
    #[inline]
    pub(super) fn check(self, other: Self) {
        self.check_mark(other.mark);
    }

    /// Panics unless values of this kind are of the type of the key with this mark.
    #[inline]
    pub(super) fn check_mark(self, mark: u64) {
        assert_eq!(self.mark, mark, "a buffer of another run");
    }

    #[inline]
    pub(super) fn size(self) -> usize {
        self.shape.size
    }

    /// The bytes of `count` values.
    #[inline]
    pub(super) fn bytes(self, count: usize) -> usize {
        self.shape.size.saturating_mul(count)
    }

    /// The places in memory for `capacity` values. Values of no size need no memory, and have any
    /// number of places.
    #[inline]
    pub(super) fn places(self, capacity: usize) -> usize {
        if self.shape.size == 0 { usize::MAX } else { capacity }
    }

    /// The places in memory of this many bytes.
    pub(super) fn places_in(self, bytes: usize) -> usize {
        bytes.checked_div(self.shape.size).unwrap_or(usize::MAX)
    }

    #[inline]
    pub(super) fn drop(self) -> Option<DropValues> {
        self.shape.drop
    }
}

/// # Safety
///
/// The `count` places from `first` on hold values of `V`, which nothing uses any longer.
unsafe fn drop_values<V>(first: *mut u8, count: usize) {
    // SAFETY: the caller promises it.
    unsafe { ptr::drop_in_place(ptr::slice_from_raw_parts_mut(first.cast::<V>(), count)) }
}

/// An allocation with places for some values. It frees the memory and leaves the values to its
/// owner.
pub(super) struct Block {
    places: *mut u8,
    layout: Layout,
}

impl Block {
    /// Memory for `capacity` values, or `None` if there is not that much.
    #[inline]
    pub(super) fn try_new(kind: Kind, capacity: usize) -> Option<Self> {
        let none = kind.shape.none;
        let bytes = kind.shape.size.checked_mul(capacity)?;
        if bytes == 0 {
            return Some(Self { places: ptr::without_provenance_mut(none.align()), layout: none });
        }
        let layout = Layout::from_size_align(bytes, none.align()).ok()?;
        // SAFETY: the size is not zero.
        let places = unsafe { alloc(layout) };
        (!places.is_null()).then_some(Self { places, layout })
    }

    #[inline]
    pub(super) fn new(kind: Kind, capacity: usize) -> Self {
        Self::try_new(kind, capacity).unwrap_or_else(|| {
            let none = kind.shape.none;
            handle_alloc_error(Layout::from_size_align(kind.bytes(capacity), none.align()).unwrap_or(none))
        })
    }

    /// The memory of a `Vec`.
    pub(super) fn of_vec<V>(vec: Vec<V>) -> Self {
        let mut vec = ManuallyDrop::new(vec);
        // Values of no size have no allocation, with any number of places.
        let places = if size_of::<V>() == 0 { 0 } else { vec.capacity() };
        let layout = Layout::array::<V>(places).expect("a `Vec` has this layout");
        Self { places: vec.as_mut_ptr().cast(), layout }
    }

    #[inline]
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The first place.
    #[inline]
    pub(super) fn places(&self) -> *mut u8 {
        self.places
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(self.places, self.layout) };
        }
    }
}
