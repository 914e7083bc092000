use amorsize::batched;

use std::cell::Cell;

#[batched]
fn f(x: &Cell<u32>) -> u32 {
    x.get()
}

fn main() {
    let _: Vec<u32> = f_batched([&Cell::new(1)]).batch_size(2).collect().unwrap();
}
