//! The executor: runs a function over the input, inline at first and on threads when that pays, within the budget.
//!
//! `line` holds the two ends of a run on the calling thread, `chunk` what workers run, `buffer` where items and results lie,
//! `indexed` items that workers write down themselves, `pages` when the memory of results is backed, `control` what the calling thread
//! asks and tells of a run on threads, `state` where that stands and what follows, `jobs` what workers do with it, `sleeping` how
//! the calling thread waits for them, `asks` when and for how many items it asks the input, `climb` on how many threads, `alone` whether on any, `lookout` who looks at it, `account` what threads wait for, `pool` the threads, `conductor` the
//! calling thread beside them. This file drives them, with `sampling` and `together` before a plan that is asked for, `inline` on the
//! calling thread, and `telling` of what goes on. All but the typed halves of `buffer`, `chunk` and `line` is compiled once, whatever
//! the function.

mod account;
mod alone;
mod asks;
mod books;
pub(crate) mod buffer;
#[expect(unreachable_pub, reason = "the expansion names its type through `__private`")]
pub mod chunk;
pub(crate) mod climb;
#[cfg(test)]
mod climbing;
#[cfg(all(test, not(loom)))]
mod clocked;
mod conductor;
pub(crate) mod control;
mod indexed;
mod inline;
mod jobs;
pub(crate) mod line;
mod looking;
mod lookout;
#[cfg(all(loom, test))]
mod loom;
mod pages;
pub(crate) mod pool;
mod resident;
mod sampling;
mod sleeping;
pub(crate) mod stages;
mod state;
mod telling;
mod together;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::alone::{Alone, Done};
use self::books::Books;
use self::climb::Climb;
use self::conductor::{Conductor, Grown, WorkerJob};
use self::control::{Control, Place, Room, Stuck};
use self::inline::{FIRST_DECISION, Inline};
use self::line::{Flow, Line, Outlet};
use self::lookout::{Lookout, Seen};
use self::pool::{Expected, Job, Refused, Threads};
use crate::cancel::Interrupt;
use crate::error::{Error, ErrorKind};
use crate::failure::{Ended, Failure, Payload};
use crate::handover::HandedOver;
use crate::memory::budget::{Budget, Ledger, Waits};
use crate::memory::deep_size::features::Unasked;
use crate::memory::measure::{Certainty, MeasuredBy};
use crate::memory::tracking::{self, Frame};
use crate::memory::watch::Watch;
use crate::memory::working::Calls;
use crate::memory::{Bytes, source};
use crate::options::{Limit, MaxMemory, OnPanic, Options};
use crate::plan::{Plan, Situation};
use crate::progress::Phase as Stage;
use crate::sample::Learned;
use crate::sync;
use crate::time_use::TimeUse;
use crate::timeline::{Moment, Recorder, Timeline};

/// A budget that is a fraction of what is available is not worked out before so much is held; no machine has less to give.
const UNRESOLVED_BUDGET: Bytes = Bytes::mib(1);
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
    pub(crate) unasked: Unasked,
    /// Threads that the system refused, where it did.
    pub(crate) refused: Option<Refused>,
    /// Items without a result because the function panicked, and those of them that were kept.
    pub(crate) panicked: usize,
    pub(crate) panics: Arc<[Failure]>,
    /// Seconds per item as sampled, before the run went on threads.
    pub(crate) sampled_seconds: f64,
    /// Seconds of the input and of the sink, which a plain loop would spend beside its calls.
    pub(crate) beside_calls: f64,
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
    /// While the run is on threads, they have them.
    books: Books,
    ledger: Ledger,
    budget: Option<Budget>,
    plan: Option<Plan>,
    item_size: usize,
    result_size: usize,
    measured_by: MeasuredBy,
    unasked: Unasked,
    refused: Option<Refused>,
    /// Items of the next inline stretch.
    stretch: usize,
    /// Seconds that an item took in the last one.
    pace: f64,
    /// Bytes that an item can have at most whose type doesn't tell, by the time that it took.
    item_bound: u64,
    /// Seconds spent inline, and those of them that were the input's or the sink's.
    spent: f64,
    beside_calls: f64,
    decide_at: f64,
    /// Resident memory when it was last read inline, or at the start of the parallel part.
    resident: Option<u64>,
    resident_measured: bool,
    resident_most: u64,
    /// Until the run goes on threads.
    lookout: Lookout,
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
    /// What was done before the part that is reported; nothing before the first.
    before: Option<Box<Before>>,
    /// A panic that comes when the run goes on.
    pending_panic: Option<(usize, Payload)>,
}

