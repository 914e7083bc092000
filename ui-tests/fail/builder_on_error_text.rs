use amorsize::process_in_batches;

fn main() {
    let _ = process_in_batches(str::parse::<u32>, ["1"]).on_error("skip");
}
