//! The rows of the table: calls of different lengths, in different shapes, and their sinks.

use std::time::Duration;

/// The work of a run, over all threads together, unless a row would have too few items then.
const WORK: Duration = Duration::from_millis(1000);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    Even,
    /// One in a hundred takes a hundred times as long.
    Heavy,
    /// Each second one takes nine times as long.
    Bimodal,
    /// The last one takes 19 times as long as the first.
    Growing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Cores,
    /// Goes through more memory than caches hold.
    Memory,
    /// Half of each.
    HalfMemory,
    /// Sleeps.
    Sleep,
    /// Half of it is asleep.
    HalfSleep,
    /// Reads from a pipe what another thread writes after a while.
    Pipe,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sink {
    Fast,
    /// Computes for this many times as long as two threads need for the results that it gets.
    Computes(u32),
    /// Waits for the same time.
    Waits(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Mean nanoseconds of a call.
    pub(super) call: u64,
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    pub(super) bytes: usize,
    pub(super) sink: Sink,
    pub(super) sample: usize,
    /// Threads that are asked for.
    pub(super) threads: Option<usize>,
    /// Milliseconds of calls, of all threads together.
    pub(super) work: u64,
}

const fn row(name: &'static str, what: &'static str, call: u64) -> Row {
    let (shape, kind, bytes, sink, sample) = (Shape::Even, Kind::Cores, 8, Sink::Fast, 5);
    Row { name, what, call, shape, kind, bytes, sink, sample, threads: None, work: WORK.as_millis() as u64 }
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

    const fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Milliseconds of calls: those that wait are made by many threads at a time.
    const fn work(mut self, milliseconds: u64) -> Self {
        self.work = milliseconds;
        self
    }

    pub(super) fn items(self) -> usize {
        // Enough for one each of a hundred kinds.
        (self.work * MS / self.call).max(if self.shape == Shape::Even { 20 } else { 200 }) as usize
    }
}

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

pub(super) const ROWS: &[Row] = &[
    row("even-1us", "even, 1 us", US),
    row("even-10us", "even, 10 us", 10 * US),
    row("even-100us", "even, 100 us", 100 * US),
    row("even-1ms", "even, 1 ms", MS),
    row("even-10ms", "even, 10 ms", 10 * MS),
    row("even-100ms", "even, 100 ms", 100 * MS),
    row("even-asked", "even, 1 ms, 8 threads asked for", MS).threads(8),
    row("heavy-1us-5", "1 % heavy by 100, 1 us", US).shape(Shape::Heavy),
    row("heavy-1us-2000", "the same", US).shape(Shape::Heavy).sample(2000),
    row("heavy-10us-1000", "1 % heavy by 100, 10 us", 10 * US).shape(Shape::Heavy).sample(1000),
    row("heavy-100us-5", "1 % heavy by 100, 100 us", 100 * US).shape(Shape::Heavy),
    row("heavy-100us-300", "the same", 100 * US).shape(Shape::Heavy).sample(300),
    row("heavy-1ms-300", "1 % heavy by 100, 1 ms", MS).shape(Shape::Heavy).sample(300),
    row("heavy-10ms-5", "1 % heavy by 100, 10 ms", 10 * MS).shape(Shape::Heavy),
    row("bimodal-1us-100", "each second one heavy by 9, 1 us", US).shape(Shape::Bimodal).sample(100),
    row("bimodal-10us-50", "each second one heavy by 9, 10 us", 10 * US).shape(Shape::Bimodal).sample(50),
    row("bimodal-100us-5", "each second one heavy by 9, 100 us", 100 * US).shape(Shape::Bimodal),
    row("bimodal-100us-50", "the same", 100 * US).shape(Shape::Bimodal).sample(50),
    row("bimodal-1ms-20", "each second one heavy by 9, 1 ms", MS).shape(Shape::Bimodal).sample(20),
    row("bimodal-10ms-20", "each second one heavy by 9, 10 ms", 10 * MS).shape(Shape::Bimodal).sample(20),
    row("growing-1us-5", "growing by 19, 1 us", US).shape(Shape::Growing),
    row("growing-10us-300", "growing by 19, 10 us", 10 * US).shape(Shape::Growing).sample(300),
    row("growing-100us-5", "growing by 19, 100 us", 100 * US).shape(Shape::Growing),
    row("growing-100us-300", "the same", 100 * US).shape(Shape::Growing).sample(300),
    row("growing-1ms-50", "growing by 19, 1 ms", MS).shape(Shape::Growing).sample(50),
    row("growing-10ms-20", "growing by 19, 10 ms", 10 * MS).shape(Shape::Growing).sample(20),
    row("memory-100us", "even, 100 us, memory-bound", 100 * US).kind(Kind::Memory),
    row("memory-1ms", "even, 1 ms, memory-bound", MS).kind(Kind::Memory),
    row("memory-10ms", "even, 10 ms, memory-bound", 10 * MS).kind(Kind::Memory),
    row("memory-half", "even, 1 ms, half memory-bound", MS).kind(Kind::HalfMemory),
    row("memory-bimodal", "each second one heavy by 9, 1 ms, memory-bound", MS)
        .kind(Kind::Memory)
        .shape(Shape::Bimodal)
        .sample(50),
    row("sleep-100us", "even, 0.1 ms asleep", 100 * US).kind(Kind::Sleep).work(5_000),
    row("sleep-1ms", "even, 1 ms asleep", MS).kind(Kind::Sleep).work(50_000),
    row("sleep-5ms", "even, 5 ms asleep", 5 * MS).kind(Kind::Sleep).work(100_000),
    row("sleep-100ms", "even, 100 ms asleep", 100 * MS).kind(Kind::Sleep).work(100_000),
    row("sleep-few", "even, 5 ms asleep, 200 calls", 5 * MS).kind(Kind::Sleep).work(1_000),
    row("sleep-asked", "even, 5 ms asleep, 16 threads asked for", 5 * MS).kind(Kind::Sleep).threads(16).work(8_000),
    row("sleep-bimodal", "each second one heavy by 9, 5 ms asleep", 5 * MS)
        .kind(Kind::Sleep)
        .shape(Shape::Bimodal)
        .sample(20)
        .work(100_000),
    row("pipe-1ms", "even, 1 ms in a read from a pipe", MS).kind(Kind::Pipe).work(50_000),
    row("pipe-5ms", "even, 5 ms in a read from a pipe", 5 * MS).kind(Kind::Pipe).work(100_000),
    row("mixed-100us", "even, 0.1 ms, half asleep", 100 * US).kind(Kind::HalfSleep),
    row("mixed-1ms", "even, 1 ms, half asleep", MS).kind(Kind::HalfSleep).work(2_000),
    row("mixed-5ms", "even, 5 ms, half asleep", 5 * MS).kind(Kind::HalfSleep).work(2_000),
    row("results-10us-4KiB", "even, 10 us, results of 4 KiB", 10 * US).bytes(4 << 10),
    row("results-100us-64KiB", "even, 0.1 ms, results of 64 KiB", 100 * US).bytes(64 << 10),
    row("results-100us-256KiB", "even, 0.1 ms, results of 256 KiB", 100 * US).bytes(256 << 10),
    row("results-1ms-4KiB", "even, 1 ms, results of 4 KiB", MS).bytes(4 << 10),
    row("results-1ms-256KiB", "even, 1 ms, results of 256 KiB", MS).bytes(256 << 10),
    row("results-1ms-1MiB", "even, 1 ms, results of 1 MiB", MS).bytes(1 << 20),
    row("results-10ms-4MiB", "even, 10 ms, results of 4 MiB", 10 * MS).bytes(4 << 20),
    row("results-bimodal", "each second one heavy by 9, 1 ms, results of 256 KiB", MS)
        .bytes(256 << 10)
        .shape(Shape::Bimodal)
        .sample(50),
    row("results-sleep", "even, 5 ms asleep, results of 256 KiB", 5 * MS)
        .kind(Kind::Sleep)
        .bytes(256 << 10)
        .work(20_000),
    row("sink-equal", "even, 1 ms, sink computes as long", MS).sink(Sink::Computes(1)),
    row("sink-slow", "even, 1 ms, sink computes twice as long", MS).sink(Sink::Computes(2)),
    row("sink-10us", "even, 10 us, sink computes as long", 10 * US).sink(Sink::Computes(1)),
    row("sink-waits-equal", "even, 1 ms, sink waits as long", MS).sink(Sink::Waits(1)),
    row("sink-waits-slow", "even, 1 ms, sink waits twice as long", MS).sink(Sink::Waits(2)),
    row("sink-results", "even, 1 ms, results of 256 KiB, sink computes as long", MS)
        .bytes(256 << 10)
        .sink(Sink::Computes(1)),
    row("sink-bimodal", "each second one heavy by 9, 1 ms, sink computes twice as long", MS)
        .shape(Shape::Bimodal)
        .sample(50)
        .sink(Sink::Computes(2)),
];
