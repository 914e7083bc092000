use amorsize::batched;

use std::rc::Rc;

struct Page(Rc<u32>);

#[batched]
fn f(x: Page) -> u32 {
    *x.0
}

fn main() {
    let _: Vec<u32> = f_batched([Page(Rc::new(1))]).batch_size(2).collect().unwrap();
}
