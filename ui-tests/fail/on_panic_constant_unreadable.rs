use amorsize::batched;

const CHOICE: &str = "maybe";

#[batched(on_panic = CHOICE)]
fn double(x: u32) -> u32 {
    2 * x
}

fn main() {
    let _: Vec<u32> = double_batched(0..3).batch_size(2).collect().unwrap();
}
