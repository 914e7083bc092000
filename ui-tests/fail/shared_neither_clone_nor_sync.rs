use amorsize::batched;

use std::cell::Cell;

struct Config(Cell<u32>);

// Two things are missing, and each is said once.
#[batched]
fn f(x: u32, y: Config) -> u32 {
    x + y.0.get()
}

fn main() {
    let _: Vec<u32> = f_batched(0..3, Config(Cell::new(1))).batch_size(2).collect().unwrap();
}
