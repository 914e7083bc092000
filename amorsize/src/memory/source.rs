//! The source that tells a run how much memory there is: the system, or a replacement that a test
//! sets.

use std::cell::RefCell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::available as system;
use crate::units::ByteSize;

/// Assumed as available if nothing can be read. Amorsize assumes the same; it is small enough for
/// any machine of today.
const ASSUMED: ByteSize = ByteSize::gib(1);

/// Tells a run how much memory there is.
///
/// A run asks the system, unless [`with_memory_source`] sets another source. So a test can see what
/// a program does on a small machine, or on one where other programs take the memory while it runs.
///
/// A budget that is a fraction is a fraction of the bytes that are available when the run starts. A
/// budget in bytes (`max_memory = "512MiB"`) is fixed. The run asks again while it goes on, and
/// holds no more of either budget than is available.
///
/// # Examples
///
/// A machine where a neighbour takes the memory:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use amorsize::{ByteSize, MemorySource, batched, with_memory_source};
///
/// struct Shared {
///     left: AtomicU64,
/// }
///
/// impl MemorySource for Shared {
///     fn available(&self) -> Option<ByteSize> {
///         Some(ByteSize::new(self.left.load(Ordering::Relaxed)))
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
///     // A neighbour takes three quarters of it. Half of the rest has no room for twenty pages.
///     machine.left.store(16 << 20, Ordering::Relaxed);
///     assert_eq!(blank_batched(0..20).plan()?.budget(), ByteSize::mib(8));
///     assert!(blank_batched(0..20).collect::<Vec<_>>().unwrap_err().is_over_budget());
///     Ok::<(), amorsize::Error>(())
/// })?;
/// # Ok::<(), amorsize::Error>(())
/// ```
pub trait MemorySource: Send + Sync {
    /// The bytes that the process may still take, or `None` if that is unknown. A run then assumes
    /// 1 GiB.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{ByteSize, MemorySource};
    /// assert_eq!(ByteSize::mib(64).available(), Some(ByteSize::mib(64)));
    /// ```
    fn available(&self) -> Option<ByteSize>;

    /// The resident bytes of the process, or `None` if that is unknown. By default it is the
    /// system's own figure.
    ///
    /// A run asks often, so this must take no longer than microseconds.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{ByteSize, MemorySource};
    /// struct Small;
    ///
    /// impl MemorySource for Small {
    ///     fn available(&self) -> Option<ByteSize> {
    ///         Some(ByteSize::mib(64))
    ///     }
    /// }
    ///
    /// // This source does not tell it, so it is the system's figure.
    /// assert!(Small.resident() > Some(ByteSize::kib(100)));
    /// ```
    fn resident(&self) -> Option<ByteSize> {
        system::resident()
    }

    /// The total time so far in which a task waited for memory, an early sign of a shortage; or
    /// `None` if that is unknown.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{ByteSize, MemorySource};
    /// // A machine on which no task ever waits.
    /// assert_eq!(ByteSize::mib(64).stalled(), None);
    /// ```
    fn stalled(&self) -> Option<Duration> {
        None
    }
}

/// A machine that always has this many bytes left.
impl MemorySource for ByteSize {
    fn available(&self) -> Option<ByteSize> {
        Some(*self)
    }
}

/// Lets a test keep its source, to change it later.
impl<S: MemorySource + ?Sized> MemorySource for Arc<S> {
    fn available(&self) -> Option<ByteSize> {
        (**self).available()
    }

    fn resident(&self) -> Option<ByteSize> {
        (**self).resident()
    }

    fn stalled(&self) -> Option<Duration> {
        (**self).stalled()
    }
}

