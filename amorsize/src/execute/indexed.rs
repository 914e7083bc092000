//! Inputs that are indexed, ranges of integers and slices: what is taken of them is where they begin and how many, and whoever needs
//! the items writes them down.
//!
//! An item that one thread writes and another reads comes from the other core's cache, and the thread that takes items from the
//! input is one for all workers. So it takes a chunk's items at once, and the worker makes them in its own cache.

use std::any::Any;
use std::ops::{Range, RangeInclusive};
use std::slice;

/// Items that follow each other, none of which is written: `count` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwritten {
    pub(super) first: First,
    pub(super) count: usize,
}

/// What the items are, by the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// Integers, the first of which has these bits as its lowest.
    Integer(u64),
    /// References to the elements of a slice, each of so many bytes.
    Reference(*const u8, usize),
}

impl First {
    /// What is so many items further on, or further back where that is negative.
    fn moved(self, by: isize) -> Self {
        match self {
            Self::Integer(bits) => Self::Integer(bits.wrapping_add(by as u64)),
            Self::Reference(place, size) => Self::Reference(place.wrapping_offset(by * size as isize), size),
        }
    }
}

impl Unwritten {
    pub(super) const NONE: Self = Self { first: First::Integer(0), count: 0 };

    /// Takes references to the next up to `most` elements of a slice.
    pub(super) fn of_slice<U>(input: &mut slice::Iter<'_, U>, most: usize) -> Self {
        let first = First::Reference(input.as_slice().as_ptr().cast(), size_of::<U>());
        Self { first, count: skip(input, most) }
    }

    /// Takes the next up to `most` items of an input that is a range of integers; none of another one.
    pub(super) fn of_range(input: &mut dyn Any, most: usize) -> Option<Self> {
        macro_rules! of_range {
            ($($integer:ty)*) => {$(
                if let Some(range) = input.downcast_mut::<Range<$integer>>() {
                    let bits = range.start as u64;
                    return Some(Self::integers(bits, skip(range, most)));
                }
                if let Some(range) = input.downcast_mut::<RangeInclusive<$integer>>() {
                    let bits = *range.start() as u64;
                    return Some(Self::integers(bits, skip(range, most)));
                }
            )*};
        }
        of_range!(usize u64 u32 i32 i64 isize u16 u8 i16 i8);
        None
    }

    fn integers(first: u64, count: usize) -> Self {
        Self { first: First::Integer(first), count }
    }

    /// Leaves the first `keep` here and gives the others.
    pub(super) fn split_off(&mut self, keep: usize) -> Self {
        let rest = Self { first: self.first.moved(keep as isize), count: self.count - keep };
        self.count = keep;
        rest
    }

    /// Puts the `count` items that come before back.
    pub(super) fn put_back(&mut self, count: usize) {
        self.first = self.first.moved(-(count as isize));
        self.count += count;
    }
}

/// Moves an iterator on that knows its end, unless that is farther than `usize` tells, and says by how many items.
fn skip(input: &mut impl Iterator, most: usize) -> usize {
    let count = input.size_hint().0.min(most);
    if count > 0 {
        input.nth(count - 1);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(input: &mut dyn Any, most: usize) -> Option<(u64, usize)> {
        Unwritten::of_range(input, most).map(|unwritten| match unwritten.first {
            First::Integer(bits) => (bits, unwritten.count),
            First::Reference(..) => unreachable!("of a range"),
        })
    }

    #[test]
    fn a_range_is_taken_from_its_front_until_it_ends() {
        let mut range = 250u8..255;
        assert_eq!(
            [taken(&mut range, 2), taken(&mut range, 9), taken(&mut range, 9)].map(|taken| taken.unwrap().1),
            [2, 3, 0]
        );
        let mut range = -3i32..=3;
        assert_eq!(taken(&mut range, 4), Some((-3i64 as u64, 4)));
        assert_eq!(range, 1..=3);
        assert_eq!(taken(&mut range, 3), Some((1, 3)));
        assert_eq!(taken(&mut range, 3).unwrap().1, 0);
        assert!(range.is_empty());
    }

    #[test]
    fn ranges_at_the_ends_of_their_types_are_taken_whole() {
        let mut range = u64::MAX - 2..=u64::MAX;
        assert_eq!(taken(&mut range, usize::MAX), Some((u64::MAX - 2, 3)));
        assert_eq!(taken(&mut range, usize::MAX).unwrap().1, 0);
        // There are more than `usize` can tell.
        let mut range = i64::MIN..=i64::MAX;
        assert_eq!(taken(&mut range, 7), Some((i64::MIN as u64, 7)));
        assert_eq!(range, i64::MIN + 7..=i64::MAX);
        let mut range = i8::MIN..i8::MAX;
        assert_eq!(taken(&mut range, 300).unwrap().1, 255);
        #[expect(clippy::reversed_empty_ranges, reason = "it is what is tested")]
        let mut backwards = 5u32..3;
        assert_eq!(taken(&mut backwards, 9).unwrap().1, 0);
    }

    #[test]
    fn all_integers_that_fit_are_known_and_nothing_else() {
        macro_rules! known {
            ($($integer:ty)*) => {
                $(assert_eq!(taken(&mut (3 as $integer..9), 2), Some((3, 2)));)*
                $(assert_eq!(taken(&mut (3 as $integer..=9), 2), Some((3, 2)));)*
            };
        }
        known!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);
        let others: [&mut dyn Any; 5] =
            [&mut (0u128..9), &mut ('a'..='f'), &mut (0u8..), &mut (0u8..9).rev(), &mut vec![1u8].into_iter()];
        for other in others {
            assert_eq!(taken(other, 2), None);
        }
    }

    #[test]
    fn integers_are_split_and_put_back() {
        let mut integers = Unwritten::integers(u64::MAX, 5);
        let rest = integers.split_off(2);
        assert_eq!((integers.count, rest), (2, Unwritten::integers(1, 3)));
        integers.put_back(3);
        assert_eq!(integers, Unwritten::integers(u64::MAX - 3, 5));
    }

    #[test]
    fn a_slice_is_taken_from_its_front_split_and_put_back() {
        let elements = [[1u8; 3]; 10];
        let at = |index, count| Unwritten { first: First::Reference(elements[index..].as_ptr().cast(), 3), count };
        let mut input = elements.iter();
        let mut first = Unwritten::of_slice(&mut input, 6);
        assert_eq!((first, input.len()), (at(0, 6), 4));
        assert_eq!(Unwritten::of_slice(&mut input, 9), at(6, 4));
        assert_eq!(Unwritten::of_slice(&mut input, 9).count, 0);
        let mut rest = first.split_off(4);
        assert_eq!((first, rest), (at(0, 4), at(4, 2)));
        rest.put_back(3);
        assert_eq!(rest, at(1, 5));
    }
}
