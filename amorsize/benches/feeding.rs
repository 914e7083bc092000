//! The time that a run takes of the thread that calls it, for each item, and so the number of
//! threads that this one can feed.
//!
//! The calling thread alone takes items from an input and hands results over. Its processor time
//! for each item in a run on two threads is a bound for any number of threads: if a call takes a
//! hundred times as long, this thread can feed a hundred others. Each measurement is a fresh
//! process, and the least counts.
//!
//! `cargo bench -p amorsize --bench feeding` runs all rows, `-- --rounds N` changes the number of
//! rounds, `-- --write` writes the table into `amorsize/docs/performance.md`.

use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::time::Instant;

use amorsize::{Batched, batched};
use amorsize_bench::{Arguments, child_arguments, measure, work};

/// The rounds of work in a call, and the number of calls. A run and its pool take a millisecond to
/// start; with this many calls that hardly counts.
const CALLS: [(u32, usize); 4] = [(4, 40_000_000), (70, 8_000_000), (900, 1_500_000), (9_000, 250_000)];
const TERMINALS: [&str; 2] = ["collect", "for_each_batch"];

#[batched(threads = 2)]
fn call(seed: u64, rounds: u32) -> u64 {
    work(seed, rounds)
}

fn main() {
    if let Some([terminal, rounds, items]) = child_arguments() {
        return child(&terminal, rounds.parse().expect("a number"), items.parse().expect("a number"));
    }
    if processor_time().is_none() {
        println!("nothing is measured: this system tells no thread its processor time in `/proc`");
        return;
    }
    let arguments = Arguments::of_process("feeding", 5);
    let mut table = "| calls |".to_owned();
    for terminal in TERMINALS {
        _ = write!(table, " `{terminal}` |");
    }
    _ = write!(table, "\n| --- |{}", " ---: |".repeat(TERMINALS.len()));
    for (rounds, items) in CALLS {
        let mut call = f64::INFINITY;
        let cells = TERMINALS.map(|terminal| {
            (0..arguments.rounds).fold(f64::INFINITY, |least, _| {
                let (rounds, items) = (rounds.to_string(), items.to_string());
                let (fed, called) = measure(&[terminal, &rounds, &items]);
                call = call.min(called as f64 / 1e3);
                least.min(fed / 1e3)
            })
        });
        _ = write!(table, "\n| {} |", nanoseconds(call));
        for fed in &cells {
            let threads = match (call / fed) as u64 {
                0 => "none".to_owned(),
                1 => "1 thread".to_owned(),
                threads => format!("{threads} threads"),
            };
            _ = write!(table, " {}, {threads} |", nanoseconds(*fed));
        }
        println!("{}", table.lines().last().unwrap_or_default());
    }
    println!("\n{table}\n\n{}", arguments.measured());
    arguments.write_into("amorsize/docs/performance.md", "feeding", &format!("{table}\n\n{}.", arguments.measured()));
}

fn nanoseconds(nanoseconds: f64) -> String {
    match nanoseconds {
        ..10.0 => format!("{nanoseconds:.2} ns"),
        ..1e3 => format!("{nanoseconds:.0} ns"),
        _ => format!("{:.2} us", nanoseconds / 1e3),
    }
}

/// Nanoseconds of processor time of this thread, if the system tells them.
fn processor_time() -> Option<u64> {
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// Prints picoseconds: of the calling thread for each item, and of a call.
fn child(terminal: &str, rounds: u32, items: u64) {
    let few = items / 20;
    let begun = Instant::now();
    (0..few).for_each(|item| _ = black_box(work(item, rounds)));
    let call = begun.elapsed().as_secs_f64() / few as f64 * 1e12;
    let numbers: Vec<u64> = (0..items).collect();
    let spent = spent(terminal, call_batched(numbers.iter().copied(), rounds));
    println!("{} {}", spent * 1000 / items, call as u64);
}

/// Nanoseconds of processor time that this thread spends on a run.
fn spent<I: IntoIterator, C>(terminal: &str, mut run: Batched<I, u64, C>) -> u64 {
    let before = processor_time().expect("asked before");
    match terminal {
        "collect" => _ = black_box(run.collect::<Vec<_>>().expect("numbers")),
        _ => _ = run.for_each_batch(|batch| drop(black_box(batch))).expect("numbers"),
    }
    processor_time().expect("asked before") - before
}
