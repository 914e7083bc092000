use amorsize::batched;

#[batched]
#[target_feature(enable = "sse2")]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _: Vec<u32> = f_batched(0..3).collect().unwrap();
}
