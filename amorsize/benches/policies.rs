//! The cost of being prepared for failures, on calls of 10 us that don't fail.
//!
//! Each measurement is a fresh process; the ways take turns. A way's figure is its time divided by
//! the plain run's in the same round, as the median of all rounds.
//!
//! `cargo bench --bench policies` runs all ways, `-- --rounds N` changes the number of rounds,
//! `-- --write` writes the figures into `FIGURES.md`.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Batched, CancelToken, batched};
use amorsize_bench::{Arguments, calibrate, child_arguments, measure, median, work, wrap};

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
    let each = |mut run: Batched<_, _, _>| {
        run.for_each_batch(|batch| drop(black_box(batch))).expect("nothing fails");
    };
    let begun = Instant::now();
    match WAYS[way] {
        "plain" => each(run()),
        "on_panic = \"skip\"" => each(run().on_panic(amorsize::OnPanic::Skip)),
        "on_panic = \"collect\"" => each(run().on_panic(amorsize::OnPanic::Collect)),
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
    if let Some([way, rounds]) = child_arguments() {
        return child(way.parse().expect("a way"), rounds.parse().expect("a number of rounds"));
    }
    let arguments = Arguments::of_process("policies", 11);
    let rounds = arguments.rounds;
    let work_rounds = calibrate();
    println!(
        "{} threads; {ITEMS} items of 10 us; {rounds} rounds, each a fresh process\n",
        rayon::current_num_threads()
    );
    println!("| way | ms | ratio to plain |\n| --- | ---: | ---: |");
    let mut times = vec![Vec::new(); WAYS.len()];
    for _ in 0..rounds {
        for (way, times) in times.iter_mut().enumerate() {
            times.push(measure(&[&way.to_string(), &work_rounds.to_string()]).0);
        }
    }
    let mut costs = Vec::new();
    for (way, name) in WAYS.iter().enumerate() {
        let ratios = times[way].iter().zip(&times[0]).map(|(time, plain)| time / plain);
        let ratio = median(&mut ratios.collect::<Vec<_>>());
        println!("| {name} | {:.1} | {ratio:.3} |", median(&mut times[way].clone()) / 1e6);
        costs.push(100.0 * (ratio - 1.0));
    }
    let [low, high] = [f64::min, f64::max].map(|pick| costs[1..].iter().copied().reduce(pick).expect("ways"));
    let text = format!(
        "Being prepared for failures that don't come, by `on_error`, `on_panic`, `retry`, a `CancelToken` or a `deadline`, makes calls \
         of 10 us {low:.1} to {high:.1} % longer (median of {rounds} rounds; {}).",
        arguments.measured()
    );
    arguments.write("policies", &wrap(&text));
}
