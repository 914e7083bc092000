use amorsize::batched;

#[batched]
fn f(x: &mut u32) -> u32 {
    *x
}

fn main() {
    let _: Vec<u32> = f_batched(&mut [1]).batch_size(2).collect().unwrap();
}
