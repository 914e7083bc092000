use amorsize::DeepSize;

#[derive(DeepSize)]
enum Page {
    #[deep_size(skip)]
    Text(String),
}

fn main() {}
