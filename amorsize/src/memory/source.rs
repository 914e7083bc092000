//! Where a run learns how much memory there is: from the system, or from what a test puts in its place.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Bytes, available as system};

/// Taken as available where nothing can be read. Amorsize assumes the same; it is small enough for any machine of today.
const ASSUMED: Bytes = Bytes::gib(1);

/// Where a run learns how much memory there is.
///
/// A run asks the system, unless [`with_memory_source`] puts something else in its place: a test can then see what a program does
/// on a small machine, or on one whose memory is taken by somebody else while the program runs.
///
/// A fraction is of what is available when the run starts. A budget in bytes (`max_memory = "512MiB"`) is what it says. While the run
/// goes on it asks again, and of either budget holds no more than there is.
///
/// # Examples
///
/// A machine whose memory is taken by somebody else:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use amorsize::{Bytes, MemorySource, batched, with_memory_source};
///
/// struct Shared {
///     left: AtomicU64,
/// }
///
/// impl MemorySource for Shared {
///     fn available(&self) -> Option<Bytes> {
///         Some(Bytes::new(self.left.load(Ordering::Relaxed)))
///     }
/// }
///
/// #[batched(max_memory = 0.5)]
/// fn blank(page: u64) -> Vec<u8> {
///     vec![page as u8; 1 << 20]
/// }
///
/// let machine = Arc::new(Shared { left: AtomicU64::new(64 << 20) });
/// with_memory_source(machine.clone(), || {
///     assert_eq!(blank_batched(0..20).collect::<Vec<_>>()?.len(), 20);
///     // A neighbour takes three quarters of it. Twenty pages of 1 MiB no longer fit half of the rest.
///     machine.left.store(16 << 20, Ordering::Relaxed);
///     assert_eq!(blank_batched(0..20).plan()?.budget(), Bytes::mib(8));
///     assert!(blank_batched(0..20).collect::<Vec<_>>().unwrap_err().is_over_budget());
///     Ok::<(), amorsize::Error>(())
/// })?;
/// # Ok::<(), amorsize::Error>(())
/// ```
pub trait MemorySource: Send + Sync {
    /// Bytes that the process may still take; `None` where that can't be told. 1 GiB is assumed then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Bytes, MemorySource};
    /// assert_eq!(Bytes::mib(64).available(), Some(Bytes::mib(64)));
    /// ```
    fn available(&self) -> Option<Bytes>;

    /// Bytes of the process that are resident, by the system's own figure unless a source says otherwise; `None` where that can't
    /// be told.
    ///
    /// A run asks often, so this must take no longer than microseconds.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Bytes, MemorySource};
    /// struct Small;
    ///
    /// impl MemorySource for Small {
    ///     fn available(&self) -> Option<Bytes> {
    ///         Some(Bytes::mib(64))
    ///     }
    /// }
    ///
    /// // The system's figure, as this source says nothing of it.
    /// assert!(Small.resident() > Some(Bytes::kib(100)));
    /// ```
    fn resident(&self) -> Option<Bytes> {
        system::resident()
    }

    /// Total time so far in which a task waited for memory, which is an early sign of a shortage; `None` where that can't be told.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Bytes, MemorySource};
    /// // A machine on which nobody ever waits.
    /// assert_eq!(Bytes::mib(64).stalled(), None);
    /// ```
    fn stalled(&self) -> Option<Duration> {
        None
    }
}

/// A machine that always has so much left.
impl MemorySource for Bytes {
    fn available(&self) -> Option<Bytes> {
        Some(*self)
    }
}

/// So that a test can go on to change what its source says.
impl<S: MemorySource + ?Sized> MemorySource for Arc<S> {
    fn available(&self) -> Option<Bytes> {
        (**self).available()
    }

    fn resident(&self) -> Option<Bytes> {
        (**self).resident()
    }

    fn stalled(&self) -> Option<Duration> {
        (**self).stalled()
    }
}

