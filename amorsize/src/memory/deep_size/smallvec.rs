use smallvec::{Array, SmallVec};

use super::{DeepSize, elements};

owning! {
    [A: Array<Item: DeepSize>] SmallVec<A>, |this| {
        let buffer = if this.spilled() { this.capacity() * size_of::<A::Item>() } else { 0 };
        buffer.saturating_add(elements(this))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inline_is_not_counted_twice() {
        let mut small = SmallVec::<[u64; 4]>::from_slice(&[1; 4]);
        assert_eq!(small.heap_size(), 0);
        small.push(1);
        assert_eq!(small.heap_size(), small.capacity() * 8);
        assert_eq!(SmallVec::<[String; 2]>::from_buf([String::from("ab"), String::from("c")]).heap_size(), 3);
    }
}
