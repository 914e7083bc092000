use amorsize::DeepSize;

#[derive(DeepSize)]
#[deep_size(crate)]
struct Page {
    text: String,
}

fn main() {}
