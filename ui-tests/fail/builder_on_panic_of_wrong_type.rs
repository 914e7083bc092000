use amorsize::process_in_batches;

fn main() {
    let _ = process_in_batches(|x: u32| x, 0..3).on_panic(true).collect::<Vec<_>>();
}
