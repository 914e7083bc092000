//! What plans say that runs take, beside what they took: for calls of different lengths, in different shapes, bound by the cores or
//! by memory, with results of different sizes and sinks of different speeds.
//!
//! Each round is a fresh process that plans a run and then runs it; a row's figures are those of the round with the median ratio. The
//! sink is not in the plan: where it takes time, the row says what it took beside. "cores" is the processor time of the run by its time:
//! where that is less than the threads, other programs had the rest, and the row is no measurement.
//!
//! `cargo bench --bench prediction` runs all rows, `-- ROW ..` those whose names begin so, `-- --rounds N` changes the number of
//! rounds, and `-- --write` writes the table into the guide.

use std::env;
use std::fs;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use amorsize::{Warning, batched};
use amorsize_bench::{calibrate, work};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/prediction.md");
/// What the page has the table between.
const MARKERS: (&str, &str) =
    ("<!-- written by `cargo bench -p amorsize --bench prediction -- --write` -->\n", "<!-- end -->");
/// Of even work the expected time is to be within so much of the measured one.
const TO_REACH: f64 = 0.2;
/// So much work, of all threads together, is a run, but for rows of which that would be too few items.
const WORK: Duration = Duration::from_millis(1000);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Even,
    /// One in a hundred takes a hundred times as long.
    Heavy,
    /// Each second one takes nine times as long.
    Bimodal,
    /// The last one takes 19 times as long as the first.
    Growing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Cores,
    /// Goes through more memory than caches hold.
    Memory,
    /// Half of each.
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sink {
    Fast,
    /// Takes as long as the threads take for what it is handed.
    Equal,
    /// Takes twice as long.
    Slow,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    name: &'static str,
    what: &'static str,
    /// Nanoseconds of a call, on average.
    call: u64,
    shape: Shape,
    kind: Kind,
    bytes: usize,
    sink: Sink,
    sample: usize,
}

const fn row(name: &'static str, what: &'static str, call: u64) -> Row {
    let (shape, kind, bytes, sink, sample) = (Shape::Even, Kind::Cores, 8, Sink::Fast, 5);
    Row { name, what, call, shape, kind, bytes, sink, sample }
}

impl Row {
    const fn shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    const fn sink(mut self, sink: Sink) -> Self {
        self.sink = sink;
        self
    }

    const fn sample(mut self, sample: usize) -> Self {
        self.sample = sample;
        self
    }

    fn items(self) -> usize {
        // Of a hundred kinds there is one each at least.
        (WORK.as_nanos() as u64 / self.call).max(if self.shape == Shape::Even { 20 } else { 200 }) as usize
    }
}

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

const ROWS: &[Row] = &[
    row("even-1us", "even, 1 us", US),
    row("even-10us", "even, 10 us", 10 * US),
    row("even-100us", "even, 100 us", 100 * US),
    row("even-1ms", "even, 1 ms", MS),
    row("even-10ms", "even, 10 ms", 10 * MS),
    row("even-100ms", "even, 100 ms", 100 * MS),
    row("memory", "even, 1 ms, memory-bound", MS).kind(Kind::Memory),
    row("mixed", "even, 1 ms, half memory-bound", MS).kind(Kind::Mixed),
    row("results-4KiB", "even, 1 ms, results of 4 KiB", MS).bytes(4 << 10),
    row("results-256KiB", "even, 1 ms, results of 256 KiB", MS).bytes(256 << 10),
    row("results-4MiB", "even, 10 ms, results of 4 MiB", 10 * MS).bytes(4 << 20),
    row("results-copied", "even, 0.1 ms, results of 256 KiB", 100 * US).bytes(256 << 10),
    row("heavy-5", "1 % heavy by 100, 100 us", 100 * US).shape(Shape::Heavy),
    row("heavy-300", "the same", 100 * US).shape(Shape::Heavy).sample(300),
    row("bimodal-5", "each second one heavy by 9, 100 us", 100 * US).shape(Shape::Bimodal),
    row("bimodal-50", "the same", 100 * US).shape(Shape::Bimodal).sample(50),
    row("bimodal-1ms", "each second one heavy by 9, 1 ms", MS).shape(Shape::Bimodal).sample(20),
    row("growing-5", "growing by 19, 100 us", 100 * US).shape(Shape::Growing),
    row("growing-300", "the same", 100 * US).shape(Shape::Growing).sample(300),
    row("sink-equal", "even, 1 ms, sink as slow as the calls", MS).sink(Sink::Equal),
    row("sink-slow", "even, 1 ms, sink twice as slow", MS).sink(Sink::Slow),
];

