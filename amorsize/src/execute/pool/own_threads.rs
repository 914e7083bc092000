//! Threads that a run starts for itself, beyond those of the pool.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Job;

/// Threads that a run starts for itself as it needs them, and that end with it.
///
/// They belong to no pool. So a function that uses rayon finds the pool that it would find without
/// us. In a pool with far more threads than cores, all of them could wait in other calls.
#[derive(Default)]
pub(super) struct OwnThreads {
    jobs: Mutex<OwnJobs>,
    told: Condvar,
}

#[derive(Default)]
struct OwnJobs {
    /// Jobs that no thread has taken up.
    waiting: usize,
    /// Threads that wait for a job.
    idle: usize,
    threads: usize,
    closed: bool,
}

/// The number of these threads over all runs of a process.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) now: AtomicUsize,
    /// The most so far.
    pub(super) most: AtomicUsize,
}

/// A thread that is counted.
struct Counted<'a>(&'a Count);

impl<'a> Counted<'a> {
    fn new(count: &'a Count, most: usize) -> Option<Self> {
        let more = |count: usize| (count < most).then_some(count + 1);
        let before = count.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        count.most.fetch_max(before + 1, Ordering::Relaxed);
        Some(Self(count))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The terms for starting a thread of a run's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    pub(super) count: &'static Count,
    /// The most threads over all runs.
    pub(super) most: usize,
    /// Bytes of its stack, if they differ from the standard library's.
    pub(super) stack: Option<usize>,
}

impl OwnThreads {
    fn jobs(&self) -> MutexGuard<'_, OwnJobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a job on an idle thread, or on a new one if `allow` gives terms. The error is the
    /// number of threads, if no more can be had.
    pub(super) fn start<'scope, 'env>(
        &'env self,
        scope: &'scope thread::Scope<'scope, 'env>,
        job: &'env (dyn Job + 'env),
        allow: impl FnOnce() -> Option<Allowance>,
    ) -> Result<(), usize> {
        let mut jobs = self.jobs();
        if jobs.idle <= jobs.waiting {
            let name = format!("amorsize-own-{}", jobs.threads);
            let start = |Allowance { count, most, stack }| {
                let counted = Counted::new(count, most)?;
                let work = move || {
                    let _counted = counted;
                    self.work(job);
                };
                let thread = thread::Builder::new().name(name);
                let thread = if let Some(bytes) = stack { thread.stack_size(bytes) } else { thread };
                thread.spawn_scoped(scope, work).ok()
            };
            if allow().and_then(start).is_none() {
                return Err(jobs.threads);
            }
            jobs.threads += 1;
        }
        jobs.waiting += 1;
        drop(jobs);
        self.told.notify_one();
        Ok(())
    }

    fn work(&self, job: &dyn Job) {
        let mut jobs = self.jobs();
        loop {
            if jobs.waiting > 0 {
                jobs.waiting -= 1;
                drop(jobs);
                while job.run() {}
                jobs = self.jobs();
            } else if jobs.closed {
                return;
            } else {
                jobs.idle += 1;
                jobs = self.told.wait(jobs).unwrap_or_else(PoisonError::into_inner);
                jobs.idle -= 1;
            }
        }
    }
}

/// Lets threads end after the jobs that were started.
pub(super) struct Close<'a>(pub(super) &'a OwnThreads);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.jobs().closed = true;
        self.0.told.notify_all();
    }
}
