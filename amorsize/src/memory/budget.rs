//! The budget of a run, and the ledger of the credit that its items hold of it.

use std::cell::RefCell;
use std::sync::OnceLock;

use super::max_memory::{Limit, MaxMemory};
use super::shares::Shares;
use super::source::Source;
use crate::error::Error;
use crate::system::sync::Ordering::Relaxed;
use crate::system::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, thread_local};
use crate::units::ByteSize;

/// A budget in bytes, and the available bytes that it is a fraction of.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    pub(crate) bytes: ByteSize,
    /// The bytes that were available, if the budget is a fraction of them.
    pub(crate) available: Option<ByteSize>,
    /// The bytes that were available when that was first read for a budget in bytes.
    pub(crate) at_first: Option<ByteSize>,
}

impl Budget {
    /// Works it out from the memory that is available now, and that the run has `held` already.
    pub(crate) fn resolve(max_memory: &MaxMemory, source: &Source, held: ByteSize) -> Result<Self, Error> {
        Ok(match max_memory.limit()? {
            Limit::Fraction(fraction) => {
                let available = source.available() + held;
                // A budget of zero bytes could not even hold the credit of one item.
                let bytes = ByteSize::from_f64(available.as_f64() * fraction).max(ByteSize::new(1));
                Self { bytes, available: Some(available), at_first: None }
            }
            Limit::Bytes(bytes) => Self { bytes: *bytes, available: None, at_first: None },
            Limit::Both(fraction, bytes) => {
                let of_available = Self::resolve(&MaxMemory::fraction(*fraction), source, held)?;
                Self { bytes: of_available.bytes.min(*bytes), ..of_available }
            }
            Limit::Refused(..) => unreachable!("refused by `limit`"),
        })
    }
}

/// The part of a budget that is taken: inputs held, calls in flight, and results not handed over.
/// It is taken as [`Credit`](super::credit::Credit).
///
/// A run that is started within a call of another run takes from both ledgers, because that call
/// needs the bytes that the inner run holds.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(Arc<Account>);

#[derive(Debug)]
struct Account {
    /// The bytes that were promised.
    budget: AtomicU64,
    /// The bytes that the run may hold now: the budget, or less while other programs need the
    /// memory.
    limit: AtomicU64,
    held: AtomicU64,
    peak: AtomicU64,
    /// The results that took credit so far, and those that have given it back.
    made: Tally,
    gone: Tally,
    outer: OnceLock<Option<Ledger>>,
    /// True if the run keeps its results to the end.
    collects: AtomicBool,
    /// The `Arc`s that several results share, from the first one on that was seen.
    shares: OnceLock<Shares>,
}

#[derive(Debug, Default)]
struct Tally {
    results: AtomicUsize,
    bytes: AtomicU64,
}

impl Tally {
    fn add(&self, results: usize, bytes: u64) {
        self.results.fetch_add(results, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    fn read(&self) -> Counted {
        Counted { results: self.results.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }
}

/// A number of results, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) results: usize,
    pub(crate) bytes: u64,
}

impl Counted {
    /// The difference since it was `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        let results = self.results.saturating_sub(before.results);
        Self { results, bytes: self.bytes.saturating_sub(before.bytes) }
    }
}

thread_local! {
    /// The ledger of the run that this thread makes a call for.
    static CURRENT: RefCell<Option<Ledger>> = const { RefCell::new(None) };
}

thread_local! {
    /// The ledger of the run that this thread waits for within a call of another run.
    static WAITS_FOR: RefCell<Option<Ledger>> = const { RefCell::new(None) };
}

/// Replaces the ledger of this thread and returns the former one. A destructor of another
/// thread-local may start a run after this one is gone; such a run has no outer run.
fn replace_current(ledger: Option<Ledger>) -> Option<Ledger> {
    CURRENT.try_with(|current| current.replace(ledger)).unwrap_or(None)
}

fn current() -> Option<Ledger> {
    CURRENT.try_with(|current| current.borrow().clone()).unwrap_or(None)
}

/// Leaves the call when it is dropped.
#[must_use = "the thread is in the call as long as this lives"]
pub(crate) struct Entered(Option<Ledger>);

impl Drop for Entered {
    fn drop(&mut self) {
        replace_current(self.0.take());
    }
}

/// Ends the [wait](Ledger::wait_here) of this thread when it is dropped.
#[must_use = "the thread waits as long as this lives"]
pub(crate) struct Waits(Option<Ledger>);

impl Drop for Waits {
    fn drop(&mut self) {
        let before = self.0.take();
        // A thread that ends no longer waits.
        _ = WAITS_FOR.try_with(|waits_for| waits_for.replace(before));
    }
}

/// Looks at the `Arc`s that results share in the run that this thread calls or measures for, with
/// its budget.
pub(crate) fn in_shares<O>(look: impl FnOnce(&Shares, u64) -> O) -> Option<O> {
    let ledger = current()?;
    Some(look(ledger.0.shares.get_or_init(Shares::default), ledger.budget().as_u64()))
}

impl Ledger {
    /// A ledger for a run that has not started.
    pub(crate) fn new(budget: ByteSize) -> Self {
        Self(Arc::new(Account {
            budget: budget.as_u64().into(),
            limit: budget.as_u64().into(),
            held: 0.into(),
            peak: 0.into(),
            made: Tally::default(),
            gone: Tally::default(),
            outer: OnceLock::new(),
            collects: false.into(),
            shares: OnceLock::new(),
        }))
    }

