//! A run apart from its types: compiled once for all functions.

#[cfg(feature = "durable")]
mod durable;
mod ending;

use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "durable")]
use std::path::PathBuf;
use std::sync::Arc;

pub(super) use self::ending::Figures;
use crate::buffer::Collector;
use crate::call::Function;
use crate::call::interrupts::Interrupts;
use crate::durable::{Handle, Keeper};
use crate::error::failure::Ended;
use crate::error::outcome::Failures;
use crate::error::{Error, ErrorKind};
use crate::execute::kept::{Kept, KeptPart};
use crate::execute::line::{Line, Stock};
use crate::execute::work::Tools;
use crate::execute::{Engine, UNRESOLVED_BUDGET};
use crate::input::Input;
use crate::log::verbose::Verbose;
use crate::memory::deep_size::features::Unasked;
use crate::memory::measure::TypeFacts;
use crate::memory::tracking;
use crate::options::Options;
use crate::options::choices::OnPanic;
use crate::output::batches::Handover;
use crate::output::collect::{Collecting, FindEnd, Found};
use crate::output::outlet::{Flow, Outlet};
use crate::plan::Plan;
use crate::policy::Told;
use crate::progress::stage::StageCounts;
use crate::progress::{Callback, Teller};
use crate::report::Report;
use crate::units::ByteSize;
use crate::units::measured_by::MeasuredBy;

/// An input that says it has no end is believed after this many items. They take some tenths of a
/// second at least if calls are cheap; an input that is wrong about its end seldom has as many.
const ENDLESS: usize = 1 << 24;

/// The parts of a run that go into another one, as a stage of it.
pub(crate) struct CoreParts {
    pub(crate) options: Options,
    pub(crate) interrupts: Interrupts,
    /// The stages of a pipeline; none for a run of a single function.
    pub(crate) stages: Vec<Arc<StageCounts>>,
    callback: Option<Callback>,
    print_plan: Option<PrintPlan>,
}

/// Prints the plan of a verbose run. As a function that `verbose` sets, it and the sample for it
/// are only in programs that have a verbose run.
type PrintPlan = fn(&mut Core, &mut dyn Input, &dyn Function) -> Result<(), Error>;

impl CoreParts {
    /// The counts of the run's own function, which becomes a stage; `None` for a pipeline, which has
    /// several stages that count for themselves.
    pub(crate) fn own_stage(&mut self) -> Option<Arc<StageCounts>> {
        let own = self.stages.is_empty().then(|| StageCounts::new(self.options.name()));
        self.stages.extend(own.clone());
        own
    }

    /// The parts of a pipeline, from those before and those of its next stage.
    pub(crate) fn join(self, next: Self) -> Self {
        // A callback comes before the options' `progress`, so that of an earlier stage goes where a
        // later stage's options state one.
        let callback = next.callback.or(self.callback.filter(|_| !next.options.states_progress()));
        Self {
            options: self.options.join(next.options),
            interrupts: self.interrupts.join(next.interrupts),
            stages: self.stages.into_iter().chain(next.stages).collect(),
            callback,
            print_plan: self.print_plan.or(next.print_plan),
        }
    }
}

/// The part of [`Batched`](crate::Batched) without the types of items and results.
pub(crate) struct Core {
    engine: Engine,
    stock: Stock,
    pub(super) kept: Kept,
    /// `Some` if the run is verbose.
    print_plan: Option<PrintPlan>,
    pub(super) verbose: Verbose,
    result_size: usize,
    tools: Tools,
    /// The callback for progress, until the run begins. Then it is the engine's.
    callback: Option<Callback>,
    /// True if the engine's callback is not the one of the options.
    lends_callback: bool,
    begun: bool,
    /// The stages of a pipeline; a run of a single function has none.
    stages: Vec<Arc<StageCounts>>,
    /// The number of repeated calls before the part of the run that is reported.
    retries_before: usize,
    /// True if a terminal has ended, so that the next one begins a part of its own.
    part_ended: bool,
    /// The report of the last terminal, if it ended early.
    pub(super) report: Option<Box<Report>>,
    /// True if a sink has finished with all results.
    #[cfg(feature = "durable")]
    pub(super) is_sunk: bool,
    /// The directory for spilled results, if it is memory.
    #[cfg(feature = "durable")]
    pub(super) memory_spill: Option<PathBuf>,
}

