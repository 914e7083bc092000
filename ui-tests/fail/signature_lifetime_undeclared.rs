use amorsize::batched;

#[batched]
fn f(x: &'a str) -> u32 {
    1
}

fn main() {
    let _: Vec<u32> = f_batched(["a"]).batch_size(2).collect().unwrap();
}
