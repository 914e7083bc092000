use amorsize::batched;

#[batched(on_error = "stop")]
fn f(x: u32) {
    println!("{x}");
}

fn main() {}
