use amorsize::batched;

#[batched]
fn double(x: u32) -> u32 {
    2 * x
}

fn main() {
    let _ = double_batched(0..3).write_to("doubles.jsonl");
}
