use image::{DynamicImage, Frame, ImageBuffer, Luma, LumaA, Pixel, Rgb, Rgba};

use super::DeepSize;

owning! {
    [P: Pixel] ImageBuffer<P, Vec<P::Subpixel>>, |this| this.as_raw().capacity() * size_of::<P::Subpixel>();
    // More variants may come, and all of them have bytes.
    [] DynamicImage, |this| this.as_bytes().len();
    [] Frame, |this| this.buffer().heap_size();
}

owns_nothing_generic!([T] Luma<T>, [T] LumaA<T>, [T] Rgb<T>, [T] Rgba<T>);

#[cfg(test)]
mod tests {
    use super::*;
    use image::{RgbImage, Rgba32FImage, RgbaImage};

    #[test]
    fn all_pixels_count() {
        assert_eq!(RgbImage::new(10, 20).heap_size(), 600);
        assert_eq!(Rgba32FImage::new(10, 20).heap_size(), 3200);
        assert_eq!(DynamicImage::new_luma16(10, 20).heap_size(), 400);
        assert_eq!(Frame::new(RgbaImage::new(10, 20)).heap_size(), 800);
        assert_eq!(vec![Rgb([0u8; 3]); 7].heap_size(), 21);
    }

    #[test]
    fn capacity_counts() {
        let mut pixels = Vec::with_capacity(1000);
        pixels.resize(300, 0);
        assert_eq!(RgbImage::from_raw(10, 10, pixels).unwrap().heap_size(), 1000);
    }
}
