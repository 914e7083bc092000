use amorsize::batched;

// The first error is rustc's own, which doesn't say what to write instead.
#[batched = 0.5]
fn double(x: u32) -> u32 {
    2 * x
}

fn main() {}
