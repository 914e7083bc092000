use amorsize::batched;

#[batched]
fn f(x: Missing, y: Lost) -> Gone {
    x
}

fn main() {}