    /// Starts the run, on this thread: as part of the call that the thread is in, if any. Only the
    /// first start counts.
    pub(crate) fn start(&self) {
        self.0.outer.get_or_init(current);
    }

    fn outer(&self) -> Option<&Self> {
        self.0.outer.get()?.as_ref()
    }

    /// Makes runs that this thread starts part of a call of this run.
    pub(crate) fn enter(&self) -> Entered {
        Entered(replace_current(Some(self.clone())))
    }

    /// Marks that this thread waits for the run. If it does so within a call of another run, it
    /// takes up no calls meanwhile but those of this run and of [runs within
    /// it](Self::may_run_here): any other call could ask for a lock that the thread already holds.
    pub(crate) fn wait_here(&self) -> Waits {
        let waited_for = current().map(|_| self.clone());
        Waits(WAITS_FOR.try_with(|waits_for| waits_for.replace(waited_for)).unwrap_or(None))
    }

    /// True if this thread may take up a call of this run: it does not wait for another run within
    /// a call, or this run was started within a call of that run, or of a run within that one.
    pub(crate) fn may_run_here(&self) -> bool {
        let is_within = |waited_for: &Ledger| {
            let mut run = Some(self);
            while let Some(ledger) = run.filter(|ledger| !Arc::ptr_eq(&ledger.0, &waited_for.0)) {
                run = ledger.outer();
            }
            run.is_some()
        };
        WAITS_FOR.try_with(|waits_for| waits_for.borrow().as_ref().is_none_or(is_within)).unwrap_or(true)
    }

    /// The budget of the outer run, if this one was started within a call.
    pub(crate) fn outer_budget(&self) -> Option<ByteSize> {
        self.outer().map(Self::budget)
    }

    pub(crate) fn budget(&self) -> ByteSize {
        ByteSize::new(self.0.budget.load(Relaxed))
    }

    /// Sets the budget, and lets all of it be held.
    pub(crate) fn set_budget(&self, budget: ByteSize) {
        self.0.budget.store(budget.as_u64(), Relaxed);
        self.set_limit(budget.as_u64());
    }

    /// The bytes that the run may hold now.
    pub(crate) fn limit(&self) -> u64 {
        self.0.limit.load(Relaxed)
    }

    /// True if the run may hold less than half of its budget now, because the process has grown
    /// towards the budget or other programs took available memory.
    pub(crate) fn is_squeezed(&self) -> bool {
        self.limit() < self.budget().as_u64() / 2 || self.heeded().is_some_and(Self::is_squeezed)
    }

    pub(crate) fn set_limit(&self, bytes: u64) {
        self.0.limit.store(bytes.min(self.0.budget.load(Relaxed)), Relaxed);
    }

    pub(crate) fn held(&self) -> ByteSize {
        ByteSize::new(self.0.held.load(Relaxed))
    }

    pub(crate) fn peak(&self) -> ByteSize {
        ByteSize::new(self.0.peak.load(Relaxed))
    }

    /// The results that hold credit: they are made and not handed over.
    pub(crate) fn results(&self) -> Counted {
        let gone = self.0.gone.read();
        self.0.made.read().since(gone)
    }

    /// All results so far that hold no credit any longer. The calling thread alone takes credit
    /// from results, so it sees here what an outlet has handed over.
    pub(crate) fn handed_over(&self) -> Counted {
        self.0.gone.read()
    }

    pub(super) fn note_made(&self, results: usize, bytes: u64) {
        self.0.made.add(results, bytes);
    }

    pub(super) fn note_gone(&self, results: usize, bytes: u64) {
        self.0.gone.add(results, bytes);
    }

    /// Restarts the peak at the bytes that are held now.
    pub(crate) fn begin_part(&self) {
        self.0.peak.store(self.0.held.load(Relaxed), Relaxed);
    }

    /// Says if the run keeps its results to the end.
    pub(crate) fn set_collects(&self, collects: bool) {
        self.0.collects.store(collects, Relaxed);
    }

