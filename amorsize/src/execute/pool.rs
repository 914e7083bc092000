//! The only file that knows rayon. Compiled once for all functions.

mod gate;
mod known;
mod own_threads;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Instant;

use self::gate::Lent;
pub(super) use self::gate::NAP;
pub(crate) use self::known::at_most;
use self::known::{Global, Known, OwnPool, known};
use self::own_threads::{Allowance, Close, Count, OwnThreads};
use super::words::ThreadKind;
use crate::adapt::climb::STEP;
use crate::error::Error;
use crate::memory::watch::READ;
use crate::memory::{Started, most_threads};
pub(crate) use crate::system::refused::Refused;
use crate::system::thread_time::IS_TOLD;
use crate::system::{calls, cores};

/// Limits the runs' own threads, over all runs of the process, unless it has more than 64 cores.
/// Starting this number takes 9 ms. Each thread takes 5 KiB to begin with, and address space for
/// its stack. Tokio stops at 512 for calls that block.
const MOST_OWN: usize = 256;

/// Work that threads do in parts until it says that it is done.
pub(crate) trait Job: Sync {
    /// Does a part. True if there is more.
    fn run(&self) -> bool;
}

/// Starts a job on a thread of the given kind. The error is the number of the run's own threads, if
/// no more can be had.
pub(crate) type Start<'a> = &'a dyn Fn(ThreadKind) -> Result<(), usize>;

/// The threads that a run uses.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    pool: Pool,
    /// The process that the threads belong to.
    process: u32,
}

#[derive(Clone, Debug)]
enum Pool {
    /// The pool of the calling thread, or the global one.
    Current,
    /// A pool of ours.
    Own(Arc<OwnPool>),
}

impl Threads {
    /// Finds the threads for a run: `count` of them, or the default number.
    pub(crate) fn find(count: Option<usize>) -> Result<Self, Error> {
        let (known, is_child) = known();
        let pool = Self::find_pool(known, is_child, count)?;
        Ok(Self { pool, process: std::process::id() })
    }

    fn find_pool(known: &'static Known, is_child: bool, count: Option<usize>) -> Result<Pool, Error> {
        if is_stranded() {
            return known.own(count.unwrap_or_else(rayon_core::current_num_threads)).map(Pool::Own);
        }
        // Looking at the global pool starts it, so do it only if it may be the right one.
        if let Some(count) = count.filter(|&count| count != pool_threads().0) {
            return known.own(count).map(Pool::Own);
        }
        let is_worker = is_worker();
        let global = if is_worker { Global::Theirs } else { known.global(is_child) };
        // Those of the pool that rayon would use, if it can be used.
        let threads = matches!(global, Global::Ours | Global::Theirs).then(rayon_core::current_num_threads);
        match (global, count) {
            (_, Some(count)) if Some(count) != threads => known.own(count).map(Pool::Own),
            (Global::Ours | Global::Theirs, _) => {
                // The pool of a worker may be another one.
                if !is_worker {
                    known.is_warm.store(true, Ordering::Relaxed);
                }
                Ok(Pool::Current)
            }
            // The same number as the parent's pool had.
            (Global::Gone { threads }, _) => known.own(threads).map(Pool::Own),
            (Global::Refused, _) => Self::fewer(known),
        }
    }

    /// Threads of a smaller pool, because the system refused the global pool a thread: half as
    /// many, or half of that, but at least two.
    fn fewer(known: &Known) -> Result<Pool, Error> {
        if let Some(refused) = known.refused.get() {
            return known.own(refused.given).map(Pool::Own);
        }
        let wanted = pool_threads().0;
        let mut count = wanted / 2;
        loop {
            count = count.max(2);
            let found = known.own(count);
            if found.is_ok() || count <= 2 {
                known.refused.get_or_init(|| Refused { wanted, given: if found.is_ok() { count } else { 1 } });
                return found.map(Pool::Own);
            }
            count /= 2;
        }
    }

    /// True if they are threads of this process, rather than of its parent.
    pub(crate) fn are_here(&self) -> bool {
        self.process == std::process::id()
    }

