//! The kinds of work, and the measurement of one way of one of them in a fresh process.

use std::collections::HashMap;
use std::hint::black_box;
use std::thread;
use std::time::Instant;

use amorsize::{Batched, ByteSize, batched};
use amorsize_bench::{Heavy, Load, Peak, median, processor_time, work};
use serde_json::Value;

use crate::small::{self, parse, parse_batched, words, words_batched};
use crate::users::{self, counts, counts_batched, different_words, different_words_batched};
use crate::users::{smaller, smaller_batched, sorted, sorted_batched};
use crate::ways::{Shape, Way, collect, each, warm_up};

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) work: Work,
    pub(crate) items: usize,
    /// Items per chunk in the ways that cut chunks by hand: some 20 to 50 us of work, or fewer
    /// items if they differ.
    grain: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Calls that take `nanos` on average and return numbers, which are collected.
    Numbers { nanos: u32, heavy: Heavy },
    /// Calls that take `nanos` each and return `bytes` bytes, which go to a sink.
    Sink { bytes: usize, nanos: u32, sink_nanos: u32, budget: Option<ByteSize> },
    /// Documents that are parsed into many small allocations, which go to a sink.
    Documents,
    /// Lines that are split into words, which go to a sink.
    Words,
    /// Files of text that are read and their different words counted; the numbers are collected.
    Files,
    /// Lines of a file, read while the run goes on, and the sum of their spaces.
    Lines,
    /// Numbers that are sorted, which go to a sink.
    Sorts,
    /// Photos that are read and made smaller. The sink compresses them.
    Photos,
    /// Texts. Each call counts the words of one, and the sink merges the counts.
    Counts,
    /// Nearly no work, collected many times in a process with its pools already running.
    Trivial,
    /// The same, once, as the first act of a process.
    First,
}

const BUDGET: ByteSize = ByteSize::mib(256);

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "tiny",
        what: "10 ns x 10,000,000",
        work: Work::Numbers { nanos: 10, heavy: Heavy::None },
        items: 10_000_000,
        grain: 4096,
    },
    Row {
        name: "micro",
        what: "1 us x 600,000",
        work: Work::Numbers { nanos: 1000, heavy: Heavy::None },
        items: 600_000,
        grain: 64,
    },
    Row {
        name: "medium",
        what: "10 us x 60,000",
        work: Work::Numbers { nanos: 10_000, heavy: Heavy::None },
        items: 60_000,
        grain: 4,
    },
    Row {
        name: "heavy",
        what: "10 us on average x 60,000, 1 % heavy by 100",
        work: Work::Numbers { nanos: 10_000, heavy: Heavy::Spread },
        items: 60_000,
        grain: 4,
    },
    Row {
        name: "tail",
        what: "10 us on average x 60,000, the last 1 % heavy by 100",
        work: Work::Numbers { nanos: 10_000, heavy: Heavy::Last },
        items: 60_000,
        grain: 4,
    },
    Row {
        name: "large",
        what: "results of 1 MiB to 4 GiB, budget 256 MiB",
        work: Work::Sink { bytes: 1 << 20, nanos: 0, sink_nanos: 0, budget: Some(BUDGET) },
        items: 4096,
        grain: 1,
    },
    Row {
        name: "pages",
        what: "results of 64 KiB to 2 GiB, budget 256 MiB",
        work: Work::Sink { bytes: 64 << 10, nanos: 0, sink_nanos: 0, budget: Some(BUDGET) },
        items: 32_768,
        grain: 8,
    },
    Row {
        name: "sink",
        what: "10 us x 30,000, results of 1 KiB, a sink of 10 us",
        work: Work::Sink { bytes: 1 << 10, nanos: 10_000, sink_nanos: 10_000, budget: None },
        items: 30_000,
        grain: 4,
    },
    Row {
        name: "json",
        what: "300,000 JSON documents of 2 KiB parsed, into a sink",
        work: Work::Documents,
        items: 300_000,
        grain: 8,
    },
    Row {
        name: "words",
        what: "2,000,000 lines split into words, into a sink",
        work: Work::Words,
        items: 2_000_000,
        grain: 64,
    },
    Row {
        name: "few",
        what: "30 to 100 ms x 36",
        work: Work::Numbers { nanos: 65_000_000, heavy: Heavy::Mixed },
        items: 36,
        grain: 1,
    },
    Row {
        name: "files",
        what: "2,000 files of 4 to 32 KiB, each read and its words counted in a map",
        work: Work::Files,
        items: 2000,
        grain: 1,
    },
    Row {
        name: "lines",
        what: "2,000,000 lines of a file read one by one, their spaces counted, beside a plain loop",
        work: Work::Lines,
        items: 2_000_000,
        grain: 64,
    },
    Row {
        name: "cheap",
        what: "4 ns x 4,000,000",
        work: Work::Numbers { nanos: 4, heavy: Heavy::None },
        items: 4_000_000,
        grain: 8192,
    },
    Row { name: "sorts", what: "400 sorts of 100,000 numbers, into a sink", work: Work::Sorts, items: 400, grain: 1 },
    Row {
        name: "photos",
        what: "100 photos made smaller, a sink that compresses them",
        work: Work::Photos,
        items: 100,
        grain: 1,
    },
    Row {
        name: "counts",
        what: "4,000 texts, their words counted in maps, a sink that merges the maps",
        work: Work::Counts,
        items: 4000,
        grain: 1,
    },
    Row { name: "trivial", what: "1,000 trivial items", work: Work::Trivial, items: 1000, grain: 1000 },
    Row {
        name: "first",
        what: "1,000 trivial items, first call of a process",
        work: Work::First,
        items: 1000,
        grain: 1000,
    },
    Row { name: "single", what: "a single item", work: Work::Trivial, items: 1, grain: 1 },
];

