use amorsize::process_in_batches;

fn main() {
    let run = process_in_batches(|x: u32| 2 * x, 0..3);
    let _: Vec<u32> = run.retry(3).collect().unwrap();
}
