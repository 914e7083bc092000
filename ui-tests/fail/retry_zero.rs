use amorsize::batched;

#[batched(retry = 0)]
fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.parse()
}

fn main() {
    let _: Vec<u32> = parse_batched(["1"]).batch_size(2).try_collect().unwrap();
}
