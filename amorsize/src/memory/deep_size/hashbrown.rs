use hashbrown::{HashMap, HashSet, HashTable};

use super::{DeepSize, elements, hash_table, pairs};

owning! {
    // A map's `allocation_size` would tell the same, but only if its keys can be hashed.
    [K: DeepSize, V: DeepSize, S] HashMap<K, V, S>, |this| {
        hash_table(this.capacity(), size_of::<(K, V)>()).saturating_add(pairs(this))
    };
    [T: DeepSize, S] HashSet<T, S>, |this| hash_table(this.capacity(), size_of::<T>()).saturating_add(elements(this));
    [T: DeepSize] HashTable<T>, |this| this.allocation_size().saturating_add(elements(this));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::RandomState;

    #[test]
    fn the_table_counts_and_what_is_in_it() {
        for len in [0, 1, 5, 100, 1000] {
            let map: HashMap<u64, String, RandomState> = (0..len).map(|i| (i, String::with_capacity(10))).collect();
            assert_eq!(map.heap_size(), map.allocation_size() + 10 * map.len());
            let set: HashSet<u64, RandomState> = (0..len).collect();
            assert_eq!(set.heap_size(), set.allocation_size());
        }
        // Those with a gap between buckets and control bytes.
        for len in [1, 5, 10, 20] {
            let bytes: HashSet<u8, RandomState> = (0..len).collect();
            assert_eq!(bytes.heap_size(), bytes.allocation_size());
            let threes: HashSet<[u8; 3], RandomState> = (0..len).map(|i| [i; 3]).collect();
            assert_eq!(threes.heap_size(), threes.allocation_size());
            let fives: HashSet<[u8; 5], RandomState> = (0..len).map(|i| [i; 5]).collect();
            assert_eq!(fives.heap_size(), fives.allocation_size());
        }
        let mut table = HashTable::new();
        table.insert_unique(1, String::from("ab"), |_| 1);
        assert_eq!(table.heap_size(), table.allocation_size() + 2);
    }
}
