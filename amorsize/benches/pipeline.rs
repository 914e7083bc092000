//! The cost of a pipeline of three functions beside that of one function that calls all three: with
//! stages of 10 us each, and with stages that do next to nothing.
//!
//! Each measurement is a fresh process; the ways take turns, on 2 threads. The figures of a
//! pipeline are its time as a ratio to that of the one function in the same round, and the time
//! that it adds for an item, each as the median of all rounds. Both come from the clock and
//! from the processor time, which says the same if others use the machine.
//!
//! `cargo bench --bench pipeline` runs all ways, `-- --rounds N` changes the number of rounds.

use std::hint::black_box;
use std::time::Instant;

use amorsize::batched;
use amorsize_bench::{Arguments, calibrate, child_arguments, measure, median, processor_time, work};

/// Items that keep the one function busy for 0.3 s on 2 threads.
const ITEMS: usize = 20_000;
/// Calls that do next to nothing: enough for some 10 ms.
const TRIVIAL_ITEMS: u64 = 2_000_000;
const THREADS: usize = 2;
const WAYS: [(&str, &str); 6] = [
    ("three stages of 10 us", "one function"),
    ("three stages of 10 us", "pipeline"),
    ("the same with results of 1 KiB", "one function"),
    ("the same with results of 1 KiB", "pipeline"),
    ("three stages of + 1", "one function"),
    ("three stages of + 1", "pipeline"),
];

#[batched(threads = 2)]
fn one(seed: usize, rounds: u32) -> u64 {
    work(work(work(seed as u64, rounds), rounds), rounds)
}

#[batched(threads = 2)]
fn first(seed: usize, rounds: u32) -> u64 {
    work(seed as u64, rounds)
}

#[batched]
fn further(seed: u64, rounds: u32) -> u64 {
    work(seed, rounds)
}

/// Consumes a buffer and returns another, as a stage of images does.
fn remake(buffer: &[u64], rounds: u32) -> Vec<u64> {
    vec![work(buffer[0], rounds); 128]
}

#[batched(threads = 2)]
fn one_owning(seed: usize, rounds: u32) -> Vec<u64> {
    remake(&remake(&remake(&[seed as u64], rounds), rounds), rounds)
}

#[batched(threads = 2)]
fn first_owning(seed: usize, rounds: u32) -> Vec<u64> {
    remake(&[seed as u64], rounds)
}

#[batched]
fn further_owning(buffer: Vec<u64>, rounds: u32) -> Vec<u64> {
    remake(&buffer, rounds)
}

#[batched(threads = 2)]
fn three(x: u64) -> u64 {
    black_box(black_box(black_box(x) + 1) + 1) + 1
}

#[batched(threads = 2)]
fn plus_one(x: u64) -> u64 {
    black_box(x) + 1
}

fn child(way: usize, rounds: u32) {
    // The first run of a size has costs that are not the pipeline's.
    one_batched(0..100_000, 100).for_each_batch(|_| ()).expect("nothing fails");
    let before = processor_time();
    let begun = Instant::now();
    let report = match way {
        0 => one_batched(0..ITEMS, rounds).for_each_batch(|batch| drop(black_box(batch))),
        1 => first_batched(0..ITEMS, rounds)
            .then(|seeds| further_batched(seeds, rounds))
            .then(|seeds| further_batched(seeds, rounds))
            .for_each_batch(|batch| drop(black_box(batch))),
        2 => one_owning_batched(0..ITEMS, rounds).for_each_batch(|batch| drop(black_box(batch))),
        3 => first_owning_batched(0..ITEMS, rounds)
            .then(|buffers| further_owning_batched(buffers, rounds))
            .then(|buffers| further_owning_batched(buffers, rounds))
            .for_each_batch(|batch| drop(black_box(batch))),
        4 => three_batched(0..TRIVIAL_ITEMS).for_each_batch(|batch| drop(black_box(batch))),
        _ => plus_one_batched(0..TRIVIAL_ITEMS)
            .then(plus_one_batched)
            .then(plus_one_batched)
            .for_each_batch(|batch| drop(black_box(batch))),
    };
    let nanos = begun.elapsed().as_nanos();
    assert_eq!(report.expect("nothing fails").threads(), THREADS);
    println!("{nanos} {}", processor_time() - before);
}

fn main() {
    if let Some([way, rounds]) = child_arguments() {
        return child(way.parse().expect("a way"), rounds.parse().expect("a number of rounds"));
    }
    let rounds = Arguments::of_process("pipeline", 11).among([]).rounds;
    let work_rounds = calibrate();
    println!(
        "{THREADS} threads; {ITEMS} items, {TRIVIAL_ITEMS} of + 1; {rounds} rounds, each a fresh process\n\n\
         | stages | ms | ratio to one function | ms of processor time | ratio | ns per item more |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |"
    );
    let mut times = vec![Vec::new(); WAYS.len()];
    for _ in 0..rounds {
        for (way, times) in times.iter_mut().enumerate() {
            let (nanos, processor) = measure(&[&way.to_string(), &work_rounds.to_string()]);
            times.push([nanos, processor as f64]);
        }
    }
    let of = |values: &mut dyn Iterator<Item = f64>| median(&mut values.collect::<Vec<_>>());
    for (way, (stages, how)) in WAYS.iter().enumerate() {
        let pairs = || times[way].iter().zip(&times[way - way % 2]);
        let items = if way < 4 { ITEMS as f64 } else { TRIVIAL_ITEMS as f64 };
        let [(ms, ratio), (processor_ms, processor_ratio)] = [0, 1].map(|which| {
            let ms = of(&mut times[way].iter().map(|time| time[which] / 1e6));
            (ms, of(&mut pairs().map(|(time, alone)| time[which] / alone[which])))
        });
        let more = of(&mut pairs().map(|(time, alone)| (time[1] - alone[1]) / items));
        println!("| {stages}, {how} | {ms:.1} | {ratio:.3} | {processor_ms:.1} | {processor_ratio:.3} | {more:.0} |");
    }
}
