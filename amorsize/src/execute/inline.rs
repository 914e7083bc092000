//! A run on the calling thread: in stretches that grow, until threads are expected to pay. A
//! stretch is a number of items that run between two looks around.

use super::words::MEASURED_EVERY;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::line::{Inlined, Line};
use super::refusals::oversize;
use crate::adapt::alone::{self, Next};
use crate::adapt::sizes::{BATCH_BYTES, CHUNK_SECONDS, HANDED_SECONDS, Sizes};
use crate::buffer::Restored;
use crate::error::Error;
use crate::error::failure::{Ended, discard};
use crate::memory::credit::Credit;
use crate::memory::working::{HEADROOM_PART, NOISE, bound};
use crate::options::choices::OnPanic;
use crate::output::outlet::Flow;
use crate::plan::{Plan, WARM_START_SECONDS};
use crate::system::sync;
use crate::system::thread_time::{SHORTEST, TIMED_ALONE};
use crate::units::measured_by::MeasuredBy;

/// The least cost of a stretch beyond its items. The first stretches are so short that this is most
/// of their time.
const STRETCH_SECONDS: f64 = 100e-9;
/// At most a stretch is this many times as long as the one before. One item says little of the next
/// ones, and 32 that are much slower are still few; after them, 1,000 more probably take about the
/// same time.
const GROWTH: usize = 32;
/// With more items than this for each stated thread, the first call by itself takes less than a
/// fifth of the time.
const FEW: usize = 4;

/// The outcome of a part of a run on the calling thread.
pub(super) enum Inline {
    Done(Flow),
    GoParallel(Sizes),
}

impl Engine {
    pub(super) fn inline(&mut self, line: &mut Line<'_>) -> Result<Inline, Ended> {
        if self.plan.is_none() && self.opens_on_threads(line) {
            self.plan = Some(self.first_plan(line)?);
        }
        loop {
            self.look();
            if line.ended() {
                let flow = self.flush(line);
                return Ok(Inline::Done(if flow == Flow::Stop { Flow::Stop } else { Flow::Continue }));
            }
            if let Some(interrupt) = line.work.tools.interrupts.now() {
                return Err(self.interrupted(&line.work.tools.interrupts, interrupt));
            }
            // Decide before a stretch rather than after it: an iterator's caller comes back for
            // each one.
            let may_overlap = line.stock.asks.may_overlap();
            // A plan that keeps the run here may be one that the user asked for. Calls change, and
            // the system's memory has to be watched.
            if self.plan.as_ref().is_none_or(|plan| plan.threads() == 1 || !may_overlap) {
                let is_due = if self.alone.is_at_it() {
                    self.alone.after_stretch(self.done()) == Next::Threads
                } else {
                    self.spent >= self.decide_at
                };
                if is_due {
                    if let Some(plan) = self.decide(line)? {
                        self.plan = Some(plan);
                    }
                    // The system was asked for its memory, which is no part of the next call.
                    self.now = Some(sync::now());
                }
            }
            if let Some(plan) = self.plan.take_if(|plan| may_overlap && plan.threads() > 1) {
                let (threads, done) = (plan.threads(), self.done());
                // The run may stay here for long, to find out if threads are faster.
                self.start_watch()?;
                if self.alone.begin(self.may_be_faster_alone(line), threads, done) == Next::Threads {
                    let sizes = plan.sizes();
                    self.plan = Some(plan);
                    return Ok(Inline::GoParallel(sizes));
                }
                if self.options.batch_items().is_none() {
                    let flow = self.flush(line);
                    if flow != Flow::Continue {
                        return Ok(Inline::Done(flow));
                    }
                }
                self.begin_handing_over_alone(line);
            }
            if line.is_to_flush(true) {
                let flow = self.flush(line);
                if flow != Flow::Continue {
                    return Ok(Inline::Done(flow));
                }
            }
            let room = self.in_flight_room(line.outlet);
            let mut most = self.affordable().min(room);
            if most == 0 {
                if self.budget.is_none() && room > 0 {
                    self.budget()?;
                    continue;
                }
                let holds = line.outlet.holds();
                let flow = self.flush(line);
                if flow != Flow::Continue {
                    return Ok(Inline::Done(flow));
                }
                if holds {
                    continue;
                }
                let is_full = self.needed() > self.ledger.free();
                if line.outlet.collected() > Some(0) && is_full {
                    if line.work.waits_for_store() {
                        continue;
                    }
                    return Err(self.over_budget(self.books.next, self.needed(), line).into());
                }
                if self.options.refuses_oversize() && self.needed() > self.ledger.budget().as_u64() {
                    return Err(oversize(self.books.next, self.needed(), &self.ledger, self.measured_by).into());
                }
                // A call that alone needs more than the budget runs alone.
                most = 1;
            }
            let measured = self.is_measured();
            let flow = self.inline_stretch(line, most, measured)?;
            if flow != Flow::Continue {
                return Ok(Inline::Done(flow));
            }
        }
    }

