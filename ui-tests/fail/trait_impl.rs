use amorsize::batched;

trait Model {
    fn f(&self, x: u32) -> u32;
}

struct Plain;

impl Model for Plain {
    #[batched]
    fn f(&self, x: u32) -> u32 {
        x
    }
}

fn main() {}