/// What all calls of a run need.
struct Load {
    row: Row,
    items: usize,
    /// Rounds of work that take a microsecond.
    rounds: f64,
    /// Nanoseconds to go once through a cache line of `memory`.
    line: f64,
    memory: Vec<u64>,
}

/// More than caches hold.
const MEMORY: usize = 256 << 20;

impl Load {
    fn new(row: Row, rounds: f64) -> Self {
        let memory = if row.kind == Kind::Cores { Vec::new() } else { (0..MEMORY as u64 / 8).collect() };
        let mut load = Self { row, items: row.items(), rounds, line: 1.0, memory };
        if row.kind != Kind::Cores {
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

    /// Reads so many cache lines one after the other, each call elsewhere.
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
            // 99 light ones and one of a hundred times that have this mean; five of them are not alike by chance.
            Shape::Heavy => mean * if index % 100 == 37 { 100.0 } else { 1.0 } / 1.99,
            Shape::Bimodal => mean * if scattered(index) { 9.0 } else { 1.0 } / 5.0,
            Shape::Growing => mean * (0.1 + 1.8 * index as f64 / self.items as f64),
        }
    }

    fn spend(&self, index: usize) -> u64 {
        let nanoseconds = self.of(index);
        let cores = match self.row.kind {
            Kind::Cores => nanoseconds,
            Kind::Memory => 0.0,
            Kind::Mixed => nanoseconds / 2.0,
        };
        let lines = (nanoseconds - cores) / self.line;
        let read = if lines > 0.0 { self.read(index, lines as usize) } else { 0 };
        work(index as u64 ^ read, (cores * self.rounds / 1000.0) as u32)
    }
}

/// For half of all numbers, in no order that a sample could be in step with.
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

/// Seconds that were expected, at least, at most, and measured; those of the sink; and whether the plan warns that it is unsure.
#[derive(Clone, Copy, Debug)]
struct Figures {
    expected: f64,
    least: f64,
    most: f64,
    measured: f64,
    sink: f64,
    /// Processor seconds in each second of the run, on average.
    cores: f64,
    unsure: bool,
    /// As the plan says it: a kind of which there is less than one in so many may be missing from the sample.
    rarest: usize,
}

/// Seconds of processor time that this process took so far, in steps of 10 ms.
fn processor_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in brackets, which can hold anything.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: Option<&&str>| field.and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(fields.get(11)) + ticks(fields.get(12))) / 100.0
}

/// Spins: a sink that sleeps would leave its core to the calls.
fn spin(nanoseconds: f64) {
    let begun = Instant::now();
    while (begun.elapsed().as_nanos() as f64) < nanoseconds {}
}

fn child(name: &str, rounds: f64) {
    let row = *ROWS.iter().find(|row| row.name == name).expect("a known row");
    let load = &Load::new(row, rounds);
    rayon::broadcast(|_| ());
    let per_item = row.call as f64 / rayon::current_num_threads() as f64;
    let sink_per_item = per_item * [0.0, 1.0, 2.0][row.sink as usize];
    macro_rules! figures {
        ($run:expr) => {{
            let mut run = $run.sample_size(row.sample);
            let before = processor_seconds();
            let plan = run.plan().expect("a plan").clone();
            let report =
                run.for_each_batch(|batch| spin(sink_per_item * black_box(batch).len() as f64)).expect("a run");
            (plan, report, processor_seconds() - before)
        }};
    }
    let (plan, report, processor) = if row.bytes == 8 {
        figures!(small_batched(0..load.items, load))
    } else {
        figures!(large_batched(0..load.items, load))
    };
    let (least, most) = plan.seconds_range().unwrap_or((0.0, f64::INFINITY));
    println!(
        "{} {least} {most} {} {} {} {} {}",
        plan.seconds().expect("a known length"),
        report.seconds(),
        report.sink_seconds(),
        processor / report.seconds(),
        plan.warnings().iter().any(|warning| warning.code() == Warning::TIME_UNSURE),
        plan.reasons()
            .iter()
            .find_map(|reason| reason.split("less than 1 in ").nth(1)?.split(' ').next())
            .unwrap_or("0")
    );
}

