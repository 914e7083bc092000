use amorsize::batched;

#[batched]
fn decode(path: &str) -> Vec<u8> {
    path.as_bytes().to_vec()
}

#[batched]
fn cut(text: String, at: usize) -> String {
    text[..at].to_owned()
}

fn main() {
    let _lengths: Vec<String> = decode_batched(["a"]).then(|texts| cut_batched(texts, 3)).collect().unwrap();
}
