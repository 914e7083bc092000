//! The cost of measuring the bytes of results, by each means, on calls of 10 us.
//!
//! Each measurement is a fresh process, and the ways of a row take turns. A row divides each way's
//! time by that of rayon's `par_iter().map().collect()` of the same function, and by that of the
//! same run with results that own nothing, so that there is nothing to measure. It shows the
//! medians of these ratios within a round.
//!
//! A program has one global allocator. This one's asks a flag whether to use `Tracking`, and all
//! ways pay for that.
//!
//! `cargo bench --bench measuring` runs all rows, `-- --rounds N` changes the number of rounds,
//! `-- --write` writes the figures into `FIGURES.md`.

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Instant;

use amorsize::{MeasuredBy, batched};
use amorsize_bench::{Arguments, Heavy, Load, calibrate, child_arguments, measure, median, work, wrap};
use rayon::prelude::*;

#[path = "shared/either.rs"]
mod either;
use either::TRACKED;

const ITEMS: usize = 60_000;
/// Bytes of a result, on the heap in the ways that measure them.
const BYTES: usize = 256;
const ROWS: [(&str, Heavy); 3] =
    [("even", Heavy::None), ("1 % heavy by 100", Heavy::Spread), ("the last 1 % heavy by 100", Heavy::Last)];
const WAYS: [&str; 5] = ["rayon", "nothing", "deep size", "resident memory", "tracking"];

fn bytes(index: usize, load: &Load) -> u8 {
    work(index as u64, load.rounds(index)) as u8
}

#[batched]
fn nothing(index: usize, load: &Load) -> [u8; BYTES] {
    [bytes(index, load); BYTES]
}

#[batched]
fn deep(index: usize, load: &Load) -> Vec<u8> {
    vec![bytes(index, load); BYTES]
}

/// Its type can't tell its bytes.
struct Opaque(#[expect(dead_code, reason = "it is what the result owns")] Vec<u8>);

#[batched]
fn opaque(index: usize, load: &Load) -> Opaque {
    Opaque(vec![bytes(index, load); BYTES])
}

fn child(way: &str, row: usize, mean: u32) {
    TRACKED.store(way == "tracking", Ordering::Relaxed);
    let load = &Load { mean, items: ITEMS, heavy: ROWS[row].1 };
    rayon::broadcast(|_| ());
    let begun = Instant::now();
    let measured_by = match way {
        "rayon" => {
            drop(black_box((0..ITEMS).into_par_iter().map(|index| deep(index, load)).collect::<Vec<_>>()));
            None
        }
        "nothing" => Some(nothing_batched(0..ITEMS, load).for_each_batch(|batch| drop(black_box(batch)))),
        "deep size" => Some(deep_batched(0..ITEMS, load).for_each_batch(|batch| drop(black_box(batch)))),
        _ => Some(opaque_batched(0..ITEMS, load).for_each_batch(|batch| drop(black_box(batch)))),
    };
    let nanos = begun.elapsed().as_nanos();
    let expected = match way {
        "resident memory" => Some(MeasuredBy::Resident),
        "tracking" => Some(MeasuredBy::Tracking),
        "rayon" => None,
        _ => Some(MeasuredBy::DeepSize),
    };
    assert_eq!(measured_by.map(|report| report.expect("it fits").measured_by()), expected);
    println!("{nanos} 0");
}

fn main() {
    if let Some([way, row, mean]) = child_arguments() {
        return child(&way, row.parse().expect("a row"), mean.parse().expect("a number of rounds"));
    }
    let arguments = Arguments::of_process("measuring", 11);
    let rounds = arguments.rounds;
    let mut readme =
        String::from("| calls | deep size | resident memory | `Tracking` |\n| --- | ---: | ---: | ---: |\n");
    let mean = calibrate();
    println!(
        "{} threads; {ITEMS} items of 10 us; {rounds} rounds, each a fresh process\n",
        rayon::current_num_threads()
    );
    println!("| calls | measured by | ms | ratio to rayon | ratio to nothing measured |");
    println!("| --- | --- | ---: | ---: | ---: |");
    for (row, (name, _)) in ROWS.iter().enumerate() {
        let mut times = vec![Vec::new(); WAYS.len()];
        for _ in 0..rounds {
            for (way, times) in WAYS.iter().zip(&mut times) {
                times.push(measure(&[way, &row.to_string(), &mean.to_string()]).0);
            }
        }
        let ratio = |way: usize, base: usize| {
            median(&mut times[way].iter().zip(&times[base]).map(|(time, base)| time / base).collect::<Vec<_>>())
        };
        for (i, way) in WAYS.iter().enumerate() {
            let ms = median(&mut times[i].clone()) / 1e6;
            println!("| {name} | {way} | {ms:.1} | {:.3} | {:.3} |", ratio(i, 0), ratio(i, 1));
        }
        let [.., deep, resident, tracking] = [0, 1, 2, 3, 4].map(|way| ratio(way, 1));
        readme.push_str(&format!("| {name} | {deep:.3} | {resident:.3} | {tracking:.3} |\n"));
    }
    let how = format!("Median of {rounds} rounds; {}.", arguments.measured());
    arguments.write("measuring", &format!("{readme}\n{}", wrap(&how)));
}
