use amorsize::process_in_batches;

fn main() {
    let _ = process_in_batches(|x: u32| x, 0..3).version(1.5).journal("runs").for_each_batch(|_| ());
}
