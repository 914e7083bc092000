//! Values that belong to one process. A child made by `fork` without `exec` begins with a copy of
//! its parent's memory, but with only one of its threads: locks that another thread held stay
//! locked, pools have no threads, and open files of `/proc/self` are the parent's. So what is found
//! once, here and elsewhere, is in cells of `once_cell::race`: unlike `OnceLock` they hold no lock
//! meanwhile, and two threads may find it at the same time.

use std::any::Any;
use std::marker::PhantomData;

use once_cell::race::OnceBox;

/// A value that each process makes for itself. A parent's value stays untouched: dropping it could
/// wait for threads that don't exist.
///
/// Neither finding nor making it takes a lock, since another thread of the parent may have held one
/// when it forked: two threads may make it at the same time, and one value is dropped. Finding it
/// takes as long as asking for the process's number: 0.2 us.
#[derive(Debug)]
pub(crate) struct PerProcess<T> {
    own: OnceBox<Own>,
    of: PhantomData<fn() -> T>,
}

/// Without the value's type, so that it is compiled once for all.
#[derive(Debug)]
struct Own {
    process: u32,
    value: Box<dyn Any + Send + Sync>,
    /// The value of a child, which leads to its own child's.
    next: OnceBox<Self>,
}

type Make<'a> = &'a dyn Fn() -> Box<dyn Any + Send + Sync>;

impl Own {
    fn new(make: Make<'_>) -> Self {
        Self { process: std::process::id(), value: make(), next: OnceBox::new() }
    }

    fn find<'a>(first: &'a OnceBox<Self>, make: Make<'_>) -> (&'a Self, bool) {
        let mut own = first.get_or_init(|| Box::new(Self::new(make)));
        let mut is_child = false;
        while let Some(next) = own.next.get() {
            (own, is_child) = (next, true);
        }
        // Only the last one is compared: a number can come again after its process has ended.
        if own.process != std::process::id() {
            (own, is_child) = (own.next.get_or_init(|| Box::new(Self::new(make))), true);
        }
        (own, is_child)
    }
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { own: OnceBox::new(), of: PhantomData }
    }

    /// This process's value, and true if a parent had one.
    pub(crate) fn get(&self, make: fn() -> T) -> (&T, bool) {
        let (own, is_child) = Own::find(&self.own, &|| Box::new(make()));
        (own.value.downcast_ref().expect("`make` made it"), is_child)
    }
}

/// The process that made a value. A child made by `fork` has a copy of the value, which must leave
/// alone what stands behind it: files, locks and threads of its parent.
#[cfg(feature = "durable")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maker(u32);

#[cfg(feature = "durable")]
impl Maker {
    pub(crate) fn this_process() -> Self {
        Self(std::process::id())
    }

    pub(crate) fn is_this_process(self) -> bool {
        self.0 == std::process::id()
    }

    /// Fails in a child made by `fork`.
    pub(crate) fn check(self) -> std::io::Result<()> {
        if self.is_this_process() {
            return Ok(());
        }
        Err(std::io::Error::other(format!(
            "process {} has this run, and this process is a child that it forked; let the parent go on with the run, or \
             begin one with another directory here",
            self.0
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn a_process_makes_its_value_once() {
        static MADE: AtomicUsize = AtomicUsize::new(0);

        let value = PerProcess::new();
        let make = || MADE.fetch_add(1, Ordering::Relaxed);
        assert_eq!((value.get(make), value.get(make)), ((&0, false), (&0, false)));
    }

    #[test]
    fn a_value_that_another_thread_makes_is_not_waited_for() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        static GO_ON: AtomicBool = AtomicBool::new(false);

        let value = PerProcess::new();
        // A child of `fork` has a copy of this value, and no thread that will ever finish it.
        let make_slowly = || {
            MADE.fetch_add(1, Ordering::Relaxed);
            while !GO_ON.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            1
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| *value.get(make_slowly).0);
            while MADE.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            assert_eq!(value.get(|| 2), (&2, false));
            GO_ON.store(true, Ordering::Relaxed);
            assert_eq!(first.join().unwrap(), 2);
        });
    }

    #[test]
    fn what_another_process_made_is_left() {
        let value = PerProcess::new();
        let first = || Own { process: std::process::id() ^ 1, ..Own::new(&|| Box::new(vec![1])) };
        value.own.get_or_init(|| Box::new(first()));
        assert_eq!(value.get(|| vec![2]), (&vec![2], true));
        assert_eq!(value.get(|| vec![3]), (&vec![2], true));
        assert_eq!(value.own.get().unwrap().value.downcast_ref(), Some(&vec![1]));
    }
}
