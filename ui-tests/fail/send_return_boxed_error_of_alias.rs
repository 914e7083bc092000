use amorsize::batched;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[batched]
fn f(x: u32) -> Result<u32> {
    Ok(x)
}

fn main() {
    let _: Vec<u32> = f_batched([1]).try_collect().unwrap();
}
