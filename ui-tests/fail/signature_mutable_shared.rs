use amorsize::batched;

#[batched]
fn f(x: u32, total: &mut u32) -> u32 {
    *total += x;
    x
}

fn main() {
    let _: Vec<u32> = f_batched(0..3, &mut 1).batch_size(2).collect().unwrap();
}
