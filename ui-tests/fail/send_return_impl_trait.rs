use amorsize::batched;

use std::rc::Rc;

#[batched]
fn f(x: u32) -> impl Fn() -> u32 {
    let x = Rc::new(x);
    move || *x
}

fn main() {
    let _ = f_batched(0..3).batch_size(2).collect::<Vec<_>>().unwrap();
}
