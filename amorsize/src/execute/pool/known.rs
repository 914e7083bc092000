//! What a process knows of its pools: which there are, whether their threads are, and how large their stacks.

use std::error::Error as _;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::own_threads::Count;
use crate::error::{Error, ErrorKind};
use crate::process::PerProcess;
use crate::system_calls;

/// So many pools are kept for further runs with the same number of `threads`. A program has one such number, or one for each kind of
/// work: for what computes, for the network, for a disk. Making a pool takes some 70 us for each of its threads, and keeping one as many
/// threads that sleep.
pub(super) const KEPT: usize = 4;
/// How long a run waits for a thread of the pool to tell the size of its stack, once. One that has nothing to do takes 50 us for it, and
/// one that runs chunks of another run some milliseconds.
const TELLING: Duration = Duration::from_millis(10);

/// What this process knows.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Pools of our own, the one that was used last at the end.
    kept: Mutex<Vec<Arc<OwnPool>>>,
    global: OnceLock<Global>,
    /// Whether a run has used the global pool before, so that its threads are there.
    pub(super) is_warm: AtomicBool,
    /// What stands for the global pool, where the system refused that one a thread.
    pub(super) refused: OnceLock<Refused>,
    /// What room the limits of the process leave for threads of runs' own, and when it was looked at.
    pub(super) room: Mutex<Option<(Instant, usize)>>,
    pub(super) own_threads: Count,
    stack: WorkerStack,
}

/// Threads that the system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Those that rayon's global pool would have.
    pub(crate) wanted: usize,
    /// Those of the pool that stands for it; 1 is the calling thread, where there is no such pool either.
    pub(crate) given: usize,
}

/// Rayon's global pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// Started by a run, with the threads that rayon gives by itself.
    Ours,
    /// Started by the program.
    Theirs,
    /// Started by a parent of this process: its threads are not here.
    Gone,
    /// The system refused it a thread.
    Refused,
}

/// What this process knows, and whether it is the child of one that knew something.
pub(super) fn known() -> (&'static Known, bool) {
    static KNOWN: PerProcess<Known> = PerProcess::new();

    KNOWN.get(Known::default)
}

impl Known {
    /// The global pool, which is started unless somebody has.
    ///
    /// Rayon would start it by itself, and panic where the system refuses it a thread.
    pub(super) fn global(&'static self, is_child: bool) -> Global {
        *self.global.get_or_init(|| match ThreadPoolBuilder::new().build_global() {
            Ok(()) => Global::Ours,
            Err(error) if error.source().is_some() => Global::Refused,
            // It was started before, be it in a parent. Where that is not sure, a pool of our own does as well.
            Err(_) if is_child || lacks_threads(rayon::current_num_threads() + 1) => Global::Gone,
            Err(_) => {
                // The program may have set the size of its threads' stacks.
                rayon::spawn_broadcast(|_| self.stack.tell());
                Global::Theirs
            }
        })
    }

    /// The global pool, as far as somebody has asked for it.
    pub(super) fn global_so_far(&self) -> Option<Global> {
        self.global.get().copied()
    }

    /// The stack of a thread that is to be like those of the global pool; an error as long as that is not known.
    pub(super) fn stack(&self) -> Result<Option<usize>, Untold> {
        // What we start ourselves has the stack that the standard library gives.
        if self.global_so_far() == Some(Global::Theirs) { self.stack.get() } else { Ok(None) }
    }

    /// The same, as far as it is known: `None` is the standard library's.
    pub(super) fn stack_so_far(&self) -> Option<usize> {
        self.stack.bytes.get().copied().flatten()
    }

    /// A pool of our own with so many threads: one that was kept, or a new one.
    pub(super) fn own(&self, count: usize) -> Result<Arc<OwnPool>, Error> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|pool| pool.get().current_num_threads() == count);
        let pool = match place {
            Some(place) => kept.remove(place),
            None => Arc::new(OwnPool::new(count)?),
        };
        kept.push(Arc::clone(&pool));
        let left = if kept.len() > KEPT { Some(kept.remove(0)) } else { None };
        drop(kept);
        // Its threads end now, or with the last run that uses it.
        drop(left);
        Ok(pool)
    }

    /// Whether a pool of so many threads is kept.
    pub(super) fn keeps(&self, count: usize) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().any(|pool| pool.get().current_num_threads() == count)
    }
}

/// A pool of our own.
#[derive(Debug)]
pub(crate) struct OwnPool {
    /// Until it is dropped.
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
        // To end the threads of a parent's pool takes locks that they may have held.
        if self.process != std::process::id() {
            std::mem::forget(self.pool.take());
        }
    }
}

/// The stack of the global pool's threads, which one of them tells.
#[derive(Debug, Default)]
struct WorkerStack {
    /// Bytes, where the system says it.
    bytes: OnceLock<Option<usize>>,
    /// Whether a run has waited for it to the end, as another need not.
    waited: Mutex<bool>,
    told: Condvar,
}

/// No thread of the pool has told the size of its stack yet.
#[derive(Debug)]
pub(super) struct Untold;

impl WorkerStack {
    /// Tells that of the calling thread.
    fn tell(&self) {
        // The process's first thread can be one of a pool, and has a stack unlike the others.
        if !system_calls::is_first_thread() {
            let _ = self.bytes.set(system_calls::stack_size());
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

/// Whether the process has fewer threads than that, as the child of one that had; not, where the system doesn't tell.
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
        assert_eq!(first.get().install(rayon::current_num_threads), 2);
        assert!(!Arc::ptr_eq(&first, &known.own(2).unwrap()));
    }

    #[test]
    fn who_waits_for_a_stack_does_so_once() {
        let stack = WorkerStack::default();
        assert!(stack.get().is_err());
        // Not again: that would be another run's time.
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
