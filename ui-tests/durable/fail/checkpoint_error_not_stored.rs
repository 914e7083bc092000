use amorsize::batched;

#[batched(checkpoint = "runs/texts")]
fn read(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

fn main() {
    let _ = read_batched(["a"]).for_each_batch(|_| ());
}
