use amorsize::batched;

#[batched(retry = 3)]
fn print(x: u32) {
    println!("{x}");
}

fn main() {
    let _: Vec<()> = print_batched(0..3).collect().unwrap();
}
