use amorsize::batched;

#[batched(remove_when_done = "yes")]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _ = f_batched(0..3).for_each_batch(|_| ());
}
