//! Measures the bytes of results by the best means that their type allows.

use crate::units::measured_by::{Certainty, MeasuredBy};
use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

#[cfg(feature = "get-size2")]
use get_size2::GetSize;

use super::deep_size::DeepSize;

impl Certainty {
    /// The certainty of the calls' working memory. `is_read` returns true if resident memory can be
    /// read.
    pub(crate) fn of_working(measured_by: MeasuredBy, is_read: impl FnOnce() -> bool) -> Self {
        match measured_by {
            MeasuredBy::Tracking => Self::Exact,
            _ if is_read() => Self::Estimate,
            _ => Self::Unmeasured,
        }
    }
}

/// The means of measuring values of `T`, decided when the function was annotated.
pub struct Measure<T> {
    /// Returns the bytes that values own on the heap; `None` if they own none or the type can't
    /// tell. The function takes many values, not one, so that the loop is compiled only for types
    /// that are measured.
    pub(crate) heap: Option<HeapOf<T>>,
    pub(crate) by: MeasuredBy,
}

/// Tells the bytes that values own on the heap.
pub(crate) type HeapOf<T> = fn(&[T]) -> Heap;

/// A type, for code that doesn't name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TypeFacts {
    /// The bytes of a value itself.
    pub(crate) size: usize,
    pub(crate) measured_by: MeasuredBy,
    pub(crate) name: &'static str,
}

/// The most bytes that one value counts for, whatever its type says: no address space of today has
/// more, and sums of 65,000 such values still fit.
const MOST_HEAP: u64 = 1 << 48;

/// The bytes that results own on the heap, and the working memory of their calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heap {
    /// The sum over all results.
    pub(crate) sum: u64,
    /// The bytes of the largest result.
    pub(crate) largest: u64,
    /// The most working memory of a call, without the bytes that its result owns; 0 if it is not
    /// measured.
    pub(crate) working: u64,
    /// True if a result's type told more bytes than its call was seen to allocate: other threads
    /// allocated the rest.
    pub(crate) elsewhere: bool,
}

impl Heap {
    pub(crate) fn of<T>(values: &[T], heap: impl Fn(&T) -> usize) -> Self {
        let believed = |value| (heap(value) as u64).min(MOST_HEAP);
        values.iter().map(believed).fold(Self::default(), |all, bytes| Self {
            sum: all.sum.saturating_add(bytes),
            largest: all.largest.max(bytes),
            ..all
        })
    }
}

impl<T> Clone for Measure<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Measure<T> {}

impl<T> fmt::Debug for Measure<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measure").field("by", &self.by).finish_non_exhaustive()
    }
}

impl<T> Measure<T> {
    /// The means for a type that can't tell.
    #[must_use]
    pub const fn unknown() -> Self {
        // A value that needs no drop owns nothing that a run could free, so only its size counts.
        let by = if std::mem::needs_drop::<T>() { MeasuredBy::Resident } else { MeasuredBy::SizeOf };
        Self { heap: None, by }
    }

    pub(crate) fn facts(&self) -> TypeFacts {
        TypeFacts { size: size_of::<T>(), measured_by: self.by, name: type_name::<T>() }
    }
}

/// Finds the means of measuring a type. `Probe::<T>::NEW.measure()` is the first of these methods
/// that `T` allows: the one here, in [`OkProbe`], with the feature `get-size2` in `GetSizeProbe`
/// and `OkGetSizeProbe`, and in [`UnknownProbe`].
///
/// Rust looks for a method in a type before it looks in the type's `Deref` target, and skips one
/// with bounds that are not met. No trait has to be in scope, so the expansion of the attribute
/// needs no import.
#[derive(Debug)]
pub struct Probe<T>(PhantomData<T>);

/// Second choice: a `Result` with a value that has a deep size.
#[derive(Debug)]
pub struct OkProbe<T>(PhantomData<T>);

/// Third choice: a type that implements `get_size2`'s trait.
#[cfg(feature = "get-size2")]
#[derive(Debug)]
pub struct GetSizeProbe<T>(PhantomData<T>);

/// Fourth choice: a `Result` with a value that implements `get_size2`'s trait.
#[cfg(feature = "get-size2")]
#[derive(Debug)]
pub struct OkGetSizeProbe<T>(PhantomData<T>);

/// Last choice: a type that tells nothing.
#[derive(Debug)]
pub struct UnknownProbe<T>(PhantomData<T>);

impl<T> Probe<T> {
    /// The only value.
    pub const NEW: Self = Self(PhantomData);
}

impl<T: DeepSize> Probe<T> {
    /// The means of measuring `T`.
    #[must_use]
    pub const fn measure(&self) -> Measure<T> {
        let heap: fn(&[T]) -> Heap = |values| Heap::of(values, T::heap_size);
        Measure { heap: if T::OWNS_HEAP { Some(heap) } else { None }, by: MeasuredBy::DeepSize }
    }
}

impl<T: DeepSize, E> OkProbe<Result<T, E>> {
    /// The means of measuring `Result<T, E>`.
    #[must_use]
    pub fn measure(&self) -> Measure<Result<T, E>> {
        let heap: fn(&[Result<T, E>]) -> Heap = |values| Heap::of(values, |result| of_ok(result, T::heap_size));
        Measure { heap: if T::OWNS_HEAP { Some(heap) } else { None }, by: MeasuredBy::DeepSize }
    }
}

