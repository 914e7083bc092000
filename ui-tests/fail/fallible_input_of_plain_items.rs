use amorsize::batched;

#[batched(fallible_input)]
fn f(x: u32) -> Result<u32, String> {
    Ok(x)
}

fn main() {
    let _run = f_batched([1u32, 2]);
}