impl Row {
    pub(crate) fn ways(&self) -> Vec<Way> {
        let is_sink = matches!(self.work, Work::Sink { .. } | Work::Sorts | Work::Photos | Work::Counts);
        let is_small = self.is_of_small_allocations();
        let is_long = matches!(self.work, Work::Numbers { nanos: 100_000.., .. } | Work::Files);
        // Results for a sink are not collected; and nobody cuts tasks by hand to have rayon collect
        // all, or has 256 long calls in one. A sink takes results from an iterator, too: from one
        // that works ahead, but where the allocator decides from one that does not.
        let fits = |way: &Way| match way {
            _ if self.work == Work::Lines => {
                matches!(way, Way::Loop | Way::Pariter) || way.is_ours() && *way != Way::Iterate
            }
            Way::Collect => !is_sink,
            Way::RayonChunks => !is_sink && !is_small && !is_long,
            Way::Iterate => is_sink,
            Way::IntoIter => is_small,
            _ => true,
        };
        Way::ALL.into_iter().filter(fits).collect()
    }

    /// The number of items for a way: all, or fewer if all would not fit this machine's memory or
    /// would take a minute.
    pub(crate) fn items_for(&self, way: Way, available: Option<u64>) -> usize {
        match self.work {
            Work::Sink { bytes, .. } if way.holds_all() => {
                let fit = available.map_or(usize::MAX, |available| (available as usize / 2) / bytes);
                self.items.min(fit)
            }
            // As much as the results of either row take with glibc.
            Work::Documents | Work::Words if way.holds_all() => {
                let bytes = if self.work == Work::Documents { 10 << 10 } else { 640 };
                let fit = available.map_or(usize::MAX, |available| (available as usize / 2) / bytes);
                self.items.min(fit)
            }
            // The channels carry single items, which cost half a microsecond and more each.
            Work::Numbers { nanos: ..100, .. } if way == Way::Pariter => self.items / 10,
            _ => self.items,
        }
    }

    pub(crate) fn budget(&self) -> Option<ByteSize> {
        match self.work {
            Work::Sink { budget, .. } => budget,
            _ => None,
        }
    }

    /// The bytes of all results together, if they are what limits the row.
    pub(crate) fn traffic(&self) -> Option<u64> {
        match self.work {
            Work::Sink { bytes, nanos: 0, .. } => Some(bytes as u64 * self.items as u64),
            _ => None,
        }
    }

