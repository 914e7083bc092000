use std::rc::Rc;

use amorsize::batched;

struct Mine;

impl From<Rc<str>> for Mine {
    fn from(_: Rc<str>) -> Self {
        Self
    }
}

#[batched(fallible_input)]
fn f(x: u32) -> Result<u32, Mine> {
    Ok(x)
}

fn main() {
    let _run = f_batched([Ok(1), Err(Rc::<str>::from("lost"))]);
}
