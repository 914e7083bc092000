//! Looks at the system's memory while a run goes on, and sets how much of its budget the run may use now.
//!
//! # What bounds it
//!
//! - *What is available.* A neighbour that takes memory shrinks the run, and one that gives some back lets it grow again, up to its
//!   budget. What the run itself holds counts as available to it.
//! - *Pressure.* Tasks that wait for memory are an early sign, before less is available: the run then holds less for a while.
//! - *Resident memory.* The ledger knows the bytes of results, and not what an allocator needs for them: what it keeps of freed
//!   memory, and the gaps between. When the process has grown by nearly the budget, the run holds no more than it does; when it
//!   grows on, less; and glibc is asked to give back what it keeps.
//!
//! A run that collects can't hold less, so only what is available bounds it: where that is used up, it fails, and gives back what
//! it has. For others a lower bound is never an error: where nothing can start, one call at a time runs alone.

use std::time::{Duration, Instant};

use super::Bytes;
use super::budget::{Budget, Ledger};
use super::source::Source;
use super::trim::trim;
use super::working::{Bounds, Calls, Resident, Working};

/// Resident memory is read at most this often: a microsecond of a thousand.
pub(crate) const LOOK: Duration = Duration::from_millis(1);
/// What is available is read at most this often, unless the run has grown meanwhile: it takes some 30 us, and other programs need
/// longer to take much.
const READ: Duration = Duration::from_millis(50);
/// It is read earlier when the run has taken this part of what was available: so no more than that can be missed.
const READ_PART: u64 = 16;
/// This part of what would be available without the run is left alone: the kernel's figures lag behind, it needs some memory to
/// free some, and page tables, stacks and calls in flight take some that no ledger knows of. In a cgroup of 1 GiB a run that left
/// 6 MiB was killed in one of five times.
const LEFT_ALONE: u64 = 20;
/// From this part of the time that tasks wait for memory on, the run holds less.
const PRESSURE: f64 = 0.1;
/// For resident memory to keep a budget, the bytes of results must stay below it: allocators need 11 to 21 % more than what is asked
/// of them (mimalloc, results of 4 KiB to 1 MiB), and a third more while results grow, because gaps of the old sizes are not filled
/// (`cargo bench --bench peak_memory`). More in flight would only even out what a sink takes, and seven batches do that.
const HEADROOM_PART: u64 = 4;
/// From this part below the budget on, a process that grows makes the run hold less,
const NEAR_PART: u64 = 10;
/// by so many bytes for each that it grew: what is freed for it in one place can be used again in another only in part.
const GAIN: u64 = 8;
/// A limit that was lowered rises by this part of the budget with each look: half a second for all of it, so that what lowered it
/// would have to come back often to matter.
const RISE_PART: u64 = 512;
/// However much the process has grown, the run may use this part of its budget: what has grown may be somebody else's, such as
/// results that the sink keeps.
const LEAST_PART: u64 = 8;

/// Below this a process's own comings and goings outweigh a budget: code that is loaded, stacks, buffers of the executor.
const SMALL: u64 = 32 << 20;

/// What is known of the system's memory during a run.
#[derive(Debug)]
pub(crate) struct Watch {
    source: Source,
    /// What of the available memory the run may take.
    share: f64,
    next_look: Instant,
    /// When what is available is read next, or at how many bytes held.
    next_read: Instant,
    read_at_held: u64,
    /// What there was without the run when it was read first.
    at_first: Option<u64>,
    /// What may be held, as far as there is memory at all.
    there_is: u64,
    /// What may be held by a run that can hold less.
    shared: u64,
    /// When the time that tasks waited was read last, and what it was.
    stalled: Option<(Instant, Duration)>,
    headroom: Headroom,
    reads_resident: bool,
    /// Where resident memory is heeded.
    working: Option<Working>,
}

impl Watch {
    /// Begins. What is available was read just now where `budget` is a part of it.
    pub(crate) fn start(source: Source, budget: &Budget, held: Bytes, share: f64, now: Instant) -> Self {
        let headroom = Headroom::new(budget.bytes.as_u64(), source.resident());
        let reads_resident = headroom.base.is_some() || source.resident().is_some();
        let working = headroom.base.map(|base| Working::new(headroom.budget, base, held.as_u64()));
        let stalled = source.stalled().map(|stalled| (now, stalled));
        let next_read = if budget.available.is_some() { now + READ } else { now };
        let read_at_held = budget.available.map_or(0, |available| available.as_u64() / READ_PART);
        Self {
            source,
            share,
            next_look: now,
            next_read,
            read_at_held,
            at_first: budget.available.map(Bytes::as_u64),
            there_is: u64::MAX,
            shared: u64::MAX,
            stalled,
            headroom,
            reads_resident,
            working,
        }
    }

