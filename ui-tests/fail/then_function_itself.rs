use amorsize::batched;

#[batched]
fn decode(path: &str) -> Vec<u8> {
    path.as_bytes().to_vec()
}

#[batched]
fn count(bytes: Vec<u8>) -> usize {
    bytes.len()
}

fn main() {
    let _run = decode_batched(["a"]).then(count);
}