/// Calls `body`; runs that this thread starts meanwhile learn from `source` how much memory there is.
///
/// It is meant for tests. Runs of other threads are not affected, so tests that use it may run at the same time; nor are runs
/// that a called function starts on a worker, or that go on after `body`. A source within a source replaces it.
///
/// # Examples
///
/// What a program does with 64 MiB left:
///
/// ```
/// use amorsize::{Bytes, batched, with_memory_source};
///
/// #[batched(max_memory = 0.5)]
/// fn blank(page: u64) -> Vec<u8> {
///     vec![page as u8; 1 << 20]
/// }
///
/// with_memory_source(Bytes::mib(64), || {
///     let report = blank_batched(0..100).for_each_batch(|batch| assert!(batch.len() <= 32))?;
///     assert_eq!(report.budget(), Bytes::mib(32));
///     // A hundred pages of 1 MiB are too many to be held at once.
///     assert!(blank_batched(0..100).collect::<Vec<_>>().unwrap_err().is_over_budget());
///     Ok::<(), amorsize::Error>(())
/// })?;
/// # Ok::<(), amorsize::Error>(())
/// ```
pub fn with_memory_source<R>(source: impl MemorySource + 'static, body: impl FnOnce() -> R) -> R {
    /// Puts back what was there, after a panic too.
    struct Restore(Replaced);

    impl Drop for Restore {
        fn drop(&mut self) {
            // Dropped out of the cell: a source's own `Drop` may ask for the current one.
            drop(CURRENT.replace(self.0.take()));
        }
    }

    let _restore = Restore(CURRENT.replace(Some(Arc::new(source))));
    body()
}

/// What stands in the system's place, if anything.
type Replaced = Option<Arc<dyn MemorySource>>;

thread_local! {
    static CURRENT: RefCell<Replaced> = const { RefCell::new(None) };
}

/// The source that runs started by this thread learn from.
pub(crate) fn current() -> Source {
    // A run may be started while the thread ends and its locals are gone.
    Source(CURRENT.try_with(|current| current.borrow().clone()).unwrap_or(None))
}

/// The system, or what stands in its place. Reads nothing before it is asked.
#[derive(Clone)]
pub(crate) struct Source(Replaced);

impl Source {
    /// What the process may still take, or what is assumed where that can't be told.
    pub(crate) fn available(&self) -> Bytes {
        let told = match &self.0 {
            None => system::available(),
            Some(source) => source.available(),
        };
        told.unwrap_or(ASSUMED)
    }

    /// The most that was resident so far; `None` for what stands in the system's place.
    pub(crate) fn peak_resident(&self) -> Option<Bytes> {
        if self.0.is_none() { system::peak_resident() } else { None }
    }

    /// The process's resident memory.
    pub(crate) fn resident(&self) -> Option<Bytes> {
        match &self.0 {
            None => system::resident(),
            Some(source) => source.resident(),
        }
    }

    /// Total time so far in which a task waited for memory.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        match &self.0 {
            None => system::stalled(),
            Some(source) => source.stalled(),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_none() { "Source(system)" } else { "Source(replaced)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    struct Unknown;

    impl MemorySource for Unknown {
        fn available(&self) -> Option<Bytes> {
            None
        }
    }

    #[test]
    fn sources_nest_and_are_put_back() {
        assert!(current().0.is_none());
        with_memory_source(Bytes::mib(64), || {
            assert_eq!(current().available(), Bytes::mib(64));
            let caught = catch_unwind(AssertUnwindSafe(|| with_memory_source(Bytes::mib(1), || panic!("in the body"))));
            assert!(caught.is_err());
            assert_eq!(current().available(), Bytes::mib(64));
            assert_eq!(with_memory_source(Bytes::mib(2), || current().available()), Bytes::mib(2));
            // Not seen by other threads.
            assert!(thread::scope(|scope| scope.spawn(|| current().0.is_none()).join()).unwrap());
        });
        assert!(current().0.is_none());
    }

    #[test]
    fn what_a_source_does_not_say_is_the_systems_or_assumed() {
        with_memory_source(Arc::new(Unknown), || {
            let source = current();
            assert_eq!(source.available(), ASSUMED);
            assert!(source.resident().unwrap() > Bytes::kib(100));
            assert_eq!(source.stalled(), None);
        });
    }

    #[test]
    fn a_source_may_ask_for_the_current_one_when_it_is_dropped() {
        struct Nosy;

        impl MemorySource for Nosy {
            fn available(&self) -> Option<Bytes> {
                Some(Bytes::kib(1))
            }
        }

        impl Drop for Nosy {
            fn drop(&mut self) {
                let _ = current();
            }
        }

        assert_eq!(with_memory_source(Nosy, || current().available()), Bytes::kib(1));
    }
}
