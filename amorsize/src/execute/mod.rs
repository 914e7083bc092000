//! The executor: runs a function over the input, inline at first and on threads when that pays, within the budget.
//!
//! `line` holds the two ends of a run on the calling thread, `chunk` what workers run, `buffer` where items and results lie,
//! `ranges` items that workers write down themselves, `pages` when the memory of results is backed, `control` who may run what and
//! when, `climb` on how many threads, `alone` whether on any, `together` what they share, `lookout` who looks at it, `account` what
//! threads wait for,
//! `pool` the threads, `conductor` the calling thread beside them; this file drives them. All but the typed halves of `buffer`, `chunk` and `line` is compiled once, whatever the function.

mod account;
mod alone;
pub(crate) mod buffer;
#[expect(unreachable_pub, reason = "the expansion names its type through `__private`")]
pub mod chunk;
pub(crate) mod climb;
mod conductor;
pub(crate) mod control;
pub(crate) mod line;
mod lookout;
#[cfg(all(loom, test))]
mod loom;
mod pages;
pub(crate) mod pool;
mod ranges;
pub(crate) mod stages;
mod together;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::alone::{Alone, Done, Next};
use self::climb::Climb;
use self::conductor::{Conductor, WorkerJob};
use self::control::{Control, HeadStart, Place, Room, Stuck, Ways};
use self::line::{Accepted, Flow, Line};
use self::lookout::{Lookout, Seen};
use self::pool::{Expected, Job, Threads};
use crate::cancel::Interrupt;
use crate::cores::Cores;
use crate::error::{Error, ErrorKind};
use crate::failure::{Cause, Ended, Failure, Panicked, Payload};
use crate::handover::HandedOver;
use crate::memory::Bytes;
use crate::memory::budget::{Budget, Ledger};
use crate::memory::measure::MeasuredBy;
use crate::memory::source;
use crate::memory::tracking::{self, Frame};
use crate::memory::watch::Watch;
use crate::options::{Limit, MaxMemory, OnPanic, Options};
use crate::plan::{CHUNK_SECONDS, Plan, Situation};
use crate::progress::{Phase as Stage, Teller};
use crate::sample::{Beside, Learned, Stretch, TIMED_ALONE};
use crate::time_use::TimeUse;
use crate::timeline::{Moment, Recorder, Timeline};
use crate::waits::Waits;

/// So long a run stays on the calling thread before anything is read from the system: a sixth of what starting the pool costs.
const FIRST_DECISION: f64 = 50e-6;
/// A budget that is a fraction of what is available is not worked out before so much is held; no machine has less to give.
const UNRESOLVED_BUDGET: Bytes = Bytes::mib(1);
/// Stretches expected to take this long are timed apart from the handling of their items: two looks at the clock are then less
/// than a hundredth.
const TIMED_APART: f64 = 5e-6;
/// Stretches expected to take this long are measured for what their calls wait, which takes 2 us; closely, which takes 6 us.
const MEASURED: f64 = 100e-6;
const MEASURED_CLOSELY: f64 = 500e-6;
/// One in so long is measured, in seconds: on a single core a run stays on the calling thread until its calls begin to wait.
const MEASURED_EVERY: f64 = 10e-3;
/// What a stretch costs apart from its items, at least: the first ones are so short that it is most of what they take.
const STRETCH_SECONDS: f64 = 100e-9;
/// A stretch is so many times as long as the one before. One item says little of the next ones, and a second 16 that are much slower
/// are still few; of what 16 items took, 1,000 can be expected to take much the same.
const GROWTH: usize = 16;
const GROWTH_AFTER_16: usize = 64;
/// So few fast calls are timed together: by the clock each alone would take several times as long as it does.
const WHOLE_SAMPLE: usize = 5;
/// With so many parts, of which the first counts for nothing, the interval of a mean is 1.04 times as wide as with any number.
const SAMPLE_PARTS: usize = 32;
/// So many panics are kept where they are only counted: enough to see what they have in common, and few enough to read.
const KEPT_PANICS: usize = 16;

/// What a run has done, for its report.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    pub(crate) name: Option<&'static str>,
    pub(crate) learned: Learned,
    pub(crate) peak: Bytes,
    /// The budget, where the run was long enough to need it.
    pub(crate) budget: Option<Budget>,
    pub(crate) max_memory: MaxMemory,
    pub(crate) seconds: f64,
    pub(crate) threads: usize,
    /// Threads that could run at a time.
    pub(crate) cores: usize,
    pub(crate) chunks: usize,
    /// Whether it left its threads because the calling thread alone was faster.
    pub(crate) went_back: bool,
    pub(crate) measured_by: MeasuredBy,
    /// Items without a result because the function panicked, and those of them that were kept.
    pub(crate) panicked: usize,
    pub(crate) panics: Arc<[Failure]>,
    /// Seconds per item as sampled, before the run went on threads.
    pub(crate) sampled_seconds: f64,
    /// Seconds on the calling thread alone, and in the input's iterator.
    pub(crate) inline_seconds: f64,
    pub(crate) input_seconds: f64,
    pub(crate) sink_seconds: f64,
    pub(crate) time_use: TimeUse,
    /// How often a thread found no credit for the next item.
    pub(crate) credit_waits: usize,
    /// The most by which resident memory had grown, and by how much at the end.
    pub(crate) peak_resident: Option<Bytes>,
    pub(crate) last_resident: Option<Bytes>,
    /// What the run held when resident memory was last read.
    pub(crate) last_held: Bytes,
    /// `None` of a run that was over before anything was noted.
    pub(crate) timeline: Option<Arc<Timeline>>,
}

