use amorsize::batched;

fn main() {
    #[batched]
    let double = move |x: u32| 2 * x;
}
