use amorsize::batched;

use std::sync::{Mutex, MutexGuard};

#[batched]
fn f<'m>(x: &'m Mutex<u32>) -> MutexGuard<'m, u32> {
    x.lock().unwrap()
}

fn main() {
    let m = Mutex::new(1);
    let _: Vec<MutexGuard<u32>> = f_batched([&m]).batch_size(2).collect().unwrap();
}
