//! The most that resident memory goes above the budget, for several allocators, sizes of results,
//! and sinks.
//!
//! Each row is some runs in fresh processes, and shows the highest of them: the peak of resident
//! memory above that before the run, as a percentage of the budget. Beside it are the most that the
//! run itself held, and the median time. A second table has the higher figure of both sinks, by
//! results and allocator. Below it is the highest figure of all with smaller budgets; the memory
//! that an allocator keeps is a larger part of these.
//!
//! `cargo bench --bench peak_memory` makes the whole table, `-- --rounds N` changes the number of
//! processes for each row, `-- TEXT ..` makes only rows that contain one of the texts; `-- --write`
//! writes the second table into `FIGURES.md`.

#[path = "common/chosen.rs"]
mod chosen;

use std::hint::black_box;
use std::time::Instant;

use amorsize::{ByteSize, batched};
use amorsize_bench::{Arguments, Peak, child, child_arguments, numbers, wrap};

/// All but `Tracking`, which counts the bytes that the run itself should find out.
const ALLOCATORS: &[&str] = chosen::ALLOCATORS.split_first().expect("there are some").1;
const BUDGET: ByteSize = ByteSize::mib(256);
/// The first is the least budget for which a run looks at resident memory.
const SMALLER: [ByteSize; 3] = [ByteSize::mib(32), ByteSize::mib(64), ByteSize::mib(128)];
/// The results of each run have this many times the bytes of the budget, so that an allocator has
/// time to pile up memory.
const TIMES: u64 = 12;

/// The size of a result, by the index of its item.
type Size = fn(u64) -> u64;

/// Sizes of results.
const SIZES: [(&str, Size); 8] = [
    ("4 KiB", |_| 4 << 10),
    ("64 KiB", |_| 64 << 10),
    ("1 MiB", |_| 1 << 20),
    ("mixed 256 B to 1 MiB", |i| 256 << (scrambled(i) % 13)),
    ("misleading: 1 KiB, then 1 MiB", |i| if i < 1000 { 1 << 10 } else { 1 << 20 }),
    ("growing to 4 MiB", |i| 2048 * (1 + i)),
    ("heavy tail: 1 % of 8 MiB", |i| if scrambled(i).is_multiple_of(100) { 8 << 20 } else { 16 << 10 }),
    ("bursts of 2 MiB", |i| if i % 1000 > 950 { 2 << 20 } else { 8 << 10 }),
];

const SINKS: [&str; 2] = ["fast", "slow"];

