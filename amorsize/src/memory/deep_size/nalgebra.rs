use nalgebra::{ArrayStorage, Dim, Matrix, VecStorage};

use super::{DeepSize, elements};

owning! {
    [T: DeepSize, R: Dim, C: Dim] Matrix<T, R, C, VecStorage<T, R, C>>, |this| this.data.as_vec().heap_size();
}

impl<T: DeepSize, R, C, const ROWS: usize, const COLUMNS: usize> DeepSize
    for Matrix<T, R, C, ArrayStorage<T, ROWS, COLUMNS>>
{
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        elements(self.data.0.as_flattened())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{DMatrix, DVector, Matrix3, Vector3};

    #[test]
    fn all_elements_count() {
        assert_eq!(DMatrix::<f64>::zeros(10, 20).heap_size(), 1600);
        assert_eq!(DVector::<f32>::zeros(10).heap_size(), 40);
        assert_eq!(vec![Vector3::<f32>::zeros(); 4].heap_size(), 48);
        const { assert!(!Matrix3::<f32>::OWNS_HEAP) };
    }
}
