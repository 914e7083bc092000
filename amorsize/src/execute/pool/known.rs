//! Facts about the pools of a process: which pools exist, if their threads are in this process, and
//! how large their stacks are.

use std::error::Error as _;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use once_cell::race::OnceNonZeroUsize;
use rayon_core::{ThreadPool, ThreadPoolBuilder};

use super::own_threads::Count;
use crate::error::{Error, ErrorKind};
use crate::system::process::PerProcess;
use crate::system::refused::Refused;
use crate::system::{calls, cores};

/// Limits the pools that are kept for further runs with the same number of `threads`. A program has
/// one such number, or one for each kind of work: computing, the network, a disk. Making a pool
/// takes some 70 us for each of its threads, and keeping it keeps its sleeping threads.
pub(super) const KEPT: usize = 4;
/// Limits the wait of a run, once, for a thread of the pool to tell the size of its stack. An idle
/// thread takes 50 us for that, and one that runs chunks of another run some milliseconds.
const TELLING: Duration = Duration::from_millis(10);

/// The facts that this process knows.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Pools of ours, the last used one at the end.
    kept: Mutex<Vec<Arc<OwnPool>>>,
    global: OnceLock<Global>,
    /// True if a run has used the global pool, so that its threads exist.
    pub(super) is_warm: AtomicBool,
    /// The stand-in for the global pool, if the system refused that one a thread.
    pub(super) refused: OnceLock<Refused>,
    /// The threads of runs' own that the limits of the process leave room for, and the time at
    /// which they were read.
    pub(super) room: Mutex<Option<(Instant, usize)>>,
    pub(super) own_threads: Count,
    stack: WorkerStack,
}

/// The state of rayon's global pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// A run started it, with rayon's default number of threads.
    Ours,
    /// The program started it.
    Theirs,
    /// A parent of this process started it, with this number of threads, which are not here.
    Gone { threads: usize },
    /// The system refused it a thread.
    Refused,
}

/// The facts that this process knows. True if it is a child of a process that knew some.
pub(super) fn known() -> (&'static Known, bool) {
    static KNOWN: PerProcess<Known> = PerProcess::new();

    KNOWN.get(Known::default)
}

impl Known {
    /// The global pool. Starts it, unless it was started.
    ///
    /// Rayon would start it by itself, and panic if the system refuses it a thread.
    pub(super) fn global(&'static self, is_child: bool) -> Global {
        /// The process in which a run is starting it, or 0.
        static STARTS_IN: AtomicU32 = AtomicU32::new(0);

        *self.global.get_or_init(|| {
            let own = std::process::id();
            if ![0, own].contains(&STARTS_IN.load(Ordering::SeqCst)) {
                // Another thread of the parent was starting it when it forked. Rayon would wait for
                // that thread, which is not here.
                return Global::Gone { threads: default_threads() };
            }
            STARTS_IN.store(own, Ordering::SeqCst);
            let built = ThreadPoolBuilder::new().build_global();
            STARTS_IN.store(0, Ordering::SeqCst);
            let Err(error) = built else { return Global::Ours };
            if error.source().is_some() {
                return Global::Refused;
            }
            // It was started before, perhaps in a parent. If that is not sure, a pool of ours does
            // as well.
            let threads = rayon_core::current_num_threads();
            if is_child || lacks_threads(threads + 1) {
                return Global::Gone { threads };
            }
            // The program may have set the stack size of its threads.
            rayon_core::spawn_broadcast(|_| self.stack.tell());
            Global::Theirs
        })
    }

    /// The global pool, if it was asked for.
    pub(super) fn global_so_far(&self) -> Option<Global> {
        self.global.get().copied()
    }

    /// The stack size of a thread that should be like those of the global pool. An error as long as
    /// it is unknown.
    pub(super) fn stack(&self) -> Result<Option<usize>, Untold> {
        // Threads that we start have the standard library's stack size.
        if self.global_so_far() == Some(Global::Theirs) { self.stack.get() } else { Ok(None) }
    }

    /// The same without a wait. `None` stands for the standard library's size, or an unknown one.
    pub(super) fn stack_so_far(&self) -> Option<usize> {
        self.stack.bytes.get().copied().flatten()
    }

    /// A pool of ours with `count` threads: a kept one, or a new one.
    pub(super) fn own(&self, count: usize) -> Result<Arc<OwnPool>, Error> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let index = kept.iter().position(|pool| pool.get().current_num_threads() == count);
        let pool = match index {
            Some(index) => kept.remove(index),
            None => Arc::new(OwnPool::new(count)?),
        };
        kept.push(Arc::clone(&pool));
        let left = if kept.len() > KEPT { Some(kept.remove(0)) } else { None };
        drop(kept);
        // Its threads end now, or with the last run that uses it.
        drop(left);
        Ok(pool)
    }

    /// True if a pool of `count` threads is kept.
    pub(super) fn keeps(&self, count: usize) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().any(|pool| pool.get().current_num_threads() == count)
    }
}

