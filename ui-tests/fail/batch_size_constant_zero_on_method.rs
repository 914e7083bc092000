use amorsize::batched;

const BATCH: usize = 0;

struct Model;

impl Model {
    #[batched(batch_size = BATCH)]
    fn f(&self, x: u32) -> u32 {
        x
    }
}

fn main() {}
