#![deny(unused_must_use)]

use amorsize::batched;

#[batched(on_error = "collect")]
fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.parse()
}

fn main() {
    let texts = ["1", "two"];
    parse_batched(texts).collect::<Vec<_>>();
    parse_batched(texts).collect::<Vec<_>>().unwrap();
    parse_batched(texts).for_each_batch(|_| ()).unwrap();
    let outcome = parse_batched(texts).collect::<Vec<_>>().unwrap();
    outcome.is_complete();
    outcome.into_result();
}
