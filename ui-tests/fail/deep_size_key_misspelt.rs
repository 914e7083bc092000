use amorsize::DeepSize;

struct Window;

#[derive(DeepSize)]
struct Page {
    text: String,
    #[deep_size(skp)]
    window: Window,
}

fn main() {}
