use amorsize::batched;

#[batched]
unsafe extern "C" fn f(x: u32, _: ...) -> u32 {
    x
}

fn main() {}