    /// Hands over the results that the outlet holds. If they are the last ones, the sink's time
    /// with them is the run's.
    fn flush(&mut self, line: &mut Line<'_>) -> Flow {
        let holds = line.outlet.holds();
        let flow = line.flush();
        if holds && (line.ended() || flow != Flow::Continue) {
            self.now = Some(sync::now());
        }
        flow
    }

    /// True if the first calls should run at the same time: the threads are stated, and there are
    /// few items, so that waiting for the first call would take much of the time.
    fn opens_on_threads(&self, line: &mut Line<'_>) -> bool {
        let Some(threads) = self.options.threads.filter(|&threads| threads > 1) else { return false };
        let is_new = self.books.next_to_run() == 0 && self.books.learned.items == 0 && line.stock.asks.may_overlap();
        let few = 2..=FEW * threads;
        is_new && self.options.most_in_flight() > 1 && line.left_exactly().is_some_and(|left| few.contains(&left))
    }

    /// A plan for calls of an unknown kind.
    fn first_plan(&mut self, line: &mut Line<'_>) -> Result<Plan, Error> {
        self.start_recorder(self.origin());
        line.outlet.begin_timing(self.origin());
        let situation = self.situation(line)?;
        let plan = Plan::new(&self.books.learned, &situation);
        line.work.tools.span.planned(&plan);
        Ok(plan)
    }

