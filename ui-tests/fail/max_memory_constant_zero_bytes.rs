use amorsize::batched;

use amorsize::ByteSize;

#[batched(max_memory = ByteSize::ZERO)]
fn double(x: u32) -> u32 {
    2 * x
}

fn main() {
    let _: Vec<u32> = double_batched(0..3).batch_size(2).collect().unwrap();
}
