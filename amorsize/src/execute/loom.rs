//! Models of what threads of a run do to each other. Loom takes them through every order of their
//! steps that matters, and through every value that a relaxed load may give.
//!
//! They run the code as it is: the ledger by itself, and the calling thread's [`Conductor`] with
//! [`Work::run_next`] on two threads, which stand in for rayon's pool. Loom's clock stands still
//! and its waits have no end. So a run that goes on only after the end of a wait hangs, and loom
//! says so.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p amorsize --profile loom --lib loom`

mod ledger;

use std::panic::resume_unwind;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::loom::model::Builder;
use ::loom::thread;

use super::books::Books;
use super::conductor::{Conductor, WorkerJob};
use super::control::Control;
use super::line::{Line, Stock};
use super::pool::Job;
use super::words::ThreadKind;
use super::work::{Tools, Work};
use crate::adapt::learned::{Learned, Stretch};
use crate::adapt::situation::Situation;
use crate::adapt::sizes::CHUNK_SECONDS;
use crate::adapt::tuner::ThreadLimits;
use crate::buffer::{Results, Types};
use crate::call::{Body, Function, Quota, Shared};
use crate::error::failure::Ended;
use crate::input::{Input, Source};
use crate::memory::budget::Ledger;
use crate::memory::credit::Credit;
use crate::memory::measure::{Heap, Measure};
use crate::options::cancel::CancelToken;
use crate::output::outlet::{Flow, Outlet};
use crate::plan::tests::situation;
use crate::system::sync;
use crate::units::ByteSize;
use crate::units::measured_by::MeasuredBy;

/// Limits the times that a thread may be interrupted although it could go on. Waits do not count.
/// Two showed the bugs of the programs that Musuvathi and Qadeer looked at (2007), and one showed
/// those of this code. With three, most models take more than 40 s each rather than some seconds.
/// The ledger's are small enough for three.
const PREEMPTIONS: usize = 2;

/// Takes `model` through all its interleavings with at most this many preemptions.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 10_000;
    let begun = Instant::now();
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        model();
    });
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    println!("{name}: {} interleavings in {:.1?}", count.load(Relaxed), begun.elapsed());
}

/// Bytes of a result, except for those that a model makes larger. With its input an item takes a
/// byte more.
const RESULT: u64 = 10;

struct Value {
    item: usize,
    bytes: u64,
}

fn heap(values: &[Value]) -> Heap {
    let sum = values.iter().map(|value| value.bytes).sum();
    let largest = values.iter().map(|value| value.bytes).max().unwrap_or(0);
    Heap { sum, largest, ..Heap::default() }
}

/// The settings of a modelled run.
#[derive(Clone, Copy)]
struct Case {
    items: usize,
    /// The most items of a chunk.
    chunk: usize,
    /// The limit of the ledger, in bytes.
    budget: u64,
    /// Results that are handed over together.
    batch: usize,
    ordered: bool,
    tolerant: bool,
    /// True if the calling thread is one of the pool's, and the pool has one other.
    joins_in: bool,
    /// Items with calls that panic.
    panics: &'static [usize],
    /// The item with a result three times as large as the others.
    large: Option<usize>,
    /// True if another thread cancels the run at any time.
    cancelled: bool,
    /// Results after which the outlet has enough, at first.
    enough: usize,
    /// True if the run begins on one thread, and goes on with two of its own at any time.
    climbs: bool,
    /// The most items between the input and the outlet, if that is bounded.
    in_flight: Option<usize>,
}

/// Two calls at the same time: the inputs of three, two results, and the reserve for the next in
/// order.
const CASE: Case = Case {
    items: 3,
    chunk: 1,
    budget: 35,
    batch: 1,
    ordered: true,
    tolerant: false,
    joins_in: false,
    panics: &[],
    large: None,
    cancelled: false,
    enough: usize::MAX,
    climbs: false,
    in_flight: None,
};

/// The function of the run, which notes its calls.
struct Calls {
    case: Case,
    log: Mutex<Vec<usize>>,
}

