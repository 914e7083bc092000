//! Compares plans with runs: the seconds that a plan predicts beside those that the run took. The
//! calls have different lengths and shapes, are bound by the cores, by memory or by waiting, and
//! have results of different sizes and sinks of different speeds.
//!
//! The table has every value of every axis, and the pairs that matter, rather than all products.
//! Each round is a fresh process that plans a run and then runs it; a row has the figures of the
//! round with the median ratio. A plan does not include the sink: if it takes time, that is added
//! to the plan's figure as the guide says. "cores" is the processor time of the run divided by its
//! time.
//!
//! A round in which other programs had more than a tenth of the machine does not count and is
//! repeated, twice for each row. If no round of a row was better, the row has the best of them, and
//! "others" shows it.
//!
//! `cargo bench --bench prediction` runs all rows, `-- TEXT ..` those with one of the texts in
//! their name, `-- --rounds N` changes the number of rounds, and `-- --write` writes the table into
//! `FIGURES.md`. With `PLANS` in the environment each round shows its plan and report.

mod rows;

use std::cell::RefCell;
use std::env;
use std::fs;
use std::hint::black_box;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use amorsize::{Warning, batched};
use amorsize_bench::{Arguments, calibrate, child, child_arguments, numbers, processor_time, work, wrap};
use rows::{Kind, ROWS, Row, Shape, Sink};

/// The expected time of even work should be within this part of the measured one.
const TO_REACH: f64 = 0.2;
/// A round repeats, at most `AGAIN` times for a row, if other programs have more than this part of
/// the machine.
const OTHERS: f64 = 0.1;
const AGAIN: usize = 2;

/// A device that answers after a while. Like a server, it has a thread for each client.
struct Device {
    asks: PipeWriter,
    answers: PipeReader,
}

impl Device {
    fn new(nanoseconds: u64) -> Self {
        let ((mut asked, asks), (answers, mut answered)) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
        thread::spawn(move || {
            let mut byte = [0];
            while asked.read_exact(&mut byte).is_ok() {
                thread::sleep(Duration::from_nanos(nanoseconds));
                // The client may be gone.
                let _ = answered.write_all(&byte);
            }
        });
        Self { asks, answers }
    }

    fn ask(&mut self) -> u64 {
        let mut byte = [1];
        self.asks.write_all(&byte).expect("a device");
        self.answers.read_exact(&mut byte).expect("an answer");
        byte[0].into()
    }
}

/// The data that all calls of a run need.
struct Load {
    row: Row,
    items: usize,
    /// Rounds of work that take a microsecond.
    rounds: f64,
    /// Nanoseconds to go once through a cache line of `memory`.
    line: f64,
    memory: Vec<u64>,
}

/// The size of the memory that calls read, in bytes: more than caches hold.
const MEMORY: usize = 256 << 20;

impl Load {
    fn new(row: Row, rounds: f64) -> Self {
        let reads = matches!(row.kind, Kind::Memory | Kind::HalfMemory);
        let memory = if reads { (0..MEMORY as u64 / 8).collect() } else { Vec::new() };
        let mut load = Self { row, items: row.items(), rounds, line: 1.0, memory };
        if reads {
            let lines = 100_000;
            let once = |i: usize| {
                let begun = Instant::now();
                black_box(load.read(i, lines));
                begun.elapsed().as_nanos() as f64 / lines as f64
            };
            load.line = (0..9).map(once).min_by(f64::total_cmp).expect("nine times");
        }
        load
    }

    /// Reads `lines` cache lines one after the other, each call elsewhere.
    fn read(&self, index: usize, lines: usize) -> u64 {
        let all = self.memory.len() / 8;
        let start = index.wrapping_mul(0x9E37_79B9) % all;
        (0..lines).fold(0, |sum: u64, i| sum.wrapping_add(self.memory[(start + i) % all * 8]))
    }

