//! Lends a job of a run to threads of a pool. They may reach it after the run has ended.
//!
//! Rayon's `scope` would not do. A thread that waits for its end takes up other work of the pool
//! meanwhile. If that thread waits within a call, it may hold a lock, and the other work may ask
//! for it. And a busy pool would have to reach each job before the run could end. Here a thread
//! passes the gate of a run instead, and finds it closed if it comes too late. A worker does other
//! work while it waits at the gate only if it is not within a call: a call that is still inside may
//! wait for that work.
#![expect(unsafe_code, reason = "a pool's jobs may borrow nothing, and those of a run borrow the run")]

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::Job;
use crate::error::failure::{Payload, discard};
use crate::system::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Limits the nap of a thread that waits for others, after which it looks for other work.
pub(in super::super) const NAP: Duration = Duration::from_micros(100);

/// A job that is lent.
pub(super) struct Lent {
    /// Borrowed until [`lend`] returns. Only threads that are inside may use it.
    job: *const (dyn Job + 'static),
    inside: Mutex<Inside>,
    left: Condvar,
}

struct Inside {
    is_open: bool,
    threads: usize,
    /// The payload of a job that panicked.
    panic: Option<Payload>,
}

// SAFETY: the pointer is only used as a `&dyn Job`, which may be shared because a `Job` is `Sync`.
// The gate makes sure that it points to a job.
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

/// Calls `body` with `job` lent to others. Returns when no thread uses it any longer. While it
/// waits for that, it calls `help`, if given, which says if there was something to do.
///
/// # Panics
///
/// Panics with the payload of a body or a job that panicked.
pub(super) fn lend<'env>(job: &'env (dyn Job + 'env), help: Option<fn() -> bool>, body: impl FnOnce(&Arc<Lent>)) {
    // SAFETY: both pointers have the same layout and differ in a lifetime only. The job is used
    // inside of the gate alone, which `Close` closes and empties before this function ends, however
    // it ends.
    let job = unsafe { mem::transmute::<*const (dyn Job + 'env), *const (dyn Job + 'static)>(job) };
    let inside = Inside { is_open: true, threads: 0, panic: None };
    let lent = Arc::new(Lent { job, inside: Mutex::new(inside), left: Condvar::new() });
    let close = Close(&lent);
    // Catch a panic here, because other work of the pool must not run while this thread unwinds.
    let outcome = catch_unwind(AssertUnwindSafe(|| body(&lent)));
    close.wait(help);
    drop(close);
    let panic = lent.inside().panic.take();
    if let Err(payload) = outcome {
        panic.into_iter().for_each(discard);
        resume_unwind(payload);
    }
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
}

/// Closes the gate, and waits until no thread is inside.
struct Close<'a>(&'a Lent);

impl Close<'_> {
    /// Waits, and calls `help`, if given, meanwhile. A thread inside may wait for work that only
    /// this one can do.
    fn wait(&self, help: Option<fn() -> bool>) {
        let mut inside = self.0.inside();
        inside.is_open = false;
        while inside.threads > 0 {
            let Some(help) = help else {
                inside = self.0.left.wait(inside).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(inside);
            let has_done = help();
            inside = self.0.inside();
            if !has_done && inside.threads > 0 {
                inside = self.0.left.wait_timeout(inside, NAP).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.wait(None);
    }
}

impl Lent {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a part of the job if it is still lent. True if there is more.
    pub(super) fn run(&self) -> bool {
        {
            let mut inside = self.inside();
            if !inside.is_open {
                return false;
            }
            inside.threads += 1;
        }
        // SAFETY: this thread was counted in while the gate was open, and `lend` does not end
        // before it is counted out.
        let job = unsafe { &*self.job };
        let done = catch_unwind(AssertUnwindSafe(|| job.run()));
        let mut inside = self.inside();
        let go_on = done.unwrap_or_else(|payload| {
            inside.panic.get_or_insert(payload);
            false
        });
        inside.threads -= 1;
        let is_last = !inside.is_open && inside.threads == 0;
        drop(inside);
        if is_last {
            self.left.notify_one();
        }
        go_on
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    struct Count(AtomicUsize);

    impl Job for Count {
        fn run(&self) -> bool {
            self.0.fetch_add(1, Ordering::SeqCst);
            true
        }
    }

    #[test]
    fn who_comes_too_late_does_nothing() {
        let job = Count(AtomicUsize::new(0));
        let mut kept = None;
        lend(&job, None, |lent| {
            assert!(lent.run());
            kept = Some(Arc::clone(lent));
        });
        assert!(!kept.unwrap().run());
        assert_eq!(job.0.into_inner(), 1);
    }

    #[test]
    fn it_is_lent_until_all_have_left_however_the_body_ends() {
        for panics in [false, true] {
            // Dropped when it is no longer lent: a thread that is still inside would see it.
            let job = Box::new(Count(AtomicUsize::new(0)));
            let mut threads = Vec::new();
            let body = AssertUnwindSafe(|| {
                lend(&*job, None, |lent| {
                    for _ in 0..3 {
                        let lent = Arc::clone(lent);
                        threads.push(thread::spawn(move || while lent.run() {}));
                    }
                    while job.0.load(Ordering::SeqCst) < 100 {
                        thread::yield_now();
                    }
                    assert!(!panics, "as planned");
                });
            });
            assert_eq!(catch_unwind(body).is_err(), panics);
            let calls = job.0.load(Ordering::SeqCst);
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(job.0.load(Ordering::SeqCst), calls);
        }
    }

    #[test]
    fn a_panic_of_a_job_comes_back_and_ends_no_thread() {
        struct Panics;

        impl Job for Panics {
            fn run(&self) -> bool {
                panic!("as planned")
            }
        }

        let body = || lend(&Panics, None, |lent| assert!(!lent.run()));
        let payload = catch_unwind(body).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"as planned"));
    }
}

#[cfg(all(test, loom))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A job that borrows, for the time that it is lent.
    struct Borrowed<'a>(&'a AtomicBool);

    impl Job for Borrowed<'_> {
        fn run(&self) -> bool {
            assert!(self.0.load(Ordering::SeqCst), "it is no longer lent");
            loom::thread::yield_now();
            assert!(self.0.load(Ordering::SeqCst), "it is no longer lent");
            false
        }
    }

    #[test]
    fn loom_nobody_is_inside_of_a_gate_that_was_closed() {
        loom::model(|| {
            // Static, because the threads of a model can borrow nothing.
            let is_lent: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(true)));
            let mut threads = Vec::new();
            lend(&Borrowed(is_lent), None, |lent| {
                for _ in 0..2 {
                    let lent = Arc::clone(lent);
                    threads.push(loom::thread::spawn(move || _ = lent.run()));
                }
            });
            is_lent.store(false, Ordering::SeqCst);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}