/// What a run had done that ended early, and goes on.
#[derive(Debug)]
struct Before {
    learned: Learned,
    chunks: usize,
    panicked: usize,
    beside_calls: f64,
    elapsed: Duration,
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

/// The budget where it is stated in bytes, and what may be held before a budget is worked out.
fn stated_budget(options: &Options) -> (Option<Budget>, Bytes) {
    match options.limit().limit() {
        Ok(Limit::Bytes(bytes)) => (Some(Budget { bytes: *bytes, available: None }), *bytes),
        Ok(Limit::Both(_, bytes)) => (None, UNRESOLVED_BUDGET.min(*bytes)),
        _ => (None, UNRESOLVED_BUDGET),
    }
}

impl Engine {
    pub(crate) fn new(
        options: Options,
        [item_size, result_size]: [usize; 2],
        measured_by: MeasuredBy,
        unasked: Unasked,
    ) -> Self {
        let (budget, ledger) = stated_budget(&options);
        Self {
            options,
            ordered: true,
            phase: Phase::Inline,
            books: Books::default(),
            ledger: Ledger::new(ledger),
            budget,
            plan: None,
            item_size,
            result_size,
            measured_by,
            unasked,
            refused: None,
            stretch: 1,
            pace: 0.0,
            item_bound: 0,
            spent: 0.0,
            beside_calls: 0.0,
            decide_at: FIRST_DECISION,
            resident: None,
            resident_measured: false,
            resident_most: 0,
            lookout: Lookout::default(),
            measure_at: FIRST_DECISION,
            sampled_seconds: 0.0,
            alone: Alone::default(),
            slower: None,
            parted: None,
            on_threads: OnThreads::default(),
            elapsed: Duration::ZERO,
            now: None,
            begun: None,
            before: None,
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
            situation.in_flight = self.options.in_flight_items();
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lets results come in any order.
    pub(crate) fn set_unordered(&mut self) {
        self.ordered = false;
    }

    pub(crate) fn items_done(&mut self) -> usize {
        self.with_books(|books| books.next)
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
            watch.rebase(self.ledger.held());
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
                self.books.outstanding -= items;
            }
            Phase::Parallel(control, _) => control.release(items, bytes),
        }
    }

    /// Looks at the books, whoever has them.
    fn with_books<R>(&mut self, look: impl FnOnce(&mut Books) -> R) -> R {
        match &self.phase {
            Phase::Inline => look(&mut self.books),
            Phase::Parallel(control, _) => look(&mut control.state().books),
        }
    }

    /// How long the part took that is reported.
    fn elapsed_in_part(&self) -> Duration {
        self.elapsed.saturating_sub(self.before.as_ref().map_or(Duration::ZERO, |before| before.elapsed))
    }

    /// Lets reports be of what is done from now on, by the rest of a run that ended early.
    pub(crate) fn begin_part(&mut self) {
        let (beside_calls, elapsed) = (self.beside_calls, self.elapsed);
        self.ledger.begin_part();
        self.on_threads = OnThreads::default();
        // Dropping the panics of the part before may run code of the user's: not while the books are lent.
        let (before, _panics) = self.with_books(|books| {
            books.learned.begin_part();
            let (learned, chunks, panicked) = (books.learned.clone(), books.chunks, books.panics.count);
            (Before { learned, chunks, panicked, beside_calls, elapsed }, books.panics.take_kept())
        });
        if let Phase::Parallel(control, _) = &self.phase {
            control.begin_part();
            self.parted = Some((elapsed, 0.0));
        }
        let seen = self.seen();
        self.with_lookout(|lookout, ledger| {
            if let Some(recorder) = &mut lookout.recorder {
                recorder.begin_part(Instant::now(), seen.items, ledger.held().as_u64());
            }
        });
        self.before = Some(Box::new(before));
    }

