//! The ways to do the same work, each as its own documentation recommends, or as people write it by
//! hand.
//!
//! All give results in input order. `collect` gives them all, `each` hands them one by one to a
//! sink on the calling thread. A way that can't hand over results before the end collects them
//! first, as its users do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;

/// One way. The last five are `amorsize` itself; `Tenths` shows the cost of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Loop,
    Rayon,
    RayonChunks,
    RayonBatches,
    Orx,
    Pariter,
    Paralight,
    Scope,
    Crossbeam,
    Collect,
    ForEachBatch,
    IntoIter,
    Iterate,
    Tenths,
}

impl Way {
    /// The ways in a table, in its order.
    pub(crate) const ALL: [Self; 13] = [
        Self::Loop,
        Self::Rayon,
        Self::RayonChunks,
        Self::RayonBatches,
        Self::Orx,
        Self::Pariter,
        Self::Paralight,
        Self::Scope,
        Self::Crossbeam,
        Self::Collect,
        Self::ForEachBatch,
        Self::IntoIter,
        Self::Iterate,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Loop => "plain loop",
            Self::Rayon => "rayon `collect`",
            Self::RayonChunks => "rayon, 256 items per task",
            Self::RayonBatches => "rayon, batches of 256 by hand",
            Self::Orx => "orx-parallel",
            Self::Pariter => "pariter",
            Self::Paralight => "paralight",
            Self::Scope => "`thread::scope` by hand",
            Self::Crossbeam => "crossbeam channels by hand",
            Self::Collect => "amorsize `collect`",
            Self::ForEachBatch => "amorsize `for_each_batch`",
            Self::IntoIter => "amorsize `into_iter`",
            Self::Iterate => "amorsize `iterate`",
            Self::Tenths => "amorsize `for_each_batch`, 10 batches",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Collect | Self::ForEachBatch | Self::IntoIter | Self::Iterate | Self::Tenths)
    }

    /// Ends a process that was asked for a way that its row does not have.
    pub(crate) fn is_not_of_this_row(self) -> ! {
        unreachable!("{} is not a way of this row", self.name())
    }

    /// True if all results are there before the first is handed over.
    pub(crate) fn holds_all(self) -> bool {
        matches!(self, Self::Rayon | Self::RayonChunks | Self::Orx | Self::Paralight | Self::Scope | Self::Collect)
    }
}

/// Facts about a row for the ways that are tuned by hand.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) items: usize,
    /// Items that a thread takes at a time, in the ways that are written by hand.
    pub(crate) grain: usize,
    /// True if all items take about the same time.
    pub(crate) even: bool,
}

impl Shape {
    fn chunk(self, index: usize) -> Range<usize> {
        index * self.grain..self.items.min((index + 1) * self.grain)
    }

    fn chunks(self) -> usize {
        self.items.div_ceil(self.grain)
    }
}

fn cores() -> usize {
    rayon::current_num_threads()
}

/// Starts the pool of a way that keeps one. Most rows do not measure that start.
pub(crate) fn warm_up(way: Way) {
    match way {
        Way::Loop | Way::Pariter | Way::Scope | Way::Crossbeam => {}
        Way::Orx => drop(collect(way, Shape { items: 10_000, grain: 1, even: true }, |index| index)),
        Way::Paralight => drop(collect(way, Shape { items: cores(), grain: 1, even: true }, |index| index)),
        _ => drop(rayon::broadcast(|_| ())),
    }
}

pub(crate) fn collect<R: Send>(way: Way, shape: Shape, f: impl Fn(usize) -> R + Copy + Send + Sync) -> Vec<R> {
    let items = shape.items;
    match way {
        Way::Loop => (0..items).map(f).collect(),
        Way::Rayon => {
            use rayon::prelude::*;
            (0..items).into_par_iter().map(f).collect()
        }
        Way::RayonChunks => {
            use rayon::prelude::*;
            let chunk = |start| start..items.min(start + 256);
            let chunks = (0..items.div_ceil(256)).into_par_iter();
            chunks.flat_map_iter(|index| chunk(index * 256).map(f)).collect()
        }
        Way::Orx => {
            use orx_parallel::*;
            (0..items).par().map(f).collect()
        }
        Way::Paralight => paralight(shape, f),
        Way::Scope => scope(shape, f),
        Way::RayonBatches | Way::Pariter | Way::Crossbeam => {
            let mut all = Vec::with_capacity(items);
            each(way, shape, f, |result| all.push(result));
            all
        }
        Way::Collect | Way::ForEachBatch | Way::IntoIter | Way::Iterate | Way::Tenths => way.is_not_of_this_row(),
    }
}