/// A pool of ours.
#[derive(Debug)]
pub(crate) struct OwnPool {
    /// `Some` until it is dropped.
    pool: Option<ThreadPool>,
    process: u32,
}

impl OwnPool {
    fn new(count: usize) -> Result<Self, Error> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|index| format!("amorsize-{index}"))
            .build()
            .map_err(|cause| Error::new(ErrorKind::Threads { threads: count, cause: cause.to_string() }))?;
        Ok(Self { pool: Some(pool), process: std::process::id() })
    }

    pub(super) fn get(&self) -> &ThreadPool {
        self.pool.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for OwnPool {
    fn drop(&mut self) {
        // Ending the threads of a parent's pool takes locks that they may have held.
        if self.process != std::process::id() {
            std::mem::forget(self.pool.take());
        }
    }
}

/// The stack size of the global pool's threads. One of them tells it.
#[derive(Debug, Default)]
struct WorkerStack {
    /// Bytes, if the system tells them.
    bytes: OnceLock<Option<usize>>,
    /// True if a run has waited in vain for it: another one need not.
    waited: Mutex<bool>,
    told: Condvar,
}

/// No thread of the pool has told its stack size yet.
#[derive(Debug)]
pub(super) struct Untold;

impl WorkerStack {
    /// Tells the stack size of the calling thread.
    fn tell(&self) {
        // The process's first thread can be one of a pool, and its stack is unlike the others.
        if !calls::is_first_thread() {
            let _ = self.bytes.set(calls::stack_size());
            drop(self.waited.lock().unwrap_or_else(PoisonError::into_inner));
            self.told.notify_all();
        }
    }

    fn get(&self) -> Result<Option<usize>, Untold> {
        if self.bytes.get().is_none() {
            let waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
            let is_untold = |waited: &mut bool| !*waited && self.bytes.get().is_none();
            let waited = self.told.wait_timeout_while(waited, TELLING, is_untold);
            *waited.unwrap_or_else(PoisonError::into_inner).0 = true;
        }
        self.bytes.get().copied().ok_or(Untold)
    }
}

/// The number of threads that rayon gives by default.
pub(super) fn default_threads() -> usize {
    static FOUND: OnceNonZeroUsize = OnceNonZeroUsize::new();

    let found = FOUND.get_or_init(|| {
        let asked =
            std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok()).filter(|&count| count > 0);
        NonZeroUsize::new(at_most(asked.unwrap_or_else(cores::usable))).unwrap_or(NonZeroUsize::MIN)
    });
    found.get()
}

/// `threads`, but no more than a pool can have: 65,535, and 255 on 32 bits.
pub(crate) fn at_most(threads: usize) -> usize {
    threads.min(rayon_core::max_num_threads())
}

/// True if the process has fewer than `count` threads, because it is a child of one that had them.
/// False if the system doesn't tell.
pub(super) fn lacks_threads(count: usize) -> bool {
    cfg!(target_os = "linux") && std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() < count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_pools_are_kept_those_that_were_used_last() {
        let known = Known::default();
        let first = known.own(2).unwrap();
        for count in 3..3 + 2 * KEPT {
            known.own(count).unwrap();
            // It would be the next one to go if it were not used.
            assert!(Arc::ptr_eq(&first, &known.own(2).unwrap()));
            assert!(known.keeps(count) && known.kept.lock().unwrap().len() <= KEPT);
        }
        (3..3 + KEPT).for_each(|count| _ = known.own(count).unwrap());
        assert!(!known.keeps(2));
        // A run that uses it still has it.
        assert_eq!(first.get().install(rayon_core::current_num_threads), 2);
        assert!(!Arc::ptr_eq(&first, &known.own(2).unwrap()));
    }

    #[test]
    fn who_waits_for_a_stack_does_so_once() {
        let stack = WorkerStack::default();
        assert!(stack.get().is_err());
        // No second wait: it would take another run's time.
        let waited = stack.waited.lock().unwrap();
        assert!(*waited);
        drop(waited);
        let tell = move || {
            stack.tell();
            let told = stack.get().unwrap();
            assert_eq!(told.is_some(), cfg!(any(target_os = "linux", target_vendor = "apple")));
            assert!(told.is_none_or(|bytes| bytes >= 3 << 20), "{told:?}");
        };
        std::thread::Builder::new().stack_size(3 << 20).spawn(tell).unwrap().join().unwrap();
    }
}