/// A number that looks random.
fn scrambled(i: u64) -> u64 {
    let x = (i ^ (i >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33
}

#[batched]
fn make(index: u64, size: &Size) -> Vec<u8> {
    vec![index as u8 | 1; size(index) as usize]
}

/// The number of a row's items, so that their results have `total` bytes together.
fn items(size: Size, total: u64) -> u64 {
    let mut bytes = 0;
    (0..)
        .take_while(|&i| {
            bytes += size(i);
            bytes <= total
        })
        .count() as u64
}

fn run_child(size: &str, sink: &str, budget: u64) {
    let size = SIZES.iter().find(|(name, _)| *name == size).expect("a known size").1;
    let items = items(size, TIMES * budget);
    chosen::set_trim();
    // The pool's own memory does not count as the run's.
    rayon::broadcast(|_| ());
    let peak = Peak::start();
    let begun = Instant::now();
    let mut sum = 0u64;
    let report = make_batched(0..items, &size)
        .max_memory(ByteSize::new(budget))
        .for_each_batch(|batch| {
            // A slow sink takes longer over the bytes than two threads take to make them, so that
            // the budget is always full.
            let rounds = if sink == "slow" { 12 } else { 0 };
            for result in &batch {
                for round in 0..rounds {
                    sum += result.iter().step_by(8).map(|&byte| u64::from(byte ^ round)).sum::<u64>();
                }
            }
        })
        .expect("a sink keeps any budget");
    let nanos = begun.elapsed().as_nanos();
    black_box(sum);
    println!("{nanos} {} {}", peak.bytes(), report.peak_bytes().as_u64());
}

/// Nanoseconds, the peak of resident memory and the peak of what was held, for a run in a process
/// of its own.
fn measure(allocator: &str, size: &str, sink: &str, budget: ByteSize) -> [u64; 3] {
    let command = child([size, sink, &budget.as_u64().to_string()]);
    numbers(&mut chosen::serve(command, allocator)).unwrap_or_else(|why| panic!("{allocator}, {size}, {sink}: {why}"))
}

fn main() {
    if let Some([size, sink, budget]) = child_arguments() {
        return run_child(&size, &sink, budget.parse().expect("bytes"));
    }
    let arguments = Arguments::of_process("peak_memory", 3);
    let rounds = arguments.rounds;
    println!("budget {BUDGET}, {} of results, {rounds} processes for each row\n", BUDGET * TIMES);
    println!("| results | allocator | sink | held, % of the budget | resident, % of the budget | s |");
    println!("| --- | --- | --- | ---: | ---: | ---: |");
    let percent = |bytes: u64, budget: ByteSize| 100.0 * bytes as f64 / budget.as_u64() as f64;
    let mut summary = Vec::new();
    let (mut top, mut top_of_smaller) = ((0.0, "", ""), [(0, "", ""); SMALLER.len()]);
    for (size, _) in SIZES {
        let mut highest = [0.0f64; ALLOCATORS.len()];
        for (allocator, highest) in ALLOCATORS.iter().zip(&mut highest) {
            for sink in SINKS {
                let row = format!("| {size} | {allocator} | {sink} |");
                if !arguments.wants(&row) {
                    continue;
                }
                let runs: Vec<_> = (0..rounds).map(|_| measure(allocator, size, sink, BUDGET)).collect();
                let most = |index: usize| runs.iter().map(|run| run[index]).max().unwrap_or(0);
                let mut nanos: Vec<_> = runs.iter().map(|run| run[0]).collect();
                nanos.sort_unstable();
                let seconds = nanos[nanos.len() / 2] as f64 / 1e9;
                println!("{row} {:.0} | {:.0} | {seconds:.2} |", percent(most(2), BUDGET), percent(most(1), BUDGET));
                *highest = highest.max(percent(most(1), BUDGET));
                for (budget, top) in SMALLER.into_iter().zip(&mut top_of_smaller) {
                    let most = (0..rounds).map(|_| measure(allocator, size, sink, budget)[1]).max().unwrap_or(0);
                    if most > top.0 {
                        *top = (most, *allocator, size);
                    }
                }
            }
            if *highest > top.0 {
                top = (*highest, *allocator, size);
            }
        }
        let figures: Vec<_> = highest.iter().map(|figure| format!("{figure:.0}")).collect();
        summary.push(format!("| {size} | {} |", figures.join(" | ")));
    }
    println!("\nHighest resident memory, % of the budget:\n");
    let head = format!("| results | {} |\n| --- |{}", ALLOCATORS.join(" | "), " ---: |".repeat(ALLOCATORS.len()));
    let table = format!("{head}\n{}", summary.join("\n"));
    println!("{table}");
    let smaller = SMALLER.into_iter().zip(top_of_smaller).map(|(budget, (most, allocator, size))| {
        format!("{} of {budget} ({allocator}, \"{size}\")", ByteSize::new(most))
    });
    let text = format!(
        "The highest of all is {:.0} %, of {} with results \"{}\". Each figure is the highest of {rounds} processes with a \
         sink that drops results at once and {rounds} with one that takes longer than the calls: a budget of {BUDGET}, {} of results. \
         Of smaller budgets what allocators keep is a larger part. With {TIMES} budgets of results the highest is {} ({}).",
        top.0,
        top.1,
        top.2,
        BUDGET * TIMES,
        smaller.collect::<Vec<_>>().join(", "),
        arguments.measured()
    );
    arguments.write("peak-memory", &format!("{table}\n\n{}", wrap(&text)));
}
