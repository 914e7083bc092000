use amorsize::batched;

use std::rc::Rc;

struct Model(Rc<u32>);

impl Model {
    #[batched]
    fn f(x: u32) -> Self {
        Self(Rc::new(x))
    }
}

fn main() {
    let _: Vec<Model> = Model::f_batched(0..3).batch_size(2).collect().unwrap();
}
