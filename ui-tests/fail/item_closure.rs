use amorsize::batched;

fn main() {
    let double = #[batched(threads = 2)]
    |x: u32| 2 * x;
}
