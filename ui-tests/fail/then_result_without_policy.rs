use std::num::ParseIntError;

use amorsize::batched;

#[batched]
fn parse(text: &str) -> Result<u32, ParseIntError> {
    text.parse()
}

#[batched]
fn double(x: u32) -> u32 {
    2 * x
}

fn main() {
    let _numbers: Vec<u32> = parse_batched(["1"]).then(double_batched).collect().unwrap();
}
