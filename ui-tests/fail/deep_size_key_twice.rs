use amorsize::DeepSize;

#[derive(DeepSize)]
struct Page {
    #[deep_size(skip)]
    #[deep_size(skip)]
    text: String,
}

fn main() {}
