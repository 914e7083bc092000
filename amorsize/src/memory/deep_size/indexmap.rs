use indexmap::{IndexMap, IndexSet};

use super::{DeepSize, elements, hash_table, pairs};

owning! {
    [K: DeepSize, V: DeepSize, S] IndexMap<K, V, S>, |this| {
        table(this.capacity(), size_of::<(usize, K, V)>()).saturating_add(pairs(this))
    };
    [T: DeepSize, S] IndexSet<T, S>, |this| {
        table(this.capacity(), size_of::<(usize, T)>()).saturating_add(elements(this))
    };
}

/// A vector of entries, each with its hash, and a hash table of indices into it.
fn table(capacity: usize, entry: usize) -> usize {
    capacity * entry + hash_table(capacity, size_of::<usize>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::RandomState;

    #[test]
    fn entries_and_indices_count() {
        // A counting allocator measured this for 1,000 entries that were collected.
        let map: IndexMap<u64, u64, RandomState> = (0..1000).map(|i| (i, i)).collect();
        assert_eq!(map.heap_size(), 42_448);
        let set: IndexSet<String, RandomState> = ["ab", "c"].map(String::from).into_iter().collect();
        assert_eq!(set.heap_size(), table(set.capacity(), 32) + 3);
    }
}
