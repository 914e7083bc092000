use amorsize::batched;

const DISK: u64 = 1 << 30;

#[batched(max_disk = DISK)]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _ = f_batched(0..3).for_each_batch(|_| ());
}