impl Calls {
    fn call(&self, item: usize) -> Value {
        self.log.lock().unwrap().push(item);
        if self.case.panics.contains(&item) {
            // The hook is not called, so nothing is printed.
            resume_unwind(Box::new(item));
        }
        Value { item, bytes: if self.case.large == Some(item) { 3 * RESULT } else { RESULT } }
    }
}

/// Stands in for rayon: threads that take up started jobs, and a scope that waits for them.
struct Pool {
    state: sync::Mutex<Jobs>,
    told: sync::Condvar,
    scope: sync::Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: usize,
    running: usize,
    closed: bool,
}

impl Pool {
    fn new() -> Self {
        Self { state: sync::Mutex::new(Jobs::default()), told: sync::Condvar::new(), scope: sync::Condvar::new() }
    }

    fn start(&self) {
        self.state.lock().unwrap().waiting += 1;
        self.told.notify_one();
    }

    fn close(&self) {
        self.state.lock().unwrap().closed = true;
        self.told.notify_all();
    }

    /// Waits for all started jobs.
    fn join(&self) {
        let mut state = self.state.lock().unwrap();
        while state.waiting + state.running > 0 {
            state = self.scope.wait(state).unwrap();
        }
    }

    fn work(&self, job: &dyn Job) {
        let mut state = self.state.lock().unwrap();
        loop {
            if state.waiting > 0 {
                state.waiting -= 1;
                state.running += 1;
                drop(state);
                while job.run() {}
                state = self.state.lock().unwrap();
                state.running -= 1;
                self.scope.notify_one();
            } else if state.closed {
                return;
            } else {
                state = self.told.wait(state).unwrap();
            }
        }
    }
}

/// Takes results in batches, as the library's outlets do.
struct Batched {
    types: Types<usize, Value>,
    batch: usize,
    enough: usize,
    open: Vec<usize>,
    held: Credit,
    seen: Vec<usize>,
}

impl Outlet for Batched {
    fn accept(&mut self, mut results: Results, start: usize) -> Flow {
        let credit = results.credit.take_all();
        let results = self.types.into_vec(results);
        let items: Vec<_> = results.iter().map(|value| value.item).collect();
        assert_eq!((credit.results(), credit.bytes()), (items.len(), heap(&results).sum));
        assert!(items.iter().copied().eq(start..start + items.len()), "{items:?} at {start}");
        self.open.extend(items);
        self.held.join(credit);
        if self.open.len() >= self.batch { self.flush() } else { Flow::Continue }
    }

    fn flush(&mut self) -> Flow {
        self.seen.append(&mut self.open);
        self.held = Credit::NONE;
        if self.seen.len() >= self.enough { Flow::Enough } else { Flow::Continue }
    }

    fn wanted(&self) -> usize {
        self.batch - self.open.len()
    }

    fn holds(&self) -> bool {
        !self.open.is_empty()
    }
}

struct Scene {
    case: Case,
    control: Control,
    ledger: Ledger,
    shared: Shared<usize, Value, Calls>,
    /// For the first part of the run, and for the rest.
    tools: [Tools; 2],
    part: AtomicUsize,
    pool: Pool,
}

impl Job for Scene {
    fn run(&self) -> bool {
        WorkerJob { kind: ThreadKind::Pool, control: &self.control, work: self.work() }.run()
    }
}

