//! The only place that knows rayon. Instantiated once, whatever the function.

use std::error::Error as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rayon::{Scope, ThreadPool, ThreadPoolBuilder};

use super::control::Place;
use crate::cores;
use crate::error::{Error, ErrorKind};
use crate::memory::{Started, most_threads};
use crate::thread_time::IS_TOLD;

/// More threads of our own than this there are not, over all runs of the process, unless it has more than 64 cores. Starting so many
/// takes 9 ms; each takes 5 KiB to begin with, and 2 MiB of the address space. Tokio stops at 512 for calls that block.
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
pub(crate) enum Threads {
    /// Those of the pool that the caller is in, or of the global one.
    Current,
    /// Those of a pool of our own.
    Own(Arc<ThreadPool>),
}

/// Whether a run of this process has used the global pool before, so that its threads are there.
static GLOBAL_IS_WARM: AtomicBool = AtomicBool::new(false);
/// The threads of the pool that stands for the global one, where the system refused that one a
/// thread. 1 stands for the calling thread, where there is no such pool either.
static REFUSED: OnceLock<usize> = OnceLock::new();

impl Threads {
    /// The threads for a run: `count` of them, or as many as there are.
    pub(crate) fn find(count: Option<usize>) -> Result<Self, Error> {
        // The global pool is only looked at, and so started, where it may be the right one.
        let is_current = |count| count == pool_threads().0 && has_pool() && count == rayon::current_num_threads();
        match count.filter(|&count| !is_current(count)) {
            Some(count) => Self::own(count),
            None if has_pool() => {
                GLOBAL_IS_WARM.store(true, Ordering::Relaxed);
                Ok(Self::Current)
            }
            None => Self::fewer(),
        }
    }

    /// Threads of a smaller pool, where the system refused the global one a thread: half as many,
    /// or half of that, but no fewer than two.
    fn fewer() -> Result<Self, Error> {
        if let Some(&count) = REFUSED.get() {
            return Self::own(count);
        }
        let mut count = pool_threads().0 / 2;
        loop {
            count = count.max(2);
            let found = Self::own(count);
            if found.is_ok() || count <= 2 {
                REFUSED.get_or_init(|| if found.is_ok() { count } else { 1 });
                return found;
            }
            count /= 2;
        }
    }

    fn own(count: usize) -> Result<Self, Error> {
        /// Pools of our own, kept for the next run of the same size.
        static OWN: Mutex<Vec<Arc<ThreadPool>>> = Mutex::new(Vec::new());

        let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = own.iter().find(|pool| pool.current_num_threads() == count) {
            return Ok(Self::Own(Arc::clone(pool)));
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|index| format!("amorsize-{index}"))
            .build()
            .map_err(|cause| Error::new(ErrorKind::Threads { threads: count, cause: cause.to_string() }))?;
        let pool = Arc::new(pool);
        own.push(Arc::clone(&pool));
        Ok(Self::Own(pool))
    }

    /// Calls `body` on the calling thread with a function that starts `job` on the pool, as often as it is called, and `own` on
    /// threads of its own; comes back when all of them are done.
    pub(crate) fn scope<'env>(
        &self,
        job: &'env (dyn Job + 'env),
        own: Option<&'env (dyn Job + 'env)>,
        body: &mut dyn FnMut(Start<'_>),
    ) {
        let Some(own) = own else {
            return self.pool_scope(job, &mut |start| {
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
            self.pool_scope(job, &mut |start| {
                body(&|place| match place {
                    Place::Pool => {
                        start();
                        Ok(())
                    }
                    Place::Own => threads.start(scope, own),
                });
            });
        });
    }

    fn pool_scope<'env>(&self, job: &'env (dyn Job + 'env), body: &mut dyn FnMut(&dyn Fn())) {
        let body = |scope: &Scope<'env>| body(&|| start(scope, job));
        match self {
            Self::Current => rayon::in_place_scope(body),
            Self::Own(pool) => pool.in_place_scope(body),
        }
    }

    /// Whether the calling thread is one of these, so that jobs could be left waiting for it.
    pub(crate) fn include_caller(&self) -> bool {
        match self {
            Self::Current => is_worker(),
            Self::Own(pool) => pool.current_thread_index().is_some(),
        }
    }
}

/// Starts the job anew for each part of it, rather than to run all parts in a loop: a worker that waits within the user's
/// function for rayon may take it up meanwhile, and must be able to go back as soon as what it waits for is there.
fn start<'env>(scope: &Scope<'env>, job: &'env (dyn Job + 'env)) {
    scope.spawn(move |scope| {
        if job.run() {
            start(scope, job);
        }
    });
}

/// Threads that a run starts for itself as it needs them, and that end with it.
///
/// They belong to no pool: a function that uses rayon then finds the pool that it would without us, rather than one that has far
/// more threads than there are cores, all of them waiting in other calls.
#[derive(Default)]
struct OwnThreads {
    jobs: Mutex<OwnJobs>,
    told: Condvar,
}

#[derive(Default)]
struct OwnJobs {
    /// That no thread has taken up.
    waiting: usize,
    /// Threads that wait for one.
    idle: usize,
    threads: usize,
    closed: bool,
}

/// Threads of all runs, now and at most.
static OWN_THREADS: AtomicUsize = AtomicUsize::new(0);
static MOST_OWN_THREADS: AtomicUsize = AtomicUsize::new(0);

/// One of them.
struct Counted;

