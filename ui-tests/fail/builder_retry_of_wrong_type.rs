use amorsize::process_in_batches;

fn main() {
    let _ = process_in_batches(str::parse::<u32>, ["1"]).retry("3").collect::<Vec<_>>();
}