    /// The part of the plain loop's time that only one thread can do.
    pub(crate) fn serial_part(&self) -> f64 {
        match self.work {
            Work::Sink { nanos, sink_nanos, .. } if sink_nanos > 0 => {
                f64::from(sink_nanos) / f64::from(nanos + sink_nanos)
            }
            _ => 0.0,
        }
    }

    /// True if results are many small allocations.
    fn is_of_small_allocations(&self) -> bool {
        matches!(self.work, Work::Documents | Work::Words)
    }

    /// True if a call does nearly nothing, beside reading its item, so that more cores would not
    /// help.
    pub(crate) fn is_trivial(&self) -> bool {
        matches!(self.work, Work::Trivial | Work::First | Work::Lines)
    }
}

/// The time and the memory that one way of a row took.
pub(crate) struct Cost {
    pub(crate) nanos: f64,
    /// The most resident memory, in bytes.
    pub(crate) peak: u64,
    /// Nanoseconds of processor time, of all threads.
    pub(crate) processor: f64,
}

#[batched]
fn number(index: usize, load: &Load) -> u64 {
    work(index as u64, load.rounds(index))
}

/// The length of a call and the size of its result.
struct Make {
    rounds: u32,
    bytes: usize,
}

#[batched]
fn buffer(index: usize, make: &Make) -> Vec<u8> {
    vec![work(index as u64, make.rounds) as u8 | 1; make.bytes]
}

#[batched]
fn trivial(index: usize) -> u64 {
    (index as u64).wrapping_mul(3) ^ 7
}

/// Runs one way of one row in this process.
pub(crate) fn child(row: &Row, way: Way, items: usize, rounds_per_10_us: u32) -> Cost {
    let rounds = |nanos: u32| (u64::from(rounds_per_10_us) * u64::from(nanos) / 10_000) as u32;
    let even = match row.work {
        Work::Numbers { heavy, .. } => heavy == Heavy::None,
        Work::Sink { .. } | Work::Files | Work::Counts => false,
        _ => true,
    };
    let shape = Shape { items, grain: row.grain, even };
    match row.work {
        Work::Numbers { nanos, heavy } => {
            let load = &Load { mean: rounds(nanos).max(1), items, heavy };
            collected(way, shape, || number_batched(0..items, load), |index| number(index, load))
        }
        Work::Files => collected(way, shape, || different_words_batched(0..items), different_words),
        Work::Lines => {
            warm_up(way);
            timed(|| _ = black_box(users::spaces_of_lines(way)))
        }
        Work::Sorts => {
            let sink = |numbers: Vec<u32>| users::hash(&numbers);
            into_sink(way, shape, || sorted_batched(0..items), sorted, sink)
        }
        Work::Photos => into_sink(way, shape, || smaller_batched(0..items), smaller, users::compress),
        Work::Counts => {
            let texts = &users::texts()[..];
            let mut all = HashMap::new();
            let merge = |counts| users::merge(&mut all, counts);
            into_sink(way, shape, || counts_batched(0..items, texts), |index| counts(index, texts), merge)
        }
        Work::Sink { bytes, nanos, sink_nanos, budget } => {
            let make = &Make { rounds: rounds(nanos), bytes };
            let sink_rounds = rounds(sink_nanos);
            let sink = |result: Vec<u8>| work(u64::from(result[0]), sink_rounds);
            let run = || {
                let run = buffer_batched(0..items, make);
                if let Some(budget) = budget { run.max_memory(budget) } else { run }
            };
            into_sink(way, shape, run, |index| buffer(index, make), sink)
        }
        Work::Documents => {
            let texts = &small::documents()[..];
            let sink = |document: Value| document["id"].as_u64().unwrap_or_default();
            into_sink(way, shape, || parse_batched(0..items, texts), |index| parse(index, texts), sink)
        }
        Work::Words => {
            let texts = &small::lines()[..];
            let sink = |words: Vec<String>| words.iter().map(String::len).sum::<usize>() as u64;
            into_sink(way, shape, || words_batched(0..items, texts), |index| words(index, texts), sink)
        }
        Work::First => timed(|| run_trivial(way, shape)),
        Work::Trivial => {
            warm_up(way);
            let peak = Peak::start();
            // The processor time is that of many calls, and each way has its own number of them.
            Cost { nanos: trivial_nanos(way, shape), peak: peak.bytes(), processor: 0.0 }
        }
    }
}

