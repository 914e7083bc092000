#![deny(unused_must_use)]

use amorsize::{batched, optimize, process_in_batches, process_fallible_in_batches};

#[batched]
fn double(x: u32) -> u32 {
    2 * x
}

struct Model(u32);

impl Model {
    #[batched]
    fn predict(&self, x: u32) -> Result<u32, String> {
        Ok(self.0 * x)
    }
}

fn main() {
    double_batched(0..9);
    double_batched(0..9).max_memory(0.5).batch_size(3);
    Model(2).predict_batched(0..9).on_error(amorsize::on_error::Skip);
    process_in_batches(double, 0..9);
    process_fallible_in_batches(|x: u32| Ok::<_, ()>(x), [Ok::<_, ()>(1)]);
    optimize(double, 0..9);
    double_batched(0..9).into_iter().into_run();
    // Who says so explicitly is believed.
    let _ = double_batched(0..9);
}
