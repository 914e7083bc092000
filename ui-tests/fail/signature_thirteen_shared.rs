use amorsize::batched;

#[allow(unused)]
#[batched]
fn f(x: u8, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8) -> u8 {
    x
}

fn main() {
    let _: Vec<u8> = f_batched([1], 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1).batch_size(2).collect().unwrap();
}
