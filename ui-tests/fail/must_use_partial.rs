#![deny(unused_must_use)]

use amorsize::batched;

#[batched]
fn invert(x: u32) -> u32 {
    100 / x
}

fn main() {
    let partial = || invert_batched([1, 0, 2]).collect_partial::<Vec<_>>().unwrap_err();
    invert_batched([1, 0, 2]).collect_partial::<Vec<_>>();
    partial();
    partial().into_rest();
    partial().into_finished();
    partial().into_cause();
    partial().into_parts();
    partial().take_failures();
}
