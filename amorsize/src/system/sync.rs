//! The types that the executor's threads share, and the clock that they look at: the standard
//! library's, or loom's for the models in `execute/loom.rs`.
//!
//! Only this crate's own unit tests see loom: `--cfg loom` holds for a whole build, and a program
//! that checks itself with it must get a library that works outside of a model.
//!
//! Unit tests can move the clock themselves, see [`Clock`]. So they test decisions by time without
//! any time passing, however fast the machine is and whatever else it does.

#[cfg(not(all(loom, test)))]
mod types {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
    pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
    pub(crate) use std::thread_local;
    #[cfg(not(test))]
    use std::time::Instant;

    #[cfg(test)]
    pub(crate) use super::moved::{Clock, now, spent};

    #[cfg(not(test))]
    #[inline]
    pub(crate) fn now() -> Instant {
        Instant::now()
    }
}

#[cfg(all(loom, test))]
mod types {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
    // Loom's `wait_timeout` never times out, so a lost wake-up is a deadlock, which loom finds.
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;
    use std::time::Instant;

    /// Loom's own macro takes no `const` block.
    macro_rules! per_thread {
        ($(#[$meta:meta])* static $name:ident: $type:ty = const $init:block;) => {
            loom::thread_local! { $(#[$meta])* static $name: $type = $init; }
        };
    }
    pub(crate) use per_thread as thread_local;

    /// A clock that stands still: each execution of a model must go the same way if its threads are
    /// scheduled alike.
    pub(crate) fn now() -> Instant {
        static NOW: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *NOW
    }
}

pub(crate) use types::*;

/// Lets the calling thread wait until then. A clock that a test moves is moved.
pub(crate) fn wait_until(then: std::time::Instant) {
    let left = then.saturating_duration_since(now());
    #[cfg(all(test, not(loom)))]
    if Clock::of_this_thread().is_moved() {
        return Clock::of_this_thread().pass(left);
    }
    if !cfg!(all(loom, test)) {
        std::thread::sleep(left);
    }
}

/// The clock of the run that a thread works for. Outside of unit tests there is only the system's.
#[cfg(any(not(test), loom))]
#[derive(Clone, Debug)]
pub(crate) struct Clock;

#[cfg(any(not(test), loom))]
impl Clock {
    #[inline]
    pub(crate) fn of_this_thread() -> Self {
        Self
    }

    /// Makes the calling thread look at this clock until the guard is dropped.
    #[inline]
    pub(crate) fn enter(&self) -> impl Sized + use<> {}

    #[inline]
    pub(crate) fn is_moved(&self) -> bool {
        false
    }
}

#[cfg(all(test, not(loom)))]
mod moved {
    use std::cell::{Cell, RefCell};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    thread_local! {
        static CURRENT: RefCell<Clock> = const { RefCell::new(Clock(None)) };
        /// The time for which this thread ran and waited, by clocks that tests move.
        static SPENT: Cell<(Duration, Duration)> = const { Cell::new((Duration::ZERO, Duration::ZERO)) };
    }

    /// The clock of the run that a thread works for: the system's, or one that a test moves.
    /// Threads that work for a run use the clock that its caller had when the run began.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Clock(Option<Arc<(Instant, AtomicU64)>>);

    impl Clock {
        /// A clock that stands still until a test moves it.
        pub(crate) fn standing() -> Self {
            Self(Some(Arc::new((Instant::now(), AtomicU64::new(0)))))
        }

        pub(crate) fn of_this_thread() -> Self {
            CURRENT.with_borrow(Self::clone)
        }

        /// Makes the calling thread look at this clock until the guard is dropped.
        pub(crate) fn enter(&self) -> Entered {
            Entered(CURRENT.replace(self.clone()))
        }

        /// True if a test moves it. The system's figures of a thread's time say nothing then.
        pub(crate) fn is_moved(&self) -> bool {
            self.0.is_some()
        }

        /// Lets time pass while the calling thread is on a core.
        pub(crate) fn run(&self, time: Duration) {
            let (ran, waited) = SPENT.get();
            SPENT.set((ran + time, waited));
            self.pass(time);
        }

        /// Lets time pass while the calling thread waits for something other than a core.
        pub(crate) fn wait(&self, time: Duration) {
            let (ran, waited) = SPENT.get();
            SPENT.set((ran, waited + time));
            self.pass(time);
        }

        /// Lets time pass. For a thread that neither runs nor waits, it is time in the queue for a
        /// core.
        pub(crate) fn pass(&self, time: Duration) {
            let moved = &self.0.as_ref().expect("nobody moves the system's clock").1;
            moved.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
        }
    }

    /// The time for which the calling thread ran and waited so far, by clocks that tests move.
    pub(crate) fn spent() -> (Duration, Duration) {
        SPENT.get()
    }

    pub(crate) struct Entered(Clock);

    impl Drop for Entered {
        fn drop(&mut self) {
            CURRENT.set(std::mem::take(&mut self.0));
        }
    }

    pub(crate) fn now() -> Instant {
        CURRENT.with_borrow(|clock| match &clock.0 {
            None => Instant::now(),
            Some(moved) => moved.0 + Duration::from_nanos(moved.1.load(Ordering::SeqCst)),
        })
    }
}
