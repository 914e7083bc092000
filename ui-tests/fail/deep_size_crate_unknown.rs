use amorsize::DeepSize;

#[derive(DeepSize)]
#[deep_size(crate = my_crate::amorsize)]
struct Page {
    text: String,
    number: u32,
}

fn main() {}
