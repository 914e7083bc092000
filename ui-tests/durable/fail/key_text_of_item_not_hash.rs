use amorsize::batched;

struct Photo;

#[batched(checkpoint = "runs/photos", key = "id")]
fn rate(photo: Photo) -> u32 {
    let Photo = photo;
    1
}

#[batched(checkpoint = "runs/photos", key)]
fn width(photo: Photo) -> u32 {
    let Photo = photo;
    2
}

fn main() {
    let _ = rate_batched([Photo]).for_each_batch(|_| ());
    let _ = width_batched([Photo]).for_each_batch(|_| ());
}
