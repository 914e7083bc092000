//! The state of a run on threads: chunks that wait, run or are finished, and the decisions that
//! follow from them.

use std::time::Instant;

use super::account::{Account, Idle};
use super::books::Books;
use super::opening::Opening;
use super::words::{Grant, MEASURED_EVERY, Outcome, ThreadKind};
use crate::adapt::situation::Situation;
use crate::adapt::tuner::Tuner;
use crate::buffer::RawChunk;
use crate::error::failure::Payload;
use crate::memory::budget::Ledger;
use crate::memory::credit::{Correction, Credit};
use crate::memory::tracking;
use crate::memory::working::{Bounds, HEADROOM_PART};
use crate::system::sync::{AtomicBool, Ordering};
use crate::system::thread_time::IS_TOLD;
use crate::units::by_index::ByIndex;

/// Idle workers that allocate or free fewer bytes than this do so for the pool itself, such as for
/// its queues.
const POOLS_OWN: i64 = 16 << 10;
/// The same for each chunk: one thread allocates rayon's box of a job, of some 40 bytes, and
/// another one frees it.
const JOBS_OWN: i64 = 64;

/// A panic that ends the run.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) payload: Payload,
    /// True if the item has no result, so that the results around it close up.
    pub(super) is_lost: bool,
}

pub(crate) struct State {
    /// Chunks that wait for a worker, by the index of their first item.
    pub(super) waiting: ByIndex<Box<RawChunk>>,
    /// Items in `waiting`.
    pub(super) queued: usize,
    /// Chunks that have results, by the index of their first item.
    pub(super) finished: ByIndex<Box<RawChunk>>,
    /// Items in `finished` that can be handed over, because they are next in order.
    pub(super) ready_items: usize,
    /// Index behind the last of these items.
    pub(super) ready_end: usize,
    pub(super) running: usize,
    /// True if stored results wait for room.
    pub(super) restored_wait: bool,
    /// The credit that running chunks took at their start.
    pub(super) running_credit: u64,
    /// The part of `running_credit` for working memory.
    pub(super) running_working: u64,
    /// Bytes held for collected results beyond their credit, by resident memory. Negative if they
    /// are fewer.
    pub(super) unforeseen: Correction,
    /// Bytes held when the run went on threads. Later growth does not contain them.
    pub(super) held_before: u64,
    /// Credit that came back and still counts as taken, while the time before that is booked.
    pub(super) given_back: u64,
    /// The most chunks that ran at the same time since the last look at resident memory.
    pub(super) most_running: usize,
    /// Threads that keep the cores busy, if the memory of calls matters.
    pub(super) busy_threads: usize,
    /// Items of running chunks.
    pub(super) running_items: usize,
    /// The most items that ran and waited since the last look at resident memory.
    pub(super) most_items: usize,
    /// Credit for the items of chunks that wait or run.
    pub(super) inputs: u64,
    /// Seconds per item that the input takes.
    pub(super) input_pace: f64,
    /// Bounds on calls in flight, by their working memory.
    pub(super) bounds: Bounds,
    pub(super) jobs: usize,
    pub(super) tuner: Tuner,
    /// The most chunks that ran at the same time, or the threads that the run began with.
    pub(crate) most_threads: usize,
    /// True if jobs should be started although no new work came.
    pub(super) recruits: bool,
    /// The time from which on the next chunk is measured for the waits of its calls.
    pub(super) measure_at: Option<Instant>,
    pub(super) ordered: bool,
    pub(crate) ledger: Ledger,
    pub(crate) books: Books,
    pub(crate) situation: Situation,
    /// The calling thread sleeps until this many items can be handed over, or until it has
    /// something else to do.
    pub(super) wanted_items: usize,
    /// True if the calling thread could give credit back by closing its batch early.
    pub(super) caller_holds: bool,
    /// Results in the caller's collection. They are outstanding, but no longer in flight.
    pub(super) collected: usize,
    /// `Some` if the first calls of the run, whose kind is unknown, run on threads.
    pub(super) opening: Option<Opening>,
    pub(super) input_ended: bool,
    /// Panics that end the run, by item. Each ends it once everything before its item is handed
    /// over, so the first one in input order comes first.
    pub(super) ending: ByIndex<Ending>,
    /// Items without a result that `ready_end` has not passed yet, as ranges: the first item, and
    /// the one behind the last.
    pub(super) holes: ByIndex<usize>,
    /// Net heap bytes of idle workers that no chunk answers for yet.
    pub(super) stray: i64,
    /// The count of these bytes when it was last read.
    pub(super) stray_read: i64,
    /// Credit held for `stray`.
    pub(super) stray_credit: Credit,
    pub(super) account: Account,
    /// The most items outstanding since the baseline of resident memory was last set.
    pub(super) most_outstanding: usize,
}

impl State {
    /// True if there is a chunk to start, even if its credit is missing.
    pub(super) fn has_work(&self, limit: usize) -> bool {
        self.waiting.first().is_some_and(|(start, _)| start < limit)
    }