#[derive(Debug)]
enum Phase {
    /// On the calling thread.
    Inline,
    /// On threads.
    Parallel(Box<Control>, Threads),
}

/// A run, apart from its items and results.
#[derive(Debug)]
pub(crate) struct Engine {
    options: Options,
    ordered: bool,
    phase: Phase,
    learned: Learned,
    ledger: Ledger,
    budget: Option<Budget>,
    plan: Option<Plan>,
    /// Items done inline, which is the index of the next one.
    next: usize,
    /// Items done inline and not handed over.
    held_items: usize,
    chunks: usize,
    item_size: usize,
    result_size: usize,
    measured_by: MeasuredBy,
    /// Items of the next inline stretch.
    stretch: usize,
    /// Seconds that an item took in the last one.
    pace: f64,
    /// Seconds spent inline.
    spent: f64,
    decide_at: f64,
    /// Resident memory when it was last read inline, or at the start of the parallel part.
    resident: Option<u64>,
    resident_measured: bool,
    resident_most: u64,
    /// Until the run goes on threads.
    lookout: Lookout,
    /// Whether a stretch was seen not to run all the time.
    suspects: bool,
    /// What is to be spent inline before it is measured again what calls wait.
    measure_at: f64,
    /// Seconds per item of the sample, and of all items that were run on the calling thread alone.
    sampled_seconds: f64,
    alone: Alone,
    /// Seconds per byte of threads that are being left because of it.
    slower: Option<f64>,
    /// When the run last went on threads, and the seconds in its sink before.
    parted: Option<(Duration, f64)>,
    /// What it did on threads before it went back to the calling thread.
    on_threads: OnThreads,
    elapsed: Duration,
    /// When the clock was last read inline: reading it once between two stretches is enough.
    now: Option<Instant>,
    /// When the part of the run began that is under way.
    begun: Option<Instant>,
    panicked: usize,
    panics: Vec<Failure>,
    /// A panic that comes when the run goes on.
    pending_panic: Option<(usize, Payload)>,
}

/// What parts of a run on threads came to, which are over.
#[derive(Clone, Copy, Debug, Default)]
struct OnThreads {
    time: Duration,
    /// Of that, with the sink and with the input.
    sink_seconds: f64,
    input_seconds: f64,
    waited: TimeUse,
    credit_waits: usize,
    /// The most that ran at a time, and that could.
    threads: usize,
    cores: usize,
}

impl OnThreads {
    /// With a part of the run that took so long, and so much of that in the sink.
    fn and(self, control: &Control, (time, sink_seconds): (Duration, f64)) -> Self {
        let (input_seconds, waited, credit_waits) = control.account();
        let state = control.state();
        Self {
            time: self.time + time,
            sink_seconds: self.sink_seconds + sink_seconds,
            input_seconds: self.input_seconds + input_seconds,
            waited: self.waited.and(waited),
            credit_waits: self.credit_waits + credit_waits,
            threads: self.threads.max(state.most_threads),
            cores: self.cores.max(state.situation.threads),
        }
    }
}

/// What an inline part came to.
enum Inline {
    Done(Flow),
    GoParallel(Box<Plan>),
}

/// The budget where it is stated in bytes, and what may be held before a budget is worked out.
fn stated_budget(options: &Options) -> (Option<Budget>, Bytes) {
    match options.limit().limit() {
        Ok(Limit::Bytes(bytes)) => (Some(Budget { bytes: *bytes, available: None }), *bytes),
        Ok(Limit::Both(_, bytes)) => (None, UNRESOLVED_BUDGET.min(*bytes)),
        _ => (None, UNRESOLVED_BUDGET),
    }
}

