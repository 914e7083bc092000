use amorsize::batched;

#[batched(checkpoint = 3, jornal = "b", version = "", key = 1, ignore = x, max_disk = 0.5, spill_dir = "", remove_when_done = 2)]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _ = f_batched(0..3).for_each_batch(|_| ());
}
