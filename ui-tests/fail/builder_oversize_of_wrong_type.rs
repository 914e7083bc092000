use amorsize::process_in_batches;

fn main() {
    let _ = process_in_batches(|x: u32| x, 0..3).oversize(3).collect::<Vec<_>>();
}
