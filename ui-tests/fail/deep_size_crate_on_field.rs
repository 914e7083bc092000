use amorsize::DeepSize;

#[derive(DeepSize)]
struct Page {
    #[deep_size(crate = amorsize)]
    text: String,
}

fn main() {}
