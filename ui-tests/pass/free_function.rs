use amorsize::batched;

#[batched]
fn double(x: u32) -> u32 {
    2 * x
}

fn main() {
    assert_eq!(double_batched(0..3).collect::<Vec<_>>().unwrap(), [0, 2, 4]);
}