    /// What the run has done, or the part of it that is reported. The panics that were kept go with it.
    pub(crate) fn totals(&mut self, handed_over: HandedOver) -> Totals {
        let HandedOver { sink_seconds, times, .. } = handed_over;
        let (mut learned, mut chunks, mut panicked, panics) = self
            .with_books(|books| (books.learned.clone(), books.chunks, books.panics.count, books.panics.take_kept()));
        let mut beside_calls = self.beside_calls;
        if let Some(before) = &self.before {
            learned = learned.since(&before.learned);
            chunks -= before.chunks;
            panicked -= before.panicked;
            beside_calls = (beside_calls - before.beside_calls).max(0.0);
        }
        let on_threads = match &self.phase {
            Phase::Inline => self.on_threads,
            Phase::Parallel(control, _) => self.all_on_threads(control, self.elapsed, sink_seconds),
        };
        let (threads, cores) = (on_threads.threads.max(1), on_threads.cores.max(1));
        let elapsed = self.elapsed_in_part();
        let seconds = elapsed.as_secs_f64();
        let (budget, max_memory) = (self.budget.clone(), self.options.limit());
        // An empty one made of a `Vec` would be an allocation.
        let panics = if panics.is_empty() { Arc::default() } else { Arc::from(panics) };
        let measured_by = self.measured_by;
        let OnThreads { input_seconds, waited, credit_waits, .. } = on_threads;
        let inline_seconds = elapsed.saturating_sub(on_threads.time).as_secs_f64();
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
            beside_calls: beside_calls + input_seconds + on_threads.sink_seconds,
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
            unasked: self.unasked,
            refused: self.refused,
            panicked,
            panics,
        }
    }

    /// Takes out the panics that were noted so far, where all are kept.
    pub(crate) fn take_panics(&mut self) -> Vec<Failure> {
        if self.options.panics() != OnPanic::Collect {
            return Vec::new();
        }
        self.with_books(|books| books.panics.take_kept())
    }

    /// How many panics are kept, where the run goes on without the items.
    fn kept_panics(&self) -> Option<usize> {
        match self.options.panics() {
            OnPanic::Propagate => None,
            OnPanic::Skip => Some(KEPT_PANICS),
            OnPanic::Collect => Some(usize::MAX),
        }
    }

