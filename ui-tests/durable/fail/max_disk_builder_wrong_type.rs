use amorsize::process_in_batches;

fn main() {
    let _ = process_in_batches(|x: u32| x, 0..3).max_disk(1 << 30).for_each_batch(|_| ());
}
