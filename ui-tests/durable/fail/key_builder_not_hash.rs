use amorsize::process_in_batches;

fn main() {
    let _ = process_in_batches(f64::log2, [0.5]).version(1).key(|x: &f64| *x).journal("runs/stops").for_each_batch(|_| ());
}
