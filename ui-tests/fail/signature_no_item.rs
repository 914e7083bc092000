use amorsize::batched;

#[batched]
fn f() -> u32 {
    1
}

fn main() {
    let _: Vec<u32> = f_batched(0..3).batch_size(2).collect().unwrap();
}
