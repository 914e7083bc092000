//! The cost of a run that is over before threads would help: a single item, and a hundred and a
//! thousand trivial ones. Then the cost of a batch in such a run, and of the first run of a
//! process.
//!
//! Each round is a fresh process. Its figure is the least of many runs, because a busy machine adds
//! time that is not the run's; only the first run of a process stands alone. "over" is the time
//! above that of a plain loop over the same items, and "each" is that time for each batch.
//!
//! `cargo bench --bench first_microseconds` runs all rows and prints medians, `-- --rounds N`
//! changes the number of rounds.

use std::env;
use std::hint::black_box;
use std::time::Instant;

use amorsize::{Batched, batched, process_in_batches};
use amorsize_bench::{measure, median};

#[batched]
fn trivial(x: u64) -> u64 {
    x.wrapping_mul(3) ^ 7
}

struct Row {
    what: &'static str,
    items: u64,
    /// True if a round is one run, the first of its process.
    first: bool,
    /// The number of batches if the row measures them, otherwise 0.
    batches: u64,
    /// The goal: nanoseconds above a plain loop, or for each batch.
    to_reach: f64,
    run: fn(u64),
}

fn looped(items: u64) {
    black_box((0..black_box(items)).map(trivial).collect::<Vec<_>>());
}

fn collect(items: u64) {
    black_box(trivial_batched(0..black_box(items)).collect::<Vec<_>>().expect("nothing fails"));
}

fn dropped<I: IntoIterator, R, C>(mut run: Batched<I, R, C>) {
    black_box(run.for_each_batch(|batch| drop(black_box(batch))).expect("nothing fails"));
}

fn batches(items: u64) {
    dropped(trivial_batched(0..black_box(items)));
}

fn in_batches_of(size: usize, items: u64) {
    dropped(trivial_batched(0..black_box(items)).batch_size(size));
}

/// The values that most rows share.
const SHORT: Row = Row { what: "", items: 1, first: false, batches: 0, to_reach: 1e3, run: collect };

const ROWS: &[Row] = &[
    Row { what: "1 item, collect", ..SHORT },
    Row { what: "1 item, for_each_batch", run: batches, ..SHORT },
    Row {
        what: "1 item, a closure",
        run: |items| {
            black_box(process_in_batches(trivial, 0..black_box(items)).collect::<Vec<_>>().expect("nothing fails"));
        },
        ..SHORT
    },
    Row { what: "100 items, collect", items: 100, ..SHORT },
    Row { what: "1,000 items, collect", items: 1000, ..SHORT },
    Row { what: "1,000 items, for_each_batch", items: 1000, run: batches, ..SHORT },
    Row {
        what: "100 batches of 1 item",
        items: 100,
        batches: 100,
        to_reach: 5e3,
        run: |items| in_batches_of(1, items),
        ..SHORT
    },
    Row {
        what: "100 batches of 10 items",
        items: 1000,
        batches: 100,
        to_reach: 5e3,
        run: |items| in_batches_of(10, items),
        ..SHORT
    },
    Row { what: "100 items, first run of the process", items: 100, first: true, to_reach: 300e3, ..SHORT },
];

/// Nanoseconds of one run: the least of many, or those of the first.
fn nanoseconds(row: &Row, run: fn(u64)) -> f64 {
    let runs = if row.first { 1 } else { 20_000 };
    let once = |_| {
        let begun = Instant::now();
        run(row.items);
        begun.elapsed().as_nanos()
    };
    (0..runs).map(once).min().expect("at least once") as f64
}

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let rounds = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--child", row, way] => {
            let row = &ROWS[row.parse::<usize>().expect("a row")];
            return println!("{} 0", nanoseconds(row, if *way == "loop" { looped } else { row.run }));
        }
        ["--rounds", rounds] => rounds.parse().expect("`--rounds` takes a number"),
        [] => 7,
        other => panic!("{other:?} is not `--rounds N`"),
    };
    println!(
        "median of {rounds} rounds, each a fresh process\n\n\
         | run | ns | loop, ns | over, ns | each batch, ns | to reach, ns |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    );
    for (index, row) in ROWS.iter().enumerate() {
        let [mut ours, mut loops] = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            ours.push(measure(&[&index.to_string(), "run"]).0);
            loops.push(measure(&[&index.to_string(), "loop"]).0);
        }
        let (ours, loops) = (median(&mut ours), median(&mut loops));
        let over = ours - loops;
        let each = if row.batches > 0 { format!("{:.0}", over / row.batches as f64) } else { "-".into() };
        println!("| {} | {ours:.0} | {loops:.0} | {over:.0} | {each} | {:.0} |", row.what, row.to_reach);
    }
}
