use amorsize::batched;

struct Photo;

#[batched(checkpoint = "runs/lengths")]
fn length<T: Into<String>>(x: T) -> usize {
    x.into().len()
}

impl From<Photo> for String {
    fn from(_: Photo) -> Self {
        String::new()
    }
}

fn main() {
    let _ = length_batched([Photo]).for_each_batch(|_| ());
}
