#![deny(unused_must_use)]

use amorsize::batched;

#[batched]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    f_batched(0..3);
}
