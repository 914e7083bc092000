/// Implements [`DeepSize`] for types with values that own nothing on the heap.
macro_rules! owns_nothing {
    ($($type:ty),* $(,)?) => {
        owns_nothing_generic!($([] $type),*);
    };
}

/// The same for types with parameters.
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

/// Types that can own bytes whatever their content, each with the number of them.
macro_rules! owning {
    ($([$($generics:tt)*] $type:ty, |$this:ident| $heap:expr;)*) => {$(
        impl<$($generics)*> DeepSize for $type {
            fn heap_size(&self) -> usize {
                let $this = self;
                $heap
            }
        }
    )*};
}

/// Types around one or two others of the same heap size, each with the way to reach them.
macro_rules! around {
    ($([$($name:ident),*] $type:ty, |$this:ident| $heap:expr;)*) => {$(
        impl<$($name: DeepSize),*> DeepSize for $type {
            const OWNS_HEAP: bool = $($name::OWNS_HEAP)||*;

            fn heap_size(&self) -> usize {
                let $this = self;
                $heap
            }
        }
    )*};
}

#[cfg(feature = "arrow")]
mod arrow;
#[cfg(feature = "bytes")]
mod bytes;
#[cfg(feature = "chrono")]
mod chrono;
pub(crate) mod features;
#[cfg(feature = "hashbrown")]
mod hashbrown;
#[cfg(feature = "image")]
mod image;
#[cfg(feature = "indexmap")]
mod indexmap;
#[cfg(feature = "nalgebra")]
mod nalgebra;
#[cfg(feature = "ndarray")]
mod ndarray;
#[cfg(feature = "num-complex")]
mod num_complex;
pub mod of;
#[cfg(feature = "serde_json")]
mod serde_json;
mod shared;
#[cfg(feature = "smallvec")]
mod smallvec;
mod standard;
#[cfg(feature = "uuid")]
mod uuid;

/// A type that can tell how many bytes it owns on the heap.
///
/// `#[batched]` finds it if the return type has it, and counts the results by it. It is never
/// required: other means measure a type without it. Derive it for a type of your own, to count that
/// exactly:
///
/// ```
/// use amorsize::{batched, DeepSize, MeasuredBy};
///
/// #[derive(DeepSize)]
/// struct Spectrum {
///     name: String,
///     power: Vec<f32>,
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
/// Implement it by hand if a field can't tell its size but you know it:
///
/// ```
/// use amorsize::DeepSize;
/// # struct Texture;
/// # impl Texture { fn bytes(&self) -> usize { 4096 } }
///
/// struct Scene {
///     name: String,
///     texture: Texture,
/// }
///
/// impl DeepSize for Scene {
///     fn heap_size(&self) -> usize {
///         self.name.heap_size() + self.texture.bytes()
///     }
/// }
///
/// assert_eq!(Scene { name: String::with_capacity(4), texture: Texture }.heap_size(), 4100);
/// ```
///
/// # Counted bytes
///
/// - Capacity counts, not length, because the allocator has handed it out. The allocator's overhead
///   does not count.
/// - Nothing behind a `&`, a raw pointer or a `Weak` counts: another value owns it.
/// - The content of an `Arc` or `Rc` is divided by its number of owners. So a sole owner counts all
///   of it, as a `Box` does. The results of a run count an allocation that they share once in all
///   of them together: the first ones count most of it, and later ones take over when those are
///   handed over (from 4 KiB on; smaller ones, and those that are too many to be noted, are divided
///   by their present number of owners). An owner outside of the run, such as a cache or a shared
///   parameter, counts its part too. So a run counts up to all of an allocation that only such an
///   owner would keep alive, and too little of one that only the run keeps alive after that owner
///   is gone.
/// - A lock that another thread holds counts as empty, because waiting for it could hang the run.
/// - Hash tables count to the byte; one from which many entries were removed may count for less.
///   The nodes of a `BTreeMap` can't be seen; they are estimated from its length, between 12 % too
///   low if it was filled in ascending order and 65 % too high if it was collected. Bytes that its
///   entries own count exactly.
///
/// # Types that have it
///
/// Types of the standard library that own their content; not trait objects such as
/// `Box<dyn Error>`, which can't tell it. A `Result<T, E>` is measured if its `T` can be, whatever
/// `E` is; an error without a deep size counts with the type's own size. [Features of this
/// crate](crate::guide::features#types-of-other-crates) add types of other crates.
#[diagnostic::on_unimplemented(
    message = "the deep size of `{Self}` is not known",
    label = "this type does not implement `DeepSize`",
    note = "implement or derive `DeepSize` for it, or write `#[deep_size(skip)]` on a field to leave out what it owns on the heap",
    note = "types of the crates arrow-array, bytes, chrono, hashbrown, image, indexmap, nalgebra, ndarray, num-complex, serde_json, \
            smallvec and uuid have it with amorsize's feature of that name (`arrow` for arrow-array)"
)]
pub trait DeepSize {
    /// True if any value of the type can own bytes on the heap; `false` lets a collection of them
    /// be counted at once.
    ///
    /// It is true for a type that keeps its content behind a pointer of its own, whatever the
    /// content.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::DeepSize;
    /// assert!(!<[f32; 3]>::OWNS_HEAP);
    /// assert!(<Vec<f32>>::OWNS_HEAP);
    /// ```
    const OWNS_HEAP: bool = true;

