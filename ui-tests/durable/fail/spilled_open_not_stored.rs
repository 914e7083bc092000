use amorsize::Spilled;
use serde::Serialize;

#[derive(Serialize)]
struct Thumb(u32);

fn main() {
    let _ = Spilled::<Thumb>::open("runs/thumbs");
}