    /// Runs until the input ends or the outlet has enough. An error of the run leaves the results that are there where they are.
    pub(crate) fn run(&mut self, line: &mut Line<'_>) -> Result<Flow, Ended> {
        let begun = sync::now();
        (self.now, self.begun) = (Some(begun), Some(begun));
        self.begin_telling(begun, line)?;
        self.set_origin(line);
        let kept = self.kept_panics();
        self.with_books(|books| books.panics.keep(kept));
        let outcome = self.run_phases(line);
        self.end_of_part(&outcome);
        // What the last stretch read from the clock will do for a run that stayed inline.
        let now = self.now.take().filter(|_| matches!(self.phase, Phase::Inline));
        self.elapsed += now.unwrap_or_else(sync::now) - begun;
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
            let accepted = line.flush();
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
        // An iterator's run comes back for each batch, and knows more by then than its plan did.
        match (&self.phase, &self.plan) {
            (Phase::Parallel(control, _), _) => line.outlet.set_batch_size(control.batch_size()),
            (Phase::Inline, Some(plan)) => line.outlet.set_batch_size(plan.batch_size()),
            (Phase::Inline, None) => {}
        }
        loop {
            if matches!(self.phase, Phase::Inline) {
                match self.inline(line)? {
                    Inline::Done(flow) => return Ok(flow),
                    Inline::GoParallel(plan) => {
                        self.end_sampling(sync::now());
                        if !self.go_parallel(&plan, line)? {
                            self.plan = None;
                            continue;
                        }
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
        self.find_threads_again()?;
        let Phase::Parallel(control, threads) = &self.phase else { unreachable!("the run is on threads") };
        let base = self.resident.as_mut().filter(|_| self.measured_by == MeasuredBy::Resident);
        let mut conductor = Conductor {
            control,
            work: line.work,
            begun: self.begun.unwrap_or_else(sync::now),
            worker: pool::is_worker(),
            joins_in: threads.include_caller(),
            refuses_oversize: self.options.refuses_oversize(),
            resident: base.map(|base| Grown { base, most: &mut self.resident_most, looked: sync::now() }),
            pace: if line.outlet.collects() { None } else { self.alone.watch() },
            slower: &mut self.slower,
        };
        let mut outcome = Ok(Flow::Continue);
        control.begin();
        let work = line.work;
        let job = |place| WorkerJob { place, control, work };
        let own = control.has_own_threads().then_some(job(Place::Own));
        let own = own.as_ref().map(|job| job as &dyn Job);
        let waits = Waits::in_call();
        let in_call = self.ledger.outer_budget().is_some();
        threads.scope(&job(Place::Pool), own, in_call, &mut |start| outcome = conductor.conduct(line, start));
        drop(waits);
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

    /// Finds threads anew where this process is the child of the one that began the run: those are not here.
    fn find_threads_again(&mut self) -> Result<(), Error> {
        if let Phase::Parallel(_, threads) = &mut self.phase
            && !threads.are_here()
        {
            *threads = Threads::find(self.options.wanted_threads().map(pool::at_most))?;
        }
        Ok(())
    }

    /// Goes on with the calling thread alone, after threads that took so many seconds per byte.
    fn go_back(&mut self, pace: f64, line: &mut Line<'_>) {
        self.leave_threads(line);
        self.stretch = 1;
        self.alone.go_back(pace);
        line.outlet.set_batch_size(alone::items_at_once(&self.books.learned));
    }

    /// Leaves the threads, which have nothing to do any longer.
    fn leave_threads(&mut self, line: &mut Line<'_>) {
        let Phase::Parallel(control, _) = std::mem::replace(&mut self.phase, Phase::Inline) else { return };
        self.on_threads = self.all_on_threads(&control, self.elapsed_now(), line.outlet.sink_seconds());
        self.parted = None;
        let (books, lookout) = control.into_parts();
        (self.books, self.lookout) = (books, lookout.unwrap_or_default());
        (self.plan, self.slower) = (None, None);
        self.now = Some(sync::now());
    }

    /// What all parts on threads came to, with that of `control`, after so much of the run and so long in its sink.
    fn all_on_threads(&self, control: &Control, elapsed: Duration, sink_seconds: f64) -> OnThreads {
        let (since, sink_before) = self.parted.unwrap_or_default();
        self.on_threads.and(control, (elapsed.saturating_sub(since), sink_seconds - sink_before))
    }

    /// How long the run has been under way.
    fn elapsed_now(&self) -> Duration {
        self.elapsed + self.begun.map_or(Duration::ZERO, |begun| sync::now() - begun)
    }

    /// What the calling thread spent, and the bytes of all results.
    fn done(&self) -> Done {
        Done { seconds: self.spent, bytes: self.books.learned.bytes }
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
        let (now, seen) = (sync::now(), Seen { running: 0, ..self.seen() });
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
                None => _ = lookout.look(now, ledger, false, || seen, Calls::default),
            }
        });
    }

    fn interrupted(&mut self, interrupt: Interrupt) -> Error {
        let items_done = self.with_books(|books| books.learned.items);
        interrupted(interrupt, items_done, self.elapsed_now())
    }

    /// Bytes to expect of one result.
    fn expected(&self) -> u64 {
        self.books.learned.expected_bytes().max(self.result_size as u64)
    }

    /// Bytes to expect of one call, its result included, as far as calls themselves were measured: an estimate from resident memory
    /// makes no item an error.
    fn needed(&self) -> u64 {
        self.expected() + self.books.learned.measured_working()
    }

    fn affordable(&self) -> usize {
        let for_results = self.ledger.free().saturating_sub(self.books.learned.expected_working());
        usize::try_from(for_results / self.expected().max(1)).unwrap_or(usize::MAX)
    }

    /// How many items may be run next, by the bound of those in flight: items that were taken and wait
    /// on the calling thread are among them.
    fn in_flight_room(&self, outlet: &dyn Outlet) -> usize {
        // A collection keeps what it took to the end: if that counted, nothing could go on.
        self.options.in_flight_items().map_or(usize::MAX, |most| {
            most.saturating_sub(self.books.outstanding.saturating_sub(outlet.collected().unwrap_or(0)))
        })
    }

    fn situation(&mut self, line: &mut Line<'_>) -> Result<Situation, Error> {
        let found = match self.options.wanted_threads().map(pool::at_most) {
            Some(threads) => Expected { threads, most: threads, warm: false },
            None => {
                self.refused = pool::refused();
                pool::expected_threads(self.ledger.outer_budget().is_some(), self.books.learned.waits.are_long())
            }
        };
        let Expected { threads, most, warm } = found;
        let in_flight = self.options.most_in_flight();
        let (threads, most) = (threads.min(in_flight), most.min(in_flight));
        let budget = self.budget()?.clone();
        let remaining = line.left_exactly();
        Ok(Situation {
            threads,
            most,
            threads_asked: self.options.wanted_threads().is_some(),
            warm,
            remaining,
            batch_items: self.options.batch_items(),
            in_flight: self.options.in_flight_items(),
            budget: budget.bytes,
            available: budget.available,
            available_now: None,
            cores: None,
            measured_by: self.measured_by,
            working_certainty: self.working_certainty(),
            item_size: self.item_size,
            result_size: self.result_size,
            item_bytes: self.item_size as u64,
            items_are_opaque: line.work.items_are_opaque(),
            hands_over: line.outlet.hands_over(),
        })
    }

    fn read_resident(&mut self) {
        if matches!(self.measured_by, MeasuredBy::Resident | MeasuredBy::Unmeasured) {
            self.resident = source::current().resident().map(Bytes::as_u64);
            self.measured_by = if self.resident.is_some() { MeasuredBy::Resident } else { MeasuredBy::Unmeasured };
        }
    }

    /// How sure it is what calls need beside their results.
    fn working_certainty(&self) -> Certainty {
        let is_read = self.lookout.watch.as_ref().map(|watch| watch.reads_resident());
        Certainty::of_working(self.measured_by, || is_read.unwrap_or_else(|| source::current().resident().is_some()))
    }

    /// Begins to look at the system's memory, unless that was done before. The run in whose call this one is does it for both.
    fn start_watch(&mut self) -> Result<(), Error> {
        if self.lookout.watch.is_none() && self.ledger.outer_budget().is_none() {
            let share = match self.options.limit().limit()? {
                Limit::Fraction(fraction) | Limit::Both(fraction, _) => *fraction,
                _ => 1.0,
            };
            let now = self.now.unwrap_or_else(sync::now);
            let budget = self.budget()?.clone();
            let mut watch = Watch::start(source::current(), &budget, self.ledger.held(), share, now);
            self.books.learned.resident_working().into_iter().for_each(|bytes| watch.sampled(bytes));
            self.lookout.watch = Some(Box::new(watch));
        }
        Ok(())
    }

    /// Goes on threads, where the system gives some.
    fn go_parallel(&mut self, plan: &Plan, line: &mut Line<'_>) -> Result<bool, Error> {
        let asked = self.options.wanted_threads().map(pool::at_most);
        let threads = match Threads::find(asked) {
            Ok(threads) => threads,
            Err(_) if asked.is_none() => {
                self.refused = pool::refused();
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let situation = self.situation(line)?;
        let cores = situation.threads.min(plan.threads());
        let room = Room {
            level: if self.ledger.is_squeezed() { cores } else { Climb::first(cores, plan.threads()) },
            cores,
            most: situation.most.min(situation.remaining.unwrap_or(usize::MAX)).max(cores),
            // Who states a number gets a pool that has as many.
            own: asked.is_none() && !pool::is_worker(),
        };
        self.books.learned.waits.begin_on_threads();
        let ledger = self.ledger.clone();
        self.read_resident();
        self.start_watch()?;
        let batch_size = plan.batch_size();
        // A sink that begins with a chunk is at work while the first whole batch is made; of slow items one for each thread.
        let first_batch = if line.outlet.hands_over() { plan.chunk_size().max(plan.threads()) } else { usize::MAX };
        line.outlet.set_batch_size(first_batch.min(batch_size));
        let lookout = Some(std::mem::take(&mut self.lookout));
        self.parted = Some((self.elapsed_now(), line.outlet.sink_seconds()));
        let books = std::mem::take(&mut self.books);
        let batches = (batch_size, first_batch);
        let control = Control::new(situation, room, books, ledger, batches, self.ordered, lookout);
        // Before the first call starts it is to be known how many may.
        control.look_first(line.outlet.collects());
        self.phase = Phase::Parallel(Box::new(control), threads);
        Ok(true)
    }

    fn over_budget(&self, item: usize, needed: u64, line: &mut Line<'_>) -> Error {
        let held = (self.ledger.held(), self.measured_by);
        over_budget(Stuck { item, needed, waiting: 0 }, held, &self.ledger, &self.books.learned, line)
    }
}

fn over_budget(
    stuck: Stuck,
    (held, measured_by): (Bytes, MeasuredBy),
    ledger: &Ledger,
    learned: &Learned,
    line: &mut Line<'_>,
) -> Error {
    let Stuck { item, needed, waiting } = stuck;
    let left = line.left_exactly().map(|left| left.saturating_add(waiting));
    Error::new(ErrorKind::OverBudget {
        item,
        items_done: learned.items,
        held,
        needed: Bytes::new(needed),
        budget: ledger.budget(),
        allowed: Bytes::new(ledger.limit()),
        expected: left.map(|left| Bytes::new(learned.bytes) + Bytes::new(needed) * left as u64),
        measured_by,
    })
}

fn interrupted(interrupt: Interrupt, items_done: usize, elapsed: Duration) -> Error {
    Error::new(match interrupt {
        Interrupt::Cancelled => ErrorKind::Cancelled { items_done },
        Interrupt::DeadlinePassed => ErrorKind::TimedOut { items_done, seconds: elapsed.as_secs_f64() },
    })
}

fn oversize(item: usize, needed: u64, ledger: &Ledger, measured_by: MeasuredBy) -> Error {
    Error::new(ErrorKind::Oversize { item, needed: Bytes::new(needed), budget: ledger.budget(), measured_by })
}
