//! The gain of a function that waits, from the threads that a run finds by itself, against one
//! thread per core.
//!
//! Each measurement is a fresh process; the two ways take turns. A row's ratio is its time with one
//! thread per core divided by its time with the threads that the run finds, in the same round, as
//! the median of all rounds. A row that computes should have a ratio of 1, and no more threads than
//! there are cores; on a busy machine one step of the climb more is possible.
//!
//! `cargo bench --bench waiting` runs all rows, `-- --rounds N` changes the number of rounds,
//! `-- ROW ..` runs some rows. With `AMORSIZE_BENCH_BUSY=N` each measurement runs beside N endless
//! loops for each core.

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use amorsize::{Report, process_in_batches};
use amorsize_bench::{Arguments, calibrate, child_arguments, measure, median, work};

struct Row {
    name: &'static str,
    says: &'static str,
    items: usize,
    /// A call: its arguments are the item and the rounds of work that take 10 us.
    call: fn(usize, u32) -> u64,
}

const ROWS: [Row; 11] = [
    Row { name: "sleep", says: "5 ms asleep", items: 1000, call: |item, _| sleep(5000, item) },
    Row { name: "short", says: "0.2 ms asleep", items: 20_000, call: |item, _| sleep(200, item) },
    Row {
        name: "mixed",
        says: "1 ms of work, 4 ms asleep",
        items: 1000,
        call: |item, rounds| sleep(4000, item) + work(item as u64, 100 * rounds),
    },
    Row {
        name: "device",
        says: "5 ms asleep, 8 at a time",
        items: 1000,
        call: |item, _| DEVICE.with(|| sleep(5000, item)),
    },
    Row { name: "lock", says: "5 ms asleep, 1 at a time", items: 200, call: |item, _| LOCK.with(|| sleep(5000, item)) },
    Row { name: "work", says: "10 us of work", items: 60_000, call: |item, rounds| work(item as u64, rounds) },
    Row {
        name: "rayon",
        says: "2 ms of work on all cores by rayon",
        items: 300,
        call: |item, rounds| {
            let work = |_| work(item as u64, 25 * rounds);
            rayon::iter::ParallelIterator::sum(rayon::iter::ParallelIterator::map(
                rayon::iter::IntoParallelIterator::into_par_iter(0..8),
                work,
            ))
        },
    },
    Row { name: "long-work", says: "10 ms of work", items: 100, call: |item, rounds| work(item as u64, 1000 * rounds) },
    Row {
        name: "threads",
        says: "2 ms of work on each core by threads of its own",
        items: 200,
        call: |item, rounds| {
            thread::scope(|scope| {
                let start = |_| scope.spawn(move || work(item as u64, 200 * rounds));
                let threads: Vec<_> = (0..rayon::current_num_threads()).map(start).collect();
                threads.into_iter().map(|thread| thread.join().expect("nothing panics")).sum()
            })
        },
    },
    Row {
        name: "child",
        says: "a child process that computes for some 20 ms",
        items: 100,
        call: |_, _| {
            let script = "i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done; echo $i";
            let output = Command::new("sh").args(["-c", script]).output().expect("there is a shell");
            output.stdout.len() as u64
        },
    },
    Row {
        name: "late",
        says: "5 ms asleep, and from item 400 on 1 ms of work",
        items: 3000,
        call: |item, rounds| if item < 400 { sleep(5000, item) } else { work(item as u64, 100 * rounds) },
    },
];

static DEVICE: Permits = Permits(Mutex::new(8), Condvar::new());
static LOCK: Permits = Permits(Mutex::new(1), Condvar::new());

/// Lets a limited number of callers in at a time.
struct Permits(Mutex<usize>, Condvar);

impl Permits {
    fn with<R>(&self, body: impl FnOnce() -> R) -> R {
        let free = self.0.lock().expect("nothing panics");
        *self.1.wait_while(free, |free| *free == 0).expect("nothing panics") -= 1;
        let result = body();
        *self.0.lock().expect("nothing panics") += 1;
        self.1.notify_one();
        result
    }
}

fn sleep(microseconds: u64, item: usize) -> u64 {
    thread::sleep(Duration::from_micros(microseconds));
    item as u64
}

/// Prints the time of a row, and the number of threads that it used.
fn child(row: usize, found: bool, rounds: u32) {
    let Row { items, call, .. } = ROWS[row];
    rayon::broadcast(|_| ());
    let cores = rayon::current_num_threads();
    let run = process_in_batches(move |item| call(item, rounds), 0..items);
    let mut run = if found { run } else { run.threads(cores) };
    let busy: usize = env::var("AMORSIZE_BENCH_BUSY").map_or(0, |busy| busy.parse().expect("a number of loops"));
    let endless = |_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("there is a shell");
    let others: Vec<_> = (0..busy * cores).map(endless).collect();
    let begun = Instant::now();
    let report: Report = run.for_each_batch(|batch| drop(black_box(batch))).expect("the results fit");
    println!("{} {}", begun.elapsed().as_nanos(), report.threads());
    for mut other in others {
        other.kill().and_then(|()| other.wait()).expect("it goes on until then");
    }
}

fn main() {
    if let Some([row, found, rounds]) = child_arguments() {
        let number = |text: String| text.parse::<u32>().expect("a number");
        return child(number(row) as usize, found == "1", number(rounds));
    }
    let arguments = Arguments::of_process("waiting", 7).among(ROWS.iter().map(|row| row.name));
    let rounds = arguments.rounds;
    let work_rounds = calibrate().to_string();
    let cores = rayon::current_num_threads();
    println!("{cores} cores; {rounds} rounds, each a fresh process\n");
    println!("| a call | items | {cores} threads, ms | found, ms | ratio | threads found |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (index, row) in ROWS.iter().enumerate().filter(|(_, row)| arguments.wants(row.name)) {
        let (mut fixed, mut found, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            fixed.push(measure(&[&index.to_string(), "0", &work_rounds]).0);
            let (time, used) = measure(&[&index.to_string(), "1", &work_rounds]);
            found.push(time);
            threads.push(used as f64);
        }
        let mut ratios: Vec<_> = fixed.iter().zip(&found).map(|(fixed, found)| fixed / found).collect();
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.2} | {} |",
            row.says,
            row.items,
            median(&mut fixed) / 1e6,
            median(&mut found) / 1e6,
            median(&mut ratios),
            median(&mut threads),
        );
    }
}
