use amorsize::DeepSize;

#[derive(DeepSize)]
union Word {
    number: u32,
    bytes: [u8; 4],
}

fn needs<T: DeepSize>() {}

fn main() {
    needs::<Word>();
    let word = Word { number: 1 };
    let _ = unsafe { (word.number, word.bytes) };
}
