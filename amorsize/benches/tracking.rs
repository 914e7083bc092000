//! The cost of `Tracking` as the global allocator, beside the system's allocator alone, on work
//! that allocates all the time.
//!
//! Each measurement is a fresh process; the ways of a row take turns. A row gives each way's median
//! time, and the median of the ratios to the system's in the same round.
//!
//! A program has one global allocator. This one's asks a flag which of the two to use. Both ways
//! pay for that: a load and a branch that is always the same.
//!
//! `cargo bench --bench tracking` runs all rows, `-- ROW ..` some of them, `-- --rounds N` changes
//! the number of rounds; `-- --write` writes the figures into `FIGURES.md`.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use amorsize_bench::{Arguments, child_arguments, measure, median, wrap};

#[path = "shared/either.rs"]
mod either;
use either::{TRACKED, TRACKING};

/// One row: a kind of work on a number of threads.
struct Row {
    name: &'static str,
    what: &'static str,
    threads: usize,
    work: fn(u64) -> usize,
    /// The number of times that each part does the work.
    repeats: u32,
    /// The nanoseconds of a part are divided by this number to give the unit.
    per: (f64, &'static str),
}

const ROWS: &[Row] = &[
    Row {
        name: "map",
        what: "HashMap<String, Vec<String>>, join, sort",
        threads: 1,
        work: map,
        repeats: 1,
        per: (1e6, "ms"),
    },
    Row { name: "map-2", what: "the same on 2 threads", threads: 2, work: map, repeats: 1, per: (1e6, "ms") },
    Row {
        name: "pair",
        what: "alloc and free, 16 to 1,024 B",
        threads: 1,
        work: pairs,
        repeats: 1,
        per: (PAIRS as f64, "ns"),
    },
    Row {
        name: "pair-2",
        what: "the same on 2 threads",
        threads: 2,
        work: pairs,
        repeats: 1,
        per: (PAIRS as f64, "ns"),
    },
    Row {
        name: "call",
        what: "a call that allocates nothing",
        threads: 1,
        work: nothing,
        repeats: 100_000,
        per: (100_000.0, "ns"),
    },
];

/// The system's allocator alone, then `Tracking` outside of any call, and `Tracking` in a call.
const WAYS: &[&str] = &["system", "stray", "measured"];

/// Groups words, joins each group and sorts the texts. The allocator and the hash function take
/// nearly all of its time.
fn map(seed: u64) -> usize {
    let mut groups: HashMap<String, Vec<String>> = HashMap::new();
    let mut state = seed | 1;
    for i in 0..20_000u64 {
        state = (state ^ (state >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        groups.entry(format!("group {}", state % 2000)).or_default().push(format!("word {i} of {}", state >> 44));
    }
    let mut texts: Vec<String> = groups.into_iter().map(|(group, words)| group + ": " + &words.join(", ")).collect();
    texts.sort();
    texts.iter().map(String::len).sum()
}

const PAIRS: u64 = 100_000;

fn pairs(seed: u64) -> usize {
    let mut state = seed | 1;
    for _ in 0..PAIRS {
        state = state.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
        drop(black_box(Vec::<u8>::with_capacity(16 + (state >> 32) as usize % 1009)));
    }
    state as usize
}

fn nothing(seed: u64) -> usize {
    black_box(seed) as usize
}

/// Does the work of one row in one way in this process, and prints nanoseconds of the fastest part.
fn child(row: &str, way: &str) {
    let row = ROWS.iter().find(|known| known.name == row).expect("a known row");
    TRACKED.store(way != "system", Ordering::Relaxed);
    let measured = way == "measured";
    let part = |seed: u64| {
        for i in 0..row.repeats {
            let seed = seed + u64::from(i);
            if measured {
                black_box(TRACKING.measure(|| (row.work)(seed)));
            } else {
                black_box((row.work)(seed));
            }
        }
    };
    let barrier = Barrier::new(row.threads);
    let fastest = thread::scope(|scope| {
        let threads: Vec<_> = (0..row.threads as u64)
            .map(|thread| {
                let (part, barrier) = (&part, &barrier);
                scope.spawn(move || {
                    // The first part has fresh memory and cold caches, so it does not count.
                    part(thread);
                    let mut fastest = Duration::MAX;
                    for seed in 1..=PARTS {
                        barrier.wait();
                        let begun = Instant::now();
                        part(seed << 8 | thread);
                        fastest = fastest.min(begun.elapsed());
                    }
                    fastest
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("work does not panic")).max()
    });
    println!("{} 0", fastest.expect("a thread").as_nanos());
}

/// Parts of some milliseconds each that a process measures. With this many, other programs leave
/// some undisturbed.
const PARTS: u64 = 40;

fn main() {
    if let Some([row, way]) = child_arguments() {
        return child(&row, &way);
    }
    let arguments = Arguments::of_process("tracking", 11).among(ROWS.iter().map(|row| row.name));
    let rounds = arguments.rounds;
    // The added time: in percent for work that allocates all the time, and in ns for a pair of an
    // allocation and its release.
    let (mut added, mut per_pair) = (Vec::new(), Vec::new());
    println!("median of {rounds} rounds, each a fresh process\n");
    println!("| work | unit | system | tracked, outside of calls | ratio | tracked, in a call | ratio |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for row in ROWS.iter().filter(|row| arguments.wants(row.name)) {
        let mut times = [const { Vec::new() }; WAYS.len()];
        let mut ratios = [const { Vec::new() }; WAYS.len()];
        for _ in 0..rounds {
            for (i, way) in WAYS.iter().enumerate() {
                let time = measure(&[row.name, way]).0;
                times[i].push(time / row.per.0);
                let ratio = times[i].last().unwrap_or(&0.0) / times[0].last().unwrap_or(&1.0);
                ratios[i].push(ratio);
            }
        }
        let [system, stray, measured] = times.map(|mut times| median(&mut times));
        let [_, stray_ratio, measured_ratio] = ratios.map(|mut ratios| median(&mut ratios));
        println!(
            "| {} | {} | {system:.2} | {stray:.2} | {stray_ratio:.3} | {measured:.2} | {measured_ratio:.3} |",
            row.what, row.per.1
        );
        match row.name {
            "map" | "map-2" => added.extend([stray_ratio, measured_ratio].map(|ratio| 100.0 * (ratio - 1.0))),
            "pair" => per_pair.extend([stray - system, measured - system]),
            _ => {}
        }
    }
    if !arguments.rows.is_empty() {
        return;
    }
    let [low, high] = [f64::min, f64::max].map(|pick| added.iter().copied().reduce(pick).expect("two rows"));
    let each = per_pair.into_iter().fold(0.0, f64::max) / 2.0;
    let text = format!(
        "`Tracking` adds {low:.1} to {high:.1} % to the time of work that allocates all the time (a `HashMap<String, Vec<String>>` \
         filled, joined and sorted, on one thread and on two), and {each:.1} ns to each allocation and each deallocation (median of {rounds} rounds; {}).",
        arguments.measured()
    );
    arguments.write("tracking", &wrap(&text));
}
