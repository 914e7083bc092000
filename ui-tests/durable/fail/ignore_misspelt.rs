use amorsize::batched;

#[batched(ignore(clint, nothing_like_it))]
fn f(x: u32, client: &str, by: u32) -> u32 {
    let _ = (client, by);
    x
}

fn main() {
    let _ = f_batched(0..3, "a", 1).for_each_batch(|_| ());
}
