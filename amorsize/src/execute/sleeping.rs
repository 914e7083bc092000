//! Sleeps of the calling thread of a run on threads: they end when it has something to do.

use std::time::Duration;

use super::control::Control;
use super::pool::NAP;
use crate::buffer::asks::HELD;
use crate::call::interrupts::Interrupts;
use crate::memory::watch::LOOK;
use crate::system::sync::{PoisonError, now};

impl Control {
    /// Sleeps until the calling thread is [needed](Self::needs_caller), or for `most`.
    pub(crate) fn wait(&self, most: Duration) {
        let state = self.state();
        // Calls may need much memory: wake up often enough to follow its growth.
        let most = if state.bounds.is_bounded() { most.min(LOOK) } else { most };
        if !state.caller_is_needed(self.course.limit()) {
            drop(self.caller.wait_timeout(state, most));
        }
    }

    /// Sleeps until no job is left. An interrupt ends the wait: the pool may be busy for long with
    /// other work before it reaches a job.
    pub(crate) fn wait_for_jobs(&self, interrupts: &Interrupts) {
        let mut state = self.state();
        while state.jobs > 0 {
            if interrupts.now().is_some() {
                self.course.pause();
                break;
            }
            state.wanted_items = usize::MAX;
            state = self.caller.wait_timeout(state, HELD).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for results of running calls, which are expected before a slow input gives its next
    /// item. An item of that input takes `pace` seconds. Says if there are results to hand over.
    pub(crate) fn wait_for_result(&self, pace: f64) -> bool {
        let mut state = self.state();
        if state.books.learned.recent_seconds() >= pace {
            return state.has_ready();
        }
        // A call that takes longer than usual must not keep us from asking the input, nor from an
        // interrupt.
        let until = now() + Duration::from_secs_f64(pace).min(HELD);
        // Without a job no result comes: items may be left over from an earlier part of the run.
        while !state.has_ready() && state.jobs > 0 && state.queued + state.running_items > 0 {
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                break;
            }
            state.wanted_items = 1;
            state = self.caller.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.has_ready()
    }

    /// True if no other thread takes the items that wait, although they could start. A thread has
    /// the time to do so first.
    pub(crate) fn is_left_waiting(&self) -> bool {
        let begun = now();
        while self.state().could_start(self.course.limit()) {
            if now() - begun >= NAP {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    /// True if the calling thread has something to do. `wanted_items` fill its batch, and `holds`
    /// says that the batch is not empty: this holds for its next sleep as well.
    pub(crate) fn needs_caller(&self, wanted_items: usize, holds: bool) -> bool {
        let mut state = self.state();
        state.wanted_items = state.wanted(wanted_items);
        state.caller_holds = holds;
        state.caller_is_needed(self.course.limit())
    }
}
