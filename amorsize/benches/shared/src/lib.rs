//! Helpers of the benches: work of a known length, fresh processes, medians, and the figures that
//! they write.

use std::env;
use std::ffi::OsStr;
use std::hint::black_box;
use std::process::Command;
use std::str::FromStr;
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

/// The arguments of this process after `--child`, if it is a child: one of [`child`].
///
/// # Panics
///
/// When a child has another number of them.
#[must_use]
pub fn child_arguments<const N: usize>() -> Option<[String; N]> {
    let mut arguments = env::args().skip(1);
    let is_child = arguments.next()? == "--child";
    let rest: Vec<String> = arguments.collect();
    is_child.then(|| rest.try_into().unwrap_or_else(|rest| panic!("{rest:?} are not {N} arguments")))
}

/// This program anew, as a child that is told these arguments.
///
/// # Panics
///
/// When the system doesn't tell which program this is.
pub fn child<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.arg("--child").args(arguments);
    command
}

/// Runs a command, and returns the numbers that it prints.
///
/// # Errors
///
/// When the command fails: how it ended, and what it wrote to stderr.
///
/// # Panics
///
/// When there is no such program, or it prints anything else.
pub fn numbers<T: FromStr, const N: usize>(command: &mut Command) -> Result<[T; N], String> {
    let output = command.output().expect("a program");
    if !output.status.success() {
        return Err(format!("{} {}", output.status, String::from_utf8_lossy(&output.stderr)).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Option<Vec<T>> = text.split_whitespace().map(|number| number.parse().ok()).collect();
    Ok(numbers.and_then(|numbers| numbers.try_into().ok()).unwrap_or_else(|| panic!("{text:?} is not {N} numbers")))
}

/// Runs a child; returns the two numbers that it prints, nanoseconds and bytes.
///
/// # Panics
///
/// When the child fails, or prints anything else.
#[must_use]
pub fn measure(arguments: &[&str]) -> (f64, u64) {
    let measured = numbers(&mut child(arguments)).map(|[nanos, bytes]: [f64; 2]| (nanos, bytes as u64));
    measured.unwrap_or_else(|why| panic!("{arguments:?}: {why}"))
}

/// Nanoseconds of processor time that this process has used, on all its threads.
///
/// # Panics
///
/// When the system is not asked for them: Linux and Apple's are.
#[must_use]
pub fn processor_time() -> u64 {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    panic!("this system is not asked for the processor time of a process")
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
