use amorsize::batched;

#[batched]
const F: fn(u32) -> u32 = |x| x;

fn main() {}
