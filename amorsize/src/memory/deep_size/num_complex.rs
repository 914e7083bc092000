use num_complex::Complex;

use super::DeepSize;

impl<T: DeepSize> DeepSize for Complex<T> {
    const OWNS_HEAP: bool = T::OWNS_HEAP;

    fn heap_size(&self) -> usize {
        self.re.heap_size().saturating_add(self.im.heap_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_counted_at_once() {
        const { assert!(!Complex::<f64>::OWNS_HEAP) };
        assert_eq!(vec![Complex::new(0.0f64, 1.0); 3].heap_size(), 48);
    }
}