/// The way to collect results.
pub(crate) struct Collect<'a> {
    pub(crate) collector: Collector,
    /// `Some` if a result can end the run.
    pub(crate) find_end: Option<FindEnd<'a>>,
    /// True if every result is kept, so that their number alone may be too large.
    pub(crate) keeps_all: bool,
}

/// Stores everything that the run has finished, once the input has ended.
fn end_keeping(keeper: Option<&Keeper>, input: &dyn Input) -> Result<(), Ended> {
    let Some(keeper) = keeper else { return Ok(()) };
    let failure = || if keeper.has_failed() { keeper.why() } else { None };
    if let Some(why) = failure() {
        return Err(why);
    }
    let (items, is_known) = input.end();
    match failure() {
        Some(why) => Err(why),
        None => Ok(keeper.end(items, is_known)?),
    }
}

impl Core {
    /// Takes the facts about the types of items and results.
    pub(crate) fn new(options: Options, item: TypeFacts, result: TypeFacts) -> Self {
        let tracks = tracking::is_active();
        // The program's allocator counts everything.
        let (measured_by, unasked) = if tracks {
            (MeasuredBy::Tracking, Unasked::default())
        } else {
            (result.measured_by, Unasked::of(item, result))
        };
        let engine = Engine::new(options, [item.size, result.size], measured_by, unasked);
        Self {
            print_plan: None,
            verbose: Verbose::new(false),
            tools: Tools::new(engine.ledger().clone(), tracks),
            callback: None,
            lends_callback: false,
            begun: false,
            engine,
            stock: Stock::default(),
            kept: Kept::default(),
            result_size: result.size,
            stages: Vec::new(),
            retries_before: 0,
            part_ended: false,
            report: None,
            #[cfg(feature = "durable")]
            is_sunk: false,
            #[cfg(feature = "durable")]
            memory_spill: None,
        }
    }

    /// Begins a part of the run that is reported by itself, if a terminal has ended. `retries`
    /// counts the calls that were made again before it.
    pub(crate) fn begin_part(&mut self, retries: usize, told: &mut Told) {
        self.tools.ledger.start();
        told.failures = Failures::new();
        if !std::mem::take(&mut self.part_ended) {
            return;
        }
        self.report = None;
        self.engine.begin_part();
        self.stages.iter().for_each(|stage| stage.begin_part());
        self.retries_before = retries;
        #[cfg(feature = "durable")]
        if let Some(keeper) = self.tools.interrupts.keeper().get() {
            keeper.begin_part();
        }
    }

    /// Prepares progress and events of the run, once.
    fn begin(&mut self, input: &mut dyn Input) {
        if self.begun {
            return;
        }
        let name = self.options().name();
        // The code of the input and of a subscriber comes first. If it panics, the next terminal
        // begins the run.
        let (least, _) = input.size_hint();
        self.tools.span.begin(name, || self.stock.left_exactly(input));
        self.begun = true;
        self.stock.asks.begin_run(least);
        self.lends_callback = self.callback.is_some();
        if let Some(callback) = self.callback.take().or_else(|| self.options().callback()) {
            self.engine.set_teller(Some(Teller::new(callback, name, self.stages.clone())));
        }
    }

    pub(crate) fn options(&self) -> &Options {
        self.engine.options()
    }

    pub(crate) fn change_options(&mut self, change: impl FnOnce(Options) -> Options) {
        self.engine.change_options(change);
    }

    /// Sets if the run prints its plan and its batches.
    pub(crate) fn set_verbose(&mut self, verbose: bool) {
        self.set_print_plan(verbose.then_some(Self::print_plan));
    }

    fn set_print_plan(&mut self, print_plan: Option<PrintPlan>) {
        self.verbose = Verbose::new(print_plan.is_some());
        self.print_plan = print_plan;
    }

    pub(crate) fn interrupts(&mut self) -> &mut Interrupts {
        &mut self.tools.interrupts
    }

    /// Sets the callback for the run's progress.
    pub(crate) fn set_progress(&mut self, callback: Callback) {
        if self.begun {
            let teller = Teller::new(callback, self.options().name(), self.stages.clone());
            self.lends_callback = true;
            self.engine.set_teller(Some(teller));
        } else {
            self.callback = Some(callback);
        }
    }