    /// Begins anew with what the process has now: results that were the run's belong to its caller from here on, but for `held`.
    pub(crate) fn rebase(&mut self, held: Bytes) {
        self.headroom = Headroom::new(self.headroom.budget, self.source.resident());
        if let (Some(working), Some(base)) = (&mut self.working, self.headroom.base) {
            working.rebase(base, held.as_u64());
        }
    }

    /// Learns of a call of the sample, which ran alone, what it needed beside its result.
    pub(crate) fn sampled(&mut self, working: u64) {
        if let Some(learned) = &mut self.working {
            learned.sampled(working);
        }
    }

    /// True if the system tells the process's resident memory.
    pub(crate) fn reads_resident(&self) -> bool {
        self.reads_resident
    }

    /// Has the next look come now.
    pub(crate) fn is_due(&mut self) {
        self.next_look = self.next_look.checked_sub(LOOK).unwrap_or(self.next_look);
    }

    /// Looks, if it is time to, and sets the limit of `ledger`. Says how many calls may be in flight where that was looked at.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        ledger: &Ledger,
        collects: bool,
        calls: impl FnOnce() -> Calls,
    ) -> Option<Bounds> {
        if now < self.next_look {
            return None;
        }
        let held = ledger.held().as_u64();
        self.headroom.follow(now, held, &self.source);
        if now >= self.next_read || held >= self.read_at_held {
            self.read(now, ledger.budget().as_u64(), held);
        }
        let limit = if collects { self.there_is } else { self.shared.min(self.headroom.limit) };
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
        // The headroom has read it just now, unless the allocator was asked to give memory back.
        let read = self.headroom.resident.filter(|_| !is_rest);
        let now = read.or_else(|| Some(self.source.resident()?.as_u64()))?;
        let peak = self.source.peak_resident().map_or(now, |peak| peak.as_u64().max(now));
        Some(working.look(Resident { now, peak }, calls))
    }

    fn read(&mut self, now: Instant, budget: u64, held: u64) {
        let available = self.source.available().as_u64();
        // What the run holds is no longer available to anybody else, as far as it is resident.
        let own = self.headroom.grown.map_or(held, |grown| grown.min(held));
        // Never more than there was at first: a source that a test made may say the same whatever the run holds.
        let without_it = available.saturating_add(own).min(*self.at_first.get_or_insert(available.saturating_add(own)));
        self.there_is = without_it - without_it / LEFT_ALONE;
        self.shared = self.there_is.min(Bytes::from_f64(without_it as f64 * self.share).as_u64());
        if self.is_pressing(now) {
            self.headroom.shrink(held - held / 4);
        }
        self.next_read = now + READ;
        self.read_at_held = held + (available / READ_PART).min(budget);
    }

    /// Whether tasks have waited for memory for much of the time since the last look.
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

/// Keeps the bytes of results so far below the budget that resident memory keeps it too.
#[derive(Debug)]
struct Headroom {
    budget: u64,
    /// What may be held.
    limit: u64,
    /// Resident memory when the run began, where it is heeded.
    base: Option<u64>,
    /// The same as it was last read.
    resident: Option<u64>,
    /// By how much it has grown, and by how much it had when the limit was last lowered.
    grown: Option<u64>,
    lowered_at: u64,
    /// The most that was held of late.
    level: u64,
    next_trim: Option<Instant>,
}

impl Headroom {
    fn new(budget: u64, base: Option<Bytes>) -> Self {
        let base = base.map(Bytes::as_u64).filter(|_| budget >= SMALL);
        let limit = if base.is_some() { budget - budget / HEADROOM_PART } else { budget };
        Self { budget, limit, base, resident: None, grown: None, lowered_at: 0, level: 0, next_trim: None }
    }

    fn shrink(&mut self, limit: u64) {
        self.limit = self.limit.min(limit.max(self.budget / LEAST_PART));
    }

