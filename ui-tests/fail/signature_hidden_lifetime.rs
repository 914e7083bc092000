use amorsize::batched;

struct Row<'a>(&'a str);

#[batched]
fn f(x: Row) -> usize {
    x.0.len()
}

fn main() {}
