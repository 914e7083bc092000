//! Runs with calls that need memory beside their results, one for each row of a table.

use std::hint::black_box;
use std::process;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use amorsize::{ByteSize, Report, batched, process_in_batches};
use amorsize_bench::{Peak, child_arguments};
use rayon::prelude::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// One byte of each is written, so that the system has to give all of them.
const PAGE: usize = 4096;

/// A row: calls of one kind, in a run with a budget.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) budget: ByteSize,
    /// 0 stands for the number that the run finds.
    pub(crate) threads: &'static [usize],
    items: u64,
    kind: Kind,
}

enum Kind {
    /// A call touches memory, sleeps, frees it, and returns a result.
    Calls { touched: Touched, sleep: Duration, result: u64 },
    /// The input makes 1 MiB for each item, and a call reads a byte of each page of it.
    Inputs,
    /// A closure touches memory, frees it, and returns 2 MiB in a type that nothing can look into.
    Opaque { touched: u64, is_collected: bool },
}

/// Bytes that a call touches, by the index of its item.
enum Touched {
    Even(u64),
    /// From a quarter to twice as much.
    Mixed(u64),
    /// From a tenth to all of it.
    Growing(u64),
    /// The last tenth of the items touches 50 times as much.
    LastTenth(u64),
    InTurn(&'static [u64]),
    First(u64, u64, u64),
}

impl Touched {
    fn bytes(&self, index: u64, items: u64) -> u64 {
        match *self {
            Self::Even(bytes) => bytes,
            Self::Mixed(bytes) => bytes / 4 * (1 + scrambled(index) % 8),
            Self::Growing(bytes) => bytes / 10 + bytes / 10 * 9 * index / (items - 1),
            Self::LastTenth(bytes) if index < items - items / 10 => bytes,
            Self::LastTenth(bytes) => 50 * bytes,
            Self::InTurn(bytes) => bytes[index as usize % bytes.len()],
            Self::First(first, few, _) if index < first => few,
            Self::First(_, _, others) => others,
        }
    }
}

/// A number that looks random.
fn scrambled(i: u64) -> u64 {
    let x = (i ^ (i >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33
}

const BUDGET: ByteSize = ByteSize::mib(256);
const THREADS: &[usize] = &[1, 2, 16];

/// Calls that return 1 KiB: together they touch 1 to 3 GiB, which takes a second or two.
const fn working(name: &'static str, items: u64, touched: Touched) -> Row {
    calls(name, items, touched, 0, KIB)
}

const fn calls(name: &'static str, items: u64, touched: Touched, sleep: u64, result: u64) -> Row {
    let kind = Kind::Calls { touched, sleep: Duration::from_millis(sleep), result };
    Row { name, budget: BUDGET, threads: THREADS, items, kind }
}

pub(crate) const ROWS: [Row; 22] = [
    working("1 MiB, even", 2000, Touched::Even(MIB)),
    working("1 MiB, mixed", 2000, Touched::Mixed(MIB)),
    working("1 MiB, growing", 4000, Touched::Growing(MIB)),
    working("1 MiB, the last tenth 50 MiB", 200, Touched::LastTenth(MIB)),
    working("8 MiB, even", 300, Touched::Even(8 * MIB)),
    working("8 MiB, mixed", 300, Touched::Mixed(8 * MIB)),
    working("8 MiB, growing", 500, Touched::Growing(8 * MIB)),
    // Few enough large ones for a machine of 4 GiB, even if all run at a time.
    working("8 MiB, the last tenth 400 MiB", 40, Touched::LastTenth(8 * MIB)),
    working("64 MiB, even", 30, Touched::Even(64 * MIB)),
    working("64 MiB, mixed", 30, Touched::Mixed(64 * MIB)),
    working("64 MiB, growing", 50, Touched::Growing(64 * MIB)),
    working("1.3 MiB, the last tenth 64 MiB", 200, Touched::LastTenth(64 * MIB / 50)),
    calls("72 MiB, 20 ms, returns 2 MiB", 40, Touched::Even(72 * MIB), 20, 2 * MIB),
    calls("8, 30, 90, 15 MiB in turn, returns 1 MiB", 60, TURN, 0, MIB),
    calls("12 times 8 MiB, then 60 MiB, returns 1 MiB", 60, Touched::First(12, 8 * MIB, 60 * MIB), 0, MIB),
    calls("32 MiB, 30 ms, returns 8 bytes", 40, Touched::Even(32 * MIB), 30, 8),
    // The run finds its threads itself, as the calls wait; there are enough calls for that.
    Row { threads: &[0], ..calls("32 MiB, 100 ms, returns 8 bytes", 200, Touched::Even(32 * MIB), 100, 8) },
    Row {
        name: "inputs of 1 MiB for a closure",
        budget: ByteSize::mib(64),
        threads: THREADS,
        items: 6000,
        kind: Kind::Inputs,
    },
    opaque("opaque results of 2 MiB, to a sink", 0, false),
    opaque("opaque results of 2 MiB, collected", 0, true),
    opaque("opaque results of 2 MiB, 8 MiB touched, to a sink", 8 * MIB, false),
    opaque("opaque results of 2 MiB, 8 MiB touched, collected", 8 * MIB, true),
];

const TURN: Touched = Touched::InTurn(&[8 * MIB, 30 * MIB, 90 * MIB, 15 * MIB]);

const fn opaque(name: &'static str, touched: u64, is_collected: bool) -> Row {
    Row { name, budget: ByteSize::gib(1), threads: THREADS, items: 300, kind: Kind::Opaque { touched, is_collected } }
}

/// Neither the name nor a trait tells its size.
struct Opaque(Vec<u8>);

const OPAQUE: u64 = 2 * MIB;

/// Stands in the place of an allocator if rayon makes the calls, without a budget.
pub(crate) const RAYON: &str = "rayon";

/// The measurements of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) nanos: u64,
    /// The peak of resident memory above the amount before the run.
    pub(crate) peak: u64,
    /// The run itself reports the rest, which is 0 for rayon.
    pub(crate) held: u64,
    pub(crate) working: u64,
    pub(crate) threads: u64,
    /// The bytes of a result: those that the plan expected, and those that the run counted in the
    /// end.
    pub(crate) planned: u64,
    pub(crate) counted: u64,
}

impl Measured {
    pub(crate) fn from_numbers([nanos, peak, held, working, threads, planned, counted]: [u64; 7]) -> Self {
        Self { nanos, peak, held, working, threads, planned, counted }
    }

    /// Prints the numbers that [`Measured::from_numbers`] takes.
    pub(crate) fn print(&self) {
        let Self { nanos, peak, held, working, threads, planned, counted } = self;
        println!("{nanos} {peak} {held} {working} {threads} {planned} {counted}");
    }
}

/// True if this process was started with `--child`, a row's name, an allocator and a number of
/// threads. Then it has made those calls, and printed the measurements.
pub(crate) fn was_child(set_trim: fn()) -> bool {
    let Some([row, allocator, threads]) = child_arguments() else { return false };
    set_trim();
    Row::find(&row).run(&allocator, threads.parse().expect("a number")).print();
    true
}

impl Row {
    pub(crate) fn find(name: &str) -> &'static Self {
        static ALL: [Row; ROWS.len()] = ROWS;
        ALL.iter().find(|row| row.name == name).expect("a known row")
    }

    /// The most bytes that one call needs: its input, what it touches, and its result.
    pub(crate) fn need(&self) -> u64 {
        match &self.kind {
            Kind::Calls { touched, result, .. } => {
                (0..self.items).map(|index| touched.bytes(index, self.items)).max().unwrap_or(0) + result
            }
            Kind::Inputs => MIB,
            Kind::Opaque { touched, .. } => touched + OPAQUE,
        }
    }

    /// The bytes of a result, if the run knows them from resident memory alone.
    pub(crate) fn opaque(&self) -> Option<u64> {
        matches!(self.kind, Kind::Opaque { .. }).then_some(OPAQUE)
    }

    fn call(&self, index: u64) -> Vec<u8> {
        let Kind::Calls { touched, sleep, result } = &self.kind else { unreachable!("rows of this kind alone") };
        let working = touch(touched.bytes(index, self.items));
        if !sleep.is_zero() {
            thread::sleep(*sleep);
        }
        drop(working);
        vec![index as u8 | 1; *result as usize]
    }

    /// Makes the calls of this row in this process; without a budget, if rayon is to make them.
    pub(crate) fn run(&'static self, allocator: &str, threads: usize) -> Measured {
        if allocator == RAYON { self.with_rayon(threads) } else { self.with_amorsize(threads) }
    }

    fn with_amorsize(&'static self, threads: usize) -> Measured {
        // The pool's own memory does not count as the run's.
        rayon::broadcast(|_| ());
        let peak = Peak::start();
        let begun = Instant::now();
        let mut planned = 0;
        /// The options of every row, and the plan's bytes for each result.
        macro_rules! prepared {
            ($run:expr) => {{
                let mut run = $run.max_memory(self.budget);
                if threads > 0 {
                    run = run.threads(threads);
                }
                if self.opaque().is_some() {
                    planned = run.plan().expect("a plan").bytes_per_item().as_u64();
                }
                run
            }};
        }
        let report = match &self.kind {
            Kind::Calls { .. } => prepared!(make_batched(0..self.items, self)).for_each_batch(drop),
            Kind::Inputs => prepared!(process_in_batches(read, self.inputs())).for_each_batch(drop),
            Kind::Opaque { touched, is_collected: false } => {
                prepared!(process_in_batches(make_opaque(*touched), 0..self.items)).for_each_batch(drop)
            }
            Kind::Opaque { touched, is_collected: true } => {
                let last = Arc::new(Mutex::new([0; 2]));
                let told = Arc::clone(&last);
                let mut run =
                    prepared!(process_in_batches(make_opaque(*touched), 0..self.items)).progress(move |progress| {
                        *told.lock().expect("nobody panics") =
                            [progress.bytes().as_u64(), progress.result_bytes().as_u64()];
                    });
                let all = match run.collect::<Vec<_>>() {
                    Ok(all) => all,
                    Err(error) => {
                        // 600 MiB would have fit.
                        eprintln!("{error}");
                        process::exit(1);
                    }
                };
                let nanos = begun.elapsed().as_nanos() as u64;
                let read: u64 = all.iter().map(|opaque| u64::from(opaque.0[0])).sum();
                black_box(read);
                let [held, results] = *last.lock().expect("nobody panics");
                let counted = results / self.items;
                return Measured { nanos, peak: peak.bytes(), held, working: 0, threads: 0, planned, counted };
            }
        };
        let nanos = begun.elapsed().as_nanos() as u64;
        told(&report.expect("a sink keeps any budget"), nanos, peak.bytes(), planned)
    }

    fn with_rayon(&'static self, threads: usize) -> Measured {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.broadcast(|_| ());
        let peak = Peak::start();
        let begun = Instant::now();
        pool.install(|| match &self.kind {
            Kind::Calls { .. } => (0..self.items).into_par_iter().for_each(|index| drop(black_box(self.call(index)))),
            Kind::Inputs => self.inputs().par_bridge().for_each(|input| {
                black_box(read(input));
            }),
            Kind::Opaque { touched, is_collected: false } => {
                let make = make_opaque(*touched);
                (0..self.items).into_par_iter().for_each(|index| drop(black_box(make(index))));
            }
            Kind::Opaque { touched, is_collected: true } => {
                let all: Vec<_> = (0..self.items).into_par_iter().map(make_opaque(*touched)).collect();
                black_box(&all);
            }
        });
        let (nanos, peak) = (begun.elapsed().as_nanos() as u64, peak.bytes());
        Measured { nanos, peak, held: 0, working: 0, threads: 0, planned: 0, counted: 0 }
    }

    fn inputs(&self) -> impl Iterator<Item = Vec<u8>> + Send + use<> {
        (0..self.items).map(|index| vec![index as u8 | 1; MIB as usize])
    }
}

fn told(report: &Report, nanos: u64, peak: u64, planned: u64) -> Measured {
    Measured {
        nanos,
        peak,
        held: report.peak_bytes().as_u64(),
        working: report.working_bytes().as_u64(),
        threads: report.threads() as u64,
        planned,
        counted: report.bytes_per_item().as_u64(),
    }
}

#[batched]
fn make(index: u64, row: &Row) -> Vec<u8> {
    row.call(index)
}

fn read(input: Vec<u8>) -> u64 {
    input.iter().step_by(PAGE).map(|&byte| u64::from(byte)).sum()
}

fn make_opaque(touched: u64) -> impl Fn(u64) -> Opaque + Sync {
    move |index| {
        drop(touch(touched));
        Opaque(vec![index as u8 | 1; OPAQUE as usize])
    }
}

/// Memory with every page in use, until it is dropped.
fn touch(bytes: u64) -> Vec<u8> {
    let mut working = vec![0u8; bytes as usize];
    working.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    black_box(working)
}
