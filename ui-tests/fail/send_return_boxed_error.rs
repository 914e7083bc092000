use std::error::Error;

use amorsize::batched;

#[batched]
fn f(x: u32) -> Result<u32, Box<dyn Error>> {
    Ok(x)
}

fn main() {
    let _: Vec<u32> = f_batched([1]).try_collect().unwrap();
}
