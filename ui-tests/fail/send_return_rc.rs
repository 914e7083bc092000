use amorsize::batched;

use std::rc::Rc;

#[batched]
fn f(x: u32) -> Rc<u32> {
    Rc::new(x)
}

fn main() {
    let _: Vec<Rc<u32>> = f_batched(0..3).batch_size(2).collect().unwrap();
}
