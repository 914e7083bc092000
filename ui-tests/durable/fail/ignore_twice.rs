use amorsize::batched;

#[batched(ignore(client, client))]
fn f(x: u32, client: &str) -> u32 {
    let _ = client;
    x
}

fn main() {
    let _ = f_batched(0..3, "a").for_each_batch(|_| ());
}
