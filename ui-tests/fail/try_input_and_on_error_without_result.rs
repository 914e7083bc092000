use amorsize::batched;

#[batched(try_input, on_error = "skip")]
fn f(line: String) -> usize {
    line.len()
}

fn main() {}