    /// Calls `body` on the calling thread with a function that starts `job` on the pool, and `own`
    /// on threads of the run's own, each time that it is called. Returns when no job is running. A
    /// job that the pool reaches later does nothing. A worker that is not `in_call` does other work
    /// of its pool while it waits for that, and so does one whose pool has none of these threads:
    /// their calls may wait for that work.
    pub(crate) fn scope<'env>(
        &self,
        job: &'env (dyn Job + 'env),
        own: Option<&'env (dyn Job + 'env)>,
        in_call: bool,
        body: &mut dyn FnMut(Start<'_>),
    ) {
        let help =
            (is_worker() && !(in_call && self.include_caller())).then_some(work_on_something_else as fn() -> bool);
        let mut lend = |start_own: &dyn Fn() -> Result<(), usize>| {
            gate::lend(job, help, |lent| {
                body(&|kind| {
                    if kind == ThreadKind::Own {
                        return start_own();
                    }
                    let lent = Arc::clone(lent);
                    match &self.pool {
                        Pool::Current => rayon_core::spawn(|| work(lent)),
                        Pool::Own(pool) => pool.get().spawn(|| work(lent)),
                    }
                    Ok(())
                });
            });
        };
        let Some(own) = own else { return lend(&|| Err(0)) };
        let threads = OwnThreads::default();
        thread::scope(|scope| {
            // The threads end with the body, even if it panics.
            let _close = Close(&threads);
            lend(&|| threads.start(scope, own, || self.allowance()));
        });
    }

    /// True if the calling thread is one of these threads: then jobs could wait for it for ever.
    pub(crate) fn include_caller(&self) -> bool {
        match &self.pool {
            Pool::Current => is_worker(),
            Pool::Own(pool) => pool.get().current_thread_index().is_some(),
        }
    }

    /// The terms for a new thread of the run's own: it gets a stack like that of the pool's
    /// threads. `None` as long as that stack is unknown.
    fn allowance(&self) -> Option<Allowance> {
        let (known, _) = known();
        let stack = match self.pool {
            Pool::Current => known.stack().ok()?,
            Pool::Own(_) => None,
        };
        Some(Allowance { count: &known.own_threads, most: room_for_own(), stack })
    }
}

/// Does a part of a job and starts the job again for the next part. A loop over all parts would not
/// do: a worker that waits for rayon within the user's function may take a part up meanwhile, and
/// must be able to go back as soon as its wait ends.
fn work(lent: Arc<Lent>) {
    if lent.run() {
        rayon_core::spawn(|| work(lent));
    }
}

/// True if the calling thread belongs to a pool, so that it must not sleep while others may wait
/// for it.
pub(crate) fn is_worker() -> bool {
    rayon_core::current_thread_index().is_some() && !is_stranded()
}

/// True if the calling thread was a worker of a pool that has no other threads here: it has called
/// `fork`, and goes on in the child.
///
/// Then it is the child's first thread. Otherwise a worker is the first thread only if a pool was
/// built with `use_current_thread`. If nothing is known of a parent, the pool's threads are
/// counted. A child that built such a pool gets a pool of ours instead.
fn is_stranded() -> bool {
    let is_first = rayon_core::current_thread_index().is_some() && calls::is_first_thread();
    is_first && (known().1 || known::lacks_threads(rayon_core::current_num_threads()))
}

/// Lets a worker do other work of its pool. True if there was any.
pub(crate) fn work_on_something_else() -> bool {
    rayon_core::yield_now() == Some(rayon_core::Yield::Executed)
}

/// The threads that a run would find.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Threads that can run at the same time.
    pub(crate) threads: usize,
    /// The most threads for a function that waits.
    pub(crate) most: usize,
    /// True if they have been started.
    pub(crate) warm: bool,
}

/// The number of threads that a run would find. `nested` says that it is within a call of another
/// run, `waits` that its function is known to wait. Starts none.
pub(crate) fn expected_threads(nested: bool, waits: bool) -> Expected {
    let (pool, warm) = pool_threads();
    // If waits can't be seen, a larger pool was made by a user who knows better.
    let threads = if IS_TOLD { pool.min(cores::usable()) } else { pool };
    let most = if is_worker() {
        pool
    } else if nested || !IS_TOLD || known().0.refused.get().is_some_and(|refused| refused.given == 1) {
        // The outer run finds out what pays. If both did, their numbers would multiply.
        threads
    } else {
        // Reading the limits is only worth its time for a function that waits.
        let own = if waits { room_for_own() } else { most_own() };
        own.max(threads)
    };
    Expected { threads, most, warm }
}

/// The threads refused to runs that this thread starts.
pub(crate) fn refused() -> Option<Refused> {
    if is_worker() { None } else { known().0.refused.get().copied() }
}

