use amorsize::batched;

use std::rc::Rc;

#[batched]
fn f<T>(x: T) -> Vec<T> {
    vec![x]
}

fn main() {
    let _: Vec<Vec<Rc<u32>>> = f_batched([Rc::new(1)]).batch_size(2).collect().unwrap();
}
