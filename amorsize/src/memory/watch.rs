//! Looks at the system's memory during a run, and sets how much of its budget the run may use now.
//!
//! # Bounds of a run
//!
//! - *Available memory.* A neighbour that takes memory shrinks the run; one that gives some back
//!   lets it grow again, up to its budget. The bytes that the run holds count as available to it.
//! - *Pressure.* Tasks that wait for memory are an early sign of a shortage, so the run holds less
//!   for a while.
//! - *Resident memory.* The ledger knows the bytes of results, but not how much freed memory an
//!   allocator keeps, nor the gaps between. When the process has grown by nearly the budget, the
//!   limit stops rising; while the process grows on, the limit falls, and glibc is asked to give
//!   back the memory that it keeps.
//!
//! A run that collects can't hold less, so only available memory bounds it: when that is used up,
//! the run fails and gives back its results. For other runs a lower limit is never an error: if
//! nothing else can start, one call runs at a time.

use std::time::{Duration, Instant};

use super::budget::{Budget, Ledger};
use super::source::Source;
use super::trim::trim;
use super::working::{BATCH_PART, Bounds, Calls, HEADROOM_PART, NOISE, Resident, SMALL_PART, Working};
use crate::units::ByteSize;

/// The shortest time between two looks at resident memory, and so between two moments of a
/// timeline; a look takes a microsecond, a thousandth of this.
pub(crate) const LOOK: Duration = Duration::from_millis(1);
/// The shortest time between two reads of available memory, unless the run has grown meanwhile: a
/// read takes some 30 us, and other programs need longer to take much. The limits of the process
/// take 150 us, and are read as often.
pub(crate) const READ: Duration = Duration::from_millis(50);
/// The run leaves 1/20 of the memory that would be available without it. The kernel's figures lag
/// behind, it needs some memory to free some, and page tables, stacks and calls in flight take some
/// that no ledger counts. A run that left 6 MiB in a cgroup of 1 GiB was killed in one of five
/// times. An early read comes when the run has taken as much, so it can overlook no more than that.
const LEFT_ALONE: u64 = 20;
/// The run holds less when tasks wait for memory for more than this part of the time.
const PRESSURE: f64 = 0.1;
/// The run slows down once its growth is within 1/10 of the budget.
const NEAR_PART: u64 = 10;
/// The bytes that the run releases per byte of growth: freed memory can be used again only in part.
const GAIN: u64 = 8;
/// A lowered limit rises by 1/512 of the budget with each look, which takes half a second for the
/// whole budget. So a cause that lowers it has to come back often to matter.
const RISE_PART: u64 = 512;

/// The bytes that a run may hold of what would be `available` without it.
pub(crate) fn there_is(available: u64) -> u64 {
    available - available / LEFT_ALONE
}

/// The state of the system's memory during a run.
#[derive(Debug)]
pub(crate) struct Watch {
    source: Source,
    /// The part of the available memory that the run may take.
    share: f64,
    next_look: Instant,
    /// The time of the next read of available memory, and the number of held bytes that brings it
    /// forward.
    next_read: Instant,
    read_at_held: u64,
    /// The available bytes at the first read, without those of the run.
    at_first: Option<u64>,
    is_nested: bool,
    /// The bytes that any run may hold at most, by available memory.
    there_is: u64,
    /// The bytes that a run may hold, if it is one that can hold less.
    shared: u64,
    /// The time of the last read of waiting tasks, and their total time then.
    stalled: Option<(Instant, Duration)>,
    headroom: Headroom,
    reads_resident: bool,
    /// `None` for a budget too small to heed resident memory.
    working: Option<Working>,
}

impl Watch {
    /// Begins. Available memory was just read if `budget` is a part of it.
    ///
    /// A run that is nested in a call of another one is bounded by available memory alone, and only
    /// while it collects: what else the process does is watched by the outer run.
    pub(crate) fn start(
        source: Source,
        budget: &Budget,
        held: ByteSize,
        share: f64,
        now: Instant,
        is_nested: bool,
    ) -> Self {
        let base = source.resident().filter(|_| !is_nested);
        let headroom = Headroom::new(budget.bytes.as_u64(), base, held.as_u64());
        let reads_resident = headroom.base.is_some() || source.resident().is_some();
        let working = headroom.base.map(|base| Working::new(headroom.budget, base, held.as_u64()));
        let stalled = source.stalled().map(|stalled| (now, stalled));
        let next_read = if budget.available.is_some() { now + READ } else { now };
        let read_at_held = budget.available.map_or(0, |available| available.as_u64() / LEFT_ALONE);
        Self {
            source,
            share,
            next_look: now,
            next_read,
            read_at_held,
            at_first: budget.available.or(budget.at_first).map(ByteSize::as_u64),
            is_nested,
            there_is: u64::MAX,
            shared: u64::MAX,
            stalled,
            headroom,
            reads_resident,
            working,
        }
    }

