//! What it costs to be prepared for failures, on calls of 10 us that don't fail.
//!
//! Each measurement is a fresh process; the ways take turns. A way's figure is its time as a ratio to the plain run's in the same
//! round: the median of them.
//!
//! `cargo bench --bench policies` runs all ways, `-- --rounds N` changes the number of rounds.

use std::convert::Infallible;
use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Batched, CancelToken, batched};

mod common;
use common::{calibrate, measure, median, work};

const ITEMS: usize = 60_000;
const WAYS: [&str; 9] = [
    "plain",
    "on_panic = \"skip\"",
    "on_panic = \"collect\"",
    "on_error = \"stop\"",
    "on_error = \"skip\"",
    "on_error = \"collect\"",
    "retry = 3",
    "cancel_token",
    "deadline",
];

#[batched]
fn call(seed: usize, rounds: u32) -> Result<u64, Infallible> {
    Ok(work(seed as u64, rounds))
}

fn child(way: usize, rounds: u32) {
    rayon::broadcast(|_| ());
    let run = || call_batched(0..ITEMS, rounds);
    let each = |run: Batched<_, _, _>| {
        run.for_each_batch(|batch| drop(black_box(batch))).expect("nothing fails");
    };
    let begun = Instant::now();
    match WAYS[way] {
        "plain" => each(run()),
        "on_panic = \"skip\"" => each(run().on_panic("skip")),
        "on_panic = \"collect\"" => each(run().on_panic("collect")),
        "retry = 3" => each(run().retry(3)),
        "cancel_token" => each(run().cancel_token(&CancelToken::new())),
        "deadline" => each(run().timeout(Duration::from_secs(3600))),
        "on_error = \"stop\"" => {
            run().on_error(Stop).for_each_batch(|batch| drop(black_box(batch))).expect("nothing fails");
        }
        "on_error = \"skip\"" => {
            run().on_error(Skip).for_each_batch(|batch| drop(black_box(batch))).expect("nothing fails");
        }
        _ => {
            let outcome = run().on_error(Collect).for_each_batch(|batch| drop(black_box(batch)));
            assert!(outcome.expect("nothing fails").is_complete());
        }
    }
    println!("{} 0", begun.elapsed().as_nanos());
}

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let rounds = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--child", way, rounds] => {
            return child(way.parse().expect("a way"), rounds.parse().expect("a number of rounds"));
        }
        ["--rounds", rounds] => rounds.parse().expect("`--rounds` takes a number"),
        [] => 11,
        other => panic!("{other:?} is not `--rounds N`"),
    };
    let work_rounds = calibrate();
    println!("{} threads; {ITEMS} items of 10 us; {rounds} rounds, each a fresh process\n", rayon::current_num_threads());
    println!("| way | ms | ratio to plain |\n| --- | ---: | ---: |");
    let mut times = vec![Vec::new(); WAYS.len()];
    for _ in 0..rounds {
        for (way, times) in times.iter_mut().enumerate() {
            times.push(measure(&[&way.to_string(), &work_rounds.to_string()]).0);
        }
    }
    for (way, name) in WAYS.iter().enumerate() {
        let ratios = times[way].iter().zip(&times[0]).map(|(time, plain)| time / plain);
        let ratio = median(&mut ratios.collect::<Vec<_>>());
        println!("| {name} | {:.1} | {ratio:.3} |", median(&mut times[way].clone()) / 1e6);
    }
}