    /// True if there is a chunk to start, with credit for it.
    pub(super) fn could_start(&self, limit: usize) -> bool {
        self.has_work(limit) && !self.lacks_credit(limit) && self.bounds.allows(self.running)
    }

    /// The part of the budget that only the next chunk in order may take: the most that one call
    /// was seen to need.
    pub(super) fn reserve(&self) -> u64 {
        (self.books.learned.largest + self.books.learned.most_working).min(self.ledger.limit() / 2)
    }

    /// Bytes to expect of one result.
    pub(super) fn expected(&self) -> u64 {
        self.books.learned.expected_bytes().max(self.situation.result_size as u64)
    }

    /// Takes credit for what idle workers have allocated since the last look: those are parts of
    /// calls that fork.
    pub(super) fn look_at_stray(&mut self) {
        let now = tracking::workers_stray();
        self.stray += now - std::mem::replace(&mut self.stray_read, now);
        let bytes = u64::try_from(self.stray).unwrap_or(0);
        self.stray_credit.grow(bytes.saturating_sub(self.stray_credit.bytes()));
    }

    /// Charges a chunk that took `credit` with its part of the bytes of idle workers. They are
    /// given back with its results.
    ///
    /// We can't tell which call a worker helped, whether it was idle or waited for its own helpers.
    /// So a chunk of a forking function is charged with its average share, as far as those bytes
    /// are there, plus whatever the credit of running chunks doesn't cover. The rest stays held for
    /// the running chunks: if it were given back with this chunk's results, theirs would still own
    /// it.
    ///
    /// Sets `forks` once idle workers were seen to help.
    pub(super) fn settle_stray(&mut self, outcome: &mut Outcome, credit: u64, forks: &AtomicBool) {
        self.look_at_stray();
        if outcome.elsewhere {
            self.stray = 0;
        }
        let of_jobs = JOBS_OWN.saturating_mul(self.books.chunks as i64);
        if self.stray.abs() >= POOLS_OWN.saturating_add(of_jobs) {
            forks.store(true, Ordering::Relaxed);
        }
        if forks.load(Ordering::Relaxed) {
            let stretch = &mut outcome.stretch;
            let there = stretch.bytes.saturating_add_signed(self.stray);
            let (items, all_items) = (stretch.items as u128, (self.books.learned.items + stretch.items) as u128);
            let average = (u128::from(self.books.learned.bytes + there) * items).div_ceil(all_items) as u64;
            let not_covered = there.saturating_sub(self.running_credit - credit);
            let least = (self.situation.result_size * stretch.items) as u64;
            let bytes = there.min(average).max(not_covered).max(least);
            self.stray -= bytes as i64 - stretch.bytes as i64;
            stretch.bytes = bytes;
        }
        self.stray_credit.resize(u64::try_from(self.stray).unwrap_or(0));
    }

    /// The kind of thread that jobs run on now.
    pub(super) fn thread_kind(&self) -> ThreadKind {
        if self.tuner.uses_own_threads() { ThreadKind::Own } else { ThreadKind::Pool }
    }

    /// True if the next chunk is measured for the waits of its calls.
    pub(super) fn is_measured(&mut self, now: Instant) -> bool {
        let is_due = IS_TOLD && self.measure_at.is_none_or(|at| now >= at);
        if is_due {
            self.measure_at = Some(now + MEASURED_EVERY);
        }
        is_due
    }

    /// Takes a chunk that was granted off those that run.
    pub(super) fn end_chunk(&mut self, grant: &Grant) {
        self.running -= 1;
        self.running_items -= grant.items;
        self.running_credit -= grant.credit;
        self.running_working -= grant.working;
    }

    pub(super) fn add_ready(&mut self) {
        loop {
            if let Some(next) = self.finished.get(self.ready_end) {
                self.ready_items += next.results.len();
                self.ready_end += next.results.len();
            } else if let Some(end) = self.holes.remove(self.ready_end) {
                self.ready_end = end;
            } else {
                break;
            }
        }
    }

    /// Bytes that a chunk at `start` may take.
    fn free_for(&self, start: usize) -> u64 {
        let free = self.ledger.free().saturating_sub(self.given_back);
        if !self.ordered || start == self.ready_end { free } else { free.saturating_sub(self.reserve()) }
    }

    /// The number of items of the waiting chunk at `start` that credit suffices for.
    pub(super) fn affordable(&self, start: usize) -> usize {
        let free = self.free_for(start);
        let for_results = free.saturating_sub(self.working_credit(free, self.expected()));
        usize::try_from(for_results / self.expected().max(1)).unwrap_or(usize::MAX)
    }

    /// True if a chunk waits for credit rather than for a worker.
    pub(super) fn lacks_credit(&self, limit: usize) -> bool {
        self.waiting.first().is_some_and(|(start, _)| start < limit && self.affordable(start) == 0)
    }

