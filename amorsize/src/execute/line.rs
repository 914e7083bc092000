//! The two ends of a run, both on the calling thread: items come in from the input, results go out to whatever takes them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::buffer::Results;
use super::chunk::{Chunk, Shared};
use super::control::{ChunkId, Finished, Payload};

/// Whether a run is to go on after results were handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    /// The taker has enough for now.
    Enough,
    /// The taker wants no more at all.
    Stop,
}

/// What became of results that were given to an outlet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    /// Results handed over since the last call, which need no credit any longer.
    pub(crate) items: usize,
    pub(crate) bytes: u64,
    pub(crate) flow: Flow,
}

impl Accepted {
    /// The results are kept.
    pub(crate) const KEPT: Self = Self { items: 0, bytes: 0, flow: Flow::Continue };
}

/// What takes the results of a run.
pub(crate) trait Outlet<R> {
    /// Places for the results of the next `count` items in order.
    fn place(&mut self, _count: usize) -> Results<R> {
        Results::unplaced()
    }

    /// Says that all places that were not used are free again.
    fn reclaim(&mut self) {}

    /// Takes results; `start` is the index of the first one's item.
    fn accept(&mut self, results: Results<R>, start: usize, bytes: u64) -> Accepted;

    /// Hands over what is held back to fill a batch.
    fn flush(&mut self) -> Accepted;

    /// How many more results fill the batch.
    fn wanted(&self) -> usize;

    /// Whether results are held back that `flush` would hand over.
    fn holds(&self) -> bool;

    /// Sets the items per batch that the plan found.
    fn set_batch_size(&mut self, items: usize);

    /// Whether the results are kept until the end, so that no credit comes back before.
    fn collects(&self) -> bool {
        false
    }
}

/// The input of a run.
pub(crate) struct Source<I: IntoIterator, R> {
    input: Option<I>,
    iterator: Option<I::IntoIter>,
    ended: bool,
    /// Items pulled for the calling thread itself that are not run yet.
    held: Option<Box<Chunk<I::Item, R>>>,
    /// Chunks to be used again.
    #[expect(clippy::vec_box, reason = "chunks travel boxed, so that handing one on moves a pointer")]
    spare: Vec<Box<Chunk<I::Item, R>>>,
}

impl<I: IntoIterator, R> Source<I, R> {
    pub(crate) fn new(input: I) -> Self {
        Self { input: Some(input), iterator: None, ended: false, held: None, spare: Vec::new() }
    }

    fn iterator(&mut self) -> &mut I::IntoIter {
        if let Some(input) = self.input.take() {
            self.iterator = Some(input.into_iter());
        }
        self.iterator.as_mut().expect("set above")
    }

    fn held_items(&self) -> usize {
        self.held.as_ref().map_or(0, |chunk| chunk.items.len())
    }

    /// Items that are left, at least and at most.
    pub(crate) fn left(&mut self) -> (usize, Option<usize>) {
        let held = self.held_items();
        if self.ended {
            return (held, Some(held));
        }
        let (least, most) = self.iterator().size_hint();
        (least.saturating_add(held), most.and_then(|most| most.checked_add(held)))
    }

    /// A chunk with up to `count` items.
    fn pull(&mut self, count: usize) -> Box<Chunk<I::Item, R>> {
        if let Some(held) = self.held.take() {
            return held;
        }
        let mut chunk = self.spare.pop().unwrap_or_else(Chunk::empty);
        if !self.ended {
            chunk.items.fill(self.iterator(), count);
            // An iterator that said `None` is not asked again: it need not be fused.
            self.ended = chunk.items.len() < count;
        }
        chunk
    }

    fn recycle(&mut self, chunk: Box<Chunk<I::Item, R>>) {
        // More than the chunks ahead of a few workers are never in use at a time.
        if self.spare.len() < 64 {
            self.spare.push(chunk);
        }
    }
}

/// What the calling thread did by itself.
pub(crate) struct Inlined {
    pub(crate) items: usize,
    /// Bytes that the results own beside their own size.
    pub(crate) heap: u64,
    pub(crate) largest: u64,
    /// Seconds in the function, where they were asked for.
    pub(crate) seconds: Option<f64>,
    pub(crate) panic: Option<Payload>,
}

/// What was pulled for the workers.
pub(crate) struct Pulled {
    pub(crate) id: ChunkId,
    pub(crate) items: usize,
    pub(crate) bytes: u64,
}

