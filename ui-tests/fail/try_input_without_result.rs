use amorsize::batched;

#[batched(try_input)]
fn f(line: String) -> usize {
    line.len()
}

fn main() {}
