//! The hashes of items until their results are kept.

use std::collections::{BTreeMap, VecDeque};

/// The hashes of items that were pulled and are not kept yet. Each entry is for consecutive items,
/// by the index of the first.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    noted: BTreeMap<usize, Noted>,
    /// The number of items.
    items: usize,
}

/// Consecutive items, by their hashes.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) hashes: VecDeque<Option<u64>>,
    pub(super) are_apart: bool,
}

impl Hashes {
    /// The bytes of memory that they take.
    pub(super) fn bytes(&self) -> u64 {
        let entries = self.noted.len() * size_of::<(usize, Noted)>();
        (entries + self.items * size_of::<Option<u64>>()) as u64
    }

    /// Adds consecutive items from `first` on.
    pub(super) fn note(&mut self, first: usize, noted: Noted) {
        self.items += noted.hashes.len();
        self.noted.insert(first, noted);
    }

    /// Takes the hashes of `items` items from `first` on, which were noted together.
    pub(super) fn take(&mut self, first: usize, items: usize) -> Noted {
        let Some((&start, _)) = self.noted.range(..=first).next_back() else { return Noted::default() };
        let Some(mut all) = self.noted.remove(&start) else { return Noted::default() };
        self.items -= all.hashes.len();
        let are_apart = all.are_apart;
        let noted = |hashes| Noted { hashes, are_apart };
        let before = first - start;
        if before >= all.hashes.len() {
            self.note(start, all);
            return Noted::default();
        }
        let mut rest = all.hashes.split_off(before);
        if !all.hashes.is_empty() {
            self.note(start, all);
        }
        if rest.len() <= items {
            return noted(rest);
        }
        let behind = rest.split_off(items);
        self.note(first + items, noted(behind));
        noted(rest)
    }

    /// Forgets items before `index`, which have no result.
    pub(super) fn forget_before(&mut self, index: usize) {
        while let Some(first) = self.noted.first_entry().filter(|first| first.key() + first.get().hashes.len() <= index)
        {
            self.items -= first.remove().hashes.len();
        }
    }
}

/// Splits consecutive items at those without a hash. Each part has the index of its first item.
pub(super) fn known(first: usize, hashes: VecDeque<Option<u64>>) -> Vec<(usize, Vec<u64>)> {
    let mut parts: Vec<(usize, Vec<u64>)> = Vec::new();
    let mut goes_on = false;
    for (index, hash) in (first..).zip(hashes) {
        match (hash, parts.last_mut()) {
            (Some(hash), Some((_, part))) if goes_on => part.push(hash),
            (Some(hash), _) => parts.push((index, vec![hash])),
            (None, _) => {}
        }
        goes_on = hash.is_some();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(values: &[u64]) -> Noted {
        Noted { hashes: values.iter().copied().map(Some).collect(), are_apart: false }
    }

    #[test]
    fn hashes_are_taken_in_any_order_and_in_parts() {
        let mut all = Hashes::default();
        all.note(10, hashes(&[1, 2, 3, 4]));
        all.note(20, hashes(&[5, 6]));
        assert_eq!(all.take(12, 1).hashes, [Some(3)]);
        assert_eq!(all.take(20, 9).hashes, [Some(5), Some(6)]);
        assert_eq!(all.take(10, 9).hashes, [Some(1), Some(2)]);
        assert!([10, 9, 99].into_iter().all(|first| all.take(first, 1).hashes.is_empty()));
        all.forget_before(13);
        assert_eq!(all.take(13, 1).hashes, [Some(4)]);
        assert!(all.noted.is_empty());
    }

    #[test]
    fn items_without_results_are_forgotten_once_later_ones_are_handed_over() {
        let mut all = Hashes::default();
        all.note(0, hashes(&[1, 2]));
        all.note(5, hashes(&[3]));
        all.forget_before(1);
        assert_eq!(all.noted.len(), 2);
        all.forget_before(5);
        assert_eq!(all.noted.len(), 1);
    }

    #[test]
    fn unknown_items_part_those_around_them() {
        let parts = known(7, [None, Some(1), Some(2), None, None, Some(3)].into());
        assert_eq!(parts, [(8, vec![1, 2]), (12, vec![3])]);
    }
}