    /// Runs the next stretch of at most `most` items.
    pub(super) fn inline_stretch(&mut self, line: &mut Line<'_>, most: usize, measured: bool) -> Result<Flow, Ended> {
        if line.stock.resumes
            && let Some(restored) = line.restore()
        {
            let flow = self.pass_over(line, restored);
            // Reading them is no part of the next call.
            self.now = self.now.map(|_| sync::now());
            return Ok(flow);
        }
        let count = self.stretch.min(most);
        // The time of an input and a sink that wait for each other must not count as time of calls.
        let timed = count as f64 * self.pace > TIMED_ALONE.as_secs_f64() || line.stock.asks.are_single();
        let first = self.books.next;
        let (done, handed_over, flow) = self.inline_part(line, count, timed, measured);
        let mut stretch = done.stretch;
        if let Some(used) = done.used {
            self.books.learned.waits.add(used, true);
            self.measure_at = self.spent + MEASURED_EVERY.as_secs_f64();
        }
        let now = sync::now();
        let seconds = self.now.map_or(Duration::ZERO, |before| now - before).as_secs_f64() - done.measuring;
        self.now = Some(now);
        let handling = if timed {
            Some((seconds - stretch.seconds - STRETCH_SECONDS).max(0.0))
        } else {
            let in_sink = handed_over.map(|begun| (now - begun).as_secs_f64());
            stretch.seconds = (seconds - done.asked - in_sink.unwrap_or(0.0)).max(0.0);
            self.beside_calls += done.asked;
            in_sink
        };
        if let Some(handling) = handling.filter(|_| stretch.items > 0) {
            self.books.learned.handling = handling / stretch.items as f64;
            // The run's own share of taking an item in and handing its result over takes 50 to 170
            // ns. More than twice the cost of a stretch is the time of the input or the sink.
            self.beside_calls += (handling - 2.0 * STRETCH_SECONDS * stretch.items as f64).max(0.0);
        }
        if line.work.items_are_opaque() {
            self.item_bound = bound(seconds / stretch.items.max(1) as f64);
        }
        self.books.learned.add(stretch);
        if timed && stretch.items > 0 {
            line.stock.asks.call = stretch.seconds / stretch.items as f64;
        }
        let least = if timed { stretch.seconds } else { (stretch.seconds - STRETCH_SECONDS).max(0.0) };
        self.pace = least / stretch.items.max(1) as f64;
        // A slow input must not bring the decision forward.
        self.spent += if line.stock.asks.may_wait() { seconds - done.asked } else { seconds };
        if self.spent >= WARM_START_SECONDS {
            self.books.extremes.get_or_insert_default().note(first, &stretch);
        }
        if let Some(payload) = done.panic {
            // If the result is there, the measurement panicked, and the result stays.
            let item = if done.is_lost { self.books.next } else { self.books.next.saturating_sub(1) };
            self.books.next += usize::from(done.is_lost);
            match self.options.on_panic {
                // The stop comes before the panic, with which the rest of the run begins.
                OnPanic::Propagate if flow == Flow::Stop => self.delay(Ended::Panic(payload)),
                OnPanic::Propagate => return Err(Ended::Panic(payload)),
                _ if done.is_lost => {
                    self.books.panics.add(item, payload).into_iter().for_each(discard);
                }
                _ => discard(payload),
            }
        }
        self.stretch = if line.stock.asks.are_single() { 1 } else { self.next_stretch(line) };
        match self.pending.take_if(|_| flow != Flow::Stop) {
            // The code that tells resident memory panicked.
            Some(panic) => Err(panic),
            None => Ok(flow),
        }
    }

    /// Hands over the results of items that need not run, if they have any.
    #[cold]
    fn pass_over(&mut self, line: &mut Line<'_>, restored: Restored) -> Flow {
        let Restored { items, results, bytes, are_outside, .. } = restored;
        let start = self.books.next;
        self.books.pass_over(items, are_outside);
        let Some(mut results) = results else { return Flow::Continue };
        let bytes = line.work.bytes_of(&results, bytes, self.result_size);
        self.books.restored_bytes += bytes;
        results.credit = Credit::of_results(&self.ledger, items, bytes, 0);
        line.hand_over_inlined(results, start)
    }

    /// Runs the next `count` items and hands over their results. Inlined, because returning all
    /// these values takes 100 of a stretch's 1,300 instructions.
    ///
    /// Gives the time of the hand-over, too, if it fills a batch and the calls are not timed: the
    /// time of a sink must not count as theirs.
    #[inline(always)]
    fn inline_part(
        &mut self,
        line: &mut Line<'_>,
        count: usize,
        timed: bool,
        measured: bool,
    ) -> (Inlined, Option<Instant>, Flow) {
        let (mut done, mut results) = line.inline(count, timed, measured);
        let fills_batch = !timed && line.outlet.hands_over() && line.outlet.wanted() <= count;
        let handed_over = fills_batch.then(sync::now);
        line.work.keep(self.books.next, &results, (done.is_lost.into(), done.cut_at));
        let result_bytes = self.result_size as u64;
        let stretch = &mut done.stretch;
        if done.panic.is_some() && !done.is_lost && stretch.items > 0 {
            // The last result could not be measured, and counts as large as the largest before it.
            let largest = stretch.largest.max(self.books.learned.largest.saturating_sub(result_bytes));
            stretch.bytes = stretch.bytes.saturating_add(largest);
        }
        stretch.bytes = stretch.bytes.saturating_add(result_bytes * stretch.items as u64);
        stretch.largest = stretch.largest.saturating_add(result_bytes);
        if self.resident.is_some() {
            let before = self.resident;
            // A panic must not take the results along.
            self.try_read_resident().unwrap_or_else(|payload| self.delay(Ended::Panic(payload)));
            let grown = self.resident.zip(before).map_or(0, |(now, before)| now.saturating_sub(before));
            // No thread can write as much in this time: it is another part of the program's.
            let seconds = self.now.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
            let grown = if grown > NOISE.max(bound(seconds)) { 0 } else { grown };
            stretch.bytes = stretch.bytes.max(grown);
            stretch.largest = stretch.largest.max(grown / stretch.items.max(1) as u64);
            self.resident_measured = true;
        }
        results.credit = Credit::of_results(&self.ledger, stretch.items, stretch.bytes, stretch.working);
        let start = self.books.next;
        // The books change before the results leave, as user code that takes them may panic.
        self.books.next += stretch.items;
        self.books.chunks += usize::from(stretch.items > 0 || done.panic.is_some());
        let flow = line.hand_over_inlined(results, start);
        (done, handed_over, flow)
    }

