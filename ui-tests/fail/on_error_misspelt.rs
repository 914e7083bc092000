use amorsize::batched;

#[batched(on_error = "skipp")]
fn f(x: u32) -> Result<u32, String> {
    Ok(x)
}

fn main() {
    let _: Vec<_> = f_batched(0..3).collect().unwrap();
}