    /// Nanoseconds of a call.
    fn of(&self, index: usize) -> f64 {
        let mean = self.row.call as f64;
        match self.row.shape {
            Shape::Even => mean,
            // 99 light items and one that takes a hundred times as long have this mean; five of
            // them differ by chance.
            Shape::Heavy => mean * if index % 100 == 37 { 100.0 } else { 1.0 } / 1.99,
            Shape::Bimodal => mean * if scattered(index) { 9.0 } else { 1.0 } / 5.0,
            Shape::Growing => mean * (0.1 + 1.8 * index as f64 / self.items as f64),
        }
    }

    fn spend(&self, index: usize) -> u64 {
        thread_local! {
            static DEVICE: RefCell<Option<Device>> = const { RefCell::new(None) };
        }
        let nanoseconds = self.of(index);
        let (cores, memory, asleep) = match self.row.kind {
            Kind::Cores => (1.0, 0.0, 0.0),
            Kind::Memory => (0.0, 1.0, 0.0),
            Kind::HalfMemory => (0.5, 0.5, 0.0),
            Kind::Sleep => (0.0, 0.0, 1.0),
            Kind::HalfSleep => (0.5, 0.0, 0.5),
            Kind::Pipe => {
                return DEVICE.with_borrow_mut(|device| device.get_or_insert_with(|| Device::new(self.row.call)).ask());
            }
        };
        let lines = nanoseconds * memory / self.line;
        let read = if lines > 0.0 { self.read(index, lines as usize) } else { 0 };
        if asleep > 0.0 {
            thread::sleep(Duration::from_nanos((nanoseconds * asleep) as u64));
        }
        work(index as u64 ^ read, (nanoseconds * cores * self.rounds / 1000.0) as u32)
    }
}

/// True for half of all numbers, in an order that no sample can be in step with.
fn scattered(index: usize) -> bool {
    work(index as u64, 3) >> 63 == 1
}

#[batched(max_memory = "256MiB")]
fn small(index: usize, load: &Load) -> u64 {
    load.spend(index)
}

#[batched(max_memory = "256MiB")]
fn large(index: usize, load: &Load) -> Vec<u8> {
    vec![load.spend(index) as u8 | 1; load.row.bytes]
}

/// Seconds that were expected, at least, at most, and measured; those of the sink; and true if the
/// plan warns that it is unsure.
#[derive(Clone, Copy, Debug)]
struct Figures {
    expected: f64,
    least: f64,
    most: f64,
    measured: f64,
    sink: f64,
    /// Processor seconds in each second of the run, on average.
    cores: f64,
    /// The part of the machine that other programs had.
    others: f64,
    unsure: bool,
    /// Threads that the plan names, and those that the run reached.
    threads: (usize, usize),
    /// The plan's figure: the sample may miss a kind of items with less than one in this number.
    rarest: usize,
}

/// Seconds for which the machine's processors were busy or with another machine, since it began, in
/// steps of 10 ms; and the number of processors.
fn busy_seconds() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let processors = text.lines().filter(|line| line.starts_with("cpu")).count().saturating_sub(1);
    let first = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first.split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect();
    // Everything except idling and waiting for a disk; guests are in the first two.
    let busy = ticks.iter().take(8).sum::<f64>() - ticks.iter().skip(3).take(2).sum::<f64>();
    (busy / 100.0, processors.max(1) as f64)
}