#[cfg(feature = "get-size2")]
impl<T: GetSize> GetSizeProbe<T> {
    /// The means of measuring `T`.
    #[must_use]
    pub const fn measure(&self) -> Measure<T> {
        Measure { heap: Some(|values| Heap::of(values, T::get_heap_size)), by: MeasuredBy::DeepSize }
    }
}

#[cfg(feature = "get-size2")]
impl<T: GetSize, E> OkGetSizeProbe<Result<T, E>> {
    /// The means of measuring `Result<T, E>`.
    #[must_use]
    pub fn measure(&self) -> Measure<Result<T, E>> {
        let heap: fn(&[Result<T, E>]) -> Heap = |values| Heap::of(values, |result| of_ok(result, T::get_heap_size));
        Measure { heap: Some(heap), by: MeasuredBy::DeepSize }
    }
}

/// Errors don't count: they are small beside the values of a function that needs a budget.
fn of_ok<T, E>(result: &Result<T, E>, heap: fn(&T) -> usize) -> usize {
    result.as_ref().map_or(0, heap)
}

impl<T> UnknownProbe<T> {
    /// The means of measuring `T`.
    #[must_use]
    pub const fn measure(&self) -> Measure<T> {
        const { Measure::unknown() }
    }
}

/// Leads from each choice to the next one.
macro_rules! next {
    ($($probe:ident -> $next:ident),* $(,)?) => {$(
        impl<T> Deref for $probe<T> {
            type Target = $next<T>;

            fn deref(&self) -> &$next<T> {
                const { &$next(PhantomData) }
            }
        }
    )*};
}

next!(Probe -> OkProbe);
#[cfg(not(feature = "get-size2"))]
next!(OkProbe -> UnknownProbe);
#[cfg(feature = "get-size2")]
next!(OkProbe -> GetSizeProbe, GetSizeProbe -> OkGetSizeProbe, OkGetSizeProbe -> UnknownProbe);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    macro_rules! measure {
        ($type:ty) => {
            Probe::<$type>::NEW.measure()
        };
    }

    struct Plain;
    struct Opaque(#[expect(dead_code, reason = "only its drop glue matters")] Box<u32>);

    #[test]
    fn the_best_means_is_found() {
        assert_eq!(measure!(u32).by, MeasuredBy::DeepSize);
        assert!(measure!(u32).heap.is_none());
        assert_eq!(
            (measure!(Vec<u8>).heap.unwrap())(&[Vec::with_capacity(100), Vec::with_capacity(20)]),
            Heap { sum: 120, largest: 100, ..Heap::default() }
        );
        assert_eq!(measure!(Result<Vec<u8>, Opaque>).by, MeasuredBy::DeepSize);
        assert_eq!((measure!(Result<Vec<u8>, Opaque>).heap.unwrap())(&[Ok(Vec::with_capacity(7))]).sum, 7);
        assert_eq!(measure!(io::Result<String>).by, MeasuredBy::DeepSize);
        assert_eq!(measure!(Opaque).by, MeasuredBy::Resident);
        assert_eq!(measure!(Vec<Opaque>).by, MeasuredBy::Resident);
        assert_eq!(measure!(Plain).by, MeasuredBy::SizeOf);
    }
    #[test]
    fn trait_objects_are_not_asked() {
        assert_eq!(measure!(Box<dyn std::error::Error>).by, MeasuredBy::Resident);
        assert_eq!(measure!(Box<dyn std::any::Any + Send>).by, MeasuredBy::Resident);
        assert_eq!(measure!(std::sync::Arc<Opaque>).by, MeasuredBy::Resident);
        assert_eq!(measure!(std::sync::Arc<Vec<u8>>).by, MeasuredBy::DeepSize);
        assert_eq!(measure!(Result<Vec<u8>, Box<dyn std::error::Error>>).by, MeasuredBy::DeepSize);
    }

    #[cfg(feature = "get-size2")]
    #[test]
    fn get_size_is_found_after_deep_size() {
        struct Foreign(usize);
        impl GetSize for Foreign {
            fn get_heap_size_with_tracker<T: get_size2::GetSizeTracker>(&self, tracker: T) -> (usize, T) {
                (self.0, tracker)
            }
        }
        struct Both;
        impl GetSize for Both {}
        impl DeepSize for Both {
            fn heap_size(&self) -> usize {
                7
            }
        }

        assert_eq!(measure!(Foreign).by, MeasuredBy::DeepSize);
        assert_eq!(
            (measure!(Foreign).heap.unwrap())(&[Foreign(100), Foreign(20)]),
            Heap { sum: 120, largest: 100, ..Heap::default() }
        );
        assert_eq!(
            (measure!(Vec<Foreign>).heap.unwrap())(&[vec![Foreign(100)]]).sum,
            100 + size_of::<Foreign>() as u64
        );
        assert_eq!((measure!(Result<Foreign, Opaque>).heap.unwrap())(&[Ok(Foreign(100))]).sum, 100);
        assert_eq!((measure!(Both).heap.unwrap())(&[Both]).sum, 7);
        assert_eq!((measure!(Result<Both, Opaque>).heap.unwrap())(&[Ok(Both)]).sum, 7);
        assert_eq!(measure!(Opaque).by, MeasuredBy::Resident);
        assert_eq!(measure!(Result<Opaque, Foreign>).by, MeasuredBy::Resident);
    }
}
