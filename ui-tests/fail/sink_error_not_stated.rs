use std::io::Write;

use amorsize::process_in_batches;

fn main() {
    let mut out = Vec::new();
    process_in_batches(|x: u32| x + 1, 0..3)
        .try_for_each_batch(|batch| {
            for x in batch {
                writeln!(out, "{x}")?;
            }
            Ok(())
        })
        .unwrap();
}
