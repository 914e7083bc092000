use amorsize::batched;

#[batched(key = |x: &u32| f64::from(*x), journal = "runs")]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _ = f_batched(0..3).for_each_batch(|_| ());
}