/// Runs one way, and collects the numbers or, from batches, adds them.
fn collected<I: IntoIterator, C>(
    way: Way,
    shape: Shape,
    run: impl FnOnce() -> Batched<I, u64, C>,
    call: impl Fn(usize) -> u64 + Copy + Send + Sync,
) -> Cost {
    warm_up(way);
    timed(|| match way {
        Way::Collect => drop(black_box(run().collect::<Vec<_>>().expect("it fits"))),
        Way::ForEachBatch | Way::Tenths => {
            let mut run = if way == Way::Tenths { run().batch_size(shape.items / 10) } else { run() };
            let mut sum = 0u64;
            run.for_each_batch(|batch| sum = batch.iter().fold(sum, |sum, &x| sum.wrapping_add(x))).expect("it fits");
            black_box(sum);
        }
        _ => drop(black_box(collect(way, shape, call))),
    })
}

/// Runs one way. A sink makes a number of each result.
fn into_sink<I: IntoIterator, R: Send, C>(
    way: Way,
    shape: Shape,
    run: impl FnOnce() -> Batched<I, R, C>,
    call: impl Fn(usize) -> R + Copy + Send + Sync,
    mut number: impl FnMut(R) -> u64 + Send,
) -> Cost {
    let mut sum = 0u64;
    let mut sink = |result| sum = sum.wrapping_add(number(result));
    warm_up(way);
    let measured = timed(|| match way {
        Way::Collect => run().collect::<Vec<_>>().expect("it fits").into_iter().for_each(&mut sink),
        Way::ForEachBatch => {
            let given = run().for_each_batch(|batch| batch.into_iter().for_each(&mut sink));
            drop(given.expect("a sink keeps any budget"));
        }
        Way::IntoIter => run().into_iter().for_each(&mut sink),
        Way::Iterate => run().iterate(|results| results.for_each(&mut sink)).expect("a sink keeps any budget"),
        _ => each(way, shape, call, &mut sink),
    });
    black_box(sum);
    measured
}

fn timed(body: impl FnOnce()) -> Cost {
    let peak = Peak::start();
    let (begun, before) = (Instant::now(), processor_time());
    body();
    let nanos = begun.elapsed().as_nanos() as f64;
    Cost { nanos, peak: peak.bytes(), processor: (processor_time() - before) as f64 }
}

fn run_trivial(way: Way, shape: Shape) {
    let items = black_box(shape.items);
    match way {
        Way::Collect => drop(black_box(trivial_batched(0..items).collect::<Vec<_>>().expect("it fits"))),
        Way::ForEachBatch => {
            let mut sum = 0u64;
            trivial_batched(0..items)
                .for_each_batch(|batch| sum = batch.iter().fold(sum, |sum, &x| sum.wrapping_add(x)))
                .expect("it fits");
            black_box(sum);
        }
        _ => drop(black_box(collect(way, Shape { items, ..shape }, trivial))),
    }
}

/// The median of many measurements. Each has enough calls for the clock to tell them.
fn trivial_nanos(way: Way, shape: Shape) -> f64 {
    let time = |calls: u32| {
        let begun = Instant::now();
        for _ in 0..calls {
            run_trivial(way, shape);
        }
        begun.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    let calls = (10_000.0 / time(100)).clamp(1.0, 1000.0) as u32;
    median(&mut (0..501).map(|_| time(calls)).collect::<Vec<_>>())
}

/// The time in which all cores together fill that many bytes, in buffers that exist already and are
/// larger than caches: the best that memory allows.
pub(crate) fn fill(bytes: u64) -> f64 {
    let threads = rayon::current_num_threads();
    let mut buffers: Vec<Vec<u8>> = (0..threads).map(|_| vec![1; BUDGET.as_u64() as usize / threads]).collect();
    let passes = bytes / BUDGET.as_u64();
    let begun = Instant::now();
    thread::scope(|scope| {
        for buffer in &mut buffers {
            scope.spawn(move || {
                for pass in 0..passes {
                    black_box(&mut *buffer).fill(pass as u8);
                }
            });
        }
    });
    begun.elapsed().as_nanos() as f64
}
