use amorsize::batched;

#[batched]
fn f(x: u32) -> u32 {
    x
}

fn f_batched() {}

fn main() {}
