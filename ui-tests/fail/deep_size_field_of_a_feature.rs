use amorsize::DeepSize;

mod image {
    pub struct RgbImage;
}

#[derive(DeepSize)]
struct Page {
    text: String,
    picture: image::RgbImage,
}

#[derive(DeepSize)]
enum Figure {
    Text(String),
    Pictures(Vec<Option<image::RgbImage>>),
}

fn main() {}
