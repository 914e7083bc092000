use amorsize::batched;

#[batched]
fn double(x: u64) -> u64 {
    2 * x
}

fn main() {
    let _: Vec<u64> = double_batched(0..3).then(double_batched([1])).collect().unwrap();
}