    fn follow(&mut self, now: Instant, held: u64, source: &Source) {
        let Some(base) = self.base else { return };
        self.resident = source.resident().map(Bytes::as_u64);
        let Some(mut grown_now) = self.resident.map(|resident| resident.saturating_sub(base)) else { return };
        // What was held a moment ago is free in the allocator now, and will be used again.
        self.level = held.max(self.level - self.level / 64);
        let target = self.budget;
        let kept = grown_now.saturating_sub(held);
        if grown_now > target && kept > target / 8 && self.next_trim.is_none_or(|next| now >= next) {
            let begun = Instant::now();
            trim();
            self.next_trim = Some(now + 20 * begun.elapsed().max(LOOK));
            self.resident = source.resident().map(Bytes::as_u64);
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

    /// A system whose figures are set by hand.
    #[derive(Default)]
    struct Figures {
        available: AtomicU64,
        resident: AtomicU64,
        stalled_ms: AtomicU64,
    }

    impl MemorySource for Figures {
        fn available(&self) -> Option<Bytes> {
            Some(Bytes::new(self.available.load(Ordering::Relaxed)))
        }

        fn resident(&self) -> Option<Bytes> {
            Some(Bytes::new(self.resident.load(Ordering::Relaxed)))
        }

        fn stalled(&self) -> Option<Duration> {
            Some(Duration::from_millis(self.stalled_ms.load(Ordering::Relaxed)))
        }
    }

    /// A run whose watch looks at such a system.
    struct Scene {
        figures: Arc<Figures>,
        ledger: Ledger,
        watch: Watch,
        now: Instant,
        collects: bool,
    }

    impl Scene {
        fn new(share: f64, available: u64) -> Self {
            let figures = Arc::new(Figures::default());
            figures.available.store(available, Ordering::Relaxed);
            figures.resident.store(100 * MIB, Ordering::Relaxed);
            let now = Instant::now();
            let budget = Budget { bytes: Bytes::new(BUDGET), available: None };
            let source = with_memory_source(Arc::clone(&figures), current);
            let watch = Watch::start(source, &budget, Bytes::ZERO, share, now);
            Self { figures, ledger: Ledger::new(budget.bytes), watch, now, collects: false }
        }

        /// The limit after some time in which the run holds, and the process has grown by, so many MiB.
        fn after(&mut self, millis: u64, held: u64, grown: u64) -> u64 {
            self.ledger.give(self.ledger.held().as_u64());
            self.ledger.take(held * MIB);
            self.figures.resident.store((100 + grown) * MIB, Ordering::Relaxed);
            for _ in 0..millis {
                self.now += LOOK;
                self.watch.look(self.now, &self.ledger, self.collects, Calls::default);
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
        // Half of what there is beside the neighbour, the run's own 100 MiB included.
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
    fn what_is_available_is_read_again_early_when_the_run_has_grown() {
        let mut scene = Scene::new(1.0, 400 * MIB);
        assert_eq!(scene.after(1, 0, 0), 380);
        scene.available(100);
        assert_eq!(scene.after(1, 20, 20), 380, "not yet");
        assert_eq!(scene.after(1, 30, 30), 123);
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
        // It stays as it is: so does the limit.
        assert_eq!(scene.after(100, above, 500), above);
        // Whoever else grows, an eighth is left.
        assert_eq!(scene.after(10, above, 2000), 64);
        // What was kept is given back.
        assert_eq!(scene.after(400, 60, 60), 384);
    }

    #[test]
    fn what_the_caller_took_over_does_not_bind_the_rest() {
        let mut scene = Scene::new(0.5, 4096 * MIB);
        assert!(scene.after(1, 380, 520) < 300);
        scene.watch.rebase(Bytes::ZERO);
        assert_eq!(scene.after(10, 0, 520), 384);
    }

    #[test]
    fn a_run_that_collects_is_bounded_by_what_there_is_alone() {
        let mut scene = Scene::new(0.5, 1024 * MIB);
        scene.collects = true;
        assert_eq!(scene.after(60, 500, 600), 512);
        scene.figures.stalled_ms.store(1000, Ordering::Relaxed);
        assert_eq!(scene.after(60, 500, 600), 512);
        scene.available(10);
        assert_eq!(scene.after(60, 400, 400), 389);
    }

    #[test]
    fn a_small_budget_is_not_bound_by_what_else_the_process_does() {
        let mut scene = Scene::new(0.5, 4096 * MIB);
        scene.ledger.set_budget(Bytes::mib(8));
        scene.watch.headroom = Headroom::new(8 * MIB, Some(Bytes::mib(100)));
        assert_eq!(scene.after(100, 7, 27), 8);
    }
}
