//! The only place that knows rayon. Instantiated once, whatever the function.

mod gate;
mod known;
mod own_threads;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use self::gate::Lent;
pub(crate) use self::known::Refused;
use self::known::{Global, Known, OwnPool, known};
use self::own_threads::{Allowance, Close, Count, OwnThreads};
use super::control::Place;
use crate::cores;
use crate::error::Error;
use crate::memory::{Started, most_threads};
use crate::process::once;
use crate::system_calls;
use crate::thread_time::IS_TOLD;

/// More threads of our own than this there are not, over all runs of the process, unless it has more than 64 cores. Starting so many
/// takes 9 ms; each takes 5 KiB to begin with, and its stack of the address space. Tokio stops at 512 for calls that block.
const MOST_OWN: usize = 256;
/// With many cores it is this much for each: a function that waits three quarters of its time then keeps all of them busy.
const OWN_PER_CORE: usize = 4;
/// After this time the limits of the process are read again: that takes 150 us, a thousandth of it.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// A piece of work that is done on a pool until it says that it is done.
pub(crate) trait Job: Sync {
    /// Does a part and says whether there is more.
    fn run(&self) -> bool;
}

/// Starts a job on a thread of the pool, or on one of the run's own; says how many of these could be had where there is none.
pub(crate) type Start<'a> = &'a dyn Fn(Place) -> Result<(), usize>;

/// The threads that a run uses.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    pool: Pool,
    /// The process that they are of.
    process: u32,
}

#[derive(Clone, Debug)]
enum Pool {
    /// The one that the caller is in, or the global one.
    Current,
    /// One of our own.
    Own(Arc<OwnPool>),
}

impl Threads {
    /// The threads for a run: `count` of them, or as many as there are.
    pub(crate) fn find(count: Option<usize>) -> Result<Self, Error> {
        let (known, is_child) = known();
        let pool = Self::find_pool(known, is_child, count)?;
        Ok(Self { pool, process: std::process::id() })
    }

    fn find_pool(known: &'static Known, is_child: bool, count: Option<usize>) -> Result<Pool, Error> {
        if is_stranded() {
            return known.own(count.unwrap_or_else(rayon::current_num_threads)).map(Pool::Own);
        }
        // The global pool is only looked at, and so started, where it may be the right one.
        if let Some(count) = count.filter(|&count| count != pool_threads().0) {
            return known.own(count).map(Pool::Own);
        }
        let global = if is_worker() { Global::Theirs } else { known.global(is_child) };
        let threads = rayon_threads(global);
        match (global, count) {
            (_, Some(count)) if Some(count) != threads => known.own(count).map(Pool::Own),
            (Global::Ours | Global::Theirs, _) => {
                known.is_warm.store(true, Ordering::Relaxed);
                Ok(Pool::Current)
            }
            // As many as the parent's pool had.
            (Global::Gone, _) => known.own(rayon::current_num_threads()).map(Pool::Own),
            (Global::Refused, _) => Self::fewer(known),
        }
    }

    /// Threads of a smaller pool, where the system refused the global one a thread: half as many,
    /// or half of that, but no fewer than two.
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

    /// Whether they are threads of this process, rather than of one that it is a child of.
    pub(crate) fn are_here(&self) -> bool {
        self.process == std::process::id()
    }

    /// Calls `body` on the calling thread with a function that starts `job` on the pool, as often as it
    /// is called, and `own` on threads of its own. Comes back when none of them is under way; those that
    /// the pool comes to later do nothing. A worker that is not `in_call` does other work of its pool
    /// while it waits for that.
    pub(crate) fn scope<'env>(
        &self,
        job: &'env (dyn Job + 'env),
        own: Option<&'env (dyn Job + 'env)>,
        in_call: bool,
        body: &mut dyn FnMut(Start<'_>),
    ) {
        let help = (is_worker() && !in_call).then_some(work_on_something_else as fn() -> bool);
        let Some(own) = own else {
            return self.pool_scope(job, help, &mut |start| {
                body(&|_| {
                    start();
                    Ok(())
                });
            });
        };
        let threads = OwnThreads::default();
        thread::scope(|scope| {
            // However the body ends, the threads are to end with it.
            let _close = Close(&threads);
            self.pool_scope(job, help, &mut |start| {
                body(&|place| match place {
                    Place::Pool => {
                        start();
                        Ok(())
                    }
                    Place::Own => threads.start(scope, own, || self.allowance()),
                });
            });
        });
    }

    fn pool_scope<'env>(
        &self,
        job: &'env (dyn Job + 'env),
        help: Option<fn() -> bool>,
        body: &mut dyn FnMut(&dyn Fn()),
    ) {
        gate::lend(job, help, |lent| {
            body(&|| {
                let lent = Arc::clone(lent);
                match &self.pool {
                    Pool::Current => rayon::spawn(|| work(lent)),
                    Pool::Own(pool) => pool.get().spawn(|| work(lent)),
                }
            });
        });
    }

    /// Whether the calling thread is one of these, so that jobs could be left waiting for it.
    pub(crate) fn include_caller(&self) -> bool {
        match &self.pool {
            Pool::Current => is_worker(),
            Pool::Own(pool) => pool.get().current_thread_index().is_some(),
        }
    }

    /// How a thread of the run's own may be started now: with a stack like that of the pool's threads, or not at all as long as that
    /// is not known.
    fn allowance(&self) -> Option<Allowance> {
        let (known, _) = known();
        let stack = match self.pool {
            Pool::Current => known.stack().ok()?,
            Pool::Own(_) => None,
        };
        Some(Allowance { count: &known.own_threads, most: room_for_own(), stack })
    }
}

