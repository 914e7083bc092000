//! The sample of a plan that is asked for.

use std::time::Instant;

use super::engine::Engine;
use super::line::Line;
use crate::adapt::learned::Beside;
use crate::adapt::situation::Situation;
use crate::adapt::waits::Waits;
use crate::error::Error;
use crate::error::failure::Ended;
use crate::memory::source::{self, Source};
use crate::memory::watch::there_is;
use crate::memory::working::{NOISE, bound};
use crate::options::DEFAULT_SAMPLE_SIZE;
use crate::plan::Plan;
use crate::progress::Phase as Stage;
use crate::system::cores::Cores;
use crate::system::sync;
use crate::system::thread_time::SHORTEST;
use crate::units::ByteSize;

/// Parts of a large sample. The first part counts for nothing; with the others the interval of a
/// mean is 1.04 times as wide as with infinitely many.
const SAMPLE_PARTS: usize = 32;

/// The process's memory before calls that run alone. It tells what they need.
struct Needed {
    source: Source,
    resident: u64,
    peak: Option<u64>,
}

impl Needed {
    fn begin() -> Option<Self> {
        let source = source::current();
        let resident = source.resident()?.as_u64();
        Some(Self { peak: source.peak_resident().map(ByteSize::as_u64), resident, source })
    }

    /// Bytes by which the process grew at most, if that is more than noise. Uses the peak if it
    /// moved.
    fn end(self) -> Option<u64> {
        let now = self.source.resident()?.as_u64();
        let peak = self.source.peak_resident().map(ByteSize::as_u64).filter(|_| self.peak.is_some());
        let most = if peak > self.peak { peak.map_or(now, |peak| peak.max(now)) } else { now };
        Some(most.saturating_sub(self.resident)).filter(|&grown| grown >= NOISE)
    }
}

impl Engine {
    /// Makes the plan warn that results would be spilled to memory.
    #[cfg(feature = "durable")]
    pub(crate) fn warn_of_spill_dir(&mut self, directory: &std::path::Path) {
        if let Some(plan) = &mut self.plan {
            plan.warn_of_spill_dir(directory);
        }
    }

    /// Runs a sample of at most `most` items, and makes a plan, unless there is one with its
    /// reasons. The results go to the outlet of `line`, like any others.
    pub(crate) fn make_plan(&mut self, line: &mut Line<'_>, most: usize) -> Result<&Plan, Ended> {
        if self.plan.as_ref().is_some_and(|plan| !plan.reasons().is_empty()) {
            // It holds.
        } else if self.workers.is_some() {
            self.plan = Some(self.plan_of_the_rest(line)?);
        } else {
            self.timed(|engine, begun| engine.sample_and_plan(line, most, begun))?;
        }
        Ok(self.plan.as_ref().expect("set above"))
    }

    fn sample_and_plan(&mut self, line: &mut Line<'_>, most: usize, begun: Instant) -> Result<(), Ended> {
        self.bound_sample()?;
        self.read_resident();
        // A plan that is made again after one that failed goes on where that one stopped.
        self.set_origin(line);
        self.start_recorder(self.origin());
        self.begin_telling(begun, line)?;
        let mut beside = Beside::begin();
        self.sample(line, &mut beside, most)?;
        if let Some(interrupt) = line.work.tools.interrupts.now() {
            return Err(self.interrupted(&line.work.tools.interrupts, interrupt));
        }
        self.sampled_seconds = self.books.learned.seconds_per_item();
        beside.settle(&mut self.books.learned.waits);
        let mut situation = self.situation(line)?;
        situation.available_now = situation.available.is_none().then(|| source::current().available());
        situation.cores = Some(Cores::of_this_process());
        let mut plan = Plan::explained(&self.books.learned, &situation);
        plan.warn_of(self.refused, self.unasked);
        line.work.tools.span.planned(&plan);
        self.plan = Some(plan);
        self.observer.tell(sync::now(), Stage::Planned, self.counts());
        self.now = Some(sync::now());
        Ok(())
    }

    /// A plan for a run that is on threads already: no further items are sampled.
    fn plan_of_the_rest(&mut self, line: &mut Line<'_>) -> Result<Plan, Error> {
        let (learned, taken) = self.with_books(|books| (books.learned.clone(), books.next));
        let situation = Situation { taken, cores: Some(Cores::of_this_process()), ..self.situation(line)? };
        let mut plan = Plan::explained(&learned, &situation);
        plan.warn_of(self.refused, self.unasked);
        Ok(plan)
    }

