use std::cell::Cell;

use amorsize::batched;

struct Model(Cell<u32>);

impl Model {
    #[batched]
    fn f(&self, x: u32) -> u32 {
        self.0.get() + x
    }
}

fn main() {}
