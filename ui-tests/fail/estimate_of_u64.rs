use amorsize::estimate_safe_batch_size;

fn main() {
    let bytes: u64 = 1 << 20;
    let _ = estimate_safe_batch_size(bytes, 0.5);
}
