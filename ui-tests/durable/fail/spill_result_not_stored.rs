use amorsize::batched;

struct Thumb(#[allow(dead_code)] u32);

#[batched]
fn thumb(x: u32) -> Thumb {
    Thumb(x)
}

fn main() {
    let _ = thumb_batched(0..3).spill();
}
