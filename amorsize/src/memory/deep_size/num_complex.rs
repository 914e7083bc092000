use num_complex::Complex;

use super::DeepSize;

around! {
    [T] Complex<T>, |this| this.re.heap_size().saturating_add(this.im.heap_size());
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
