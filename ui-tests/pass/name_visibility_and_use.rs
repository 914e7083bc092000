//! The wrapper has the visibility of its function, the name that it is given, and is imported like
//! any function.

mod inner {
    use amorsize::batched;

    #[batched]
    pub fn double(x: u32) -> u32 {
        2 * x
    }

    #[batched(name = triple_all)]
    pub(super) fn triple(x: u32) -> u32 {
        3 * x
    }

    #[batched]
    #[cfg(not(all()))]
    pub fn nowhere(x: Nothing) {}
}

use inner::{double_batched, triple_all};

fn main() {
    assert_eq!(double_batched([1]).collect::<Vec<_>>().unwrap(), [inner::double(1)]);
    assert_eq!(triple_all([1]).collect::<Vec<_>>().unwrap(), [inner::triple(1)]);
}
