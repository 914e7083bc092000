use amorsize::batched;

#[batched(spill_dir = "/var/tmp", max_disk = "lots", remove_when_done, key = |x: &u32| *x)]
fn f(x: u32) -> u32 {
    x
}

fn main() {
    let _ = f_batched(0..3).for_each_batch(|_| ());
}
