use std::rc::Rc;

use amorsize::batched;

#[batched]
fn share(x: u32) -> Rc<u32> {
    Rc::new(x)
}

fn main() {
    let _: Vec<_> = share_batched(0..3).batch_size(2).collect().unwrap();
}
