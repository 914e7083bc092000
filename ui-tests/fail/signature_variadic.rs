use amorsize::batched;

// The second error is rustc's own: such functions can be called, but not yet written.
#[batched]
unsafe extern "C" fn f(x: u32, _: ...) -> u32 {
    x
}

fn main() {}
