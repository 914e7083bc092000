use amorsize::batched;

#[batched = 0.5]
fn double(x: u32) -> u32 {
    2 * x
}

fn main() {}
