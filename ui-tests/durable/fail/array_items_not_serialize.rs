use amorsize::array::ArrayError;
use amorsize::batched;

struct Tile(Vec<f32>);

#[batched(version = 1)]
fn brightest(tile: Tile) -> f32 {
    tile.0.into_iter().fold(0.0, f32::max)
}

fn main() -> Result<(), ArrayError> {
    // Told by a text, they need not be.
    let _ = brightest_batched(vec![Tile(vec![0.5])]).input_id("tiles of 2026").array("out", 16)?;
    let _ = brightest_batched(vec![Tile(vec![0.5])]).array("out", 16)?;
    Ok(())
}
