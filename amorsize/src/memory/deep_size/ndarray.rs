use ndarray::{Array, ArrayBase, ArrayView, ArrayViewMut, CowArray, Data, Dimension};

use super::{DeepSize, elements};

owning! {
    [A: DeepSize, D: Dimension] Array<A, D>, |this| (extent(this) * size_of::<A>()).saturating_add(elements(this));
    ['a, A: DeepSize, D: Dimension] CowArray<'a, A, D>, |this| {
        if this.is_owned() { (extent(this) * size_of::<A>()).saturating_add(elements(this)) } else { 0 }
    };
}

// `ArcArray` doesn't tell its number of owners, so it has no deep size.
owns_nothing_generic!(['a, A, D] ArrayView<'a, A, D>, ['a, A, D] ArrayViewMut<'a, A, D>);

/// The number of elements from the first to the last in memory.
///
/// The buffer itself can't be seen. It is longer than the view if `slice_move` cut the array. This
/// count includes the elements that were cut out between others, but not those before the first and
/// after the last.
fn extent<S: Data, D: Dimension>(array: &ArrayBase<S, D>) -> usize {
    if array.is_empty() {
        return 0;
    }
    let steps = array.shape().iter().zip(array.strides());
    1 + steps.map(|(&length, &stride)| (length - 1) * stride.unsigned_abs()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array2, ArrayD, s};

    #[test]
    fn all_elements_count() {
        assert_eq!(Array2::<f32>::zeros((10, 20)).heap_size(), 800);
        assert_eq!(Array2::<f32>::zeros((10, 20)).reversed_axes().heap_size(), 800);
        assert_eq!(ArrayD::<u8>::zeros(vec![2, 3, 4]).heap_size(), 24);
        assert_eq!(Array2::<f32>::zeros((0, 20)).heap_size(), 0);
        assert_eq!(Array1::from_vec(vec![vec![0u8; 100]; 2]).heap_size(), 2 * size_of::<Vec<u8>>() + 200);
    }

    #[test]
    fn what_is_out_of_view_counts_if_it_lies_between() {
        let column = Array2::<u8>::zeros((100, 100)).slice_move(s![.., 3]);
        assert_eq!(column.heap_size(), 9901);
        let backwards = Array1::<u8>::zeros(100).slice_move(s![..;-1]);
        assert_eq!(backwards.heap_size(), 100);
    }

    #[test]
    fn views_own_nothing() {
        let array = Array1::<u8>::zeros(100);
        assert_eq!(array.view().heap_size(), 0);
        assert_eq!(CowArray::from(array.view()).heap_size(), 0);
        assert_eq!(CowArray::from(array).heap_size(), 100);
    }
}
