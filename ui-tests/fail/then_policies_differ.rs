use std::num::ParseIntError;

use amorsize::batched;

#[batched(on_error = "stop")]
fn parse(text: &str) -> Result<u32, ParseIntError> {
    text.parse()
}

#[batched(on_error = "skip")]
fn double(x: u32) -> Result<u32, ParseIntError> {
    Ok(2 * x)
}

fn main() {
    let run = parse_batched(["1"]).then(double_batched);
    let _report = run.for_each_batch(|_| ()).unwrap();
}
