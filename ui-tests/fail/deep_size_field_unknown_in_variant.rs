use amorsize::DeepSize;

struct Window;

#[derive(DeepSize)]
enum Page {
    Text(String),
    Open { at: u32, window: Window },
}

fn main() {}