    /// The number of further inputs that the budget has room for.
    pub(super) fn room(&self) -> usize {
        let room = self.ledger.free() / HEADROOM_PART / self.situation.item_bytes.max(1);
        let nothing_else_to_do = self.waiting.is_empty() && self.running == 0;
        let by_number = self.bounds.items.saturating_sub(self.opaque_items());
        let ahead = self.most_ahead().saturating_sub(self.queued + self.outstanding());
        usize::try_from(room).unwrap_or(usize::MAX).min(by_number).min(ahead).max(usize::from(nothing_else_to_do))
    }

    /// The number of items that run, or have a result that is not handed over.
    pub(super) fn outstanding(&self) -> usize {
        self.running_items + self.ledger.results().results
    }

    /// The number of further items that may be in flight.
    pub(super) fn in_flight_room(&self) -> usize {
        self.most_in_flight().saturating_sub(self.items_to_hand_over())
    }

    /// The most items in flight: by the option, and by memory if results can't be measured. The
    /// calling thread closes its batch early for either.
    fn most_in_flight(&self) -> usize {
        let by_memory = if self.results_are_opaque() { self.bounds.items } else { usize::MAX };
        self.situation.in_flight.unwrap_or(usize::MAX).min(by_memory)
    }

    /// True if nothing can go on until the calling thread closes its batch early, because no
    /// further item may be in flight.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        let nothing_else_to_do = self.waiting.is_empty() && self.running == 0 && !self.has_ready();
        nothing_else_to_do && !self.input_ended && limit == usize::MAX && self.in_flight_room() == 0
    }

    /// The number of results at which a calling thread is woken that wants `items`. If only few
    /// items may be in flight, it is smaller.
    pub(super) fn wanted(&self, items: usize) -> usize {
        self.tuner.wanted(items, self.most_in_flight())
    }

    /// True if at most `chunks` chunks wait, or fewer than `items` items, and there may be more.
    pub(super) fn wants_items(&self, chunks: usize, items: usize, limit: usize) -> bool {
        (self.waiting.len() <= chunks || self.queued < items)
            && !self.input_ended
            && limit == usize::MAX
            && self.room() > 0
            && self.in_flight_room() > 0
            && !self.would_wait_behind()
    }

    /// True if an item of an input that may wait would have to wait for credit, behind others.
    /// While the input is asked nothing is handed over, so no credit comes back: the items that
    /// wait could not start, and the input may wait for their results.
    fn would_wait_behind(&self) -> bool {
        if !self.tuner.input_may_wait || self.waiting.is_empty() {
            return false;
        }
        let each = self.expected().max(self.books.learned.largest) + self.books.learned.expected_working();
        self.free_for(self.books.next) / each.max(1) <= self.queued as u64
    }

    /// The number of chunks that should wait for the workers.
    pub(super) fn ahead(&self) -> usize {
        self.tuner.chunks_ahead(&self.situation)
    }

    /// Items that the threads run while the calling thread is in the sink.
    pub(super) fn items_meanwhile(&self) -> usize {
        // Items without room for their results would only lie there. Working memory is free again
        // when a call ends.
        let fitting = self.free_for(self.books.next) / self.expected().max(1);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
        self.tuner.items_meanwhile(&self.books.learned, &self.situation, fitting)
    }

    /// The number of threads that have nothing to run and no chunk that they may start, and the
    /// reason.
    pub(super) fn idle(&self, limit: usize) -> (usize, Idle) {
        let idle = self.useful_threads().saturating_sub(self.running);
        if idle > 0 && self.lacks_memory(limit) {
            return (idle, Idle::NoCredit);
        }
        let has_work = self.has_work(limit);
        let waiting = if has_work { self.waiting.len() } else { 0 };
        let without = idle.saturating_sub(waiting);
        // Chunks wait, and not all threads may start one.
        let spared = if idle > without { self.useful_threads() - self.threads_for_calls() } else { 0 };
        if spared > without {
            return (spared, Idle::Spared);
        }
        let why = if !has_work && (self.input_ended || limit != usize::MAX) { Idle::Ended } else { Idle::NoItems };
        (without, why)
    }

    /// The number of results that can be handed over.
    pub(super) fn ready(&self) -> usize {
        if self.ordered { self.ready_items } else { self.finished.values().map(|chunk| chunk.results.len()).sum() }
    }

    /// True if there are results to hand over.
    pub(super) fn has_ready(&self) -> bool {
        if self.ordered { self.ready_items > 0 } else { !self.finished.is_empty() }
    }

    /// True if the calling thread should not sleep any longer.
    pub(super) fn caller_is_needed(&self, limit: usize) -> bool {
        let ready = self.ready();
        ready >= self.wanted_items
            || self.wants_items(self.ahead() / 2, 0, limit)
            || (self.running == 0 && self.jobs == 0)
            || self.recruits
            || ((ready > 0 || self.caller_holds) && self.lacks_credit(limit))
    }
}
