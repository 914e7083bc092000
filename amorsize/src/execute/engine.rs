//! The engine of a run: its facts and decisions, without the types of items and results.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::pool;
use crate::adapt::learned::Learned;
use std::time::{Duration, Instant};

use super::books::Books;
use super::line::Line;
use super::observer::Observer;
use super::pool::Expected;
use super::state::State;
use super::workers::{OnThreads, Workers};
use crate::adapt::alone::{self, Alone, Done};
use crate::adapt::situation::Situation;
use crate::error::Error;
use crate::error::failure::{Ended, Failure, Payload, discard};
use crate::error::outcome::Failures;
use crate::memory::budget::{Budget, Counted, Ledger};
use crate::memory::deep_size::features::Unasked;
use crate::memory::max_memory::Limit;
use crate::memory::source;
use crate::memory::watch::Watch;
use crate::options::Options;
use crate::options::choices::OnPanic;
use crate::output::outlet::Outlet;
use crate::plan::{Plan, WARM_START_SECONDS};
use crate::system::refused::Refused;
use crate::system::sync;
use crate::units::ByteSize;
use crate::units::measured_by::{Certainty, MeasuredBy};

/// Limits the bytes that may be held before a budget that is a fraction of the available memory is
/// worked out. No machine has less to give.
pub(crate) const UNRESOLVED_BUDGET: ByteSize = ByteSize::mib(1);

/// The facts up to the early end of a run that goes on.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) learned: Learned,
    pub(super) chunks: usize,
    pub(super) panicked: usize,
    pub(super) restored_bytes: u64,
    pub(super) beside_calls: f64,
    pub(super) elapsed: Duration,
}
/// A run without the types of its items and results.
pub(crate) struct Engine {
    pub(super) options: Options,
    pub(super) ordered: bool,
    /// Used while the run is on the calling thread.
    pub(super) books: Books,
    /// `Some` while the run is on threads.
    pub(super) workers: Option<Box<Workers>>,
    pub(super) ledger: Ledger,
    pub(super) budget: Option<Budget>,
    pub(super) plan: Option<Plan>,
    pub(super) item_size: usize,
    pub(super) result_size: usize,
    pub(super) measured_by: MeasuredBy,
    pub(super) unasked: Unasked,
    pub(super) refused: Option<Refused>,
    /// Items of the next stretch on the calling thread.
    pub(super) stretch: usize,
    /// Seconds per item in the last stretch.
    pub(super) pace: f64,
    /// The most bytes that an item can own, by its time. For items with a type that does not tell.
    pub(super) item_bound: u64,
    /// Seconds on the calling thread.
    pub(super) spent: f64,
    /// The part of `spent` that the input and the sink took.
    pub(super) beside_calls: f64,
    pub(super) decide_at: f64,
    /// Resident memory at its last reading on the calling thread, or at the start of the part on
    /// threads.
    pub(super) resident: Option<u64>,
    pub(super) resident_measured: bool,
    pub(super) resident_most: u64,
    /// The observer, until the run goes on threads.
    pub(super) observer: Observer,
    /// The value of `spent` at which the waits of calls are measured again.
    pub(super) measure_at: f64,
    /// Seconds per item of the sample, and of all items that ran on the calling thread alone.
    pub(super) sampled_seconds: f64,
    pub(super) alone: Alone,
    /// The pace of the threads that the run leaves because they are slower.
    pub(super) slower: Option<f64>,
    /// The time at which the run last went on threads, and its seconds in the sink up to then.
    pub(super) parted: Option<(Duration, f64)>,
    /// The work on threads before the run went back to the calling thread.
    pub(super) on_threads: OnThreads,
    pub(super) elapsed: Duration,
    /// The last reading of the clock on the calling thread: one between two stretches is enough.
    pub(super) now: Option<Instant>,
    /// The beginning of the current part of the run.
    pub(super) begun: Option<Instant>,
    /// The facts up to the reported part. `None` for the first part.
    pub(super) before: Option<Box<Before>>,
    /// A panic with which the run goes on.
    pub(super) pending: Option<Ended>,
}