pub(crate) fn each<R: Send>(
    way: Way,
    shape: Shape,
    f: impl Fn(usize) -> R + Copy + Send + Sync,
    mut sink: impl FnMut(R),
) {
    match way {
        Way::Loop => (0..shape.items).map(f).for_each(sink),
        Way::RayonBatches => {
            use rayon::prelude::*;
            let mut batch = Vec::new();
            for start in (0..shape.items).step_by(256) {
                let items = start..shape.items.min(start + 256);
                items.into_par_iter().map(f).collect_into_vec(&mut batch);
                batch.drain(..).for_each(&mut sink);
            }
        }
        Way::Pariter => {
            use pariter::IteratorExt;
            thread::scope(|scope| (0..shape.items).parallel_map_scoped(scope, f).for_each(sink));
        }
        Way::Crossbeam => crossbeam(shape, f, sink),
        _ => collect(way, shape, f).into_iter().for_each(sink),
    }
}

/// Its documentation recommends `Fixed` for items that take about the same time and `WorkStealing`
/// for others, and keeps one pool for the whole program in a `Mutex` like this.
fn paralight<R: Send>(shape: Shape, f: impl Fn(usize) -> R + Send + Sync) -> Vec<R> {
    use paralight::prelude::*;
    use paralight::threads::ThreadPool;

    fn pool(range_strategy: RangeStrategy) -> Mutex<ThreadPool> {
        let num_threads = ThreadCount::try_from(cores()).expect("there is a core");
        Mutex::new(ThreadPoolBuilder { num_threads, range_strategy, cpu_pinning: CpuPinningPolicy::No }.build())
    }
    static FIXED: LazyLock<Mutex<ThreadPool>> = LazyLock::new(|| pool(RangeStrategy::Fixed));
    static STEALING: LazyLock<Mutex<ThreadPool>> = LazyLock::new(|| pool(RangeStrategy::WorkStealing));

    let pool = if shape.even { &FIXED } else { &STEALING };
    let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
    (0..shape.items).into_par_iter().map(f).with_thread_pool(&mut *pool).collect()
}

/// Threads that take chunks by an atomic index, and keep their results until the end.
fn scope<R: Send>(shape: Shape, f: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let mut parts: Vec<(usize, Vec<R>)> = thread::scope(|scope| {
        let work = || {
            let mut parts = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= shape.chunks() {
                    return parts;
                }
                parts.push((index, shape.chunk(index).map(&f).collect()));
            }
        };
        let threads: Vec<_> = (0..cores()).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("the function does not panic")).collect()
    });
    parts.sort_unstable_by_key(|&(index, _)| index);
    let mut all = Vec::with_capacity(shape.items);
    for (_, mut part) in parts {
        all.append(&mut part);
    }
    all
}

/// Bounded channels of chunks to the workers and back. The calling thread sends at most four chunks
/// ahead for each worker, and puts the chunks that come back into order.
fn crossbeam<R: Send>(shape: Shape, f: impl Fn(usize) -> R + Sync, mut sink: impl FnMut(R)) {
    let ahead = 4 * cores();
    let (to_workers, todo) = crossbeam_channel::bounded::<usize>(ahead);
    let (from_workers, done) = crossbeam_channel::bounded::<(usize, Vec<R>)>(ahead);
    thread::scope(|scope| {
        for _ in 0..cores() {
            let (todo, from_workers, f) = (todo.clone(), from_workers.clone(), &f);
            scope.spawn(move || {
                for index in todo {
                    from_workers.send((index, shape.chunk(index).map(f).collect())).expect("the caller is there");
                }
            });
        }
        drop(todo);
        let (mut fed, mut handed) = (0, 0);
        let mut early = BTreeMap::new();
        while handed < shape.chunks() {
            while fed < shape.chunks().min(handed + ahead) {
                to_workers.send(fed).expect("the workers are there");
                fed += 1;
            }
            let chunk = early.remove(&handed).unwrap_or_else(|| {
                loop {
                    match done.recv().expect("the workers are there") {
                        (index, chunk) if index == handed => return chunk,
                        (index, chunk) => early.insert(index, chunk),
                    };
                }
            });
            handed += 1;
            chunk.into_iter().for_each(&mut sink);
        }
        drop(to_workers);
    });
}
