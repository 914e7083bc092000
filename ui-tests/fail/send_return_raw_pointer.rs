use amorsize::batched;

#[batched]
fn f(x: u32) -> *const u8 {
    std::ptr::without_provenance(x as usize)
}

fn main() {
    let _: Vec<*const u8> = f_batched(0..3).batch_size(2).collect().unwrap();
}