/// Calls `body`; runs that this thread starts meanwhile ask `source` how much memory there is.
///
/// It is meant for tests. Runs of other threads keep their source, so tests that use it may run at
/// the same time. The same holds for runs that a called function starts on a worker, and for runs
/// after `body`. A source within a source replaces it.
///
/// # Examples
///
/// A program that has 64 MiB left:
///
/// ```
/// use amorsize::{ByteSize, batched, with_memory_source};
///
/// #[batched(max_memory = 0.5)]
/// fn blank(page: u64) -> Vec<u8> {
///     vec![page as u8; 1 << 20]
/// }
///
/// with_memory_source(ByteSize::mib(64), || {
///     let report = blank_batched(0..100).for_each_batch(|batch| assert!(batch.len() <= 32))?;
///     assert_eq!(report.budget(), ByteSize::mib(32));
///     // A hundred pages of 1 MiB are too many to be held at once.
///     assert!(blank_batched(0..100).collect::<Vec<_>>().unwrap_err().is_over_budget());
///     Ok::<(), amorsize::Error>(())
/// })?;
/// # Ok::<(), amorsize::Error>(())
/// ```
pub fn with_memory_source<R>(source: impl MemorySource + 'static, body: impl FnOnce() -> R) -> R {
    /// Restores the former source, after a panic too.
    struct Restore(Replaced);

    impl Drop for Restore {
        fn drop(&mut self) {
            // Dropped outside of the cell: the `Drop` of a source may ask for the current one.
            drop(CURRENT.replace(self.0.take()));
        }
    }

    let _restore = Restore(CURRENT.replace(Some(Arc::new(source))));
    body()
}

/// The source that replaces the system, if any.
type Replaced = Option<Arc<dyn MemorySource>>;

thread_local! {
    static CURRENT: RefCell<Replaced> = const { RefCell::new(None) };
}

/// The source of runs that this thread starts.
pub(crate) fn current() -> Source {
    // A run may start while the thread ends and its thread-locals are gone.
    Source(CURRENT.try_with(|current| current.borrow().clone()).unwrap_or(None))
}

/// The system, or its replacement. It reads nothing before it is asked.
#[derive(Clone, Default)]
pub(crate) struct Source(Replaced);

impl Source {
    /// The bytes that the process may still take, or the assumed ones if that is unknown.
    pub(crate) fn available(&self) -> ByteSize {
        let told = match &self.0 {
            None => system::available(),
            Some(source) => source.available(),
        };
        told.unwrap_or(ASSUMED)
    }

    /// The most bytes that were resident so far; `None` for a replacement.
    pub(crate) fn peak_resident(&self) -> Option<ByteSize> {
        if self.0.is_none() { system::peak_resident() } else { None }
    }

    /// The resident bytes of the process.
    pub(crate) fn resident(&self) -> Option<ByteSize> {
        match &self.0 {
            None => system::resident(),
            Some(source) => source.resident(),
        }
    }

    /// The total time so far in which a task waited for memory.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        match &self.0 {
            None => system::stalled(),
            Some(source) => source.stalled(),
        }
    }
}

// A report has one, and goes through `catch_unwind`: it is only asked, so a panic leaves nothing
// half done here.
impl UnwindSafe for Source {}
impl RefUnwindSafe for Source {}

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
        fn available(&self) -> Option<ByteSize> {
            None
        }
    }

    #[test]
    fn sources_nest_and_are_put_back() {
        assert!(current().0.is_none());
        with_memory_source(ByteSize::mib(64), || {
            assert_eq!(current().available(), ByteSize::mib(64));
            let caught =
                catch_unwind(AssertUnwindSafe(|| with_memory_source(ByteSize::mib(1), || panic!("in the body"))));
            assert!(caught.is_err());
            assert_eq!(current().available(), ByteSize::mib(64));
            assert_eq!(with_memory_source(ByteSize::mib(2), || current().available()), ByteSize::mib(2));
            // Other threads don't see it.
            assert!(thread::scope(|scope| scope.spawn(|| current().0.is_none()).join()).unwrap());
        });
        assert!(current().0.is_none());
    }

    #[test]
    fn what_a_source_does_not_say_is_the_systems_or_assumed() {
        with_memory_source(Arc::new(Unknown), || {
            let source = current();
            assert_eq!(source.available(), ASSUMED);
            assert!(source.resident().unwrap() > ByteSize::kib(100));
            assert_eq!(source.stalled(), None);
        });
    }

    #[test]
    fn a_source_may_ask_for_the_current_one_when_it_is_dropped() {
        struct Nosy;

        impl MemorySource for Nosy {
            fn available(&self) -> Option<ByteSize> {
                Some(ByteSize::kib(1))
            }
        }

        impl Drop for Nosy {
            fn drop(&mut self) {
                let _ = current();
            }
        }

        assert_eq!(with_memory_source(Nosy, || current().available()), ByteSize::kib(1));
    }
}
