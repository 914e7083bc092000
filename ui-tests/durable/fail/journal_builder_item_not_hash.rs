use amorsize::process_in_batches;

fn main() {
    let _ = process_in_batches(f64::log2, [0.5]).version(1).journal("runs/stops").for_each_batch(|_| ());
}
