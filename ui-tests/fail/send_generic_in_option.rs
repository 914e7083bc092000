use std::rc::Rc;

use amorsize::batched;

#[batched]
fn first<T>(all: Vec<T>) -> Option<T> {
    all.into_iter().next()
}

fn main() {
    let _: Vec<Option<Rc<u32>>> = first_batched([vec![Rc::new(1)]]).collect().unwrap();
}