    /// True if the waits of the next stretch's calls are measured. Never before the first decision.
    /// On a single core a run stays on the calling thread until its calls begin to wait.
    pub(super) fn is_measured(&self) -> bool {
        let expected = self.stretch as f64 * self.books.learned.recent_seconds();
        self.budget.is_some() && self.spent >= self.measure_at && expected >= SHORTEST
    }

    /// Items of the next stretch. They come one by one while the sample runs and they are long
    /// enough to be timed. Then stretches grow, but fit the time to the next decision. Few
    /// stretches keep their fixed cost (100 ns each) small.
    pub(super) fn next_stretch(&self, line: &Line<'_>) -> usize {
        let recent = self.books.learned.recent_seconds();
        if self.books.learned.items < self.options.sample_items() && recent >= TIMED_ALONE.as_secs_f64() {
            return 1;
        }
        // Each of the first stretches is much longer than all before it, and its time is the best
        // guess.
        let seconds = if self.spent < WARM_START_SECONDS { self.pace } else { recent };
        let until = if self.alone.is_at_it() { CHUNK_SECONDS } else { self.decide_at - self.spent };
        let in_time = until / seconds.max(1e-10);
        let learned = &self.books.learned;
        let most = match self.handed_over_alone() {
            Some(items) if self.alone.is_at_it() => items,
            _ if alone::fills_memory(learned) => alone::reused_items(learned),
            _ if line.work.items_own() => alone::OWNING_ITEMS,
            _ => 1 << 16,
        };
        // Items that can't be measured, by the time that earlier ones took: the allocator should
        // use memory again that is still in a cache. 6,000 items of 1 MiB took 4.6 s in stretches
        // of seven. They lie beside the results, which are counted. Other items have their own size
        // at least.
        let inputs = BATCH_BYTES.min(self.ledger.budget().as_u64() / HEADROOM_PART);
        let fitting = usize::try_from(inputs / self.item_bound.max(self.item_size as u64).max(1));
        // All results of a stretch are handed over before the next check for an interrupt.
        let handed_over = (HANDED_SECONDS / self.books.learned.handling.max(1e-10)) as usize;
        let most = most.min(fitting.unwrap_or(usize::MAX)).min(handed_over).max(1);
        (GROWTH * self.stretch).min(in_time as usize).min(self.options.most_in_flight()).clamp(1, most)
    }

