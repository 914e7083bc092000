use amorsize::DeepSize;

#[derive(DeepSize)]
struct Page {
    #[deep_size(skip = true)]
    text: String,
}

fn main() {}
