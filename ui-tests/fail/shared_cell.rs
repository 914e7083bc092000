use amorsize::batched;

use std::cell::Cell;

#[batched]
fn f(x: u32, total: &Cell<u32>) -> u32 {
    total.set(x);
    x
}

fn main() {
    let _: Vec<u32> = f_batched(0..3, &Cell::new(1)).batch_size(2).collect().unwrap();
}
