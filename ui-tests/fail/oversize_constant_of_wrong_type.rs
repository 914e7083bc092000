use amorsize::batched;

const BYTES: u64 = 1 << 20;

#[batched(oversize = BYTES)]
fn f(x: u32) -> u32 {
    x
}

#[batched(on_panic = SKIP)]
fn g(x: u32) -> u32 {
    x
}

const SKIP: bool = true;

fn main() {}