    /// Notes that the run can ask what a result owns.
    pub(crate) fn know_results(&mut self) {
        if !self.tools.tracks {
            self.engine.know_results();
        }
    }

    /// Gives the parts that go into another run, as one of its stages.
    pub(crate) fn into_parts(mut self) -> CoreParts {
        if self.lends_callback {
            self.callback = self.engine.take_teller().map(Teller::into_callback);
        }
        let Self { engine, tools, stages, callback, print_plan, .. } = self;
        CoreParts { options: engine.into_options(), interrupts: tools.interrupts, stages, callback, print_plan }
    }

    /// A core from the parts of other runs.
    pub(crate) fn of_parts(parts: CoreParts, item: TypeFacts, result: TypeFacts) -> Self {
        let CoreParts { options, interrupts, stages, callback, print_plan } = parts;
        let mut core = Self::new(options, item, result);
        (core.tools.interrupts, core.stages, core.callback) = (interrupts, stages, callback);
        core.set_print_plan(print_plan);
        core
    }

    /// Begins a run with results in any order. No call is started yet, but the time of a timeout
    /// counts.
    pub(crate) fn begin_unordered(&mut self) {
        self.engine.set_unordered();
        self.tools.interrupts.begin();
    }

    /// The wanted size of batches, and what hands them over.
    pub(crate) fn handover(&self) -> (Option<usize>, Handover, Handle) {
        let handover = Handover::new(self.verbose, &self.tools.ledger);
        (self.options().batch_items(), handover, self.tools.interrupts.keeper().clone())
    }

    pub(crate) fn planned(&self) -> Option<&Plan> {
        self.engine.plan()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.options().check()
    }

    /// Runs the sample, unless that was done, and plans.
    pub(crate) fn plan(&mut self, input: &mut dyn Input, function: &dyn Function) -> Result<&Plan, Error> {
        self.check()?;
        self.begin(input);
        self.tools.interrupts.begin();
        let most = self.options().sample_items();
        self.make_plan(input, function, most).map_err(Ended::error_or_panic)
    }

    /// Runs a sample of at most `most` items, unless there is a plan.
    fn make_plan(&mut self, input: &mut dyn Input, function: &dyn Function, most: usize) -> Result<&Plan, Ended> {
        let _entered = self.tools.span.enter();
        let work = self.tools.work(function);
        self.tools.ledger.set_collects(false);
        let (stock, outlet) = (&mut self.stock, &mut self.kept);
        let mut line = Line { input, stock, work, outlet, is_stopped: false };
        self.engine.make_plan(&mut line, most)?;
        #[cfg(feature = "durable")]
        if let Some(directory) = &self.memory_spill {
            self.engine.warn_of_spill_dir(directory);
        }
        Ok(self.engine.plan().unwrap_or_else(|| unreachable!("it was made")))
    }

    /// Refuses invalid options, and prints the plan of a verbose run.
    pub(crate) fn start(&mut self, input: &mut dyn Input, function: &dyn Function) -> Result<(), Error> {
        self.check()?;
        self.begin(input);
        self.tools.interrupts.begin();
        self.engine.set_quiet(self.verbose.is_on());
        self.print_plan.map_or(Ok(()), |print| print(self, input, function))
    }

    /// Prints the plan of a verbose run. Apart from that, the run is the same as a quiet one: it
    /// ends for the same reasons, after it has handed over the same results.
    fn print_plan(&mut self, input: &mut dyn Input, function: &dyn Function) -> Result<(), Error> {
        let total = self.stock.left_exactly(input).map(|left| left + self.engine.items_done());
        let available = self.engine.budget()?.available;
        let (asked, share) = (self.options().batch_items(), self.options().limit().to_string());
        // The run has to end first for a reason that waits already.
        if self.engine.is_delayed() {
            return Ok(());
        }
        // An input that may wait for a result gets the first one before it is asked again.
        let most = if self.stock.asks.may_wait() { 1 } else { self.options().sample_items() };
        let planned = catch_unwind(AssertUnwindSafe(|| self.make_plan(input, function, most).cloned()));
        match planned {
            Ok(Ok(plan)) => self.verbose.plan(&plan, total, asked, &share, available),
            // The terminal meets it again.
            Ok(Err(Ended::Error(error))) if error.is_cancelled() || error.is_timed_out() => {}
            Ok(Err(Ended::Error(error))) => return Err(error),
            Ok(Err(ended)) => self.engine.delay(ended),
            Err(payload) => self.engine.delay(Ended::Panic(payload)),
        }
        Ok(())
    }

