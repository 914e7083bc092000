use std::cell::Cell;

use amorsize::batched;

struct Model(Cell<u32>);

impl Model {
    #[batched]
    fn f(&self, x: u32) -> u32 {
        self.0.get() + x
    }
}

fn main() {
    // The bound on `Self` that lets generic types leave it unsaid is judged here once more.
    let _: Vec<u32> = Model(Cell::new(0)).f_batched(0..3).batch_size(2).collect().unwrap();
}
