use amorsize::batched;

#[batched(on_error)]
fn f(x: u32) -> Result<u32, String> {
    Ok(x)
}

fn main() {}
