use std::rc::Rc;

use amorsize::batched;

struct Model(Rc<u32>);

impl Model {
    #[batched]
    fn f(x: u32) -> Self {
        Self(Rc::new(x))
    }
}

fn main() {}