impl Counted {
    fn new() -> Option<Self> {
        let most = room_for_own();
        let more = |count: usize| (count < most).then_some(count + 1);
        let before = OWN_THREADS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        MOST_OWN_THREADS.fetch_max(before + 1, Ordering::Relaxed);
        Some(Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OWN_THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

impl OwnThreads {
    fn jobs(&self) -> MutexGuard<'_, OwnJobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a job on a thread that has nothing to do, or on a new one; says how many threads there are where none can be had.
    fn start<'scope, 'env>(
        &'env self,
        scope: &'scope thread::Scope<'scope, 'env>,
        job: &'env (dyn Job + 'env),
    ) -> Result<(), usize> {
        let mut jobs = self.jobs();
        if jobs.idle <= jobs.waiting {
            let name = format!("amorsize-own-{}", jobs.threads);
            let started = Counted::new().is_some_and(|counted| {
                let work = move || {
                    let _counted = counted;
                    self.work(job);
                };
                thread::Builder::new().name(name).spawn_scoped(scope, work).is_ok()
            });
            if !started {
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

/// Lets threads end when they have done what was started.
struct Close<'a>(&'a OwnThreads);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.jobs().closed = true;
        self.0.told.notify_all();
    }
}

/// Says if there is a pool for the calling thread. Starts the global one unless somebody has.
///
/// Rayon would start it by itself, and panic where the system refuses it a thread.
fn has_pool() -> bool {
    static IS_THERE: OnceLock<bool> = OnceLock::new();

    // The other error says that it was started before.
    let start = || ThreadPoolBuilder::new().build_global().map_or_else(|error| error.source().is_none(), |()| true);
    is_worker() || *IS_THERE.get_or_init(start)
}

/// Whether the calling thread belongs to a pool, so that it must not sleep while others may wait for it.
pub(crate) fn is_worker() -> bool {
    rayon::current_thread_index().is_some()
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
    } else if nested || !IS_TOLD || REFUSED.get() == Some(&1) {
        // The outer run finds out what pays; both would multiply.
        threads
    } else {
        // Other functions are not to pay for what is only of interest to one that waits.
        let own = if waits { room_for_own() } else { most_own() };
        own.max(threads)
    };
    Expected { threads, most, warm }
}

/// The threads of the pool that a run would find, and whether they have been started.
fn pool_threads() -> (usize, bool) {
    /// What rayon will find.
    static DEFAULT: OnceLock<usize> = OnceLock::new();

    if let Some(&threads) = REFUSED.get().filter(|_| !is_worker()) {
        return (threads, true);
    }
    if is_worker() || GLOBAL_IS_WARM.load(Ordering::Relaxed) {
        return (rayon::current_num_threads(), true);
    }
    let threads = *DEFAULT.get_or_init(|| {
        let asked =
            std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok()).filter(|&count| count > 0);
        asked.unwrap_or_else(cores::usable)
    });
    (threads, false)
}

fn most_own() -> usize {
    MOST_OWN.max(OWN_PER_CORE * cores::usable())
}

/// The same, as far as the limits of the process leave room for it.
fn room_for_own() -> usize {
    static LOOKED: Mutex<Option<(Instant, usize)>> = Mutex::new(None);

    let mut looked = LOOKED.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if let Some((_, room)) = looked.filter(|(at, _)| now.saturating_duration_since(*at) < LOOK_EVERY) {
        return room;
    }
    let started = Started { now: OWN_THREADS.load(Ordering::Relaxed), most: MOST_OWN_THREADS.load(Ordering::Relaxed) };
    let room = most_threads(started, most_own());
    *looked = Some((now, room));
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests that start threads of their own one after the other: there are only so many.
    static ALONE: Mutex<()> = Mutex::new(());

    struct Countdown(AtomicUsize);

    impl Job for Countdown {
        fn run(&self) -> bool {
            let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            left.is_ok_and(|left| left > 1)
        }
    }

    #[test]
    fn a_job_is_started_until_it_is_done() {
        let job = Countdown(AtomicUsize::new(100));
        Threads::find(Some(3)).unwrap().scope(&job, None, &mut |start| {
            (0..3).for_each(|_| start(Place::Pool).unwrap());
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
        Threads::Current.scope(&pooled, Some(&own), &mut |start| {
            (0..20).for_each(|_| start(Place::Own).unwrap());
            start(Place::Pool).unwrap();
            // Those that are done take up what comes then.
            (0..20).for_each(|_| start(Place::Own).unwrap());
        });
        assert_eq!(pooled.0.into_inner(), 0);
        let body = || Threads::Current.scope(&Countdown(0.into()), Some(&own), &mut |_| panic!("as planned"));
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
        Threads::Current.scope(&pooled, Some(&own), &mut |start| {
            let started = (0..most_own() + 5).map(|_| start(Place::Own)).take_while(Result::is_ok).count();
            // Other tests may have some.
            assert!(started <= most_own());
            assert_eq!(start(Place::Own), Err(started));
            *own.0.lock().unwrap() = true;
            own.1.notify_all();
        });
    }

    #[test]
    fn a_pool_is_kept() {
        let pools = [Threads::find(Some(5)).unwrap(), Threads::find(Some(5)).unwrap()];
        let [Threads::Own(first), Threads::Own(second)] = pools else { panic!("five is not the default here") };
        assert!(Arc::ptr_eq(&first, &second));
    }
}
