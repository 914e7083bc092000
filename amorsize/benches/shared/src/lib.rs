//! Helpers of the benches: work of a known length, fresh processes, medians, and the figures that
//! they write.

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

mod arguments;
mod figures;
mod load;
mod machine;
mod peak;
mod readme;

pub use arguments::{Arguments, write_figures};
pub use figures::{replace, wrap};
pub use load::{Heavy, Load};
pub use machine::{available_bytes, locked_version, machine, today};
pub use peak::Peak;

/// Work that takes about `rounds` nanoseconds and that no compiler can remove.
#[inline]
#[must_use]
pub fn work(seed: u64, rounds: u32) -> u64 {
    let mut state = seed | 1;
    for _ in 0..rounds {
        state = (state ^ (state >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    state
}

/// The number of rounds of [`work`] that take 10 us here.
#[must_use]
pub fn calibrate() -> u32 {
    let time = |rounds| {
        let begun = Instant::now();
        black_box(work(black_box(1), rounds));
        begun.elapsed()
    };
    let rounds = 1_000_000;
    let best = (0..20).map(|_| time(rounds)).fold(Duration::MAX, Duration::min);
    (f64::from(rounds) * Duration::from_micros(10).as_secs_f64() / best.as_secs_f64()) as u32
}

/// Runs this program anew with `--child` and some arguments; returns the two numbers that it
/// prints, nanoseconds and bytes.
///
/// # Panics
///
/// When the child fails, or prints anything else.
#[must_use]
pub fn measure(arguments: &[&str]) -> (f64, u64) {
    try_measure(arguments).unwrap_or_else(|why| panic!("{arguments:?}: {why}"))
}

/// Does the same as [`measure`] for a child that may be killed for its memory.
///
/// # Errors
///
/// When the child fails: how it ended, and what it wrote to stderr.
///
/// # Panics
///
/// When there is no such program, or it prints anything else.
pub fn try_measure(arguments: &[&str]) -> Result<(f64, u64), String> {
    let exe = env::current_exe().expect("this program");
    let output = Command::new(exe).arg("--child").args(arguments).output().expect("a child process");
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8(output.stdout).expect("two numbers");
    let (nanos, peak) = text.trim().split_once(' ').expect("two numbers");
    Ok((nanos.parse().expect("nanoseconds"), peak.parse().expect("bytes")))
}

/// The median of the values; sorts them.
///
/// # Panics
///
/// When there are none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
