use amorsize::batched;

#[batched]
struct Model {
    _weight: u32,
}

fn main() {}
