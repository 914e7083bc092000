use amorsize::DeepSize;

#[derive(DeepSize)]
struct Page {
    #[deep_size(skip skip)]
    text: String,
}

fn main() {}
