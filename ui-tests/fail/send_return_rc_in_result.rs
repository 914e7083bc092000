use amorsize::batched;

use std::rc::Rc;

#[batched]
fn f(x: u32) -> Result<Rc<u32>, String> {
    Ok(Rc::new(x))
}

fn main() {
    let _: Vec<Rc<u32>> = f_batched(0..3).batch_size(2).try_collect().unwrap();
}