    /// Lets the sample hold no more than there is, where a budget in bytes says more. Nothing
    /// watches the system's memory before the run itself has begun.
    fn bound_sample(&mut self) -> Result<(), Error> {
        let (held, is_nested) = (self.ledger.held(), self.ledger.outer_budget().is_some());
        if self.budget()?.available.is_some() || is_nested {
            return Ok(());
        }
        let without_it = source::current().available() + held;
        self.ledger.set_limit(there_is(without_it.as_u64()));
        if let Some(budget) = &mut self.budget {
            budget.at_first = Some(without_it);
        }
        Ok(())
    }

    /// Runs sample items until `most` have run.
    fn sample(&mut self, line: &mut Line<'_>, beside: &mut Beside, most: usize) -> Result<(), Ended> {
        while self.books.next_to_run() < most && !line.ended() && line.work.tools.interrupts.now().is_none() {
            // A sample that would exceed the budget, or the bound of items in flight, ends early.
            // The results of items that were done before stay in memory as its own do.
            let room = self.in_flight_room(line.outlet);
            let is_first = self.books.next_to_run() == 0 && self.items_held() == 0;
            if !is_first && self.affordable().min(room) == 0 {
                break;
            }
            // A user who asks for a plan is also told how the function waits.
            let measured = self.books.learned.items == 0 || self.books.learned.recent_seconds() >= SHORTEST;
            let (items_before, bytes_before) = (self.books.learned.items, self.books.learned.bytes);
            // The first call is not typical: neither in its duration, nor in how it runs and waits.
            let waits = self.books.learned.waits;
            if self.books.learned.spread.mean().is_none() {
                self.books.learned.waits = Waits::default();
            }
            // A large sample of fast calls runs in parts. Their differences tell how certain the
            // mean is. Timed alone, each call would seem several times as long, because reading the
            // clock costs more than the call.
            let part = (self.options.sample_items() / SAMPLE_PARTS).max(DEFAULT_SAMPLE_SIZE);
            let count = part.min(most - self.books.next_to_run()).min(room);
            beside.look(self.expected());
            // The need of short calls is below the noise.
            let is_known = self.books.learned.items > 0;
            let is_short = is_known && bound(count as f64 * self.books.learned.recent_seconds()) < NOISE;
            let needed = if is_short { None } else { Needed::begin() };
            // The time of the measurement above is no part of the next item's time.
            self.now = Some(sync::now());
            self.inline_stretch(line, count, measured)?;
            if !self.books.learned.waits.is_known() {
                self.books.learned.waits = waits;
            }
            let learned = &mut self.books.learned;
            let (items, bytes) = (learned.items - items_before, learned.bytes - bytes_before);
            if let Some(needed) = needed.and_then(Needed::end) {
                learned.expect_most_working(needed.saturating_sub(bytes).min(bound(learned.recent_seconds())));
            }
            let stretch = beside.sampled(items, bytes, self.pace, self.books.learned.handling);
            self.books.learned.spread.add(stretch);
            if self.books.next_to_run() < self.options.sample_items() {
                self.look();
            }
        }
        Ok(())
    }

    /// Tells once that the sample is done.
    pub(super) fn end_sampling(&mut self, now: Instant) {
        if self.observer.teller.as_ref().is_some_and(|teller| teller.phase() != Stage::Running) {
            self.observer.tell(now, Stage::Running, self.counts());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    use crate::system::sync::Clock;
    use crate::{CancelToken, Error, process_in_batches};

    /// Something ends the run in the second call of its sample. Then the run goes on.
    fn sample_that_is_interrupted(interrupt: fn(&Clock, &CancelToken), is_expected: fn(&Error) -> bool) {
        let clock = Clock::standing();
        let _moved = clock.enter();
        let token = CancelToken::new();
        let calls: Vec<_> = (0..100).map(|_| AtomicUsize::new(0)).collect();
        let made = || calls.iter().map(|calls| calls.load(SeqCst)).sum::<usize>();
        let call = |item: usize| {
            if calls[item].fetch_add(1, SeqCst) == 0 && item == 1 {
                interrupt(&clock, &token);
            }
            clock.run(Duration::from_millis(1));
            item
        };
        let run = process_in_batches(call, 0..calls.len()).threads(2).max_memory("1GiB");
        let mut run = run.cancel_token(&token).timeout(Duration::from_secs(60));
        assert!(is_expected(&run.plan().map(drop).unwrap_err()));
        assert_eq!(made(), 2);
        let mut run = run.cancel_token(&CancelToken::new()).timeout(Duration::MAX);
        assert!(run.collect::<Vec<_>>().unwrap().into_iter().eq(0..calls.len()));
        assert!(calls.iter().all(|calls| calls.load(SeqCst) == 1));
    }

    #[test]
    fn a_sample_heeds_a_token_and_a_timeout() {
        sample_that_is_interrupted(|_, token| token.cancel(), Error::is_cancelled);
        sample_that_is_interrupted(|clock, _| clock.pass(Duration::from_secs(60)), Error::is_timed_out);
    }
}
