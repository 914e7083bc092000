use amorsize::array::ArrayError;
use amorsize::batched;

struct Features(Vec<f32>);

#[batched(version = 1)]
fn extract(document: String) -> Features {
    Features(vec![document.len() as f32])
}

fn main() -> Result<(), ArrayError> {
    let _ = extract_batched(vec![String::new()]).array("out", 16)?;
    Ok(())
}
