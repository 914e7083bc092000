#![deny(unused_must_use)]

use std::time::Duration;

use amorsize::{ByteSize, CancelToken, MaxMemory, Retry, process_in_batches};

fn main() {
    CancelToken::new();
    CancelToken::new().is_cancelled();
    MaxMemory::fraction(0.5);
    Retry::new(3);
    let retry = Retry::new(3);
    retry.backoff(Duration::from_millis(1));
    retry.max_backoff(Duration::from_millis(1));
    ByteSize::mib(512);
    ByteSize::mib(512).saturating_sub(ByteSize::mib(1));
    let mut run = process_in_batches(|x: u32| x, 0..9);
    let plan = run.plan().unwrap();
    plan.explain();
    plan.warnings();
    let error = run.max_memory(2.0).collect::<Vec<_>>().err().unwrap();
    error.kind();
}
