//! Looks at memory and at the run while the run is on threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::TryLockError;

use super::account::Account;
use super::control::Control;
use super::observer::Observer;
use crate::system::sync::{Mutex, MutexGuard, now};

impl Control {
    /// Looks at the system's memory and at the run if a look is due. Any thread may call this: the
    /// calling thread can be in the sink for long.
    pub(super) fn look(&self) {
        match self.observer.as_ref().map(Mutex::try_lock) {
            Some(Ok(observer)) => self.look_with(observer),
            // User code panicked that tells of memory or is told of progress.
            Some(Err(TryLockError::Poisoned(whole))) => self.look_with(whole.into_inner()),
            // Another thread is looking already.
            Some(Err(TryLockError::WouldBlock)) | None => {}
        }
    }

    /// Looks even if no look is due.
    pub(super) fn look_now(&self) {
        if let Some(mut observer) = self.observer() {
            observer.watch.as_mut().into_iter().for_each(|watch| watch.is_due());
            self.look_with(observer);
        }
    }

    fn look_with(&self, mut observer: MutexGuard<'_, Observer>) {
        let look = || observer.look(now(), &self.ledger, &|| self.counts(), &|| self.state().calls());
        // A look calls a memory source, a trim hook and a progress callback: all of them can be
        // user code.
        match catch_unwind(AssertUnwindSafe(look)) {
            Ok(None) => {}
            Ok(Some(bounds)) => self.state().bound_calls(bounds),
            Err(payload) => self.end_with(payload),
        }
    }

    /// Notes that the results that the run held belong to the caller of the run now.
    pub(crate) fn rebase(&self) {
        let mut state = self.state();
        state.most_outstanding = state.outstanding();
        state.collected = 0;
    }

    /// Makes the report cover only work from now on. No call may be running.
    pub(crate) fn begin_part(&self) {
        let mut state = self.state();
        state.account = Account::default();
        state.most_threads = state.tuner.threads().min(state.situation.threads);
        self.sink.reset();
        self.input.reset();
    }
}
