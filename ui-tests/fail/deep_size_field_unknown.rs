use amorsize::DeepSize;

struct Window;

#[derive(DeepSize)]
struct Page {
    text: String,
    window: Window,
}

fn main() {}
