//! Values that belong to one process. A child made by `fork` without `exec` begins with a copy of
//! its parent's memory, but with only one of its threads: locks that another thread held stay
//! locked, pools have no threads, and open files of `/proc/self` are the parent's.

use std::sync::OnceLock;

/// A value that each process makes for itself. A parent's value stays untouched: dropping it could
/// wait for threads that don't exist.
///
/// Finding it takes no lock, since the parent may have held one. It takes as long as asking for the
/// process's number: 0.2 us.
#[derive(Debug)]
pub(crate) struct PerProcess<T> {
    own: OnceLock<Own<T>>,
}

#[derive(Debug)]
struct Own<T> {
    process: u32,
    value: T,
    /// The value of a child, which leads to its own child's.
    next: OnceLock<Box<Own<T>>>,
}

impl<T> Own<T> {
    fn new(make: fn() -> T) -> Self {
        Self { process: std::process::id(), value: make(), next: OnceLock::new() }
    }
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { own: OnceLock::new() }
    }

    /// This process's value, and true if a parent had one. `make` must be quick: a child that is
    /// forked while it runs waits for it for ever.
    pub(crate) fn get(&self, make: fn() -> T) -> (&T, bool) {
        let mut own = self.own.get_or_init(|| Own::new(make));
        let mut is_child = false;
        while let Some(next) = own.next.get() {
            (own, is_child) = (next, true);
        }
        // Only the last one is compared: a number can come again after its process has ended.
        if own.process != std::process::id() {
            (own, is_child) = (own.next.get_or_init(|| Box::new(Own::new(make))), true);
        }
        (&own.value, is_child)
    }
}

/// The value of `find`, found once. Unlike `get_or_init` it holds no lock meanwhile that a child
/// made by `fork` would wait for; so two threads may find it at the same time.
pub(crate) fn once<T: Copy>(found: &OnceLock<T>, find: impl FnOnce() -> T) -> T {
    found.get().copied().unwrap_or_else(|| {
        let value = find();
        *found.get_or_init(|| value)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_process_makes_its_value_once() {
        static MADE: AtomicUsize = AtomicUsize::new(0);

        let value = PerProcess::new();
        let make = || MADE.fetch_add(1, Ordering::Relaxed);
        assert_eq!((value.get(make), value.get(make)), ((&0, false), (&0, false)));
    }

    #[test]
    fn what_another_process_made_is_left() {
        let value = PerProcess::new();
        value.own.get_or_init(|| Own { process: std::process::id() ^ 1, ..Own::new(|| vec![1]) });
        assert_eq!(value.get(|| vec![2]), (&vec![2], true));
        assert_eq!(value.get(|| vec![3]), (&vec![2], true));
        assert_eq!(value.own.get().unwrap().value, [1]);
    }

    #[test]
    fn what_is_found_once_stays() {
        let found = OnceLock::new();
        assert_eq!((once(&found, || 1), once(&found, || 2)), (1, 1));
    }
}