fn run_child(name: &str, rounds: f64) {
    let row = *ROWS.iter().find(|row| row.name == name).expect("a known row");
    let load = &Load::new(row, rounds);
    rayon::broadcast(|_| ());
    let per_item = row.call as f64 / rayon::current_num_threads() as f64;
    let sink = |items: usize| {
        let nanoseconds = |times: u32| f64::from(times) * per_item * items as f64;
        match row.sink {
            Sink::Fast => {}
            Sink::Computes(times) => drop(black_box(work(1, (nanoseconds(times) * rounds / 1000.0) as u32))),
            Sink::Waits(times) => thread::sleep(Duration::from_nanos(nanoseconds(times) as u64)),
        }
    };
    macro_rules! figures {
        ($run:expr) => {{
            let mut run = $run.sample_size(row.sample);
            if let Some(threads) = row.threads {
                run = run.threads(threads);
            }
            let (before, begun, busy) = (processor_time(), Instant::now(), busy_seconds().0);
            let plan = run.plan().expect("a plan").clone();
            let report = run.for_each_batch(|batch| sink(black_box(batch).len())).expect("a run");
            let processor = (processor_time() - before) as f64 / 1e9;
            let ((busy_now, processors), passed) = (busy_seconds(), begun.elapsed().as_secs_f64());
            (plan, report, processor, (busy_now - busy - processor).max(0.0) / passed / processors)
        }};
    }
    let (plan, report, processor, others) = if row.bytes == 8 {
        figures!(small_batched(0..load.items, load))
    } else {
        figures!(large_batched(0..load.items, load))
    };
    let times = match row.sink {
        Sink::Fast => 0,
        Sink::Computes(times) | Sink::Waits(times) => times,
    };
    let (least, most) = plan.seconds_range().unwrap_or((0.0, f64::INFINITY));
    if env::var_os("PLANS").is_some() {
        eprintln!("{}\n{plan}\n{}", row.name, report.explain());
    }
    println!(
        "{} {least} {most} {} {} {} {others} {} {} {} {}",
        plan.seconds().expect("a known length"),
        report.seconds(),
        // Its time if nothing else wants the cores.
        f64::from(times) * per_item * load.items as f64 / 1e9,
        processor / report.seconds(),
        u8::from(plan.warnings().iter().any(|warning| warning.code() == Warning::TIME_UNSURE)),
        plan.threads(),
        report.threads(),
        plan.reasons()
            .iter()
            .find_map(|reason| reason.split("less than 1 in ").nth(1)?.split(' ').next())
            .unwrap_or("0")
    );
}

fn measure(row: Row, rounds: f64) -> Figures {
    // Its stderr has what `PLANS` asks for.
    let mut command = child([row.name, &rounds.to_string()]);
    let figures = numbers(command.stderr(Stdio::inherit())).unwrap_or_else(|why| panic!("{}: {why}", row.name));
    let [expected, least, most, measured, sink, cores, others, unsure, planned, used, rarest] = figures;
    let (unsure, threads, rarest) = (unsure > 0.0, (planned as usize, used as usize), rarest as usize);
    let figures = Figures { expected, least, most, measured, sink, cores, others, unsure, threads, rarest };
    if row.sink == Sink::Fast { figures } else { figures.with_the_sink(row) }
}

impl Figures {
    /// Adds the seconds that a sink takes in all, as the guide says.
    fn with_the_sink(self, row: Row) -> Self {
        let sink = self.sink;
        let cores = rayon::current_num_threads() as f64;
        let computes = if matches!(row.sink, Sink::Computes(_)) { sink / cores } else { 0.0 };
        let expected = (self.expected + computes).max(sink);
        Self { expected, least: self.least.max(sink), most: self.most + sink, ..self }
    }

    fn ratio(&self) -> f64 {
        self.measured / self.expected
    }

    fn says(&self, row: Row) -> Says {
        let missing = |one_in: usize| one_in > self.rarest;
        if self.unsure {
            Says::Unsure
        } else if (self.least..=self.most).contains(&self.measured) {
            Says::Contains
        } else if row.shape == Shape::Growing || row.shape == Shape::Heavy && missing(100) {
            Says::Limit
        } else {
            Says::Misses
        }
    }
}

/// The verdict on a range.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Contains,
    /// The plan warns that its sample doesn't say.
    Unsure,
    /// Misses, because of items that the plan says may differ from the sampled ones.
    Limit,
    Misses,
}

