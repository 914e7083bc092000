use amorsize::batched;

#[batched(in_flight, threads = 2)]
fn double(x: u32) -> u32 {
    2 * x
}

fn main() {
    let _: Vec<u32> = double_batched(0..3).in_flight(2).collect().unwrap();
}
