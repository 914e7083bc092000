use amorsize::sink::Sink;
use amorsize::{Batch, batched};

struct Full;

struct Store;

impl Sink<u32> for Store {
    type Error = Full;

    fn batch(&mut self, _: Batch<u32>) -> Result<(), Full> {
        Err(Full)
    }

    fn finish(&mut self) -> Result<(), Full> {
        Ok(())
    }
}

#[batched]
fn double(x: u32) -> u32 {
    2 * x
}

fn main() {
    let _ = double_batched(0..3).write_to(Store);
}
