//! Resident memory as a bound of a run on threads: what the run tells the watch about its calls,
//! and how it uses the answer.

use super::state::State;
use crate::adapt::sizes::LARGE_RESULT;
use crate::memory::working::{Bounds, Calls, Items, bound};
use crate::system::cores;
use crate::system::sync::now;
use crate::system::thread_time::IS_TOLD;
use crate::units::measured_by::MeasuredBy;

impl State {
    /// The calls in flight, for a look at resident memory.
    pub(super) fn calls(&mut self) -> Calls {
        let opaque = self.situation.items_are_opaque;
        // Resident memory tells the bytes of collected results. The bytes of other results are
        // unknown.
        let have_results = self.results_are_opaque() && self.collected == 0;
        let unknown = self.running_credit
            + if opaque { self.inputs } else { 0 }
            + if have_results { self.ledger.results().bytes } else { 0 };
        let known = self.ledger.held().as_u64().saturating_sub(unknown);
        let now = self.opaque_items();
        let by_time = self.tuner.chunk_seconds(&self.situation) / self.books.learned.recent_seconds().max(1e-10);
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
            threads: self.tuner.threads(),
            items: (opaque || have_results).then_some(items),
            only_wait: self.only_wait(),
        }
    }

    /// While no call has ended: true if the calls in flight only wait. `None` later.
    fn only_wait(&mut self) -> Option<bool> {
        let is_first = self.books.learned.items == 0 && self.books.chunks == 0;
        let opening = self.opening.as_mut().filter(|_| is_first)?;
        Some(self.running > 0 && opening.only_wait(now()))
    }

    /// True if only resident memory tells how many bytes results own.
    pub(super) fn results_are_opaque(&self) -> bool {
        self.situation.measured_by == MeasuredBy::Resident
    }

    /// Items that can't be measured: those between the input and the sink, or the end of their
    /// calls.
    pub(super) fn opaque_items(&self) -> usize {
        if self.results_are_opaque() { self.items_to_hand_over() } else { self.queued + self.running_items }
    }

    /// Items between the input and the sink, or the collection that takes them.
    pub(super) fn items_to_hand_over(&self) -> usize {
        (self.queued + self.outstanding()).saturating_sub(self.collected)
    }

    /// Goes on with as many calls in flight as resident memory allows.
    pub(super) fn bound_calls(&mut self, found: Bounds) {
        self.busy_threads = usize::MAX;
        if found.calls != usize::MAX && IS_TOLD && self.books.learned.items > 0 {
            // Each call may need much memory: start no more calls than the cores have time for.
            self.busy_threads = self.books.learned.waits.threads(cores::usable()).ceil() as usize;
        }
        let most = found.calls.min(self.busy_threads);
        // The calling thread starts threads for the calls that may start now.
        self.recruits |= most > self.bounds.calls;
        self.bounds = Bounds { calls: most, ..found };
        self.books.learned.expect_working(found.working, found.confirmed);
    }

    /// True if resident memory must be looked at before the next call starts, because all calls
    /// ended and needed more than usual.
    pub(super) fn is_at_rest(&self) -> bool {
        self.bounds.calls == 0 && self.running == 0
    }

    /// True if a chunk waits for memory, which is credit or the end of other calls, rather than for
    /// a worker.
    pub(super) fn lacks_memory(&self, limit: usize) -> bool {
        let are_bounded = self.bounds.calls < self.useful_threads() && !self.bounds.allows(self.running);
        self.lacks_credit(limit) || (are_bounded && self.has_work(limit))
    }

    /// Threads that can have something to run. If the number of calls matters for memory, no more
    /// than the cores have time for.
    pub(super) fn useful_threads(&self) -> usize {
        self.tuner.threads().min(self.busy_threads)
    }

    /// Threads that may start calls. One less while the sink is the slower half and has a batch to
    /// go on with: no other thread can do the calling thread's work, which should have a core. That
    /// thread comes back when the calling thread leaves the sink. With a sink of 10 us for calls of
    /// 10 us, a run on 2 cores took 507 ms and takes 475 (`cargo bench --bench peers -- sink`).
    pub(super) fn threads_for_calls(&self) -> usize {
        let threads = self.useful_threads();
        // No sink is slower than the calls on no threads, so at least one is left.
        let spares_one =
            self.tuner.is_bound_by_sink(&self.books.learned, threads - 1) && self.ready() >= self.tuner.batch_now();
        threads - usize::from(spares_one)
    }

    /// Credit for the working memory of one more call, beside `results`, with `free` bytes free. A
    /// call that runs alone starts even if resident memory speaks against it: while the calling
    /// thread is in its sink, no other thread could start one.
    pub(super) fn working_credit(&self, free: u64, results: u64) -> u64 {
        let working = self.books.learned.expected_working();
        if self.running > 0 {
            return working;
        }
        working.min(free.saturating_sub(results)).max(self.books.learned.measured_working())
    }

    /// True if the budget has room for one more kept result and the measured working memory of its
    /// call.
    pub(super) fn has_room_for_a_result(&self) -> bool {
        self.expected() + self.books.learned.measured_working() <= self.ledger.free()
    }

    /// True if the budget will have that room once the items that wait have run, and have results.
    pub(super) fn will_have_room_for_a_result(&self) -> bool {
        let beside = self.ledger.held().as_u64().saturating_sub(self.inputs);
        let results = self.expected().saturating_mul(self.queued as u64 + 1);
        results.saturating_add(self.books.learned.measured_working()).saturating_add(beside) <= self.ledger.limit()
    }

    /// Bytes of a result that only the process's growth tells. Never more than a call can write in
    /// its time.
    pub(super) fn bytes_of_a_result(&self, grown: u64) -> Option<f64> {
        let bytes = if self.bounds.items != usize::MAX && !self.ledger.collects() {
            self.bounds.item
        } else {
            grown.checked_div(self.most_outstanding as u64)?
        };
        let most = bound(self.books.learned.recent_seconds() + self.input_pace);
        Some(bytes.min(most.max(self.situation.result_size as u64)) as f64)
    }

    /// Holds `bytes` for collected results, by resident memory, instead of the bytes expected when
    /// their calls began, until [`hold_credit_alone`](super::engine::Engine).
    pub(super) fn believe_growth(&mut self, bytes: u64) {
        let credit = self.ledger.results().bytes;
        self.unforeseen.set(bytes.saturating_add(self.held_before) as i64 - credit as i64);
    }

    /// The most items between the input and the sink. Large results are made ahead only as far as
    /// that keeps the threads busy, even if the budget has room for more.
    pub(super) fn most_ahead(&self) -> usize {
        if !self.situation.hands_over || self.expected() < LARGE_RESULT {
            return usize::MAX;
        }
        // No more than a bounded channel between threads holds: a run should need no more memory
        // than a program with such a channel. Sixteen are more than threads make while the sink
        // takes one.
        let by_bytes = usize::try_from(16 * LARGE_RESULT / self.expected()).unwrap_or(usize::MAX);
        let batch = self.situation.batch_items.unwrap_or(self.tuner.batch_now());
        by_bytes.max(2 * self.tuner.threads()).max(batch.saturating_add(self.tuner.threads()))
    }

    /// True if memory has room for calls on more threads than there are.
    pub(super) fn has_room_for_threads(&self, limit: usize) -> bool {
        !self.ledger.is_squeezed() && !self.lacks_credit(limit) && self.bounds.calls >= self.tuner.threads()
    }
}
