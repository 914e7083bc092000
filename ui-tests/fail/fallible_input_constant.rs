use amorsize::batched;

const YES: bool = true;

#[batched(fallible_input = YES)]
fn f(line: String) -> Result<usize, std::io::Error> {
    Ok(line.len())
}

fn main() {}
