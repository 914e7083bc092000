use amorsize::batched;

struct Thumb(#[allow(dead_code)] u32);

#[batched(checkpoint = "runs/thumbs", on_error = "skip")]
fn thumb(x: u32) -> Result<Thumb, String> {
    Ok(Thumb(x))
}

fn main() {
    let _ = thumb_batched(0..3).for_each_batch(|_| ());
}
