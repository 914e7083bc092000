use amorsize::array::ArrayError;
use amorsize::batched;

#[batched(version = 1)]
fn length(line: &str) -> usize {
    line.len()
}

fn main() -> Result<(), ArrayError> {
    let _ = length_batched("to be\nor not".lines()).array("out", 16)?;
    Ok(())
}
