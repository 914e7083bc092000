use amorsize::batched;

#[batched(fallible_input)]
fn f(line: String) -> usize {
    line.len()
}

fn main() {}
