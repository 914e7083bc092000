use amorsize::batched;

const VERSION: f64 = 1.2;

#[batched(version = VERSION)]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _ = f_batched(0..3).for_each_batch(|_| ());
}
