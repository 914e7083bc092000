use amorsize::batched;

#[batched]
fn decode(path: &str) -> Vec<u8> {
    path.as_bytes().to_vec()
}

#[batched]
fn count(bytes: &[u8]) -> usize {
    bytes.len()
}

fn main() {
    let _lengths: Vec<usize> = decode_batched(["a"]).then(count_batched).collect().unwrap();
}
