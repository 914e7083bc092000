use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::types::{ArrowDictionaryKeyType, ArrowPrimitiveType, ByteArrayType, ByteViewType, RunEndIndexType};
use arrow_array::{
    Array, BooleanArray, DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray, GenericByteArray,
    GenericByteViewArray, GenericListArray, GenericListViewArray, MapArray, NullArray, OffsetSizeTrait, PrimitiveArray,
    RecordBatch, RunArray, StructArray, UnionArray,
};
use arrow_data::ArrayData;

use super::DeepSize;

owning! {
    [] dyn Array, |this| array(this);
    [] BooleanArray, |this| array(this);
    [K: ArrowDictionaryKeyType] DictionaryArray<K>, |this| array(this);
    [] FixedSizeBinaryArray, |this| array(this);
    [] FixedSizeListArray, |this| array(this);
    [T: ByteArrayType] GenericByteArray<T>, |this| array(this);
    [T: ByteViewType + ?Sized] GenericByteViewArray<T>, |this| array(this);
    [O: OffsetSizeTrait] GenericListArray<O>, |this| array(this);
    [O: OffsetSizeTrait] GenericListViewArray<O>, |this| array(this);
    [] MapArray, |this| array(this);
    [] NullArray, |this| array(this);
    [T: ArrowPrimitiveType] PrimitiveArray<T>, |this| array(this);
    [R: RunEndIndexType] RunArray<R>, |this| array(this);
    [] StructArray, |this| array(this);
    [] UnionArray, |this| array(this);
    [] RecordBatch, |this| {
        let columns = this.columns().iter().map(DeepSize::deep_size).sum::<usize>();
        let schema = this.schema_ref();
        columns + schema.fields.size() / Arc::strong_count(schema)
    };
}

/// The buffers, and the structs beside them.
fn array<A: Array + ?Sized>(array: &A) -> usize {
    let structs = array.get_array_memory_size().saturating_sub(array.get_buffer_memory_size() + size_of_val(array));
    let mut buffers = HashMap::new();
    collect(&array.to_data(), &mut buffers);
    structs + buffers.into_values().map(Buffer::share).sum::<usize>()
}

/// An allocation that any number of arrays may share: slices of one another, or parts of one
/// message.
#[derive(Default)]
struct Buffer {
    bytes: usize,
    /// The number of times that the array leads to it. Each time is an owner of its own, and once
    /// more a copy that the look made.
    found: usize,
    /// Owners at the last look: all of them, and the copies that looks made.
    owners: usize,
}

impl Buffer {
    /// The array's part of the allocation. It is a bit too small while other threads hold such
    /// copies.
    fn share(self) -> usize {
        let owners = self.owners.saturating_sub(self.found).max(self.found);
        (self.bytes * self.found).div_ceil(owners)
    }
}

fn collect(data: &ArrayData, found: &mut HashMap<usize, Buffer>) {
    let mut buffers: Vec<_> = data.buffers().iter().collect();
    if let Some(nulls) = data.nulls() {
        buffers.push(nulls.buffer());
    }
    for buffer in buffers {
        let seen = found.entry(buffer.data_ptr().addr().get()).or_default();
        *seen = Buffer { bytes: buffer.capacity(), found: seen.found + 1, owners: buffer.strong_count() };
    }
    data.child_data().iter().for_each(|child| collect(child, found));
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, Int32Array, ListArray, StringArray, StringViewArray};

    fn within_a_hundredth(counted: usize, bytes: usize) {
        assert!((bytes..bytes + bytes / 100).contains(&counted), "{counted} of {bytes}");
    }

    #[test]
    fn buffers_count() {
        let numbers = Int32Array::from(vec![1; 10_000]);
        within_a_hundredth(numbers.heap_size(), 40_000);
        let nullable: Int32Array = (0..10_000).map(|i| (i % 2 == 0).then_some(i)).collect();
        within_a_hundredth(nullable.heap_size(), nullable.get_buffer_memory_size());
        let texts = StringArray::from_iter_values((0..1000).map(|_| "some text"));
        within_a_hundredth(texts.heap_size(), texts.get_buffer_memory_size());
        let views = StringViewArray::from_iter_values((0..1000).map(|_| "a text too long to be inline"));
        within_a_hundredth(views.heap_size(), views.get_buffer_memory_size());
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>((0..100).map(|_| Some(vec![Some(1); 100])));
        within_a_hundredth(lists.heap_size(), lists.get_buffer_memory_size());
        let any: ArrayRef = Arc::new(numbers);
        within_a_hundredth(any.heap_size(), 40_000);
        assert_eq!(NullArray::new(10).heap_size(), 0);
    }

    #[test]
    fn a_shared_buffer_counts_once() {
        let whole = Int32Array::from(vec![1; 10_000]);
        let parts: Vec<ArrayRef> = (0..10).map(|i| Arc::new(whole.slice(i * 1000, 1000)) as ArrayRef).collect();
        let shared = |part: &ArrayRef| part.heap_size() - 2 * size_of::<usize>() - size_of::<Int32Array>();
        // The whole is an owner, too.
        assert_eq!(shared(&parts[0]), 40_000_usize.div_ceil(11));
        drop(whole);
        assert_eq!(shared(&parts[0]), 4000);
        let batch = RecordBatch::try_from_iter(parts.into_iter().enumerate().map(|(i, part)| (i.to_string(), part)));
        assert!((40_000..45_000).contains(&batch.unwrap().heap_size()));
    }

    #[test]
    fn a_schema_that_all_batches_share_counts_once() {
        let column = || Arc::new(Int32Array::from(vec![1; 10])) as ArrayRef;
        let name = "a column with a long name".repeat(1000);
        let first = RecordBatch::try_from_iter([(name, column())]).unwrap();
        let alone = first.heap_size();
        assert!(alone > 25_000);
        let schema = first.schema();
        let batches: Vec<_> =
            (0..8).map(|_| RecordBatch::try_new(Arc::clone(&schema), vec![column()]).unwrap()).collect();
        drop((first, schema));
        assert!(batches[0].heap_size() < 25_000 / 8 + 1000);
    }
}
