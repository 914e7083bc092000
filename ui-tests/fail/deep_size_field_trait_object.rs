use amorsize::DeepSize;

#[derive(DeepSize)]
struct Page {
    text: String,
    draw: Box<dyn Fn(u32) -> u32>,
}

fn main() {}
