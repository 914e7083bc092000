use amorsize::batched;

struct Config(u32);

#[batched]
fn f(x: u32, y: Config) -> u32 {
    x + y.0
}

fn main() {
    let _: Vec<u32> = f_batched(0..3, Config(1)).batch_size(2).collect().unwrap();
}