fn line(row: Row, figures: Figures) -> String {
    let Figures { expected, least, most, measured, sink, cores, others, threads: (planned, used), rarest, .. } =
        figures;
    let ms = |seconds: f64| if seconds.is_finite() { format!("{:.0}", seconds * 1e3) } else { "-".into() };
    let sink = if row.sink == Sink::Fast { "-".into() } else { ms(sink) };
    let says = match figures.says(row) {
        Says::Contains => "contains it".to_owned(),
        Says::Unsure => "can't tell".to_owned(),
        Says::Limit => format!("if all are like the sampled: 1 in {rarest} may not"),
        Says::Misses => "**misses it**".to_owned(),
    };
    let threads = if planned == used { used.to_string() } else { format!("{used} of {planned}") };
    format!(
        "| {} | {} | {} | {} | {:.2} | {} to {} | {says} | {sink} | {threads} | {cores:.2} | {:.0} % |",
        row.what,
        row.sample,
        ms(expected),
        ms(measured),
        figures.ratio(),
        ms(least),
        ms(most),
        100.0 * others,
    )
}

/// The round with the median ratio among those in which the machine was left alone, or the least
/// disturbed one.
fn typical(rounds: usize, mut round: impl FnMut() -> Figures) -> Figures {
    let (mut alone, mut best) = (Vec::new(), None::<Figures>);
    for _ in 0..rounds + AGAIN {
        let figures = round();
        if best.is_none_or(|best| figures.others < best.others) {
            best = Some(figures);
        }
        if figures.others <= OTHERS {
            alone.push(figures);
        }
        if alone.len() == rounds {
            break;
        }
    }
    alone.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    alone.get(alone.len() / 2).copied().or(best).expect("at least a round")
}

/// A summary of all rows.
fn summary(rows: &[(Row, Figures)]) -> String {
    let (even, others): (Vec<_>, Vec<_>) = rows.iter().partition(|(row, _)| row.shape == Shape::Even);
    let off = |figures: &Figures| (figures.ratio() - 1.0).abs() > TO_REACH;
    let names = |rows: Vec<String>| if rows.is_empty() { "none".to_owned() } else { rows.join(", ") };
    let missed = even.iter().filter(|(_, figures)| off(figures));
    let missed: Vec<_> = missed.map(|(row, figures)| format!("{} ({:.2})", row.what, figures.ratio())).collect();
    let of = |says: Says| others.iter().filter(move |(row, figures)| figures.says(*row) == says);
    let misses: Vec<_> = of(Says::Misses).map(|(row, _)| format!("{}, {} sampled", row.what, row.sample)).collect();
    let outside = even.iter().filter(|(row, figures)| figures.says(*row) == Says::Misses).count();
    format!(
        "Of {} rows of even calls {} are within {:.0} % of what was expected; not: {}. The range misses {outside} of them. Of {} \
         others, the range contains what was measured of {}, the plan warns that it can't tell for {}, and that calls may be unlike \
         the sampled ones for {}, which they were; missed: {}.",
        even.len(),
        even.len() - missed.len(),
        100.0 * TO_REACH,
        names(missed),
        others.len(),
        of(Says::Contains).count(),
        of(Says::Unsure).count(),
        of(Says::Limit).count(),
        names(misses),
    )
}

fn main() {
    if let Some([name, rounds]) = child_arguments() {
        return run_child(&name, rounds.parse().expect("rounds of work"));
    }
    let arguments = Arguments::of_process("prediction", 3).among(ROWS.iter().map(|row| row.name));
    let per_us = f64::from(calibrate()) / 10.0;
    let how = format!("Each row is the median of {} rounds; {}.", arguments.rounds, arguments.measured());
    let mut table = format!(
        "{}\n\n\
         | calls | sample | expected, ms | measured, ms | ratio | range, ms | which | sink, ms | threads | cores | others |\n\
         | --- | ---: | ---: | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: |\n",
        wrap(&how)
    );
    print!("{table}");
    let mut measured = Vec::new();
    for &row in ROWS.iter().filter(|row| arguments.wants(row.name)) {
        let figures = typical(arguments.rounds, || measure(row, per_us));
        let line = line(row, figures);
        println!("{line}");
        table += &(line + "\n");
        measured.push((row, figures));
    }
    let summary = wrap(&summary(&measured));
    println!("\n{summary}");
    arguments.write("prediction", &format!("{table}\n{summary}"));
}
