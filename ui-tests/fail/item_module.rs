use amorsize::batched;

#[batched]
mod inner {
    pub fn f(x: u32) -> u32 {
        x
    }
}

fn main() {}
