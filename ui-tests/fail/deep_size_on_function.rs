use amorsize::DeepSize;

#[derive(DeepSize)]
fn page() {}

fn main() {}