    /// Begins anew from the process's present memory: all results but `held` bytes belong to the
    /// caller now.
    pub(crate) fn rebase(&mut self, held: ByteSize) {
        let base = self.source.resident().filter(|_| !self.is_nested);
        self.headroom = Headroom::new(self.headroom.budget, base, held.as_u64());
        if let (Some(working), Some(base)) = (&mut self.working, self.headroom.base) {
            working.rebase(base, held.as_u64());
        }
    }

    /// Learns how much memory a call of the sample needed beside its result. It ran alone.
    pub(crate) fn sampled(&mut self, working: u64) {
        if let Some(learned) = &mut self.working {
            learned.sampled(working);
        }
    }

    /// True if the system tells the process's resident memory.
    pub(crate) fn reads_resident(&self) -> bool {
        self.reads_resident
    }

    /// Makes the next look come now.
    pub(crate) fn is_due(&mut self) {
        self.next_look = self.next_look.checked_sub(LOOK).unwrap_or(self.next_look);
    }

    /// Looks if it is time to, and sets the limit of `ledger`. Returns the number of calls that may
    /// be in flight, if it looked.
    pub(crate) fn look(&mut self, now: Instant, ledger: &Ledger, calls: &dyn Fn() -> Calls) -> Option<Bounds> {
        if now < self.next_look {
            return None;
        }
        if self.is_nested && !ledger.collects() {
            ledger.set_limit(u64::MAX);
            return None;
        }
        let held = ledger.held().as_u64();
        self.headroom.follow(now, held, &self.source);
        if now >= self.next_read || held >= self.read_at_held {
            self.read(now, ledger.budget().as_u64(), held);
        }
        let limit = if ledger.collects() { self.there_is } else { self.shared.min(self.headroom.limit) };
        ledger.set_limit(limit);
        self.next_look = now + LOOK;
        self.look_at_calls(&calls())
    }

    fn look_at_calls(&mut self, calls: &Calls) -> Option<Bounds> {
        let working = self.working.as_mut()?;
        if !working.matters(calls) && working.expected().is_none() {
            return Some(Bounds::NONE);
        }
        let is_rest = working.awaits_rest(calls);
        if is_rest {
            trim();
        }
        // The headroom has just read it, unless the allocator was asked to give memory back.
        let read = self.headroom.resident.filter(|_| !is_rest);
        let now = read.or_else(|| Some(self.source.resident()?.as_u64()))?;
        let peak = self.source.peak_resident().map_or(now, |peak| peak.as_u64().max(now));
        Some(working.look(Resident { now, peak }, calls))
    }

    fn read(&mut self, now: Instant, budget: u64, held: u64) {
        let available = self.source.available().as_u64();
        // The resident bytes that the run holds are not available to others: those that it held when
        // the watch began, and the growth since then.
        let Headroom { grown, held_at_base, .. } = self.headroom;
        let own = grown.map_or(held, |grown| held.min(held_at_base.saturating_add(grown)));
        // Never more than at first, unless others gave memory back: a test's source may say the same
        // however much the run holds.
        let without_it = available.saturating_add(own);
        let without_it = without_it.min((*self.at_first.get_or_insert(without_it)).max(available));
        self.there_is = there_is(without_it);
        self.shared = self.there_is.min(ByteSize::from_f64(without_it as f64 * self.share).as_u64());
        if self.is_pressing(now) {
            self.headroom.shrink(held - held / 4);
        }
        self.next_read = now + READ;
        self.read_at_held = held + (available / LEFT_ALONE).min(budget);
    }

    /// True if tasks have waited for memory for much of the time since the last look.
    fn is_pressing(&mut self, now: Instant) -> bool {
        let Some((then, before)) = self.stalled else { return false };
        let Some(stalled) = self.source.stalled() else { return false };
        let passed = now - then;
        if passed < READ {
            return false;
        }
        self.stalled = Some((now, stalled));
        stalled.saturating_sub(before).as_secs_f64() > PRESSURE * passed.as_secs_f64()
    }
}

/// Keeps the bytes of results far enough below the budget that resident memory keeps it too.
#[derive(Debug, Default)]
struct Headroom {
    budget: u64,
    /// The bytes that the run may hold.
    limit: u64,
    /// Resident memory at the start of the run; `None` if the budget is too small to heed it.
    base: Option<u64>,
    /// The bytes that the run held then.
    held_at_base: u64,
    /// Resident memory as last read.
    resident: Option<u64>,
    /// The growth since the start, and the growth at which the limit was last lowered.
    grown: Option<u64>,
    lowered_at: u64,
    /// The most bytes that were held of late.
    level: u64,
    next_trim: Option<Instant>,
}

