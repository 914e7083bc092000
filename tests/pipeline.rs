//! Smoke
use amorsize::on_error::*;
use amorsize::{batched, process_in_batches};

#[batched]
fn a(x: u64) -> Vec<u64> {
    vec![x; 3]
}
#[batched]
fn b(x: Vec<u64>, by: u64) -> Vec<u64> {
    x.into_iter().map(|x| x * by).collect()
}
#[batched]
fn c(x: Vec<u64>) -> u64 {
    x.iter().sum()
}
#[batched(on_error = "stop")]
fn d(x: u64) -> Result<u64, String> {
    if x == 300 { Err("three hundred".into()) } else { Ok(x) }
}

#[test]
fn smoke() {
    let r: Vec<u64> = a_batched(0..1000).then(|x| b_batched(x, 2)).then(c_batched).collect().unwrap();
    assert_eq!(r, (0..1000).map(|x| x * 6).collect::<Vec<_>>());
    let run = a_batched(0..1000)
        .then(|x| b_batched(x, 2))
        .then(c_batched)
        .then(d_batched)
        .then(|x| process_in_batches(|x| x + 1, x));
    let e = run.collect::<Vec<_>>().unwrap_err();
    assert_eq!(e.to_string(), "item 50 failed: three hundred");
    let report = a_batched(0..1000)
        .then(|x| b_batched(x, 2))
        .then(c_batched)
        .then(d_batched)
        .on_error(Skip)
        .then(|x| process_in_batches(|x| x + 1, x))
        .for_each_batch(|_| ())
        .unwrap();
    println!("{report}");
}