    pub(crate) fn collects(&self) -> bool {
        self.0.collects.load(Relaxed)
    }

    /// The outer run, if its free bytes bound this one too. They do not if this one collects: the
    /// outer run's results come and go, and must not make it fail.
    fn heeded(&self) -> Option<&Ledger> {
        self.outer().filter(|_| !self.collects())
    }

    /// The bytes that can still be taken.
    pub(crate) fn free(&self) -> u64 {
        let own = self.limit().saturating_sub(self.0.held.load(Relaxed));
        self.heeded().map_or(own, |outer| own.min(outer.free()))
    }

    /// Takes `bytes` and returns true, if they are free.
    #[must_use]
    pub(super) fn try_take(&self, bytes: u64) -> bool {
        let limit = self.limit();
        let fits = |held: u64| held.checked_add(bytes).filter(|&held| held <= limit);
        let Ok(before) = self.0.held.fetch_update(Relaxed, Relaxed, fits) else { return false };
        match (self.outer(), self.heeded()) {
            (Some(_), Some(outer)) if !outer.try_take(bytes) => {
                self.0.held.fetch_sub(bytes, Relaxed);
                return false;
            }
            (Some(outer), None) => outer.take(bytes),
            _ => {}
        }
        self.raise_peak(before.saturating_add(bytes));
        true
    }

    fn raise_peak(&self, held: u64) {
        // The peak has mostly been higher before, so most calls write nothing.
        if self.0.peak.load(Relaxed) < held {
            self.0.peak.fetch_max(held, Relaxed);
        }
    }

    /// Takes `bytes` that exist already, even if they exceed the limit.
    pub(super) fn take(&self, bytes: u64) {
        if bytes > 0 {
            self.take_after(bytes, 0);
        }
    }

    /// Does the same, after another `working` bytes existed for a while.
    pub(super) fn take_after(&self, bytes: u64, working: u64) {
        let before = self.0.held.fetch_add(bytes, Relaxed);
        self.raise_peak(before.saturating_add(bytes).saturating_add(working));
        if let Some(outer) = self.outer() {
            outer.take_after(bytes, working);
        }
    }

    /// Notes that another `bytes` existed for a while beside the held ones, and are gone.
    pub(crate) fn touch(&self, bytes: u64) {
        self.raise_peak(self.0.held.load(Relaxed).saturating_add(bytes));
        if let Some(outer) = self.outer() {
            outer.touch(bytes);
        }
    }

