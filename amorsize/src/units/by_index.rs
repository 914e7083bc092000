//! Values by the index of an item, and consecutive indices.

use std::collections::VecDeque;
use std::ops::Range;

/// Consecutive indices as ranges.
pub(crate) fn ranges(indices: impl Iterator<Item = usize>) -> impl Iterator<Item = Range<usize>> {
    let mut indices = indices.peekable();
    std::iter::from_fn(move || {
        let first = indices.next()?;
        let mut end = first + 1;
        while indices.next_if_eq(&end).is_some() {
            end += 1;
        }
        Some(first..end)
    })
}

/// Values by the index of an item, in order, for some of a run's items.
///
/// Items come and go nearly in order, so most values are put behind the last one and taken from the
/// front. A `BTreeMap` does this no faster, and takes some thousand instructions more of a program
/// for each type of value.
#[derive(Debug)]
pub(crate) struct ByIndex<V>(VecDeque<(usize, V)>);

impl<V> Default for ByIndex<V> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<V> ByIndex<V> {
    /// Puts a value in. Gives back the one that was there.
    pub(crate) fn insert(&mut self, index: usize, value: V) -> Option<V> {
        match self.find(index) {
            Ok(place) => Some(std::mem::replace(&mut self.0[place].1, value)),
            Err(place) => {
                let from = if place < self.0.len() / 2 {
                    self.0.push_front((index, value));
                    0
                } else {
                    self.0.push_back((index, value));
                    self.0.len() - 1
                };
                self.carry(from, place);
                None
            }
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&V> {
        self.find(index).ok().map(|place| &self.0[place].1)
    }

    pub(crate) fn remove(&mut self, index: usize) -> Option<V> {
        let place = self.find(index).ok()?;
        let is_near_front = place < self.0.len() / 2;
        self.carry(place, if is_near_front { 0 } else { self.0.len() - 1 });
        let removed = if is_near_front { self.0.pop_front() } else { self.0.pop_back() };
        removed.map(|(_, value)| value)
    }

    /// Moves an entry past others, mostly none. The `insert` and `remove` of `VecDeque` are ten
    /// times as much code, for each type of value.
    fn carry(&mut self, mut from: usize, to: usize) {
        while from != to {
            let next = if from < to { from + 1 } else { from - 1 };
            self.0.swap(from, next);
            from = next;
        }
    }

    pub(crate) fn first(&self) -> Option<(usize, &V)> {
        self.0.front().map(|(index, value)| (*index, value))
    }

    pub(crate) fn pop_first(&mut self) -> Option<(usize, V)> {
        self.0.pop_front()
    }

    pub(crate) fn pop_last(&mut self) -> Option<(usize, V)> {
        self.0.pop_back()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// All values with their indices, in order.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = (usize, V)> {
        self.0.into_iter()
    }

    /// The place of an index, or the one where it would be.
    fn find(&self, index: usize) -> Result<usize, usize> {
        self.0.binary_search_by_key(&index, |(index, _)| *index)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_in_order(steps in proptest::collection::vec((0_u8..5, 0_usize..20), 0..80)) {
            let (mut map, mut expected) = (ByIndex::default(), BTreeMap::new());
            for (n, (step, index)) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => prop_assert_eq!(map.insert(index, n), expected.insert(index, n)),
                    2 => prop_assert_eq!(map.remove(index), expected.remove(&index)),
                    3 => prop_assert_eq!(map.pop_first(), expected.pop_first()),
                    _ => prop_assert_eq!(map.pop_last(), expected.pop_last()),
                }
                prop_assert_eq!(map.get(index), expected.get(&index));
                prop_assert_eq!(map.first(), expected.first_key_value().map(|(index, value)| (*index, value)));
                prop_assert_eq!((map.len(), map.is_empty()), (expected.len(), expected.is_empty()));
                prop_assert!(map.values().eq(expected.values()));
            }
            prop_assert!(map.into_iter().eq(expected));
        }
    }
}
