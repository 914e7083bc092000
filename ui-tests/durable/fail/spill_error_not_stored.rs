use amorsize::batched;

#[batched]
fn read(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

fn main() {
    let _ = read_batched(["a"]).spill();
}
