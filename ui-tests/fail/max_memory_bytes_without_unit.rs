use amorsize::batched;

#[batched(max_memory = 512_000_000)]
fn a(x: u32) -> u32 {
    x
}

#[batched(max_memory = 512 * 1024 * 1024)]
fn b(x: u32) -> u32 {
    x
}

#[batched(max_memory = "512Mi")]
fn c(x: u32) -> u32 {
    x
}

#[batched(max_memory = "50%")]
fn d(x: u32) -> u32 {
    x
}

#[batched(512_000_000)]
fn e(x: u32) -> u32 {
    x
}

fn main() {}
