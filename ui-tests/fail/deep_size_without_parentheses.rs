use amorsize::DeepSize;

#[derive(DeepSize)]
struct Page {
    #[deep_size]
    text: String,
}

fn main() {}