fn measure(row: Row, rounds: f64) -> Figures {
    let exe = env::current_exe().expect("this program");
    let output = Command::new(exe).args(["--child", row.name, &rounds.to_string()]).output().expect("a child process");
    assert!(output.status.success(), "{}: {}", row.name, String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("figures");
    let [expected, least, most, measured, sink, cores, unsure, rarest] =
        text.split_whitespace().collect::<Vec<_>>()[..]
    else {
        panic!("{text:?} is not eight figures")
    };
    let number = |text: &str| text.parse().expect("a number");
    Figures {
        expected: number(expected),
        least: number(least),
        most: number(most),
        measured: number(measured),
        sink: number(sink),
        cores: number(cores),
        unsure: unsure == "true",
        rarest: rarest.parse().expect("a number"),
    }
}

fn line(row: Row, figures: Figures) -> String {
    let Figures { expected, least, most, measured, sink, cores, unsure, rarest } = figures;
    let ms = |seconds: f64| if seconds.is_finite() { format!("{:.0}", seconds * 1e3) } else { "-".into() };
    let sink = if row.sink == Sink::Fast { "-".into() } else { ms(sink) };
    let says = if unsure {
        "can't tell".to_owned()
    } else if (least..=most).contains(&measured) {
        "contains it".to_owned()
    } else {
        format!("misses it; 1 in {rarest} may")
    };
    format!(
        "| {} | {} | {} | {} | {:.2} | {} to {} | {says} | {sink} | {cores:.2} |",
        row.what,
        row.sample,
        ms(expected),
        ms(measured),
        measured / expected,
        ms(least),
        ms(most),
    )
}

/// The machine, versions and the date, as the system tells them.
fn origin() -> String {
    let told = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).trim().to_owned()
    };
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.trim().strip_prefix(": "));
    let threads = rayon::current_num_threads();
    let date = told("date", "+%Y-%m-%d");
    format!("{threads} threads of {}, {}, {date}.", model.unwrap_or("a processor"), told("rustc", "--version"))
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, name, rounds] = args.as_slice()
        && flag == "--child"
    {
        child(name, rounds.parse().expect("rounds of work"));
        return ExitCode::SUCCESS;
    }
    let (mut rounds, mut writes, mut wanted) = (3, false, Vec::new());
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).expect("`--rounds` takes a number"),
            "--write" => writes = true,
            row => wanted.push(row.to_owned()),
        }
    }
    assert!(wanted.is_empty() || !writes, "the page has all rows");
    let per_us = f64::from(calibrate()) / 10.0;
    let mut table = format!(
        "{}\nEach row is the median of {rounds} rounds.\n\n\
         | calls | sample | expected, ms | measured, ms | ratio | range, ms | which | sink, ms | cores |\n\
         | --- | ---: | ---: | ---: | ---: | --- | --- | ---: | ---: |\n",
        origin()
    );
    print!("{table}");
    let mut missed = Vec::new();
    for row in
        ROWS.iter().filter(|row| wanted.is_empty() || wanted.iter().any(|name| row.name.starts_with(name.as_str())))
    {
        let mut all: Vec<_> = (0..rounds).map(|_| measure(*row, per_us)).collect();
        all.sort_by(|a, b| (a.measured / a.expected).total_cmp(&(b.measured / b.expected)));
        let figures = all[all.len() / 2];
        let line = line(*row, figures);
        println!("{line}");
        table += &(line + "\n");
        let off = (figures.measured / figures.expected - 1.0).abs();
        if row.shape == Shape::Even && row.sink == Sink::Fast && off > TO_REACH {
            missed.push(format!("{}: {:.0} % off", row.name, 100.0 * off));
        }
    }
    if !missed.is_empty() {
        println!("\nEven work that is more than {:.0} % off: {}", 100.0 * TO_REACH, missed.join(", "));
    }
    if writes {
        let page = fs::read_to_string(PAGE).expect("the page");
        let (before, rest) = page.split_once(MARKERS.0).expect("the page has a place for the table");
        let (_, after) = rest.split_once(MARKERS.1).expect("the place has an end");
        fs::write(PAGE, format!("{before}{}\n{table}\n{}{after}", MARKERS.0, MARKERS.1))
            .expect("the page can be written");
        println!("\nwritten to {PAGE}");
    }
    ExitCode::SUCCESS
}
