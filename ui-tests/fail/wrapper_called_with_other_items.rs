use amorsize::batched;

#[batched]
fn length(text: &str) -> usize {
    text.len()
}

fn main() {
    let words = vec![String::from("a")];
    let _ = length_batched(&words).collect::<Vec<_>>();
}