impl Engine {
    pub(crate) fn new(options: Options, item_size: usize, result_size: usize, measured_by: MeasuredBy) -> Self {
        let (budget, ledger) = stated_budget(&options);
        Self {
            options,
            ordered: true,
            phase: Phase::Inline,
            learned: Learned::default(),
            ledger: Ledger::new(ledger),
            budget,
            plan: None,
            next: 0,
            held_items: 0,
            chunks: 0,
            item_size,
            result_size,
            measured_by,
            stretch: 1,
            pace: 0.0,
            spent: 0.0,
            decide_at: FIRST_DECISION,
            resident: None,
            resident_measured: false,
            resident_most: 0,
            lookout: Lookout::default(),
            suspects: false,
            measure_at: FIRST_DECISION,
            sampled_seconds: 0.0,
            alone: Alone::default(),
            slower: None,
            parted: None,
            on_threads: OnThreads::default(),
            elapsed: Duration::ZERO,
            now: None,
            begun: None,
            panicked: 0,
            panics: Vec::new(),
            pending_panic: None,
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn into_options(self) -> Options {
        self.options
    }

    /// Changes options; a plan made before no longer holds.
    pub(crate) fn change_options(&mut self, change: impl FnOnce(Options) -> Options) {
        self.options = change(std::mem::take(&mut self.options));
        self.plan = None;
        let (budget, bytes) = stated_budget(&self.options);
        self.budget = budget;
        self.ledger.set_budget(bytes);
        if let Phase::Parallel(control, _) = &self.phase {
            // The rest of a run that gave up may be given more.
            let situation = &mut control.state().situation;
            (situation.budget, situation.batch_items) = (bytes, self.options.batch_items());
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lets results come in any order.
    pub(crate) fn set_unordered(&mut self) {
        self.ordered = false;
    }

    pub(crate) fn items_done(&self) -> usize {
        self.next
    }

    pub(crate) fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The budget, worked out from what is available now unless that was done before.
    pub(crate) fn budget(&mut self) -> Result<&Budget, Error> {
        if self.budget.is_none() {
            let mut budget = Budget::resolve(&self.options.limit())?;
            if let Some(outer) = self.ledger.outer_budget() {
                budget.bytes = budget.bytes.min(outer);
            }
            self.ledger.set_budget(budget.bytes);
            self.budget = Some(budget);
        }
        Ok(self.budget.as_ref().expect("set above"))
    }

    /// Whether items were taken from the input, or results made, that no outlet has yet.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Parallel(..))
    }

    /// Notes that results that the run held belong to its caller now.
    pub(crate) fn rebase(&mut self) {
        if let Some(watch) = &mut self.lookout.watch {
            watch.rebase();
        }
        // Or what the caller keeps would count as grown by the rest.
        self.read_resident();
        self.resident_most = 0;
        if let Phase::Parallel(control, _) = &self.phase {
            control.rebase();
        }
    }

    /// Gives back the credit of results that were handed over outside of [`run`](Self::run).
    pub(crate) fn release(&mut self, items: usize, bytes: u64) {
        match &self.phase {
            Phase::Inline => {
                self.ledger.give(bytes);
                self.held_items -= items;
            }
            Phase::Parallel(control, _) => control.release(items, bytes),
        }
    }

    /// What the run has done. The panics that were kept go with it.
    pub(crate) fn totals(&mut self, handed_over: HandedOver) -> Totals {
        self.keep_panics();
        let HandedOver { sink_seconds, times, .. } = handed_over;
        let (learned, chunks, on_threads) = match &self.phase {
            Phase::Inline => (self.learned.clone(), self.chunks, self.on_threads),
            Phase::Parallel(control, _) => {
                let on_threads = self.all_on_threads(control, self.elapsed, sink_seconds);
                let state = control.state();
                (state.learned.clone(), self.chunks + state.chunks, on_threads)
            }
        };
        let (threads, cores) = (on_threads.threads.max(1), on_threads.cores.max(1));
        let seconds = self.elapsed.as_secs_f64();
        let (budget, max_memory) = (self.budget.clone(), self.options.limit());
        // An empty one made of a `Vec` would be an allocation.
        let panics = if self.panics.is_empty() { Arc::default() } else { Arc::from(std::mem::take(&mut self.panics)) };
        let measured_by = self.measured_by;
        let OnThreads { input_seconds, waited, credit_waits, .. } = on_threads;
        let inline_seconds = self.elapsed.saturating_sub(on_threads.time).as_secs_f64();
        let sink_inline = sink_seconds - on_threads.sink_seconds;
        let time_use = TimeUse {
            total: inline_seconds + waited.total,
            calls: learned.seconds,
            sink: sink_inline + waited.sink,
            ..waited
        };
        let recorder = self.with_lookout(|lookout, _| lookout.recorder.clone());
        let moments = recorder.as_ref().map_or_else(Vec::new, |recorder| recorder.moments().to_vec());
        let resident = |of: fn(&Recorder) -> Option<u64>| recorder.as_ref().and_then(of).map(Bytes::new);
        let last_held = moments.last().map_or(Bytes::ZERO, Moment::held);
        let noted = !moments.is_empty() || !times.is_empty();
        let timeline = noted.then(|| Arc::new(Timeline { moments, batches: times }));
        Totals {
            name: self.options.name(),
            sampled_seconds: if self.sampled_seconds > 0.0 { self.sampled_seconds } else { learned.seconds_per_item() },
            inline_seconds,
            input_seconds,
            sink_seconds,
            time_use,
            credit_waits,
            peak_resident: resident(|recorder| recorder.peak_resident),
            last_resident: resident(|recorder| recorder.last_resident),
            last_held,
            timeline,
            learned,
            peak: self.ledger.peak(),
            budget,
            max_memory,
            seconds,
            threads,
            cores,
            chunks,
            went_back: self.alone.is_faster(),
            measured_by,
            panicked: self.panicked,
            panics,
        }
    }

    /// Counts the items that panicked on threads, and keeps as many of them as are wanted.
    fn keep_panics(&mut self) {
        if let Phase::Parallel(control, _) = &self.phase {
            let mut panics = std::mem::take(&mut control.state().panics);
            panics.sort_by_key(|(item, _)| *item);
            panics.into_iter().for_each(|(item, payload)| self.keep_panic(item, payload));
        }
    }

    fn keep_panic(&mut self, item: usize, payload: Payload) {
        self.panicked += 1;
        if self.options.panics() == OnPanic::Collect || self.panics.len() < KEPT_PANICS {
            self.panics.push(Failure::new(item, Cause::Panic(Panicked::new(payload))));
        }
    }

    /// Runs the sample, up to its size, and plans. The results go to the outlet of `line` like any others.
    pub(crate) fn make_plan(&mut self, line: &mut Line<'_>) -> Result<&Plan, Ended> {
        if self.plan.is_none() {
            let begun = Instant::now();
            self.budget()?;
            self.read_resident();
            self.start_recorder(begun);
            self.begin_telling(begun, line)?;
            self.begun = Some(begun);
            let mut beside = Beside::begin();
            // The first item tells whether calls are long enough to be run at the same time.
            self.sample_alone(line, &mut beside, 1)?;
            let together = self.items_together(line)?;
            self.sample_alone(line, &mut beside, self.options.sample_items() - together)?;
            self.sample_together(line, together)?;
            self.sample_alone(line, &mut beside, self.options.sample_items())?;
            self.begun = None;
            self.sampled_seconds = self.learned.seconds_per_item();
            beside.settle(&mut self.learned.waits);
            let mut situation = self.situation(line)?;
            situation.available_now = situation.available.is_none().then(|| source::current().available());
            situation.cores = Some(Cores::of_this_process());
            let plan = Plan::new(&self.learned, &situation, true);
            line.work.span.planned(&plan);
            self.plan = Some(plan);
            let seen = self.seen();
            self.lookout.tell(Instant::now(), Stage::Planned, &self.ledger, seen);
            self.elapsed += begun.elapsed();
        }
        Ok(self.plan.as_ref().expect("set above"))
    }

    /// Runs items of the sample on the calling thread, until so many are run.
    fn sample_alone(&mut self, line: &mut Line<'_>, beside: &mut Beside, most: usize) -> Result<(), Ended> {
        let is_inline = matches!(self.phase, Phase::Inline);
        while is_inline && self.next < most && !line.ended() && line.work.interrupts.now().is_none() {
            // A sample that would break the budget ends early.
            if self.next > 0 && self.affordable() == 0 {
                break;
            }
            // Whoever asks for a plan is told what the function waits, too.
            let measured = self.learned.items == 0 || self.learned.recent_seconds() >= MEASURED;
            let before = (self.learned.items, self.learned.bytes);
            // What the first call waits, and how long it runs, is as little like the others as what it takes.
            let waits = self.learned.waits;
            if self.learned.spread.mean().is_none() {
                self.learned.waits = Waits::default();
            }
            // A large sample of fast calls is taken in parts, whose differences tell how sure it is.
            let part = (self.options.sample_items() / SAMPLE_PARTS).max(WHOLE_SAMPLE);
            let count = part.min(most - self.next);
            beside.look(self.expected());
            // Looking is no part of the next item's time.
            self.now = Some(Instant::now());
            self.inline_stretch(line, count, measured.then_some(true))?;
            if !self.learned.waits.is_known() {
                self.learned.waits = waits;
            }
            let (items, bytes) = (self.learned.items - before.0, self.learned.bytes - before.1);
            let stretch = beside.sampled(items, bytes, self.pace, self.learned.handling);
            self.learned.spread.add(stretch);
            if self.next < self.options.sample_items() {
                self.look(line.outlet.collects());
            }
        }
        Ok(())
    }

    /// Runs until the input ends or the outlet has enough. An error of the run leaves the results that are there where they are.
    pub(crate) fn run(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        let begun = Instant::now();
        (self.now, self.begun) = (Some(begun), Some(begun));
        self.begin_telling(begun, line)?;
        self.set_origin(line);
        let outcome = self.run_phases(line);
        self.end_of_part(&outcome);
        // What the last stretch read from the clock will do for a run that stayed inline.
        let now = self.now.take().filter(|_| matches!(self.phase, Phase::Inline));
        self.elapsed += now.unwrap_or_else(Instant::now) - begun;
        outcome
    }

    fn run_phases(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        // What a worker does as the caller of a run is not part of what idle workers do for its calls.
        if line.work.tracks && pool::is_worker() && !tracking::is_open() {
            let frame = Frame::begin();
            let outcome = self.run_within(line);
            tracking::settle(frame.end().retained());
            return outcome;
        }
        self.run_within(line)
    }

    fn run_within(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        let outcome = self.run_to_its_end(line);
        if outcome.is_err() {
            // Nothing that is finished is held back.
            let accepted = line.outlet.flush();
            self.release(accepted.items, accepted.bytes);
        }
        outcome
    }

    fn run_to_its_end(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        if let Some((item, payload)) = self.pending_panic.take() {
            return Err(Ended::Panic(item, payload));
        }
        if line.outlet.collects() {
            self.ledger.ignore_outer();
        }
        if let Some(plan) = &self.plan {
            line.outlet.set_batch_size(plan.batch_size());
        }
        loop {
            if matches!(self.phase, Phase::Inline) {
                match self.inline(line)? {
                    Inline::Done(flow) => return Ok(flow),
                    Inline::GoParallel(plan) => {
                        self.end_sampling(Instant::now());
                        self.go_parallel(&plan, line)?;
                    }
                }
            }
            let flow = self.on_threads(line)?;
            let Some(pace) = self.slower.filter(|_| flow == Flow::Continue) else { return Ok(flow) };
            self.go_back(pace, line);
        }
    }

    /// Runs on threads until the input ends, the outlet has enough, or the calling thread is to go on alone.
    fn on_threads(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        let Phase::Parallel(control, threads) = &self.phase else { unreachable!("the run is on threads") };
        let base = self.resident.filter(|_| self.measured_by == MeasuredBy::Resident);
        let mut conductor = Conductor {
            control,
            work: line.work,
            begun: self.begun.unwrap_or_else(Instant::now),
            worker: pool::is_worker(),
            joins_in: threads.include_caller(),
            refuses_oversize: self.options.refuses_oversize(),
            resident: base.map(|base| (base, &mut self.resident_most)),
            pace: if line.outlet.collects() { None } else { self.alone.watch() },
            slower: &mut self.slower,
        };
        let mut outcome = Ok(Flow::Continue);
        control.begin();
        let work = line.work;
        let job = |place| WorkerJob { place, control, work };
        let own = control.has_own_threads().then_some(job(Place::Own));
        let own = own.as_ref().map(|job| job as &dyn Job);
        threads.scope(&job(Place::Pool), own, &mut |start| outcome = conductor.conduct(line, start));
        control.settle();
        tracking::settle(control.take_kept());
        if outcome.is_err() {
            // What was finished meanwhile goes with what was handed over, as far as it is next in order.
            while let Some(finished) = control.take_ready() {
                let accepted = line.hand_over(finished);
                control.release(accepted.items, accepted.bytes);
                if accepted.flow == Flow::Stop {
                    break;
                }
            }
        }
        if outcome.as_ref().is_ok_and(|&flow| flow == Flow::Continue)
            && let Some((item, payload)) = control.take_panic()
        {
            return Err(Ended::Panic(item, payload));
        }
        Ok(outcome?)
    }

    /// Goes on with the calling thread alone, after threads that took so many seconds per byte.
    fn go_back(&mut self, pace: f64, line: &mut Line<'_>) {
        self.leave_threads(line);
        self.stretch = 1;
        self.alone.go_back(pace);
        line.outlet.set_batch_size(alone::items_at_once(&self.learned));
    }

    /// Leaves the threads, which have nothing to do any longer.
    fn leave_threads(&mut self, line: &mut Line<'_>) {
        self.keep_panics();
        let Phase::Parallel(control, _) = std::mem::replace(&mut self.phase, Phase::Inline) else { return };
        self.on_threads = self.all_on_threads(&control, self.elapsed_now(), line.outlet.sink_seconds());
        self.parted = None;
        let (state, lookout) = control.into_parts();
        self.lookout = lookout.unwrap_or_default();
        (self.learned, self.next, self.held_items) = (state.learned, state.pulled, state.outstanding);
        self.chunks += state.chunks;
        (self.plan, self.slower) = (None, None);
        self.now = Some(Instant::now());
    }

    /// What all parts on threads came to, with that of `control`, after so much of the run and so long in its sink.
    fn all_on_threads(&self, control: &Control, elapsed: Duration, sink_seconds: f64) -> OnThreads {
        let (since, sink_before) = self.parted.unwrap_or_default();
        self.on_threads.and(control, (elapsed.saturating_sub(since), sink_seconds - sink_before))
    }

    /// How long the run has been under way.
    fn elapsed_now(&self) -> Duration {
        self.elapsed + self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// What the calling thread spent, and the bytes of all results.
    fn done(&self) -> Done {
        Done { seconds: self.spent, bytes: self.learned.bytes }
    }

    // ---- who looks ----

    /// When the run would have begun if it had not been left in between.
    fn origin(&self) -> Instant {
        let begun = self.begun.unwrap_or_else(Instant::now);
        begun.checked_sub(self.elapsed).unwrap_or(begun)
    }

    /// Lets somebody be told of the run.
    pub(crate) fn set_teller(&mut self, teller: Option<Teller>) {
        self.with_lookout(|lookout, _| lookout.teller = teller);
    }

    /// Whether the run prints what it does by itself.
    pub(crate) fn set_quiet(&mut self, quiet: bool) {
        self.with_lookout(|lookout, _| {
            if let Some(teller) = &mut lookout.teller {
                teller.set_quiet(quiet);
            }
        });
    }

    fn with_lookout<R>(&mut self, body: impl FnOnce(&mut Lookout, &Ledger) -> R) -> R {
        match &self.phase {
            Phase::Inline => body(&mut self.lookout, &self.ledger),
            Phase::Parallel(control, _) => match control.lookout() {
                Some(mut lookout) => body(&mut lookout, &self.ledger),
                None => body(&mut self.lookout, &self.ledger),
            },
        }
    }

    fn seen(&self) -> Seen {
        match &self.phase {
            Phase::Inline => {
                Seen { items: self.learned.items + self.panicked, result_bytes: self.learned.bytes, running: 1 }
            }
            Phase::Parallel(control, _) => control.seen(),
        }
    }

    fn start_recorder(&mut self, origin: Instant) {
        if self.lookout.recorder.is_none() {
            let (now, held) = (self.now.unwrap_or(origin), self.ledger.held().as_u64());
            self.lookout.recorder = Some(Recorder::start(source::current(), origin, now, held));
        }
    }

    /// Lets the seconds of what is noted go on where they were.
    fn set_origin(&mut self, line: &mut Line<'_>) {
        let origin = self.origin();
        let noted = self
            .with_lookout(|lookout, _| lookout.recorder.as_mut().map(|recorder| recorder.set_origin(origin)).is_some());
        if noted {
            line.outlet.begin_timing(origin);
        }
    }

    fn begin_telling(&mut self, now: Instant, line: &mut Line<'_>) -> Result<(), Error> {
        if !self.with_lookout(|lookout, _| lookout.teller.is_some()) {
            return Ok(());
        }
        let (budget, seen) = (self.budget()?.bytes, self.seen());
        let total = match &self.phase {
            Phase::Inline => line.left_exactly().map(|left| left + self.next),
            Phase::Parallel(control, _) => line.left_exactly().map(|left| left + control.pulled()),
        };
        let origin = now.checked_sub(self.elapsed).unwrap_or(now);
        self.with_lookout(|lookout, ledger| {
            if let Some(teller) = &mut lookout.teller {
                teller.begin(origin, now, total, budget, lookout::counts(ledger, seen));
            }
        });
        Ok(())
    }

    /// Looks, on the calling thread.
    fn look(&mut self, collects: bool) {
        let Some(now) = self.now.filter(|_| self.lookout.has_eyes()) else { return };
        let seen = self.seen();
        if self.next >= self.options.sample_items() {
            self.end_sampling(now);
        }
        self.lookout.look(now, &self.ledger, collects, || seen);
    }

    /// Tells that the sample is done, once.
    fn end_sampling(&mut self, now: Instant) {
        if self.lookout.teller.as_ref().is_some_and(|teller| teller.phase() != Stage::Running) {
            let seen = self.seen();
            self.lookout.tell(now, Stage::Running, &self.ledger, seen);
        }
    }

    /// Tells of a run that ends before it goes on.
    pub(crate) fn stop(&mut self) {
        self.end_of_part(&Ok(Flow::Stop));
    }

    /// Notes and tells how it stands when the outlet has enough, or the run has ended.
    fn end_of_part(&mut self, outcome: &Result<Flow, Ended>) {
        if !self.with_lookout(|lookout, _| lookout.is_manned()) {
            return;
        }
        let (now, seen) = (Instant::now(), Seen { running: 0, ..self.seen() });
        let ended = match outcome {
            Ok(Flow::Enough) => None,
            Ok(Flow::Continue) => Some(Stage::Done),
            Ok(Flow::Stop) | Err(_) => Some(Stage::Stopped),
        };
        self.with_lookout(|lookout, ledger| {
            match ended {
                Some(ended) => {
                    lookout.note(now, ledger, seen);
                    lookout.tell(now, ended, ledger, seen);
                }
                // An iterator's caller comes back soon, and often.
                None => lookout.look(now, ledger, false, || seen),
            }
        });
    }

    fn interrupted(&self, interrupt: Interrupt) -> Error {
        let items_done = match &self.phase {
            Phase::Inline => self.learned.items,
            Phase::Parallel(control, _) => control.state().learned.items,
        };
        interrupted(interrupt, items_done, self.elapsed_now())
    }

    // ---- on the calling thread ----

    fn inline(&mut self, line: &mut Line<'_>) -> Result<Inline, Ended> {
        let mut planned = self.plan.take();
        loop {
            self.look(line.outlet.collects());
            if line.ended() {
                let accepted = line.outlet.flush();
                self.release(accepted.items, accepted.bytes);
                self.plan = planned;
                return Ok(Inline::Done(if accepted.flow == Flow::Stop { Flow::Stop } else { Flow::Continue }));
            }
            if let Some(interrupt) = line.work.interrupts.now() {
                self.plan = planned;
                return Err(self.interrupted(interrupt).into());
            }
            // Before a stretch rather than after one: an iterator's caller comes back for each.
            if self.alone.is_at_it() && planned.is_none() {
                if self.alone.after_stretch(self.done()) == Next::Threads {
                    planned = self.decide(line)?;
                }
            } else if self.spent >= self.decide_at && planned.is_none() {
                planned = self.decide(line)?;
            }
            if let Some(plan) = planned.take_if(|plan| plan.threads() > 1) {
                let left = line.left_exactly();
                if line.outlet.collects() || self.alone.begin(&self.learned, left, self.done()) == Next::Threads {
                    self.plan = Some(plan.clone());
                    return Ok(Inline::GoParallel(Box::new(plan)));
                }
                if self.options.batch_items().is_none() {
                    let accepted = line.outlet.flush();
                    self.release(accepted.items, accepted.bytes);
                    if accepted.flow != Flow::Continue {
                        return Ok(Inline::Done(accepted.flow));
                    }
                }
                line.outlet.set_batch_size(alone::items_at_once(&self.learned));
            }
            let mut most = self.affordable();
            if most == 0 {
                if self.budget.is_none() {
                    self.budget()?;
                    continue;
                }
                let accepted = line.outlet.flush();
                self.release(accepted.items, accepted.bytes);
                if accepted.flow != Flow::Continue {
                    self.plan = planned;
                    return Ok(Inline::Done(accepted.flow));
                }
                if accepted.items > 0 {
                    continue;
                }
                if line.outlet.collected() > Some(0) {
                    self.plan = planned;
                    return Err(self.over_budget(self.next, self.needed(), line).into());
                }
                if self.options.refuses_oversize() && self.needed() > self.ledger.budget().as_u64() {
                    self.plan = planned;
                    return Err(oversize(self.next, self.needed(), &self.ledger).into());
                }
                // A call that alone needs more than the budget runs alone.
                most = 1;
            }
            let measured = self.is_measured();
            let accepted = self.inline_stretch(line, most, measured)?;
            if accepted.flow != Flow::Continue {
                self.plan = planned;
                return Ok(Inline::Done(accepted.flow));
            }
        }
    }

    /// Runs the next stretch of items inline, at most so many.
    fn inline_stretch(&mut self, line: &mut Line<'_>, most: usize, measured: Option<bool>) -> Result<Accepted, Ended> {
        let count = self.stretch.min(most);
        // Of the few items of a sample it matters more what they took.
        let is_sample = self.learned.items < self.options.sample_items();
        let apart = if is_sample { TIMED_ALONE.as_secs_f64() } else { TIMED_APART };
        let timed = count as f64 * self.pace > apart;
        let (done, results) = line.inline(count, self.ledger.free(), timed, measured);
        if let Some(used) = done.used {
            self.suspects |= used.is_suspect();
            if !used.is_suspect() {
                self.learned.waits.add(used, true);
                self.measure_at = self.spent + MEASURED_EVERY;
            }
        }
        let result_bytes = self.result_size as u64;
        let mut stretch = Stretch {
            items: done.items,
            seconds: 0.0,
            bytes: result_bytes * done.items as u64 + done.heap,
            largest: result_bytes + done.largest,
            working: done.working,
        };
        if self.resident.is_some() {
            let before = self.resident;
            self.read_resident();
            let grown = self.resident.zip(before).map_or(0, |(now, before)| now.saturating_sub(before));
            stretch.bytes = stretch.bytes.max(grown);
            stretch.largest = stretch.largest.max(grown / done.items.max(1) as u64);
            self.resident_measured = true;
        }
        self.ledger.take_after(stretch.bytes, stretch.working);
        self.held_items += done.items;
        let accepted = line.hand_over_inlined(results, self.next, stretch.bytes);
        self.release(accepted.items, accepted.bytes);
        let now = Instant::now();
        let seconds = self.now.map_or(Duration::ZERO, |before| now - before).as_secs_f64() - done.measuring;
        self.now = Some(now);
        stretch.seconds = done.seconds.unwrap_or(seconds);
        if done.seconds.is_some() && done.items > 0 {
            self.learned.handling = (seconds - stretch.seconds - STRETCH_SECONDS).max(0.0) / done.items as f64;
        }
        self.learned.add(stretch);
        let least = if done.seconds.is_some() { stretch.seconds } else { (seconds - STRETCH_SECONDS).max(0.0) };
        self.pace = least / done.items.max(1) as f64;
        self.next += done.items;
        self.chunks += 1;
        self.spent += seconds;
        if let Some(payload) = done.panic {
            let item = self.next;
            self.next += 1;
            match self.options.panics() {
                // What stopped the run comes before it. The rest of the run begins with it.
                OnPanic::Propagate if accepted.flow == Flow::Stop => self.pending_panic = Some((item, payload)),
                OnPanic::Propagate => return Err(Ended::Panic(item, payload)),
                _ => self.keep_panic(item, payload),
            }
        }
        self.stretch = self.next_stretch();
        Ok(accepted)
    }

    /// Whether it is measured what the calls of the next stretch wait, and how closely: never before the first decision.
    fn is_measured(&self) -> Option<bool> {
        let expected = self.stretch as f64 * self.learned.recent_seconds();
        let is_due = self.budget.is_some() && self.spent >= self.measure_at && expected >= MEASURED;
        is_due.then_some(self.suspects || expected >= MEASURED_CLOSELY)
    }

    /// Items of the next inline stretch: single ones while the sample is made and they can be timed, then more and more, but no
    /// more than fit the time to the next decision. Few stretches keep what they cost apart (100 ns each) small.
    fn next_stretch(&self) -> usize {
        let recent = self.learned.recent_seconds();
        if self.learned.items < self.options.sample_items() && recent >= TIMED_ALONE.as_secs_f64() {
            return 1;
        }
        let growth = if self.learned.items < 16 { GROWTH } else { GROWTH_AFTER_16 };
        // Of the first stretches each is much longer than all before it, and knows better.
        let seconds = if self.spent < FIRST_DECISION { self.pace } else { recent };
        let until = if self.alone.is_at_it() { CHUNK_SECONDS } else { self.decide_at - self.spent };
        let in_time = until / seconds.max(1e-10);
        let most = if alone::fills_memory(&self.learned) { alone::items_at_once(&self.learned) } else { 1 << 16 };
        (growth * self.stretch).min(in_time as usize).clamp(1, most)
    }

    /// Bytes to expect of one result.
    fn expected(&self) -> u64 {
        self.learned.expected_bytes().max(self.result_size as u64)
    }

    /// Bytes to expect of one call, its result included.
    fn needed(&self) -> u64 {
        self.expected() + self.learned.expected_working()
    }

    fn affordable(&self) -> usize {
        let for_results = self.ledger.free().saturating_sub(self.learned.expected_working());
        usize::try_from(for_results / self.expected().max(1)).unwrap_or(usize::MAX)
    }

    /// Decides how to go on. Gives a plan when it is to be on threads.
    fn decide(&mut self, line: &mut Line<'_>) -> Result<Option<Plan>, Error> {
        let first = self.budget.is_none() || self.resident.is_none();
        self.budget()?;
        if self.measured_by == MeasuredBy::Resident && !self.resident_measured {
            if first {
                self.read_resident();
            }
            // One item more is run inline to see by how much it grows.
            if self.resident.is_some() {
                return Ok(None);
            }
        }
        self.start_watch()?;
        if self.lookout.recorder.is_none() {
            self.start_recorder(self.origin());
            line.outlet.begin_timing(self.origin());
        }
        self.sampled_seconds = self.learned.seconds_per_item();
        let situation = self.situation(line)?;
        let plan = Plan::new(&self.learned, &situation, self.options.is_verbose());
        let at_once = alone::items_at_once(&self.learned);
        let is_filling = plan.threads() == 1 && alone::fills_memory(&self.learned);
        line.outlet.set_batch_size(if is_filling { at_once.min(plan.batch_size()) } else { plan.batch_size() });
        // Decided again when as much was spent once more, so that all decisions together cost little.
        self.decide_at = self.spent + self.spent.min(CHUNK_SECONDS);
        if plan.threads() == 1 {
            return Ok(None);
        }
        line.work.span.planned(&plan);
        Ok(Some(plan))
    }

    fn situation(&mut self, line: &mut Line<'_>) -> Result<Situation, Error> {
        let found = match self.options.wanted_threads() {
            Some(threads) => Expected { threads, most: threads, warm: false },
            None => pool::expected_threads(self.ledger.outer_budget().is_some()),
        };
        let Expected { threads, most, warm } = found;
        let budget = self.budget()?.clone();
        let remaining = line.left_exactly();
        Ok(Situation {
            threads,
            most,
            threads_asked: self.options.wanted_threads().is_some(),
            warm,
            remaining,
            batch_items: self.options.batch_items(),
            budget: budget.bytes,
            available: budget.available,
            available_now: None,
            cores: None,
            measured_by: self.measured_by,
            item_size: self.item_size,
            result_size: self.result_size,
            item_bytes: self.item_size as u64,
        })
    }

    fn read_resident(&mut self) {
        if self.measured_by == MeasuredBy::Resident {
            self.resident = source::current().resident().map(Bytes::as_u64);
        }
    }

    /// Begins to look at the system's memory, unless that was done before. The run in whose call this one is does it for both.
    fn start_watch(&mut self) -> Result<(), Error> {
        if self.lookout.watch.is_none() && self.ledger.outer_budget().is_none() {
            let share = match self.options.limit().limit()? {
                Limit::Fraction(fraction) | Limit::Both(fraction, _) => *fraction,
                _ => 1.0,
            };
            let now = self.now.unwrap_or_else(Instant::now);
            let budget = self.budget()?.clone();
            self.lookout.watch = Some(Watch::start(source::current(), &budget, share, now));
        }
        Ok(())
    }

    fn go_parallel(&mut self, plan: &Plan, line: &mut Line<'_>) -> Result<(), Error> {
        let threads = Threads::find(self.options.wanted_threads())?;
        let situation = self.situation(line)?;
        let cores = situation.threads.min(plan.threads());
        let room = Room {
            level: Climb::first(cores, plan.threads()),
            cores,
            most: situation.most.min(situation.remaining.unwrap_or(usize::MAX)).max(cores),
            own: !pool::is_worker(),
        };
        self.learned.waits.begin_on_threads();
        let ledger = self.ledger.clone();
        self.read_resident();
        self.start_watch()?;
        let ways = Ways { ordered: self.ordered, tolerant: self.options.panics() != OnPanic::Propagate };
        let batch_size = plan.batch_size();
        // A sink that begins with a chunk is at work while the first whole batch is made; of slow items one for each thread.
        let first_batch =
            if line.outlet.hands_over() { plan.chunk_size().max(plan.threads()).min(batch_size) } else { batch_size };
        line.outlet.set_batch_size(first_batch);
        let head_start = HeadStart { next: self.next, outstanding: self.held_items, batch_size, first_batch };
        let lookout = Some(std::mem::take(&mut self.lookout));
        self.parted = Some((self.elapsed_now(), line.outlet.sink_seconds()));
        let control = Control::new(situation, room, self.learned.clone(), ledger, head_start, ways, lookout);
        self.phase = Phase::Parallel(Box::new(control), threads);
        Ok(())
    }

    fn over_budget(&self, item: usize, needed: u64, line: &mut Line<'_>) -> Error {
        over_budget(Stuck { item, needed, waiting: 0 }, self.ledger.held(), &self.ledger, &self.learned, line)
    }
}

fn over_budget(stuck: Stuck, held: Bytes, ledger: &Ledger, learned: &Learned, line: &mut Line<'_>) -> Error {
    let Stuck { item, needed, waiting } = stuck;
    let left = line.left_exactly().map(|left| left + waiting);
    Error::new(ErrorKind::OverBudget {
        item,
        items_done: learned.items,
        held,
        needed: Bytes::new(needed),
        budget: ledger.budget(),
        allowed: Bytes::new(ledger.limit()),
        expected: left.map(|left| Bytes::new(learned.bytes) + Bytes::new(needed) * left as u64),
    })
}

fn interrupted(interrupt: Interrupt, items_done: usize, elapsed: Duration) -> Error {
    Error::new(match interrupt {
        Interrupt::Cancelled => ErrorKind::Cancelled { items_done },
        Interrupt::DeadlinePassed => ErrorKind::TimedOut { items_done, seconds: elapsed.as_secs_f64() },
    })
}

fn oversize(item: usize, needed: u64, ledger: &Ledger) -> Error {
    Error::new(ErrorKind::Oversize { item, needed: Bytes::new(needed), budget: ledger.budget() })
}
