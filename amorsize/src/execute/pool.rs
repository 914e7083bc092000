//! The only place that knows rayon. Instantiated once, whatever the function.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::{Scope, ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, ErrorKind};

/// A piece of work that is done on a pool until it says that it is done.
pub(crate) trait Job: Sync {
    /// Does a part and says whether there is more.
    fn run(&self) -> bool;
}

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

impl Threads {
    /// The threads for a run: `count` of them, or as many as there are.
    pub(crate) fn find(count: Option<usize>) -> Result<Self, Error> {
        /// Pools of our own, kept for the next run of the same size.
        static OWN: Mutex<Vec<Arc<ThreadPool>>> = Mutex::new(Vec::new());

        // The global pool is only looked at, and so started, where it may be the right one.
        let is_current = |count| count == expected_threads().0 && count == rayon::current_num_threads();
        let Some(count) = count.filter(|&count| !is_current(count)) else {
            GLOBAL_IS_WARM.store(true, Ordering::Relaxed);
            return Ok(Self::Current);
        };
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

    /// Calls `body` on the calling thread with a function that starts `job` on the pool, as often as it is called; comes back
    /// when all of them are done.
    pub(crate) fn scope<'env>(&self, job: &'env (dyn Job + 'env), body: &mut dyn FnMut(&dyn Fn())) {
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

/// Whether the calling thread belongs to a pool, so that it must not sleep while others may wait for it.
pub(crate) fn is_worker() -> bool {
    rayon::current_thread_index().is_some()
}

/// Lets a worker do something else that its pool has to do. Says whether there was anything.
pub(crate) fn work_on_something_else() -> bool {
    rayon::yield_now() == Some(rayon::Yield::Executed)
}

/// How many threads a run would find, and whether they have been started. Starts none.
pub(crate) fn expected_threads() -> (usize, bool) {
    /// What rayon will find; asking costs some reads of /proc and /sys.
    static DEFAULT: OnceLock<usize> = OnceLock::new();

    if is_worker() || GLOBAL_IS_WARM.load(Ordering::Relaxed) {
        return (rayon::current_num_threads(), true);
    }
    let threads = *DEFAULT.get_or_init(|| {
        let asked =
            std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok()).filter(|&count| count > 0);
        asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into))
    });
    (threads, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

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
        Threads::find(Some(3)).unwrap().scope(&job, &mut |start| (0..3).for_each(|_| start()));
        assert_eq!(job.0.into_inner(), 0);
    }

    #[test]
    fn a_pool_is_kept() {
        let pools = [Threads::find(Some(5)).unwrap(), Threads::find(Some(5)).unwrap()];
        let [Threads::Own(first), Threads::Own(second)] = pools else { panic!("five is not the default here") };
        assert!(Arc::ptr_eq(&first, &second));
    }
}
