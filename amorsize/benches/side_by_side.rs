//! `collect` and `for_each_batch` beside rayon's `par_iter().map().collect()`, on the same work in the same run.
//!
//! Each measurement is a fresh process; the ways of a row take turns. A row gives each way's median time as a ratio to rayon's,
//! and the highest peak of resident memory above the process's own before the work.
//!
//! `cargo bench --bench side_by_side` runs all rows, `-- ROW ..` some of them, `-- --rounds N` changes the number of rounds.

use std::env;
use std::hint::black_box;
use std::time::Instant;

use amorsize::batched;
use rayon::prelude::*;

#[path = "common/load.rs"]
mod load;
mod common;
use common::{calibrate, measure, median, work};
use load::{Heavy, Load};

/// One row: a function over a number of items.
struct Row {
    name: &'static str,
    what: &'static str,
    items: usize,
    ways: &'static [&'static str],
}

const PARALLEL: &[&str] = &["rayon", "collect", "batches"];
const ROWS: &[Row] = &[
    Row { name: "tiny", what: "10 ns x 10,000,000", items: 10_000_000, ways: PARALLEL },
    Row { name: "medium", what: "10 us x 60,000", items: 60_000, ways: PARALLEL },
    Row { name: "heavy", what: "10 us on average x 60,000, 1 % heavy by 100", items: 60_000, ways: PARALLEL },
    Row { name: "tail", what: "10 us on average x 60,000, the last 1 % heavy by 100", items: 60_000, ways: PARALLEL },
    Row { name: "large", what: "1 MiB results to 4 GiB, budget 256 MiB", items: 4096, ways: &["rayon", "batches"] },
    Row {
        name: "first",
        what: "1,000 trivial items, first call of the process",
        items: 1000,
        ways: &["loop", "collect"],
    },
    Row { name: "trivial", what: "1,000 trivial items, pool not started", items: 1000, ways: &["loop", "collect"] },
];

#[batched]
fn even(seed: usize, load: &Load) -> u64 {
    work(seed as u64, load.mean)
}

#[batched]
fn uneven(index: usize, load: &Load) -> u64 {
    work(index as u64, load.rounds(index))
}

#[batched(max_memory = "256MiB")]
fn large(seed: usize) -> Vec<u8> {
    vec![seed as u8 | 1; 1 << 20]
}

#[batched]
fn trivial(x: u64) -> u64 {
    x.wrapping_mul(3) ^ 7
}

/// Runs one way of one row in this process, and prints nanoseconds and peak bytes.
fn child(row: &str, way: &str, rounds_per_10_us: u32) {
    let items = ROWS.iter().find(|known| known.name == row).expect("a known row").items;
    let mean = if row == "tiny" { rounds_per_10_us / 1000 } else { rounds_per_10_us };
    let heavy = match row {
        "heavy" => Heavy::Spread,
        "tail" => Heavy::Last,
        _ => Heavy::None,
    };
    let load = &Load { mean: mean.max(1), items, heavy };
    if row == "trivial" {
        return trivial_child(items as u64, way);
    }
    if row != "first" {
        // Starting the pool is no part of these rows.
        rayon::broadcast(|_| ());
    }
    let before = status("VmHWM:");
    let begun = Instant::now();
    match (row, way) {
        ("tiny" | "medium", "rayon") => {
            drop(black_box((0..items).into_par_iter().map(|seed| even(seed, load)).collect::<Vec<_>>()));
        }
        ("tiny" | "medium", "collect") => drop(black_box(even_batched(0..items, load).collect::<Vec<_>>().unwrap())),
        ("tiny" | "medium", "batches") => {
            let mut sum = 0u64;
            even_batched(0..items, load)
                .for_each_batch(|batch| sum = batch.iter().fold(sum, |sum, &x| sum.wrapping_add(x)))
                .unwrap();
            black_box(sum);
        }
        ("heavy" | "tail", "rayon") => {
            drop(black_box((0..items).into_par_iter().map(|index| uneven(index, load)).collect::<Vec<_>>()));
        }
        ("heavy" | "tail", "collect") => drop(black_box(uneven_batched(0..items, load).collect::<Vec<_>>().unwrap())),
        ("heavy" | "tail", "batches") => {
            uneven_batched(0..items, load).for_each_batch(|batch| drop(black_box(batch))).unwrap();
        }
        ("large", "rayon") => drop(black_box((0..items).into_par_iter().map(large).collect::<Vec<_>>())),
        ("large", "batches") => {
            large_batched(0..items).for_each_batch(|batch| drop(black_box(batch))).unwrap();
        }
        ("first", "loop") => drop(black_box((0..items as u64).map(trivial).collect::<Vec<_>>())),
        ("first", "collect") => drop(black_box(trivial_batched(0..items as u64).collect::<Vec<_>>().unwrap())),
        other => unreachable!("no such way: {other:?}"),
    }
    let nanos = begun.elapsed().as_nanos();
    println!("{nanos} {}", status("VmHWM:").saturating_sub(before));
}

/// The median of many runs in this process, which start no pool, so that what is measured is more than one look at the clock.
fn trivial_child(items: u64, way: &str) {
    let mut nanos: Vec<_> = (0..2001)
        .map(|_| {
            let begun = Instant::now();
            let results = match way {
                "loop" => (0..black_box(items)).map(trivial).collect(),
                _ => trivial_batched(0..black_box(items)).collect::<Vec<_>>().unwrap(),
            };
            let nanos = begun.elapsed().as_nanos() as f64;
            black_box(results);
            nanos
        })
        .collect();
    println!("{} 0", median(&mut nanos));
}

/// A figure of this process in bytes, or 0 where there is no such file.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, row, way, rounds] = args.as_slice()
        && flag == "--child"
    {
        return child(row, way, rounds.parse().expect("a number of rounds"));
    }
    let mut rounds = 7;
    let mut wanted = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).expect("`--rounds` takes a number"),
            row => wanted.push(row.to_owned()),
        }
    }
    let work_rounds = calibrate();
    println!("{} threads; median of {rounds} rounds, each a fresh process\n", rayon::current_num_threads());
    println!("| row | way | ms | ratio | peak MiB |\n| --- | --- | ---: | ---: | ---: |");
    for row in ROWS.iter().filter(|row| wanted.is_empty() || wanted.iter().any(|name| name == row.name)) {
        let mut times = vec![Vec::new(); row.ways.len()];
        let mut peaks = vec![0; row.ways.len()];
        for _ in 0..rounds {
            for (i, way) in row.ways.iter().enumerate() {
                let (nanos, peak) = measure(&[row.name, way, &work_rounds.to_string()]);
                times[i].push(nanos);
                peaks[i] = peaks[i].max(peak);
            }
        }
        let mut base = 0.0;
        for (i, way) in row.ways.iter().enumerate() {
            let time = median(&mut times[i]);
            if i == 0 {
                base = time;
            }
            println!("| {} | {way} | {:.5} | {:.3} | {} |", row.what, time / 1e6, time / base, peaks[i] >> 20);
        }
    }
}