    /// Returns `bytes` to the budget.
    pub(super) fn give(&self, bytes: u64) {
        if bytes > 0 {
            let before = self.0.held.fetch_sub(bytes, Relaxed);
            debug_assert!(bytes <= before, "gives {bytes} of {before}");
            if let Some(outer) = self.outer() {
                outer.give(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::source::current as system;
    use crate::options::Options;
    use proptest::prelude::*;

    #[test]
    fn a_fraction_is_of_what_is_available() {
        let budget = Budget::resolve(&MaxMemory::fraction(0.25), &system(), ByteSize::ZERO).unwrap();
        assert_eq!(budget.bytes, ByteSize::from_f64(budget.available.unwrap().as_f64() * 0.25));
    }

    #[test]
    fn of_a_fraction_and_bytes_the_least_counts() {
        let least = |bytes: ByteSize| Options::new(Some(0.1.into())).join(Options::new(Some(bytes.into()))).limit();
        let budget = Budget::resolve(&least(ByteSize::new(100)), &system(), ByteSize::ZERO).unwrap();
        assert_eq!(budget.bytes, ByteSize::new(100));
        assert!(budget.available.is_some());
        let budget = Budget::resolve(&least(ByteSize::new(u64::MAX)), &system(), ByteSize::ZERO).unwrap();
        assert_eq!(budget.bytes, ByteSize::from_f64(budget.available.unwrap().as_f64() * 0.1));
    }

    fn started(budget: u64) -> Ledger {
        let ledger = Ledger::new(ByteSize::new(budget));
        ledger.start();
        ledger
    }

    #[test]
    fn a_ledger_is_squeezed_below_half_of_its_budget_or_of_the_outer_one() {
        let outer = Ledger::new(ByteSize::new(100));
        let inner = {
            let _entered = outer.enter();
            started(60)
        };
        for (ledger, budget) in [(&inner, 60), (&outer, 100)] {
            ledger.set_limit(budget / 2);
            assert!(!inner.is_squeezed());
            ledger.set_limit(budget / 2 - 1);
            assert!(inner.is_squeezed());
            assert_eq!(outer.is_squeezed(), budget == 100);
            ledger.set_limit(budget);
        }
        outer.set_limit(0);
        inner.set_collects(true);
        assert!(!inner.is_squeezed());
    }

    #[test]
    fn a_run_within_a_call_takes_from_both() {
        let outer = Ledger::new(ByteSize::new(100));
        let inner = {
            let _entered = outer.enter();
            started(60)
        };
        assert_eq!(inner.outer_budget(), Some(ByteSize::new(100)));
        assert_eq!(started(1).outer_budget(), None);
        assert!(inner.try_take(50) && outer.try_take(30));
        assert_eq!((inner.free(), outer.free()), (10, 20));
        assert!(outer.try_take(15));
        assert_eq!(inner.free(), 5);
        assert!(!inner.try_take(10));
        inner.set_collects(true);
        assert_eq!(inner.free(), 10);
        assert!(inner.try_take(10));
        inner.give(20);
        assert_eq!(
            (outer.held(), outer.peak(), inner.held()),
            (ByteSize::new(85), ByteSize::new(105), ByteSize::new(40))
        );
        inner.give(40);
        assert_eq!(outer.held(), ByteSize::new(45));
    }

    #[test]
    fn a_thread_that_waits_within_a_call_takes_up_calls_of_the_run_that_it_waits_for() {
        let within = |outer: &Ledger| {
            let _entered = outer.enter();
            started(1)
        };
        let (outer, other) = (Ledger::new(ByteSize::new(1)), Ledger::new(ByteSize::new(1)));
        // Another call of the outer run has started the sibling.
        let (inner, sibling) = (within(&outer), within(&outer));
        let innermost = within(&inner);
        let may_run = || [&outer, &other, &sibling, &inner, &innermost].map(Ledger::may_run_here);
        // A thread that is in no call holds no lock of one.
        let waits = outer.wait_here();
        assert_eq!(may_run(), [true; 5]);
        drop(waits);
        let entered = outer.enter();
        assert_eq!(may_run(), [true; 5]);
        let waits = inner.wait_here();
        assert_eq!(may_run(), [false, false, false, true, true]);
        let (further, further_waits) = (inner.enter(), innermost.wait_here());
        assert_eq!(may_run(), [false, false, false, false, true]);
        drop((further_waits, further));
        assert_eq!(may_run(), [false, false, false, true, true]);
        drop((waits, entered));
        assert_eq!(may_run(), [true; 5]);
    }

    #[test]
    fn a_run_is_part_of_the_call_in_which_it_starts_and_not_of_the_one_that_made_it() {
        let outer = Ledger::new(ByteSize::new(100));
        let (before, within) = (Ledger::new(ByteSize::new(60)), {
            let _entered = outer.enter();
            Ledger::new(ByteSize::new(60))
        });
        within.start();
        let entered = outer.enter();
        // Only the first start counts.
        [&before, &within].into_iter().for_each(Ledger::start);
        drop(entered);
        before.start();
        assert_eq!([&before, &within].map(|ledger| ledger.outer_budget().is_some()), [true, false]);
    }

    #[test]
    fn a_limit_is_never_above_the_budget() {
        let ledger = Ledger::new(ByteSize::new(100));
        ledger.set_limit(40);
        assert!(!ledger.try_take(41) && ledger.try_take(40));
        ledger.set_limit(400);
        assert_eq!(ledger.free(), 60);
    }

    #[test]
    fn threads_together_never_take_more_than_there_is() {
        let ledger = Ledger::new(ByteSize::new(1000));
        std::thread::scope(|scope| {
            for size in 1..=4u64 {
                let ledger = &ledger;
                scope.spawn(move || {
                    let taken = (0..10_000).filter(|_| ledger.try_take(size)).count() as u64;
                    assert!(ledger.held() <= 1000);
                    ledger.give(taken * size);
                });
            }
        });
        assert!(ledger.peak() <= 1000 && ledger.peak() > 990);
        assert_eq!(ledger.held(), 0);
    }

    proptest! {
        #[test]
        fn taken_less_given_is_held_and_never_above_the_budget(steps in prop::collection::vec((any::<bool>(), 0u64..100), 0..200)) {
            let ledger = Ledger::new(ByteSize::new(1000));
            let mut taken = Vec::new();
            let mut peak = 0;
            for (take, bytes) in steps {
                if take {
                    let fits = taken.iter().sum::<u64>() + bytes <= 1000;
                    prop_assert_eq!(ledger.try_take(bytes), fits);
                    if fits { taken.push(bytes); }
                } else if let Some(bytes) = taken.pop() {
                    ledger.give(bytes);
                }
                peak = peak.max(taken.iter().sum());
                prop_assert_eq!(ledger.held(), taken.iter().sum::<u64>());
                prop_assert!(ledger.held() <= 1000);
                prop_assert_eq!(ledger.peak(), peak);
            }
        }
    }
}
