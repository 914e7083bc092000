use amorsize::DeepSize;

#[derive(DeepSize)]
#[deep_size(crate = "amorsize")]
struct Page {
    text: String,
}

fn main() {}
