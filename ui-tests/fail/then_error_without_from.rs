use std::num::ParseIntError;

use amorsize::batched;

#[derive(Debug)]
struct TooLarge;

#[batched(on_error = "stop")]
fn parse(text: &str) -> Result<u32, ParseIntError> {
    text.parse()
}

#[batched(on_error = "stop")]
fn double(x: u32) -> Result<u32, TooLarge> {
    x.checked_mul(2).ok_or(TooLarge)
}

fn main() {
    let _numbers: Vec<u32> = parse_batched(["1"]).then(double_batched).collect().unwrap();
}
