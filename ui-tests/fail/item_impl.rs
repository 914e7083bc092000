use amorsize::batched;

struct Model;

#[batched]
impl Model {
    fn f(&self, x: u32) -> u32 {
        x
    }
}

fn main() {}
