use amorsize::batched;

const TRIES: usize = 3;

#[batched(retry = TRIES)]
fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.parse()
}

fn main() {
    let _: Vec<u32> = parse_batched(["1"]).batch_size(2).try_collect().unwrap();
}
