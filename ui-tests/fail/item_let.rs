use amorsize::batched;

fn main() {
    #[batched]
    let double = f64::sqrt;
}
