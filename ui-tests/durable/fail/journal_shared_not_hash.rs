use amorsize::batched;

#[derive(Clone)]
struct Client;

#[batched(journal = "runs/stops")]
fn scale(x: u64, by: f64, client: &Client, name: &str) -> f64 {
    let _ = (client, name);
    x as f64 * by
}

fn main() {
    let _ = scale_batched(0..3, 0.5, &Client, "a").for_each_batch(|_| ());
}
