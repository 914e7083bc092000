use amorsize::batched;

struct Photo {
    exposure: f64,
}

#[batched]
fn stops(photo: Photo) -> f64 {
    photo.exposure.log2()
}

fn main() {
    let _ = stops_batched([Photo { exposure: 0.5 }]).checkpoint("runs/stops").for_each_batch(|_| ());
}
