use std::rc::Rc;

use amorsize::batched;

#[batched(fallible_input)]
fn f(x: Rc<u32>) -> Result<u32, String> {
    Ok(*x)
}

#[batched(fallible_input, retry = 3)]
fn g(x: Item) -> Result<u32, String> {
    Ok(x.0)
}

struct Item(u32);

fn main() {
    let _run = f_batched([Ok::<_, String>(Rc::new(1))]);
}
