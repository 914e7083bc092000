use amorsize::estimate_safe_batch_size;

fn main() {
    let _ = estimate_safe_batch_size(1 << 20, 512_000_000);
}