/// The number of threads in the pool that a run would find, and true if they have been started.
fn pool_threads() -> (usize, bool) {
    let (known, _) = known();
    if is_worker() {
        return (rayon_core::current_num_threads(), true);
    }
    if let Some(refused) = known.refused.get() {
        return (refused.given, true);
    }
    if known.is_warm.load(Ordering::Relaxed) {
        return (rayon_core::current_num_threads(), true);
    }
    let gone = match known.global_so_far() {
        Some(Global::Gone { threads }) => Some(threads),
        _ => is_stranded().then(rayon_core::current_num_threads),
    };
    gone.map_or_else(|| (known::default_threads(), false), |threads| (threads, known.keeps(threads)))
}

fn most_own() -> usize {
    // With many cores there is room for a whole step of the climb: a function that waits three
    // quarters of its time then keeps all of them busy.
    MOST_OWN.max(STEP * cores::usable())
}

/// The most threads of runs' own, as far as the limits of the process leave room.
fn room_for_own() -> usize {
    let (known, _) = known();
    let mut looked = known.room.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if let Some((_, room)) = looked.filter(|(at, _)| now.saturating_duration_since(*at) < READ) {
        return room;
    }
    let Count { now: own, most } = &known.own_threads;
    let started =
        Started { now: own.load(Ordering::Relaxed), most: most.load(Ordering::Relaxed), stack: known.stack_so_far() };
    let room = most_threads(started, most_own());
    *looked = Some((now, room));
    room
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// Held by tests that start threads of their own, because the number of those is limited.
    static ALONE: Mutex<()> = Mutex::new(());

    struct Countdown(AtomicUsize);

    impl Countdown {
        /// Waits until the countdown ends: a job that comes after the scope is too late.
        fn wait(&self) {
            while self.0.load(Ordering::Relaxed) > 0 {
                thread::yield_now();
            }
        }
    }

    impl Job for Countdown {
        fn run(&self) -> bool {
            let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            left.is_ok_and(|left| left > 1)
        }
    }

    #[test]
    fn a_job_is_started_until_it_is_done() {
        let job = Countdown(AtomicUsize::new(100));
        Threads::find(Some(3)).unwrap().scope(&job, None, false, &mut |start| {
            (0..3).for_each(|_| start(ThreadKind::Pool).unwrap());
            job.wait();
        });
        assert_eq!(job.0.into_inner(), 0);
    }

    #[test]
    fn own_threads_are_started_as_they_are_needed_and_end() {
        struct Rendezvous(std::sync::Barrier);

        impl Job for Rendezvous {
            fn run(&self) -> bool {
                assert!(!is_worker() && thread::current().name().unwrap().starts_with("amorsize-own-"));
                self.0.wait();
                false
            }
        }

        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let room = room_for_own();
        if room < 40 {
            return println!("skipped, the system has room for {room} threads");
        }
        let pooled = Countdown(AtomicUsize::new(10));
        let own = Rendezvous(std::sync::Barrier::new(20));
        Threads::find(None).unwrap().scope(&pooled, Some(&own), false, &mut |start| {
            (0..20).for_each(|_| start(ThreadKind::Own).unwrap());
            start(ThreadKind::Pool).unwrap();
            // Threads that are done take up the next jobs.
            (0..20).for_each(|_| start(ThreadKind::Own).unwrap());
            pooled.wait();
        });
        assert_eq!(pooled.0.into_inner(), 0);
        let body = || {
            let (threads, job) = (Threads::find(None).unwrap(), Countdown(0.into()));
            threads.scope(&job, Some(&own), false, &mut |_| panic!("as planned"));
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_err();
    }

    #[test]
    fn there_are_no_more_own_threads_than_the_most() {
        struct Waiting(Mutex<bool>, Condvar);

        impl Job for Waiting {
            fn run(&self) -> bool {
                let open = self.0.lock().unwrap();
                drop(self.1.wait_while(open, |open| !*open).unwrap());
                false
            }
        }

        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (pooled, own) = (Countdown(0.into()), Waiting(false.into(), Condvar::new()));
        let (mut started, mut told) = (0, None);
        Threads::find(None).unwrap().scope(&pooled, Some(&own), false, &mut |start| {
            let mut refused = None;
            while started <= most_own() && refused.is_none() {
                match start(ThreadKind::Own) {
                    Ok(()) => started += 1,
                    Err(threads) => refused = Some(threads),
                }
            }
            *own.0.lock().unwrap() = true;
            own.1.notify_all();
            told = refused;
        });
        // Other tests may have some.
        assert!(started <= most_own());
        assert_eq!(told, Some(started));
    }
}
