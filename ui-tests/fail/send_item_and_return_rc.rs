use amorsize::batched;

use std::rc::Rc;

#[batched]
fn f(x: Rc<u32>) -> Rc<u32> {
    x
}

fn main() {
    let _: Vec<Rc<u32>> = f_batched([Rc::new(1)]).batch_size(2).collect().unwrap();
}
