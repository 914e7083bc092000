use amorsize::batched;

const RUNS: u32 = 3;

#[batched(checkpoint = RUNS)]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _ = f_batched(0..3).for_each_batch(|_| ());
}
