use amorsize::batched;

#[batched(max_memory = "512 megs")]
fn of_another_unit(x: u32) -> u32 {
    x
}

#[batched(max_memory = "12.5")]
fn without_unit(x: u32) -> u32 {
    x
}

#[batched(max_memory = "a lot")]
fn without_number(x: u32) -> u32 {
    x
}

fn main() {
    let _: Vec<u32> = of_another_unit_batched(0..3).collect().unwrap();
    let _: Vec<u32> = without_unit_batched(0..3).collect().unwrap();
    let _: Vec<u32> = without_number_batched(0..3).collect().unwrap();
}
