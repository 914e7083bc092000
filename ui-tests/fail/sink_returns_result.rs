use std::io::{self, Write};

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::process_in_batches;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = Vec::new();
    process_in_batches(|x: u32| x + 1, 0..3).for_each_batch(|batch| {
        for x in batch {
            writeln!(out, "{x}")?;
        }
        Ok(())
    })?;
    process_in_batches(|x: u32| x + 1, 0..3).for_each_batch(|batch| -> io::Result<()> {
        for x in batch {
            writeln!(out, "{x}")?;
        }
        Ok(())
    })?;
    let parse = str::parse::<u8>;
    process_in_batches(parse, ["1"]).on_error(Stop).for_each_batch(|batch| out.write_all(&batch))?;
    process_in_batches(parse, ["1"]).on_error(Skip).for_each_batch(|batch| out.write_all(&batch))?;
    let _ = process_in_batches(parse, ["1"]).on_error(Collect).for_each_batch(|batch| out.write_all(&batch))?;
    let _ = process_in_batches(parse, ["1"]).for_each_batch(|batch| batch.len());
    Ok(())
}
