use amorsize::batched;

use std::cell::Cell;

struct Total(Cell<u32>);

#[batched]
fn f(x: u32, total: &Total) -> u32 {
    total.0.set(x);
    x
}

fn main() {
    let _: Vec<u32> = f_batched(0..3, &Total(Cell::new(1))).batch_size(2).collect().unwrap();
}
