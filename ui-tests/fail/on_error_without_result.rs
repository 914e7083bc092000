use amorsize::batched;

#[batched(on_error = "skip")]
fn f(x: u32) -> Option<u32> {
    x.checked_add(1)
}

fn main() {
    let _run = f_batched(0..3).batch_size(2);
}
