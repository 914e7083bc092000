use amorsize::batched;

#[batched]
async fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _ = f_batched(0..3).batch_size(2);
}
