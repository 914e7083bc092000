use amorsize::batched;

#[batched]
fn f(x: u32) -> ! {
    panic!("{x}")
}

fn main() {
    let _: Vec<()> = f_batched(0..3).batch_size(2).collect().unwrap();
}
