use std::cell::RefCell;

use amorsize::batched;

#[batched]
fn f(x: u32, seen: &RefCell<Vec<u32>>) {
    seen.borrow_mut().push(x);
}

#[batched]
fn g(x: u32, seen: RefCell<Vec<u32>>) {
    seen.borrow_mut().push(x);
}

#[batched]
fn h(x: u32, seen: &[RefCell<u32>], tell: &dyn Fn(u32)) {
    tell(x + *seen[0].borrow());
}

fn main() {
    f_batched([1], &RefCell::new(Vec::new())).for_each_batch(drop).unwrap();
}
