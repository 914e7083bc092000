use bytes::{Bytes, BytesMut};

use super::DeepSize;

owning! {
    // Neither the allocation nor its number of owners can be seen. Owners that split it among them
    // count it once together, by length.
    [] Bytes, |this| this.len();
    [] BytesMut, |this| this.capacity();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_count_for_themselves() {
        let whole = Bytes::from(vec![0; 1000]);
        assert_eq!(whole.heap_size(), 1000);
        assert_eq!(whole.slice(..300).heap_size() + whole.slice(300..).heap_size(), 1000);
        let mut first = BytesMut::with_capacity(1000);
        let rest = first.split_off(300);
        assert_eq!((first.heap_size(), rest.heap_size()), (300, 700));
    }
}