/// Does a part of a job, and starts it anew for the next one rather than to run all parts in a loop: a
/// worker that waits within the user's function for rayon may take it up meanwhile, and must be able to
/// go back as soon as that is there.
fn work(lent: Arc<Lent>) {
    if lent.run() {
        rayon::spawn(|| work(lent));
    }
}

/// Whether the calling thread belongs to a pool, so that it must not sleep while others may wait for it.
pub(crate) fn is_worker() -> bool {
    rayon::current_thread_index().is_some() && !is_stranded()
}

/// Whether the calling thread was a worker of a pool whose other threads are not here: it has called `fork`, and goes on in the child.
///
/// It is the child's first thread then, as a worker is otherwise only where a pool was built with `use_current_thread`. Where nothing is
/// known of a parent, the pool's threads are counted. A child in which such a pool was built gets a pool of our own instead.
fn is_stranded() -> bool {
    let is_first = rayon::current_thread_index().is_some() && system_calls::is_first_thread();
    is_first && (known().1 || known::lacks_threads(rayon::current_num_threads()))
}

/// Lets a worker do something else that its pool has to do. Says whether there was anything.
pub(crate) fn work_on_something_else() -> bool {
    rayon::yield_now() == Some(rayon::Yield::Executed)
}

/// Threads that a run would find.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Those that can run at a time.
    pub(crate) threads: usize,
    /// Those that a function may have that waits.
    pub(crate) most: usize,
    /// Whether they have been started.
    pub(crate) warm: bool,
}

/// How many threads a run would find that is `nested` in a call of another run or not, and that
/// `waits` as far as it is known. Starts none.
pub(crate) fn expected_threads(nested: bool, waits: bool) -> Expected {
    let (pool, warm) = pool_threads();
    // Where it can't be seen that a function waits, whoever made a larger pool knows better.
    let threads = if IS_TOLD { pool.min(cores::usable()) } else { pool };
    let most = if is_worker() {
        pool
    } else if nested || !IS_TOLD || known().0.refused.get().is_some_and(|refused| refused.given == 1) {
        // The outer run finds out what pays; both would multiply.
        threads
    } else {
        // Other functions are not to pay for what is only of interest to one that waits.
        let own = if waits { room_for_own() } else { most_own() };
        own.max(threads)
    };
    Expected { threads, most, warm }
}

/// The threads that were refused to runs which this thread starts.
pub(crate) fn refused() -> Option<Refused> {
    if is_worker() { None } else { known().0.refused.get().copied() }
}

/// As many threads as that, or as a pool can have: 65,535, and 255 on 32 bits.
pub(crate) fn at_most(threads: usize) -> usize {
    threads.min(rayon::max_num_threads())
}

/// The threads of the pool that a run would find, and whether they have been started.
fn pool_threads() -> (usize, bool) {
    /// What rayon will find.
    static DEFAULT: OnceLock<usize> = OnceLock::new();

    let (known, _) = known();
    if is_worker() {
        return (rayon::current_num_threads(), true);
    }
    if let Some(refused) = known.refused.get() {
        return (refused.given, true);
    }
    if known.is_warm.load(Ordering::Relaxed) {
        return (rayon::current_num_threads(), true);
    }
    if known.global_so_far() == Some(Global::Gone) || is_stranded() {
        let threads = rayon::current_num_threads();
        return (threads, known.keeps(threads));
    }
    let threads = once(&DEFAULT, || {
        let asked =
            std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok()).filter(|&count| count > 0);
        at_most(asked.unwrap_or_else(cores::usable))
    });
    (threads, false)
}

/// The threads of the pool that rayon would use, where it can be used.
fn rayon_threads(global: Global) -> Option<usize> {
    matches!(global, Global::Ours | Global::Theirs).then(rayon::current_num_threads)
}

fn most_own() -> usize {
    MOST_OWN.max(OWN_PER_CORE * cores::usable())
}

/// The same, as far as the limits of the process leave room for it.
fn room_for_own() -> usize {
    let (known, _) = known();
    let mut looked = known.room.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if let Some((_, room)) = looked.filter(|(at, _)| now.saturating_duration_since(*at) < LOOK_EVERY) {
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

    /// Tests that start threads of their own one after the other: there are only so many.
    static ALONE: Mutex<()> = Mutex::new(());

    struct Countdown(AtomicUsize);

    impl Countdown {
        /// Waits until it is at its end: those who come after the scope are too late.
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
            (0..3).for_each(|_| start(Place::Pool).unwrap());
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
        let pooled = Countdown(AtomicUsize::new(10));
        let own = Rendezvous(std::sync::Barrier::new(20));
        Threads::find(None).unwrap().scope(&pooled, Some(&own), false, &mut |start| {
            (0..20).for_each(|_| start(Place::Own).unwrap());
            start(Place::Pool).unwrap();
            // Those that are done take up what comes then.
            (0..20).for_each(|_| start(Place::Own).unwrap());
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
        Threads::find(None).unwrap().scope(&pooled, Some(&own), false, &mut |start| {
            let started = (0..most_own() + 5).map(|_| start(Place::Own)).take_while(Result::is_ok).count();
            // Other tests may have some.
            assert!(started <= most_own());
            assert_eq!(start(Place::Own), Err(started));
            *own.0.lock().unwrap() = true;
            own.1.notify_all();
        });
    }
}
