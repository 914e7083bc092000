use amorsize::batched;

#[batched(retry = 3)]
fn double(x: u32) -> Option<u32> {
    x.checked_mul(2)
}

fn main() {
    let _: Vec<Option<u32>> = double_batched(0..3).batch_size(2).collect().unwrap();
}