/// Input and outlet of a run, as the part of the executor sees them that is compiled once.
pub(crate) trait Ends {
    /// Pulls up to `count` items and calls the function for them until the results own more than `allowance` bytes.
    /// With `timed` it tells how long the calls alone took.
    fn inline(&mut self, count: usize, allowance: u64, timed: bool) -> Inlined;
    /// Hands over what [`inline`](Self::inline) made.
    fn hand_over_inlined(&mut self, start: usize, bytes: u64) -> Accepted;
    /// Pulls up to `count` items for a worker, if there are any.
    fn pull(&mut self, count: usize) -> Option<Pulled>;
    /// Hands over a chunk's results.
    fn hand_over(&mut self, finished: Finished) -> Accepted;
    fn flush(&mut self) -> Accepted;
    fn wanted(&self) -> usize;
    fn holds(&self) -> bool;
    fn set_batch_size(&mut self, items: usize);
    fn left(&mut self) -> (usize, Option<usize>);
    fn ended(&self) -> bool;
    fn collects(&self) -> bool;
    /// Whether results can own more bytes than their size says.
    fn measures(&self) -> bool;
}

pub(crate) struct Line<'a, I: IntoIterator, R, C> {
    pub(crate) source: &'a mut Source<I, R>,
    pub(crate) shared: &'a Shared<I::Item, R, C>,
    pub(crate) outlet: &'a mut dyn Outlet<R>,
    /// Results of the last call of `inline`.
    pub(crate) inlined: Option<Results<R>>,
}

impl<I: IntoIterator, R, C> Ends for Line<'_, I, R, C> {
    fn inline(&mut self, count: usize, allowance: u64, timed: bool) -> Inlined {
        let mut chunk = self.source.pull(count);
        let count = chunk.items.len().min(count);
        chunk.results = self.outlet.place(count);
        chunk.results.ensure(count);
        let mut done = Inlined { items: 0, heap: 0, largest: 0, seconds: None, panic: None };
        let begun = timed.then(Instant::now);
        let at_once = if self.measures() { 1 } else { count };
        done.panic = catch(&mut || {
            while done.items < count && done.heap <= allowance {
                let (heap, largest) = self.shared.step(&mut chunk, at_once);
                done.items += at_once;
                done.heap += heap;
                done.largest = done.largest.max(largest);
            }
        });
        done.seconds = begun.map(|begun| begun.elapsed().as_secs_f64());
        done.items = chunk.results.len();
        self.inlined = Some(std::mem::replace(&mut chunk.results, Results::unplaced()));
        if chunk.items.len() > 0 {
            self.source.held = Some(chunk);
        } else {
            self.source.recycle(chunk);
        }
        done
    }

    fn hand_over_inlined(&mut self, start: usize, bytes: u64) -> Accepted {
        let results = self.inlined.take().expect("made by `inline`");
        let accepted = self.outlet.accept(results, start, bytes);
        self.outlet.reclaim();
        accepted
    }

    fn pull(&mut self, count: usize) -> Option<Pulled> {
        let mut chunk = self.source.pull(count);
        let items = chunk.items.len();
        if items == 0 {
            self.source.recycle(chunk);
            return None;
        }
        chunk.results = self.outlet.place(items);
        let bytes = self.shared.input_bytes(&chunk);
        Some(Pulled { id: self.shared.add(chunk), items, bytes })
    }

    fn hand_over(&mut self, finished: Finished) -> Accepted {
        let mut chunk = self.shared.remove(finished.id);
        let results = std::mem::replace(&mut chunk.results, Results::unplaced());
        // Items that were not run because one of them panicked go with it.
        if chunk.items.len() == 0 {
            self.source.recycle(chunk);
        }
        self.outlet.accept(results, finished.start, finished.bytes)
    }

    fn flush(&mut self) -> Accepted {
        self.outlet.flush()
    }

    fn wanted(&self) -> usize {
        self.outlet.wanted()
    }

    fn holds(&self) -> bool {
        self.outlet.holds()
    }

    fn set_batch_size(&mut self, items: usize) {
        self.outlet.set_batch_size(items);
    }

    fn left(&mut self) -> (usize, Option<usize>) {
        self.source.left()
    }

    fn ended(&self) -> bool {
        self.source.ended && self.source.held_items() == 0
    }

    fn collects(&self) -> bool {
        self.outlet.collects()
    }

    fn measures(&self) -> bool {
        self.shared.measure.1.heap.is_some()
    }
}

/// Calls `body` and gives what it panicked with; compiled once.
fn catch(body: &mut dyn FnMut()) -> Option<Payload> {
    catch_unwind(AssertUnwindSafe(body)).err()
}