/// The budget if it is stated in bytes, and the bytes that may be held before a budget is worked
/// out.
fn stated_budget(options: &Options) -> (Option<Budget>, ByteSize) {
    match options.limit().limit() {
        Ok(Limit::Bytes(bytes)) => (Some(Budget { bytes: *bytes, available: None, at_first: None }), *bytes),
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
        let mut engine = Self {
            options,
            ordered: true,
            workers: None,
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
            decide_at: WARM_START_SECONDS,
            resident: None,
            resident_measured: false,
            resident_most: 0,
            observer: Observer::default(),
            measure_at: WARM_START_SECONDS,
            sampled_seconds: 0.0,
            alone: Alone::default(),
            slower: None,
            parted: None,
            on_threads: OnThreads::default(),
            elapsed: Duration::ZERO,
            now: None,
            begun: None,
            before: None,
            pending: None,
        };
        engine.keep_panics();
        engine
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn into_options(self) -> Options {
        self.options
    }

    /// Changes options. A plan made before no longer holds.
    pub(crate) fn change_options(&mut self, change: impl FnOnce(Options) -> Options) {
        let limit = self.options.limit();
        self.options = change(std::mem::take(&mut self.options));
        self.plan = None;
        if self.options.limit() != limit {
            self.renew_budget();
        }
        self.keep_panics();
        if let Some(Workers { control, .. }) = self.workers.as_deref() {
            let situation = &mut control.state().situation;
            (situation.budget, situation.batch_items) = (self.ledger.budget(), self.options.batch_items());
            situation.in_flight = self.options.in_flight;
        }
    }

    /// Takes the budget of changed options: the rest of a run that gave up may get a larger one.
    fn renew_budget(&mut self) {
        let (budget, bytes) = stated_budget(&self.options);
        self.budget = budget;
        self.ledger.set_budget(bytes);
        let held = self.ledger.held();
        if self.budget.is_none() && held > ByteSize::ZERO {
            // A limit that is refused ends the next terminal when it checks the options.
            let _ = self.resolve_budget(held);
        }
        // The watch holds the run to the former budget.
        self.with_observer(|observer, _| observer.watch = None);
        if self.workers.is_some() {
            // A run on threads never asks for them again. A limit that is refused ends the next
            // terminal when it checks the options.
            let _ = self.budget().is_ok() && self.start_watch().is_ok();
        }
    }

    /// Notes that results can tell what they own.
    pub(crate) fn know_results(&mut self) {
        self.measured_by = MeasuredBy::DeepSize;
        self.unasked.result = "";
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lets results come in any order.
    pub(crate) fn set_unordered(&mut self) {
        self.ordered = false;
        if let Some(workers) = &self.workers {
            workers.control.state().ordered = false;
        }
    }

    pub(crate) fn items_done(&mut self) -> usize {
        self.with_books(|books| books.next)
    }

    /// The number of items with results that are not handed over.
    pub(crate) fn items_held(&self) -> usize {
        self.ledger.results().results
    }

    pub(crate) fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// Works out the budget from the memory that is available now, beside the bytes that the run
    /// has `held` for long.
    fn resolve_budget(&mut self, held: ByteSize) -> Result<(), Error> {
        self.ledger.start();
        let mut budget = Budget::resolve(&self.options.limit(), &source::current(), held)?;
        if let Some(outer) = self.ledger.outer_budget() {
            budget.bytes = budget.bytes.min(outer);
        }
        self.ledger.set_budget(budget.bytes);
        self.budget = Some(budget);
        Ok(())
    }

    /// The budget. Works it out from the memory that is available now, unless it is known.
    pub(crate) fn budget(&mut self) -> Result<&Budget, Error> {
        if self.budget.is_none() {
            self.resolve_budget(ByteSize::ZERO)?;
        }
        Ok(self.budget.as_ref().expect("set above"))
    }

    /// True if items were taken or results made that no outlet has yet.
    pub(crate) fn is_under_way(&self) -> bool {
        self.workers.is_some()
    }

    /// Notes that the results that the run held belong to the caller of the run now.
    pub(crate) fn rebase(&mut self) {
        // The baseline moves, so that results kept by the caller do not count as growth of the
        // rest. A terminal that ends has more to tell than a panic of the user's code that tells
        // the memory.
        let moved = catch_unwind(AssertUnwindSafe(|| {
            self.with_observer(|observer, ledger| {
                if let Some(watch) = &mut observer.watch {
                    watch.rebase(ledger.held());
                }
            });
        }));
        moved.unwrap_or_else(discard);
        self.try_read_resident().unwrap_or_else(discard);
        self.resident_most = 0;
        if let Some(Workers { control, .. }) = self.workers.as_deref() {
            control.rebase();
        }
    }

    /// Holds only the bytes of credit, whatever resident memory told: collected results are about
    /// to give theirs back.
    pub(crate) fn hold_credit_alone(&self) {
        if let Some(workers) = &self.workers {
            workers.control.state().unforeseen.set(0);
        }
    }

    /// Ends a collection that chunks on threads were to put their results in.
    pub(crate) fn leave_collection(&self) {
        let Some(workers) = &self.workers else { return };
        let mut state = workers.control.state();
        let State { waiting, finished, .. } = &mut *state;
        let chunks = waiting.values_mut().chain(finished.values_mut());
        chunks.for_each(|chunk| chunk.results.leave_collection());
    }

    /// Gives `look` the books, here or with the threads.
    pub(super) fn with_books<R>(&mut self, look: impl FnOnce(&mut Books) -> R) -> R {
        let mut lent = self.workers.as_ref().map(|workers| workers.control.state());
        look(lent.as_mut().map_or(&mut self.books, |state| &mut state.books))
    }

    /// Takes out the panics noted so far, if all are kept.
    pub(crate) fn take_panics(&mut self) -> Vec<Failure> {
        if self.options.on_panic != OnPanic::Collect {
            return Vec::new();
        }
        self.with_books(|books| books.panics.take_kept())
    }

    /// Makes a panic come when the run goes on, unless another one does.
    pub(crate) fn delay(&mut self, panic: Ended) {
        match (&self.pending, panic) {
            (Some(_), Ended::Panic(payload)) => discard(payload),
            (_, panic) => self.pending = Some(panic),
        }
    }

    /// True if the run ends when it goes on.
    pub(crate) fn is_delayed(&self) -> bool {
        self.pending.is_some()
    }

    /// Sets the number of panics that are kept, if the run goes on without their items.
    pub(super) fn keep_panics(&mut self) {
        let most = match self.options.on_panic {
            OnPanic::Propagate => None,
            OnPanic::Skip => Some(Failures::MOST),
            OnPanic::Collect => Some(usize::MAX),
        };
        self.with_books(|books| books.panics.most = most);
    }

    /// The time that the run has been in progress.
    pub(super) fn elapsed_now(&self) -> Duration {
        self.elapsed + self.begun.map_or(Duration::ZERO, |begun| sync::now() - begun)
    }

    /// The work that the run has done, by the time that the calling thread spent.
    pub(super) fn done(&self) -> Done {
        Done::new(self.spent, &self.books.learned, Counted::default(), self.measured_by)
    }

    /// True if it has to be found out whether the calling thread alone is faster than threads.
    pub(super) fn may_be_faster_alone(&self, line: &Line<'_>) -> bool {
        let items_own = line.work.items_own();
        // No memory of results that are kept is used again.
        let is_used_again = !line.outlet.collects() || items_own && self.handed_over_alone().is_none();
        is_used_again && alone::may_be_faster(&self.books.learned, self.result_size, self.measured_by, items_own)
    }

    /// The number of results that the calling thread hands over together while it is compared with
    /// threads. `None` if they come from no allocator.
    pub(super) fn handed_over_alone(&self) -> Option<usize> {
        let learned = &self.books.learned;
        let own = alone::results_own(learned, self.result_size, self.measured_by) || alone::fills_memory(learned);
        own.then(|| alone::items_at_once(learned))
    }

    /// Has the outlet hand over as few results together.
    pub(super) fn begin_handing_over_alone(&self, line: &mut Line<'_>) {
        if let Some(items) = self.handed_over_alone() {
            line.outlet.set_batch_size(items);
        }
    }

    /// Bytes to expect of one result.
    pub(super) fn expected(&self) -> u64 {
        self.books.learned.expected_bytes().max(self.result_size as u64)
    }

    /// Bytes to expect of one call, including its result. Uses only measurements of calls: an
    /// estimate from resident memory must not make an item an error.
    pub(super) fn needed(&self) -> u64 {
        self.expected() + self.books.learned.measured_working()
    }

    pub(super) fn affordable(&self) -> usize {
        let for_results = self.ledger.free().saturating_sub(self.books.learned.expected_working());
        usize::try_from(for_results / self.expected().max(1)).unwrap_or(usize::MAX)
    }

    /// The number of items that may run next by the bound on items in flight. Items that wait on
    /// the calling thread are in flight.
    pub(super) fn in_flight_room(&self, outlet: &dyn Outlet) -> usize {
        // A collection keeps its results to the end. If they counted, the run could not go on.
        self.options.in_flight.map_or(usize::MAX, |most| {
            most.saturating_sub(self.items_held().saturating_sub(outlet.collected().unwrap_or(0)))
        })
    }

    pub(super) fn situation(&mut self, line: &mut Line<'_>) -> Result<Situation, Error> {
        let found = match self.options.threads.map(pool::at_most) {
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
            threads_asked: self.options.threads.is_some(),
            warm,
            taken: self.books.next,
            panicked: self.books.panics.count,
            remaining,
            batch_items: self.options.batch_items(),
            in_flight: self.options.in_flight,
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
            items_own: line.work.items_own(),
            hands_over: line.outlet.hands_over(),
        })
    }

    pub(super) fn read_resident(&mut self) {
        if !self.measured_by.can_tell() {
            self.resident = source::current().resident().map(ByteSize::as_u64);
            self.measured_by = if self.resident.is_some() { MeasuredBy::Resident } else { MeasuredBy::Unmeasured };
        }
    }

    /// Does the same, and catches a panic of the user's code that tells the memory.
    pub(super) fn try_read_resident(&mut self) -> Result<(), Payload> {
        catch_unwind(AssertUnwindSafe(|| self.read_resident()))
    }

    /// The certainty of what calls need beside their results.
    pub(super) fn working_certainty(&mut self) -> Certainty {
        let is_read = self.with_observer(|observer, _| observer.watch.as_ref().map(|watch| watch.reads_resident()));
        Certainty::of_working(self.measured_by, || is_read.unwrap_or_else(|| source::current().resident().is_some()))
    }

    /// Starts the watch over the system's memory, unless it runs. A run within a call of another
    /// run leaves that to the outer one, unless it collects: the outer one can't bound that.
    pub(super) fn start_watch(&mut self) -> Result<(), Error> {
        let is_started = self.with_observer(|observer, _| observer.watch.is_some());
        let is_nested = self.ledger.outer_budget().is_some();
        if !is_started && (self.ledger.collects() || !is_nested) {
            let share = match self.options.limit().limit()? {
                Limit::Fraction(fraction) | Limit::Both(fraction, _) => *fraction,
                _ => 1.0,
            };
            let now = self.now.unwrap_or_else(sync::now);
            let budget = self.budget()?.clone();
            let (source, held) = (source::current(), self.ledger.held());
            let mut watch = Watch::start(source, &budget, held, share, now, is_nested);
            self.with_books(|books| books.learned.resident_working())
                .into_iter()
                .for_each(|bytes| watch.sampled(bytes));
            self.with_observer(|observer, _| observer.watch = Some(Box::new(watch)));
        }
        Ok(())
    }
}
