use amorsize::DeepSize;

#[derive(DeepSize)]
#[deep_size(skip)]
struct Page {
    text: String,
}

fn main() {}
