//! Spills and reads results of many times the memory, inside a cgroup that would be killed
//! otherwise. The cgroup is real, if the machine lets this test make one.
//!
//! `AMORSIZE_SPILL_MIB=2048` for 2 GiB.
#![cfg(target_os = "linux")]

#[path = "common/child.rs"]
mod child;
#[path = "common/limited.rs"]
mod limited;

use std::sync::LazyLock;

use amorsize::{ByteSize, batched};
use child::{is_inside, run_inside_by};
use limited::Limited;

/// 256 KiB that no compression makes smaller; and none looks back far enough to find their
/// repetition.
static NOISE: LazyLock<String> = LazyLock::new(|| {
    let mut state = 1_u64;
    let letters = (0..1 << 18).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + (state >> 58) as u8)
    });
    letters.collect()
});

/// A text of 1 MiB.
#[batched(max_memory = "64MiB")]
fn noise(item: u64) -> String {
    format!("{item}{0}{0}{0}{0}", *NOISE)
}

fn items() -> u64 {
    std::env::var("AMORSIZE_SPILL_MIB").map_or(192, |mebibytes| mebibytes.parse().unwrap())
}

#[test]
fn spill_fits_a_cgroup_of_twice_the_budget() {
    let limited = match Limited::new(ByteSize::mib(128)) {
        Ok(limited) => limited,
        Err(reason) => {
            println!("skipped, no cgroup for it: {reason}");
            return;
        }
    };
    let mut command = limited.command(&std::env::current_exe().unwrap());
    let folder = limited.folder().display().to_string();
    run_inside_by(command.env("TMPDIR", env!("CARGO_TARGET_TMPDIR")), "inside", &folder);
}

#[test]
#[ignore = "is run inside a cgroup by the test above"]
fn inside() {
    if !is_inside() {
        return;
    }
    let spilled = noise_batched(0..items()).spill().unwrap();
    assert!(spilled.on_disk() >= ByteSize::mib(items()), "{}", spilled.on_disk());
    assert!(spilled.get(items() as usize - 1).unwrap().unwrap() == noise(items() - 1));
    let mut next = 0;
    for found in spilled {
        assert!(found.unwrap() == noise(next), "item {next}");
        next += 1;
    }
    assert_eq!(next, items());
}