impl Headroom {
    fn new(budget: u64, base: Option<ByteSize>, held_at_base: u64) -> Self {
        // A small part of a smaller budget is less than noise: other changes in the process
        // outweigh the run's, such as code that is loaded, stacks, buffers of the executor.
        let base = base.map(ByteSize::as_u64).filter(|_| budget >= SMALL_PART * NOISE);
        let limit = if base.is_some() { budget - budget / HEADROOM_PART } else { budget };
        Self { budget, limit, base, held_at_base, ..Self::default() }
    }

    /// Lowers the limit. There is room for a batch however much the process has grown: others may
    /// hold the bytes, such as a sink that keeps results.
    fn shrink(&mut self, limit: u64) {
        self.limit = self.limit.min(limit.max(self.budget / BATCH_PART));
    }

    fn follow(&mut self, now: Instant, held: u64, source: &Source) {
        let Some(base) = self.base else { return };
        self.resident = source.resident().map(ByteSize::as_u64);
        let Some(mut grown_now) = self.resident.map(|resident| resident.saturating_sub(base)) else { return };
        // Bytes that were released a moment ago are free in the allocator, which will use them
        // again.
        self.level = held.max(self.level - self.level / 64);
        let target = self.budget;
        let kept = grown_now.saturating_sub(held);
        if grown_now > target && kept > target / 8 && self.next_trim.is_none_or(|next| now >= next) {
            let begun = Instant::now();
            trim();
            self.next_trim = Some(now + 20 * begun.elapsed().max(LOOK));
            self.resident = source.resident().map(ByteSize::as_u64);
            grown_now = self.resident.map_or(grown_now, |resident| resident.saturating_sub(base));
        }
        let near = target - target / NEAR_PART;
        if grown_now > near {
            if grown_now > self.lowered_at {
                let more = grown_now - self.lowered_at.max(near);
                self.shrink(self.level.min(self.limit).saturating_sub(GAIN.saturating_mul(more)));
                self.lowered_at = grown_now;
            }
        } else if grown_now < near - target / NEAR_PART {
            self.lowered_at = 0;
            let most = self.budget - self.budget / HEADROOM_PART;
            self.limit = (self.limit + self.budget / RISE_PART).min(most);
        }
        self.grown = Some(grown_now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::source::{MemorySource, current, with_memory_source};
    use super::*;

    const MIB: u64 = 1 << 20;
    const BUDGET: u64 = 512 * MIB;

    /// A system with figures that a test sets.
    #[derive(Default)]
    struct Figures {
        available: AtomicU64,
        resident: AtomicU64,
        stalled_ms: AtomicU64,
    }

    impl MemorySource for Figures {
        fn available(&self) -> Option<ByteSize> {
            Some(ByteSize::new(self.available.load(Ordering::Relaxed)))
        }

        fn resident(&self) -> Option<ByteSize> {
            Some(ByteSize::new(self.resident.load(Ordering::Relaxed)))
        }

        fn stalled(&self) -> Option<Duration> {
            Some(Duration::from_millis(self.stalled_ms.load(Ordering::Relaxed)))
        }
    }

    /// A run with a watch that looks at such a system.
    struct Scene {
        figures: Arc<Figures>,
        ledger: Ledger,
        watch: Watch,
        now: Instant,
    }

    impl Scene {
        fn new(share: f64, available: u64) -> Self {
            let figures = Arc::new(Figures::default());
            figures.available.store(available, Ordering::Relaxed);
            figures.resident.store(100 * MIB, Ordering::Relaxed);
            let now = Instant::now();
            let budget = Budget { bytes: ByteSize::new(BUDGET), available: None, at_first: None };
            let source = with_memory_source(Arc::clone(&figures), current);
            let watch = Watch::start(source, &budget, ByteSize::ZERO, share, now, false);
            Self { figures, ledger: Ledger::new(budget.bytes), watch, now }
        }

        /// The limit after `millis` ms in which the run holds `held` MiB and the process has grown
        /// by `grown` MiB.
        fn after(&mut self, millis: u64, held: u64, grown: u64) -> u64 {
            self.ledger.give(self.ledger.held().as_u64());
            self.ledger.take(held * MIB);
            self.figures.resident.store((100 + grown) * MIB, Ordering::Relaxed);
            for _ in 0..millis {
                self.now += LOOK;
                self.watch.look(self.now, &self.ledger, &Calls::default);
            }
            self.ledger.limit() / MIB
        }

        fn available(&self, mib: u64) {
            self.figures.available.store(mib * MIB, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_neighbour_that_takes_memory_shrinks_the_run_until_it_gives_it_back() {
        let mut scene = Scene::new(0.5, 1024 * MIB);
        assert_eq!(scene.after(60, 100, 100), 384);
        // Half of the memory that the neighbour leaves, with the run's own 100 MiB.
        scene.available(300);
        assert_eq!(scene.after(60, 100, 100), 200);
        scene.available(924);
        assert_eq!(scene.after(60, 100, 100), 384);
    }

    #[test]
    fn a_budget_in_bytes_takes_no_more_than_there_is() {
        let mut scene = Scene::new(1.0, 200 * MIB);
        assert_eq!(scene.after(1, 0, 0), 190);
        scene.available(100);
        assert_eq!(scene.after(60, 100, 100), 190);
    }

    #[test]
    fn what_was_held_before_the_watch_is_the_runs() {
        let mut scene = Scene::new(1.0, 200 * MIB);
        scene.watch.rebase(ByteSize::mib(40));
        // Others grow by 20 MiB.
        assert_eq!(scene.after(1, 40, 20), 228);
        assert_eq!(scene.after(1, 60, 20), 228);
        // Others give memory back.
        scene.available(400);
        assert_eq!(scene.after(60, 40, 20), 380);
    }

    #[test]
    fn a_nested_run_is_bounded_by_what_there_is_while_it_collects() {
        let mut scene = Scene::new(0.5, 200 * MIB);
        scene.watch.is_nested = true;
        scene.ledger.set_collects(true);
        scene.watch.rebase(ByteSize::ZERO);
        assert_eq!(scene.after(1, 0, 300), 190);
        scene.ledger.set_collects(false);
        assert_eq!(scene.after(1, 0, 600), 512);
    }

    #[test]
    fn what_is_available_is_read_again_early_when_the_run_has_grown() {
        let mut scene = Scene::new(1.0, 400 * MIB);
        assert_eq!(scene.after(1, 0, 0), 380);
        scene.available(100);
        assert_eq!(scene.after(1, 19, 19), 380, "not yet");
        assert_eq!(scene.after(1, 20, 20), 114);
    }

    #[test]
    fn pressure_shrinks_it_for_a_while() {
        let mut scene = Scene::new(0.5, 4096 * MIB);
        assert_eq!(scene.after(60, 400, 400), 384);
        // 20 ms of 60 are more than a tenth.
        scene.figures.stalled_ms.store(20, Ordering::Relaxed);
        let pressed = scene.after(60, 400, 400);
        assert!((300..320).contains(&pressed), "{pressed}");
        assert_eq!(scene.after(200, 100, 100), 384);
    }

    #[test]
    fn a_process_that_grows_to_the_budget_holds_less() {
        let mut scene = Scene::new(0.5, 4096 * MIB);
        assert_eq!(scene.after(10, 380, 380), 384);
        let near = scene.after(1, 380, 485);
        assert!((150..380).contains(&near), "{near}");
        let above = scene.after(1, near, 500);
        assert!((64..near).contains(&above), "{above}");
        // The process grows no further, so the limit stays.
        assert_eq!(scene.after(100, above, 500), above);
        // However much others grow, an eighth is left.
        assert_eq!(scene.after(10, above, 2000), 64);
        // The memory is given back.
        assert_eq!(scene.after(400, 60, 60), 384);
    }

    #[test]
    fn what_the_caller_took_over_does_not_bind_the_rest() {
        let mut scene = Scene::new(0.5, 4096 * MIB);
        assert!(scene.after(1, 380, 520) < 300);
        scene.watch.rebase(ByteSize::ZERO);
        assert_eq!(scene.after(10, 0, 520), 384);
    }

    #[test]
    fn a_run_that_collects_is_bounded_by_what_there_is_alone() {
        let mut scene = Scene::new(0.5, 1024 * MIB);
        scene.ledger.set_collects(true);
        assert_eq!(scene.after(60, 500, 600), 512);
        scene.figures.stalled_ms.store(1000, Ordering::Relaxed);
        assert_eq!(scene.after(60, 500, 600), 512);
        scene.available(10);
        assert_eq!(scene.after(60, 400, 400), 389);
    }

    #[test]
    fn a_small_budget_is_not_bound_by_what_else_the_process_does() {
        let mut scene = Scene::new(0.5, 4096 * MIB);
        scene.ledger.set_budget(ByteSize::mib(8));
        scene.watch.headroom = Headroom::new(8 * MIB, Some(ByteSize::mib(100)), 0);
        assert_eq!(scene.after(100, 7, 27), 8);
    }
}
