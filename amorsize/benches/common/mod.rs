//! What several benchmarks share: work of a known length, fresh processes, and medians.

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

/// Work of about `rounds` nanoseconds that no compiler sees through.
#[inline]
pub(crate) fn work(seed: u64, rounds: u32) -> u64 {
    let mut state = seed | 1;
    for _ in 0..rounds {
        state = (state ^ (state >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    state
}

/// How many rounds of work take 10 us here.
pub(crate) fn calibrate() -> u32 {
    let time = |rounds| {
        let begun = Instant::now();
        black_box(work(black_box(1), rounds));
        begun.elapsed()
    };
    let rounds = 1_000_000;
    let best = (0..20).map(|_| time(rounds)).min().expect("twenty times");
    (f64::from(rounds) * Duration::from_micros(10).as_secs_f64() / best.as_secs_f64()) as u32
}

/// Runs this program anew with `--child` and some arguments; gives the two numbers that it prints.
pub(crate) fn measure(arguments: &[&str]) -> (f64, u64) {
    let exe = env::current_exe().expect("this program");
    let output = Command::new(exe).arg("--child").args(arguments).output().expect("a child process");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("two numbers");
    let (nanos, peak) = text.trim().split_once(' ').expect("two numbers");
    (nanos.parse().expect("nanoseconds"), peak.parse().expect("bytes"))
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
