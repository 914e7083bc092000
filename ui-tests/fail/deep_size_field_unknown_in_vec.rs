use amorsize::DeepSize;

struct Window;

#[derive(DeepSize)]
struct Page {
    text: String,
    windows: Vec<Option<Window>>,
}

fn main() {}
