use amorsize::batched;

#[batched(on_error = "skip")]
fn f(x: u32) -> Result<u32, Vec<u8>> {
    Ok(x)
}

fn main() {
    let _: Vec<u32> = f_batched(0..3).collect().unwrap();
    f_batched(0..3).for_each_batch(|_| ()).unwrap();
}
