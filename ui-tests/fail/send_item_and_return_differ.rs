use std::cell::Cell;
use std::rc::Rc;

use amorsize::batched;

// Each type has its error.
#[batched]
fn f(x: Rc<u32>, _: &Cell<u32>) -> *const u8 {
    std::ptr::without_provenance(*x as usize)
}

fn main() {
    let _: Vec<*const u8> = f_batched([Rc::new(1)], &Cell::new(1)).batch_size(2).collect().unwrap();
}