impl Scene {
    fn new(case: Case, token: Option<CancelToken>) -> Self {
        let mut learned = Learned::default();
        // A sample of one item, slow enough that a chunk holds the number of items that it should.
        let seconds = CHUNK_SECONDS / (case.chunk as f64 + 0.5);
        learned.add(Stretch { items: 1, seconds, bytes: RESULT, largest: RESULT, working: 0 });
        let situation = Situation {
            threads: 2,
            most: 2,
            threads_asked: true,
            // Chunks are cut by this. The limit is the ledger's.
            budget: ByteSize::mib(1),
            item_size: 1,
            result_size: 0,
            item_bytes: 1,
            in_flight: case.in_flight,
            ..situation(None)
        };
        let ledger = Ledger::new(ByteSize::new(case.budget));
        let mut tools = [(); 2].map(|()| Tools::new(ledger.clone(), false));
        token.into_iter().for_each(|token| tools[0].interrupts.set_token(token));
        let mut books = Books { learned, ..Books::default() };
        books.panics.most = case.tolerant.then_some(usize::MAX);
        let cores = if case.climbs { 1 } else { 2 };
        let limits = ThreadLimits { level: cores, cores, most: 2, own: case.climbs };
        Self {
            case,
            control: Control::new(situation, limits, books, ledger.clone(), (1, 1), case.ordered, None),
            ledger,
            shared: Shared::new(
                Calls { case, log: Mutex::default() },
                Body::Function(|quota: Quota<'_, usize, Value>, calls: &Calls| quota.run(|item| calls.call(item))),
                (
                    Measure { heap: Some(|_| Heap::default()), by: MeasuredBy::DeepSize },
                    Measure { heap: Some(heap), by: MeasuredBy::DeepSize },
                ),
            ),
            tools,
            part: AtomicUsize::new(0),
            pool: Pool::new(),
        }
    }

    fn work(&self) -> Work<'_> {
        self.tools[self.part.load(Relaxed)].work(&self.shared as &dyn Function)
    }

    fn calls(&self) -> Vec<usize> {
        self.shared.context.log.lock().unwrap().clone()
    }

    /// Acts as `Engine::run` once the run is on threads.
    fn run(&self, input: &mut dyn Input, stock: &mut Stock, outlet: &mut Batched) -> Result<Flow, Ended> {
        let (control, work) = (&self.control, self.work());
        let mut line = Line { input, stock, work, outlet, is_stopped: false };
        let mut conductor = Conductor {
            control,
            begun: sync::now(),
            before: Duration::ZERO,
            worker: false,
            joins_in: self.case.joins_in,
            refuses_oversize: false,
            resident: None,
            pace: None,
            slower: &mut None,
        };
        control.course.resume();
        let outcome = conductor.conduct(&mut line, &|_| {
            self.pool.start();
            Ok(())
        });
        let called = self.calls().len();
        self.pool.join();
        if matches!(outcome, Ok(Flow::Continue)) {
            assert_eq!(self.calls().len(), called, "a call began when all were said to be done");
        }
        if outcome.is_err() {
            while let Some(finished) = control.take_ready() {
                line.hand_over(finished);
            }
            line.outlet.flush();
        }
        if outcome.as_ref().is_ok_and(|&flow| flow == Flow::Continue)
            && let Some(payload) = control.take_panic()
        {
            return Err(Ended::Panic(payload));
        }
        Ok(outcome?)
    }
}

/// Runs a case to the end of its input. After each early end the rest goes on. Each item must be
/// called once, and all results handed over.
fn run_to_the_end(case: Case) {
    let token = case.cancelled.then(CancelToken::new);
    let scene = Arc::new(Scene::new(case, token.clone()));
    let mut threads: Vec<_> = (0..if case.joins_in { 1 } else { 2 })
        .map(|_| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.pool.work(&*scene))
        })
        .collect();
    if case.climbs {
        let scene = Arc::clone(&scene);
        threads.push(thread::spawn(move || scene.control.climb_to(2)));
    }
    threads.extend(token.map(|token| thread::spawn(move || token.cancel())));
    let types = scene.shared.types;
    let mut source = Source::new(0..case.items, types, None);
    let mut stock = Stock::default();
    let (batch, enough) = (case.batch, case.enough);
    let mut outlet = Batched { types, batch, enough, open: Vec::new(), held: Credit::NONE, seen: Vec::new() };
    let mut panicked = Vec::new();
    loop {
        match scene.run(&mut source, &mut stock, &mut outlet) {
            Ok(Flow::Continue) => break,
            Ok(_) => outlet.enough = usize::MAX,
            Err(Ended::Panic(payload)) => {
                let Some(&item) = payload.downcast_ref::<usize>() else { resume_unwind(payload) };
                assert!(outlet.seen.iter().all(|&seen| seen < item), "{:?} before {item}", outlet.seen);
                panicked.push(item);
            }
            Err(Ended::Error(error)) => assert!(case.cancelled && error.is_cancelled(), "{error}"),
        }
        scene.part.store(1, Relaxed);
    }
    scene.pool.close();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut calls = scene.calls();
    calls.sort_unstable();
    assert!(calls.iter().copied().eq(0..case.items), "called {calls:?}");
    if !case.ordered {
        outlet.seen.sort_unstable();
    }
    let results = (0..case.items).filter(|item| !case.panics.contains(item));
    assert!(outlet.seen.iter().copied().eq(results), "handed over {:?}", outlet.seen);
    let counted = scene.control.state().books.panics.count;
    if case.tolerant {
        assert!(panicked.is_empty() && counted == case.panics.len());
    } else {
        // The first panic ends the run. A second one beside it is lost with the run.
        assert_eq!(panicked.is_empty(), case.panics.is_empty());
    }
    assert!(scene.control.is_idle());
    assert_eq!(scene.ledger.held(), 0);
    if case.large.is_none() {
        assert!(scene.ledger.peak() <= case.budget, "{:?}", scene.ledger.peak());
    }
}

