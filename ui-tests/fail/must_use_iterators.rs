#![deny(unused_must_use)]

use amorsize::batched;

#[batched]
fn double(x: u32) -> u32 {
    2 * x
}

fn main() {
    double_batched(0..9).into_iter();
    double_batched(0..9).unordered();
    double_batched(0..9).into_iter().error();
    double_batched(0..9)
        .for_each_batch(|batch| {
            batch.indices();
            batch.into_vec();
        })
        .unwrap();
}
