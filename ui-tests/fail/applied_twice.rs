use amorsize::batched;

#[batched(batch_size = 2)]
#[batched]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _: Vec<u32> = f_batched(0..3).batch_size(2).collect().unwrap();
}
