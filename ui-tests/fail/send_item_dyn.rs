use amorsize::batched;

#[batched]
fn f(x: Box<dyn Fn() -> u32>) -> u32 {
    x()
}

fn main() {
    let f: Box<dyn Fn() -> u32> = Box::new(|| 1);
    let _: Vec<u32> = f_batched([f]).batch_size(2).collect().unwrap();
}
