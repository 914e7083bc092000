use amorsize::DeepSize;

#[derive(DeepSize)]
struct Page {
    text: Txt,
}

fn main() {}
