use amorsize::batched;

#[batched(fallible_input)]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _: Vec<u32> = f_batched([Ok::<u32, std::io::Error>(1)]).collect().unwrap();
}