    /// Runs until the input ends or the outlet has enough. Results that are kept go first.
    ///
    /// A panic of the caller's own code, such as the input, comes back as the reason for the end,
    /// so that nothing is lost with it.
    pub(crate) fn drive(
        &mut self,
        input: &mut dyn Input,
        function: &dyn Function,
        outlet: &mut dyn Outlet,
    ) -> Result<Flow, Ended> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.drive_to_its_end(input, function, outlet)));
        // What was collected may be dropped from here on.
        self.engine.hold_credit_alone();
        outcome.unwrap_or_else(|payload| Err(Ended::Panic(payload)))
    }

    fn drive_to_its_end(
        &mut self,
        input: &mut dyn Input,
        function: &dyn Function,
        outlet: &mut dyn Outlet,
    ) -> Result<Flow, Ended> {
        self.begin(input);
        self.tools.interrupts.begin();
        self.tools.ledger.set_collects(outlet.collects());
        let options = self.engine.options();
        self.stock.asks.is_bounded = options.in_flight.is_some();
        if let Some(plan) = self.engine.plan() {
            outlet.set_batch_size(plan.batch_size());
        }
        let flow = self.give_kept(input, function, outlet)?;
        let _entered = self.tools.span.enter();
        if flow == Flow::Stop {
            self.engine.stop();
        }
        if flow != Flow::Continue {
            return Ok(flow);
        }
        let work = self.tools.work(function);
        let (input, stock) = (&mut *input, &mut self.stock);
        let flow = self.engine.run(&mut Line { input, stock, work, outlet, is_stopped: false })?;
        if flow == Flow::Continue {
            end_keeping(self.tools.interrupts.keeper().get(), input)?;
        }
        Ok(flow)
    }

    /// Gives the outlet what is kept, until it has enough.
    fn give_kept(
        &mut self,
        input: &mut dyn Input,
        function: &dyn Function,
        outlet: &mut dyn Outlet,
    ) -> Result<Flow, Ended> {
        let mut flow = Flow::Continue;
        #[cfg(not(feature = "durable"))]
        let _ = (input, function);
        while flow == Flow::Continue {
            #[cfg(feature = "durable")]
            if self.kept.is_on_disk() {
                // Results that came before make room for those that follow.
                if outlet.holds() {
                    let _entered = self.tools.span.enter();
                    flow = outlet.flush();
                } else {
                    self.read_kept(input, function, outlet)?;
                }
                continue;
            }
            if self.kept.is_empty() {
                break;
            }
            // A subscriber may panic.
            let _entered = self.tools.span.enter();
            let Some(KeptPart::Results(results, start)) = self.kept.next() else { break };
            flow = outlet.accept(results, start);
        }
        Ok(flow)
    }

    /// Runs everything into one collection. After an early end it has the results before the first
    /// missing one; the others stay in the run.
    pub(crate) fn collect(
        &mut self,
        started: Result<(), Error>,
        input: &mut dyn Input,
        function: &dyn Function,
        collect: Collect<'_>,
    ) -> (Found, Option<Ended>) {
        let Collect { collector, find_end, keeps_all } = collect;
        let none = |error| (Found::nothing(collector), Some(Ended::Error(error)));
        if let Err(error) = started {
            return none(error);
        }
        let (least, _) = self.stock.left(input);
        let can_end_early = self.tools.interrupts.are_possible() || find_end.is_some();
        let mut count = least.saturating_add(self.kept.len());
        let bytes = count.saturating_mul(self.result_size);
        if ByteSize::of_usize(bytes) > UNRESOLVED_BUDGET {
            let budget = match self.engine.budget() {
                Ok(budget) => budget.bytes,
                Err(error) => return none(error),
            };
            if ByteSize::of_usize(bytes) > budget {
                let all_have_results = keeps_all && self.options().on_panic == OnPanic::Propagate;
                if all_have_results && input.tells_the_truth() && !(can_end_early && least == usize::MAX) {
                    return none(self.too_many(count));
                }
                // Other inputs may be wrong about how many items they have.
                count = 0;
            } else if bytes as u64 > self.tools.ledger.free() {
                // Results that are kept would be there twice.
                count = 0;
            }
        }
        #[cfg(feature = "durable")]
        if let Some(on_disk) = self.kept.on_disk() {
            // Reading it is useless if not all of it fits.
            let budget = match self.engine.budget() {
                Ok(budget) => budget.bytes,
                Err(error) => return none(error),
            };
            if ByteSize::new(on_disk) > budget {
                let item = self.engine.items_done().saturating_sub(self.kept.len());
                return none(self.too_much_on_disk(item, on_disk));
            }
        }
        let Some(mut all) = collector.room_for(count).or_else(|| collector.room_for(0)) else {
            return none(self.too_many(count));
        };
        if self.engine.is_under_way() || self.options().on_panic != OnPanic::Propagate || self.stock.resumes {
            // Where items panic or need not run, the places of their results stay empty.
            all.lend_nothing();
        }
        // An input without an end can't be collected. One that says it has none may be wrong about
        // it.
        let says_endless = |input: &mut dyn Input| input.size_hint().0 == usize::MAX;
        let enough = if !can_end_early && says_endless(input) { ENDLESS } else { usize::MAX };
        let mut outlet = Collecting::new(all, enough, find_end);
        let mut outcome = self.drive(input, function, &mut outlet);
        if outlet.wait > 0 {
            outcome = self.end_waiting(outcome, function, &mut outlet);
        }
        let is_full = matches!(&outcome, Err(Ended::Error(error)) if error.is_over_budget());
        if (is_full || matches!(outcome, Ok(Flow::Enough))) && enough < usize::MAX {
            outlet.enough = usize::MAX;
            if says_endless(input) {
                outcome = Err(Ended::Error(self.too_many(usize::MAX)));
            } else if !is_full {
                outcome = self.drive(input, function, &mut outlet);
                if outlet.wait > 0 {
                    outcome = self.end_waiting(outcome, function, &mut outlet);
                }
            }
        }
        if outcome.is_err() || outlet.ended_at.is_some() {
            self.engine.leave_collection();
            self.stock.leave_collection();
        }
        (outlet.found(), outcome.err())
    }

    /// Adds the results that wait to a collection, or keeps them, after no call is under way.
    #[cold]
    fn end_waiting(
        &mut self,
        mut outcome: Result<Flow, Ended>,
        function: &dyn Function,
        outlet: &mut Collecting<'_>,
    ) -> Result<Flow, Ended> {
        self.tools.work(function).waits_for_store();
        outcome = outcome.and_then(|flow| self.engine.budget().map(|_| flow).map_err(Ended::from));
        outlet.add_waiting();
        if let Some(&(_, item)) = outlet.waiting.first() {
            outcome = outcome.and_then(|_| Err(self.no_room(item, outlet.all.len() + outlet.wait).into()));
            outlet.wait = 0;
            while let Some((results, start)) = outlet.waiting.pop() {
                self.kept.put_back(results, start);
            }
        }
        outcome
    }

    /// The error for `count` results that can't be moved to one allocation, `item` being the first
    /// that was not.
    fn no_room(&self, item: usize, count: usize) -> Error {
        self.over_budget(item, ByteSize::of_usize(self.result_size) * count as u64, None)
    }

    fn over_budget(&self, item: usize, needed: ByteSize, expected: Option<ByteSize>) -> Error {
        let ledger = &self.tools.ledger;
        Error::new(ErrorKind::OverBudget {
            item,
            items_done: self.engine.items_held(),
            held: ledger.held(),
            needed,
            budget: ledger.budget(),
            allowed: ByteSize::new(ledger.limit()),
            expected,
            measured_by: MeasuredBy::SizeOf,
        })
    }

    /// The error for results that don't fit even without what they own.
    fn too_many(&mut self, count: usize) -> Error {
        let (done, held) = (self.engine.items_done(), self.engine.items_held());
        let size = ByteSize::of_usize(self.result_size);
        let budget = self.engine.budget().map_or(ByteSize::ZERO, |budget| budget.bytes);
        Error::new(ErrorKind::OverBudget {
            item: done,
            items_done: held,
            held: size * held as u64,
            needed: size,
            budget,
            allowed: budget,
            expected: Some(size * count as u64),
            // The run gives up before it measures any result, so this counts their own size alone.
            measured_by: MeasuredBy::SizeOf,
        })
    }
}
