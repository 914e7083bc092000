use amorsize::batched;

const POLICY: &str = "skip";

#[batched(on_error = POLICY)]
fn f(x: u32) -> Result<u32, String> {
    Ok(x)
}

fn main() {}
