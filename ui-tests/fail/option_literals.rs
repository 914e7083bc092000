use amorsize::batched;

#[batched(batch_size = 1e3, sample_size = "1_000", verbose = 0, fallible_input = "off")]
fn f(x: u32) -> Result<u32, String> {
    Ok(x)
}

#[batched(timeout = 60, deadline = NEVER, cancel_token = TOKEN)]
fn g(x: u32) -> u32 {
    x
}

fn main() {}
