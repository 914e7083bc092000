use amorsize::batched;

use std::rc::Rc;

#[batched]
fn f(x: u32, y: Rc<u32>) -> u32 {
    x + *y
}

fn main() {
    let _: Vec<u32> = f_batched(0..3, Rc::new(1)).batch_size(2).collect().unwrap();
}
