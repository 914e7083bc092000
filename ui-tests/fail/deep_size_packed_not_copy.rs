use amorsize::DeepSize;

#[derive(DeepSize)]
#[repr(C, packed)]
struct Page {
    number: u32,
    text: String,
}

fn main() {}
