use amorsize::batched;

#[batched]
fn f(x: u32) -> Box<dyn Fn() -> u32> {
    Box::new(move || x)
}

fn main() {
    let _: Vec<Box<dyn Fn() -> u32>> = f_batched(0..3).batch_size(2).collect().unwrap();
}
