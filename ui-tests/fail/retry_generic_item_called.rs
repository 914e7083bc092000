use amorsize::batched;

#[batched(retry = 3)]
fn show<T: ToString>(x: T) -> Result<String, ()> {
    Ok(x.to_string())
}

struct Name;

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("name")
    }
}

fn main() {
    let _: Vec<String> = show_batched([Name]).try_collect().unwrap();
}
