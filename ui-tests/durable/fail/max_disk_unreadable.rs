use amorsize::batched;

#[batched(max_disk = "20 bananas")]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _ = f_batched(0..3).for_each_batch(|_| ());
}
