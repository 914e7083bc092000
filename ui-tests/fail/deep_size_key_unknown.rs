use amorsize::DeepSize;

#[derive(DeepSize)]
struct Page {
    #[deep_size(heap)]
    text: String,
}

fn main() {}
