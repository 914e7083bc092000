use amorsize::batched;

use std::pin::Pin;

struct Model(u32);

impl Model {
    #[batched]
    fn f(self: Pin<&mut Self>, x: u32) -> u32 {
        self.0 + x
    }
}

fn main() {
    let _: Vec<u32> = Pin::new(&mut Model(0)).f_batched(0..3).batch_size(2).collect().unwrap();
}