    /// Decides how to go on. Gives a plan for a run that should go on threads.
    pub(super) fn decide(&mut self, line: &mut Line<'_>) -> Result<Option<Plan>, Error> {
        let first = self.budget.is_none() || self.resident.is_none();
        self.budget()?;
        if self.measured_by == MeasuredBy::Resident && !self.resident_measured {
            if first {
                self.read_resident();
            }
            // One more item runs here, to see by how much memory grows.
            if self.resident.is_some() {
                return Ok(None);
            }
        }
        self.start_watch()?;
        if self.observer.recorder.is_none() {
            self.start_recorder(self.origin());
            line.outlet.begin_timing(self.origin());
        }
        // The plan that the user asked for has told them.
        if self.plan.is_none() {
            self.sampled_seconds = self.books.learned.seconds_per_item();
        }
        let situation = self.situation(line)?;
        let plan = Plan::new(&self.books.learned, &situation);
        let at_once = alone::reused_items(&self.books.learned);
        let is_filling = plan.threads() == 1 && alone::fills_memory(&self.books.learned);
        line.outlet.set_batch_size(if is_filling { at_once.min(plan.batch_size()) } else { plan.batch_size() });
        // The next decision comes after as much time again, so that all decisions together cost
        // little.
        self.decide_at = self.spent + self.spent.min(CHUNK_SECONDS);
        if plan.threads() == 1 || !line.stock.asks.may_overlap() {
            return Ok(None);
        }
        // A run that comes back from its threads decides again.
        if self.alone.is_undecided() {
            line.work.tools.span.planned(&plan);
        }
        Ok(Some(plan))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::system::cores;
    use crate::system::sync::Clock;
    use crate::{ByteSize, MemorySource, Report, process_in_batches, with_memory_source};
    use std::thread;
    use std::time::Duration;

    /// Runs items that take 0.1 us to come, and `call` to be run.
    fn run(items: usize, call: impl Fn(usize) -> Duration + Sync) -> Report {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let input = (0..items).inspect(|_| clock.run(Duration::from_nanos(100)));
        let call = |item: usize| clock.run(call(item));
        let memory = SlowToTell(clock.clone());
        with_memory_source(memory, || process_in_batches(call, input).for_each_batch(drop)).unwrap()
    }

    #[derive(Debug)]
    struct SlowToTell(Clock);

    impl MemorySource for SlowToTell {
        fn available(&self) -> Option<ByteSize> {
            self.0.run(Duration::from_millis(1));
            Some(ByteSize::gib(64))
        }
    }

    #[test]
    fn the_time_to_read_available_memory_is_no_calls() {
        let report = run(700, |_| Duration::from_nanos(50));
        assert_eq!((report.threads(), report.threads_seconds()), (1, 0.0));
    }

    /// Runs items that own memory, with calls that take longer on other threads. Says for each if
    /// it ran on the calling one.
    fn owning(take: impl FnOnce(&mut dyn Iterator<Item = String>, &OwningCall<'_>) -> Vec<(usize, bool)>) -> Vec<bool> {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let caller = thread::current().id();
        let call = |item: String| {
            let is_caller = thread::current().id() == caller;
            clock.run(Duration::from_micros(if is_caller { 10 } else { 12 }));
            (item.parse::<usize>().unwrap(), is_caller)
        };
        let results = take(&mut (0..10_000).map(|item: usize| item.to_string()), &call);
        assert!(results.iter().map(|&(item, _)| item).eq(0..10_000));
        results.into_iter().map(|(_, is_caller)| is_caller).collect()
    }

    type OwningCall<'a> = dyn Fn(String) -> (usize, bool) + Sync + 'a;

    #[test]
    fn a_run_with_items_that_own_memory_comes_back_from_slower_threads() {
        let collected = owning(|items, call| {
            process_in_batches(call, items).threads(2).max_memory("1GiB").collect::<Vec<_>>().unwrap()
        });
        // An iterator's run leaves its threads after each batch.
        let iterated = owning(|items, call| {
            process_in_batches(call, items).threads(2).max_memory("1GiB").batch_size(50).into_iter().collect()
        });
        for made_by_caller in [collected, iterated] {
            assert!(made_by_caller.contains(&false) && made_by_caller[9_999]);
        }
    }

    #[test]
    fn calls_that_become_slow_go_on_threads() {
        if cores::usable() < 2 {
            return println!("skipped, there is one core");
        }
        let report = run(1000, |item| Duration::from_micros(if item >= 500 { 500 } else { 0 }));
        assert!(report.threads() > 1);
    }
}
