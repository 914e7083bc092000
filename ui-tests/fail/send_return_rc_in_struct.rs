use amorsize::batched;

use std::rc::Rc;

struct Page(Rc<u32>);

#[batched]
fn f(x: u32) -> Option<Page> {
    Some(Page(Rc::new(x)))
}

fn main() {
    let _: Vec<Option<Page>> = f_batched(0..3).batch_size(2).collect().unwrap();
}
