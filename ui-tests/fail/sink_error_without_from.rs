use std::num::ParseIntError;

use amorsize::on_error::Stop;
use amorsize::process_in_batches;

fn main() {
    process_in_batches(|x: u32| x + 1, 0..3).try_for_each_batch(|_| Err("7".parse::<u8>().unwrap_err())).unwrap();
    let mut run = process_in_batches(str::parse::<u8>, ["1"]).on_error(Stop);
    run.try_for_each_batch(|_| -> Result<(), ParseIntError> { Ok(()) }).unwrap();
}
