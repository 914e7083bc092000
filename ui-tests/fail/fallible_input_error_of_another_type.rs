use std::io::BufRead;

use amorsize::batched;

#[batched(fallible_input)]
fn f(line: String) -> Result<u32, std::num::ParseIntError> {
    line.parse()
}

fn main() {
    let _run = f_batched(b"1\n2"[..].lines());
}
