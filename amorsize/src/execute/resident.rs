//! The process's resident memory, as far as it bounds a run on threads: what the run tells the watch
//! of its calls, and what it makes of the answer.

use std::time::Duration;

use super::state::State;
use crate::cores;
use crate::memory::measure::MeasuredBy;
use crate::memory::working::{Bounds, Calls, Items, bound};
use crate::plan::{LARGE_RESULT, chunk_seconds};
use crate::sync::now;
use crate::thread_time::{IS_TOLD, process_ran};

/// Large results that are ready, in the sink or under way take no more than this, or one for each thread and another: a bounded
/// channel between threads has as many, and a run is to need no more memory than a program that has one. Of results of 4 MiB these
/// are 16, which is more than threads make while a sink takes one of them.
const AHEAD_BYTES: u64 = 64 << 20;

/// Calls that have run for this long and not ended are long ones: a chunk is to last a fifth of it.
const OPENING: Duration = Duration::from_millis(5);
/// A process that runs for less than this part of the time waits. To start the threads took some of it.
const RUNS: f64 = 0.1;

impl State {
    /// The calls in flight, for a look at resident memory.
    pub(super) fn calls(&mut self) -> Calls {
        let opaque = self.situation.items_are_opaque;
        // Resident memory tells the bytes of collected results. The bytes of others are not known.
        let have_results = self.results_are_opaque() && self.collected == 0;
        let unknown =
            self.running_credit + if opaque { self.inputs } else { 0 } + if have_results { self.results } else { 0 };
        let known = self.ledger.held().as_u64().saturating_sub(unknown);
        let now = self.opaque_items();
        let by_time =
            chunk_seconds(self.situation.threads, self.threads) / self.books.learned.recent_seconds().max(1e-10);
        let items = Items {
            now,
            most: std::mem::replace(&mut self.most_items, now),
            ended: self.books.next.saturating_sub(now),
            wanted: (self.ahead() as f64 * by_time) as usize,
            have_results,
            seconds: self.input_pace,
        };
        Calls {
            running: self.running,
            most_running: std::mem::replace(&mut self.most_running, self.running),
            results: self.running_credit - self.running_working,
            known,
            ended: self.books.chunks,
            handed_over: self.books.learned.bytes.saturating_sub(known),
            seconds: self.books.learned.seconds_on_cores(self.situation.threads),
            threads: self.threads,
            items: (opaque || have_results).then_some(items),
            only_wait: self.only_wait(),
        }
    }

    /// While no call has ended, says if those in flight do nothing but wait: the process has hardly run.
    fn only_wait(&self) -> Option<bool> {
        let (begun, ran) = self.opening.filter(|_| self.books.learned.items == 0 && self.books.chunks == 0)?;
        let elapsed = now().saturating_duration_since(begun);
        if elapsed < OPENING || self.running == 0 {
            return Some(false);
        }
        let ran = process_ran().zip(ran).map(|(now, before)| now.saturating_sub(before));
        Some(ran.is_some_and(|ran| ran < elapsed.mul_f64(RUNS)))
    }

    /// True if resident memory alone tells what results own.
    pub(super) fn results_are_opaque(&self) -> bool {
        self.situation.measured_by == MeasuredBy::Resident
    }

    /// Items that can't be measured: between the input and the sink, or the end of their calls.
    pub(super) fn opaque_items(&self) -> usize {
        if self.results_are_opaque() { self.items_to_hand_over() } else { self.queued + self.running_items }
    }

    /// Items between the input and the sink, or the collection that takes them.
    pub(super) fn items_to_hand_over(&self) -> usize {
        (self.queued + self.books.outstanding).saturating_sub(self.collected)
    }

