use amorsize::batched;

#[batched(fallible_input, on_error = "skip")]
fn f(line: String) -> usize {
    line.len()
}

fn main() {}
