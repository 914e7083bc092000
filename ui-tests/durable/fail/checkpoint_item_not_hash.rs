use amorsize::batched;

struct Photo {
    exposure: f64,
}

#[batched(checkpoint = "runs/stops")]
fn stops(photo: Photo) -> f64 {
    photo.exposure.log2()
}

fn main() {
    let _ = stops_batched([Photo { exposure: 0.5 }]).for_each_batch(|_| ());
}