    /// The bytes that the value owns on the heap, beside its own `size_of`: capacity rather than
    /// length if the two differ.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::DeepSize;
    /// // Capacity counts, not length.
    /// assert_eq!(String::with_capacity(100).heap_size(), 100);
    /// assert_eq!(7_u64.heap_size(), 0);
    /// ```
    fn heap_size(&self) -> usize;

    /// All bytes of the value: its own size and those that it owns on the heap.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::DeepSize;
    /// assert_eq!(vec![0_u8; 100].deep_size(), 100 + size_of::<Vec<u8>>());
    /// ```
    fn deep_size(&self) -> usize {
        size_of_val(self).saturating_add(self.heap_size())
    }
}

/// The sum of claims. Several claims of `usize::MAX`, of a type that can't tell, are huge after
/// they have wrapped, too; a sum that stops at the largest number takes twice as long. Only claims of
/// halves of all addresses may cancel out.
fn sum(claims: impl Iterator<Item = usize>) -> usize {
    claims.fold(0, usize::wrapping_add)
}

/// The bytes that the elements own, at no cost if they can't own any.
fn elements<'a, T: DeepSize + 'a>(elements: impl IntoIterator<Item = &'a T>) -> usize {
    if T::OWNS_HEAP { sum(elements.into_iter().map(T::heap_size)) } else { 0 }
}

fn pairs<'a, K: DeepSize + 'a, V: DeepSize + 'a>(pairs: impl IntoIterator<Item = (&'a K, &'a V)>) -> usize {
    if K::OWNS_HEAP || V::OWNS_HEAP {
        sum(pairs.into_iter().map(|(key, value)| key.heap_size().saturating_add(value.heap_size())))
    } else {
        0
    }
}

/// The control bytes that a hash table compares at a time, by hashbrown's `src/control/group/`: 16
/// with the vector instructions of x86 and of LoongArch, else those of a word.
const GROUP: usize = if cfg!(any(target_feature = "sse2", all(target_arch = "loongarch64", target_feature = "lsx"))) {
    16
} else if cfg!(any(target_arch = "aarch64", target_arch = "wasm32", target_arch = "x86_64")) {
    8
} else {
    size_of::<usize>()
};

/// The bytes of a hash table of the standard library (hashbrown): 8/7 of the capacity rounded up to
/// a power of two buckets, a gap behind which groups are aligned, a control byte for each bucket,
/// and a group more of them.
fn hash_table(capacity: usize, entry: usize) -> usize {
    if capacity == 0 {
        return 0;
    }
    let buckets = (capacity * 8).div_ceil(7).next_power_of_two();
    (buckets * entry).next_multiple_of(GROUP) + buckets + GROUP
}

/// The bytes of a B-tree of the standard library. Leaves have room for 11 entries beside a link and
/// two numbers, and are at least half full; random insertion leaves them about two thirds full (Yao
/// 1978, "On random 2-3 trees"). Inner nodes add a tenth.
///
/// A tree of 1,000 entries that was collected is packed tighter and counts for 1.65 times its
/// bytes; one that was filled in ascending order is packed looser and counts for 0.88 of them.
fn b_tree(len: usize, entry: usize) -> usize {
    let leaf = (11 * entry + size_of::<usize>() + 4).next_multiple_of(size_of::<usize>());
    match len {
        0 => 0,
        // Most objects of a JSON text are a single leaf.
        1..=11 => leaf,
        _ => len.div_ceil(7) * leaf * 11 / 10,
    }
}
