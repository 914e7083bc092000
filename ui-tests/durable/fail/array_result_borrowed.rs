use amorsize::array::ArrayError;
use amorsize::batched;

#[batched(version = 1)]
fn first_word(document: &str) -> &str {
    document.split(' ').next().unwrap_or(document)
}

fn main() -> Result<(), ArrayError> {
    let _ = first_word_batched(["to be", "or not"]).array("out", 16)?;
    Ok(())
}