    /// Goes on with as many calls in flight as resident memory allows.
    pub(super) fn bound_calls(&mut self, found: Bounds) {
        self.busy_threads = usize::MAX;
        if found.calls != usize::MAX && IS_TOLD && self.books.learned.items > 0 {
            // Where each call may need much memory, those that the cores have no time for are not in flight.
            self.busy_threads = self.books.learned.waits.threads(cores::usable()).ceil() as usize;
        }
        let most = found.calls.min(self.busy_threads);
        // Those that may start now find a thread by the caller.
        self.recruits |= most > self.bounds.calls;
        self.bounds = Bounds { calls: most, ..found };
        self.books.learned.expect_working(found.working, found.confirmed);
    }

    /// True if resident memory is to be looked at before the next call starts: heavier ones than usual have ended.
    pub(super) fn is_at_rest(&self) -> bool {
        self.bounds.calls == 0 && self.running == 0
    }

    /// True if a chunk waits for credit, or until fewer calls need memory, rather than for a worker.
    pub(super) fn lacks_memory(&self, limit: usize) -> bool {
        let are_bounded = self.bounds.calls < self.useful_threads() && !self.bounds.allows(self.running);
        self.lacks_credit(limit) || (are_bounded && self.has_work(limit))
    }

    /// Threads that can have something to run, as far as the cores have time for them where their number matters.
    pub(super) fn useful_threads(&self) -> usize {
        self.threads.min(self.busy_threads)
    }

    /// Credit for the working memory of one more call, beside `results`, where `free` bytes are free. A call that is alone starts
    /// whatever resident memory says of others: while the caller is in its sink nobody else could start one.
    pub(super) fn working_credit(&self, free: u64, results: u64) -> u64 {
        let working = self.books.learned.expected_working();
        if self.running > 0 {
            return working;
        }
        working.min(free.saturating_sub(results)).max(self.books.learned.measured_working())
    }

    /// True if the budget has room for one more result that is kept, whatever else its call needs meanwhile.
    pub(super) fn has_room_for_a_result(&self) -> bool {
        self.expected() + self.books.learned.measured_working() <= self.ledger.free()
    }

    /// Bytes of a result that nothing but the process's growth tells; never more than can be written in the time of a call.
    pub(super) fn bytes_of_a_result(&self, grown: u64, collects: bool) -> Option<f64> {
        let bytes = if self.bounds.items != usize::MAX && !collects {
            self.bounds.item
        } else {
            grown.checked_div(self.most_outstanding as u64)?
        };
        let most = bound(self.books.learned.recent_seconds() + self.input_pace);
        Some(bytes.min(most.max(self.situation.result_size as u64)) as f64)
    }

    /// Holds `bytes` for collected results, by resident memory, rather than the bytes that were expected when each call began.
    pub(super) fn believe_growth(&mut self, bytes: u64) {
        self.set_unforeseen(bytes.saturating_add(self.held_before) as i64 - self.results as i64);
    }

    /// Holds the bytes that were booked, because the results give back as many.
    pub(super) fn hold_what_is_booked(&mut self) {
        self.set_unforeseen(0);
    }

    fn set_unforeseen(&mut self, bytes: i64) {
        let more = bytes - std::mem::replace(&mut self.unforeseen, bytes);
        self.ledger.take(u64::try_from(more).unwrap_or(0));
        self.ledger.give(u64::try_from(-more).unwrap_or(0));
    }

    /// Items that may be between the input and the sink. Of large results no more are made ahead than keep the threads busy,
    /// whatever the budget has room for.
    pub(super) fn most_ahead(&self) -> usize {
        if !self.situation.hands_over || self.expected() < LARGE_RESULT {
            return usize::MAX;
        }
        let by_bytes = usize::try_from(AHEAD_BYTES / self.expected()).unwrap_or(usize::MAX);
        let batch = self.situation.batch_items.unwrap_or(self.batch_now());
        by_bytes.max(2 * self.threads).max(batch.saturating_add(self.threads))
    }

    /// Says if memory has room for calls on more threads than there are.
    pub(super) fn has_room_for_threads(&self, limit: usize) -> bool {
        !self.ledger.is_squeezed() && !self.lacks_credit(limit) && self.bounds.calls >= self.threads
    }
}