fn check_run(case: Case) {
    check(PREEMPTIONS, move || run_to_the_end(case));
}

#[test]
fn each_item_is_run_once_and_handed_over_in_order() {
    check_run(CASE);
}

#[test]
fn calls_wait_for_the_credit_of_the_ones_before() {
    // One call at a time: the rest is the reserve.
    check_run(Case { budget: 26, ..CASE });
}

#[test]
fn a_batch_is_closed_early_for_want_of_credit() {
    check_run(Case { batch: 3, budget: 26, ..CASE });
}

#[test]
fn a_chunk_is_cut_to_its_credit() {
    check_run(Case { items: 4, chunk: 2, ..CASE });
}

#[test]
fn results_come_in_any_order() {
    check_run(Case { ordered: false, ..CASE });
}

#[test]
fn a_result_larger_than_expected_goes_beyond_the_budget_alone() {
    check_run(Case { items: 4, chunk: 2, large: Some(1), ..CASE });
}

#[test]
fn one_call_at_a_time_runs_without_credit() {
    check_run(Case { budget: 8, large: Some(0), ..CASE });
}

#[test]
fn a_caller_of_the_pool_works_itself() {
    check_run(Case { joins_in: true, ..CASE });
}

#[test]
fn a_cancelled_run_loses_nothing() {
    check_run(Case { items: 2, chunk: 2, cancelled: true, ..CASE });
}

#[test]
fn a_run_that_pauses_loses_nothing() {
    check_run(Case { enough: 1, ..CASE });
}

#[test]
fn a_panic_ends_the_run_and_the_rest_can_go_on() {
    check_run(Case { panics: &[1], ..CASE });
}

#[test]
fn of_two_panics_the_first_ends_the_run() {
    check_run(Case { panics: &[0, 1], ..CASE });
}

#[test]
fn a_tolerant_run_goes_on_without_items_that_panic() {
    check_run(Case { panics: &[0, 2], tolerant: true, ..CASE });
}

#[test]
fn a_run_that_gets_more_threads_loses_nothing() {
    // A job of the pool ends as soon as the run has threads of its own, and the calling thread has
    // to start another one in its place.
    check_run(Case { items: 2, climbs: true, ..CASE });
}

#[test]
fn a_batch_is_closed_early_where_no_more_items_may_be_in_flight() {
    check_run(Case { batch: 3, in_flight: Some(2), ..CASE });
}

#[test]
fn one_item_in_flight_at_a_time_loses_nothing() {
    check_run(Case { items: 2, batch: 3, in_flight: Some(1), ..CASE });
}

#[test]
fn few_items_in_flight_of_a_caller_that_works_itself_lose_nothing() {
    check_run(Case { batch: 3, in_flight: Some(2), joins_in: true, panics: &[1], tolerant: true, ..CASE });
}
