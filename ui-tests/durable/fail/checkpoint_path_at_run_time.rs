use std::path::PathBuf;

use amorsize::batched;

#[batched(checkpoint = PathBuf::from("runs"))]
fn of_checkpoint(x: u32) -> u32 {
    x
}

#[batched(spill_dir = format!("/var/{}", "tmp"))]
fn of_spilled(x: u32) -> u32 {
    x
}

fn main() {
    let _ = of_checkpoint_batched(0..3).for_each_batch(|_| ());
    let _ = of_spilled_batched(0..3).for_each_batch(|_| ());
}
