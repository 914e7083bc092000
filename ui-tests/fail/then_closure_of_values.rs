use amorsize::batched;

#[batched]
fn decode(path: &str) -> Vec<u8> {
    path.as_bytes().to_vec()
}

fn main() {
    let _run = decode_batched(["a"]).then(|bytes| bytes.len());
}
