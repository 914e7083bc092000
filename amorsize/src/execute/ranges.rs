//! Inputs that are ranges of integers: what is taken of them are two numbers, and whoever needs the items writes them down.
//!
//! An item that one thread writes and another reads comes from the other core's cache, and the thread that takes items from the
//! input is one for all workers. So it takes a chunk's items at once, and the worker makes them in its own cache.

use std::any::Any;
use std::ops::{Range, RangeInclusive};

/// Integers that follow each other: `count` of them, the first of which has these bits as its lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Integers {
    pub(super) first: u64,
    pub(super) count: usize,
}

impl Integers {
    /// Takes the next up to `most` items of an input that is a range of integers; none of another one.
    pub(super) fn take(input: &mut dyn Any, most: usize) -> Option<Self> {
        macro_rules! of_range {
            ($($integer:ty)*) => {$(
                if let Some(range) = input.downcast_mut::<Range<$integer>>() {
                    let bits = range.start as u64;
                    return Some(Self::skip(range, most, bits));
                }
                if let Some(range) = input.downcast_mut::<RangeInclusive<$integer>>() {
                    let bits = *range.start() as u64;
                    return Some(Self::skip(range, most, bits));
                }
            )*};
        }
        of_range!(usize u64 u32 i32 i64 isize u16 u8 i16 i8);
        None
    }

    /// Moves a range on that knows its end, unless that is farther than `usize` tells.
    fn skip(range: &mut impl Iterator, most: usize, first: u64) -> Self {
        let count = range.size_hint().0.min(most);
        if count > 0 {
            range.nth(count - 1);
        }
        Self { first, count }
    }

    /// Leaves the first `keep` here and gives the others.
    pub(super) fn split_off(&mut self, keep: usize) -> Self {
        let rest = Self { first: self.first.wrapping_add(keep as u64), count: self.count - keep };
        self.count = keep;
        rest
    }

    /// Puts the `count` integers that come before back.
    pub(super) fn put_back(&mut self, count: usize) {
        self.first = self.first.wrapping_sub(count as u64);
        self.count += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(input: &mut dyn Any, most: usize) -> Option<(u64, usize)> {
        Integers::take(input, most).map(|integers| (integers.first, integers.count))
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
        let mut integers = Integers { first: u64::MAX, count: 5 };
        let rest = integers.split_off(2);
        assert_eq!((integers.count, rest), (2, Integers { first: 1, count: 3 }));
        integers.put_back(3);
        assert_eq!(integers, Integers { first: u64::MAX - 3, count: 5 });
    }
}
