use amorsize::batched;

#[batched(checkpoint = "runs/words")]
fn trimmed(text: &str) -> &str {
    text.trim()
}

#[batched(checkpoint = "runs/words", on_error = "stop")]
fn first(text: &str) -> Result<Option<&str>, &'static str> {
    Ok(text.split(' ').next())
}

#[batched(checkpoint = "runs/words")]
fn parsed<'t>(text: &'t str) -> Vec<(usize, &'t [u8])> {
    vec![(text.len(), text.as_bytes())]
}

fn main() {
    let _ = trimmed_batched(["a"]).collect::<Vec<_>>();
    let _ = first_batched(["a"]).collect::<Vec<_>>();
    let _ = parsed_batched(["a"]).collect::<Vec<_>>();
}
