use amorsize::{TryError, batched};

#[batched]
fn parse(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn main() {
    let _ = parse_batched(["1", "two"]).try_collect::<Vec<_>>().map_err(TryError::with_source);
}
