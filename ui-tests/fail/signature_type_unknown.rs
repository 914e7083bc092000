use amorsize::batched;

#[batched]
fn f(x: u32, y: &Missing) -> u32 {
    x
}

fn main() {}
