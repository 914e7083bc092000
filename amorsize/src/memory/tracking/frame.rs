//! The bytes of a call, counted in the frame that is open on the call's thread.

use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, forget};

use super::stray::{HERE, Here, add_ended, add_settled, add_stray};
use crate::units::ByteSize;

/// Heap bytes of one call.
///
/// # Examples
///
/// ```
/// use amorsize::Tracking;
///
/// #[global_allocator]
/// static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
///
/// let sum = || vec![1_u8; 1024].iter().map(|&byte| u64::from(byte)).sum::<u64>();
/// let (_sum, heap) = ALLOCATOR.measure(sum);
/// assert_eq!(heap.to_string(), "0 B retained, 1.00 KiB at the peak");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeapUse {
    pub(super) retained: i64,
    pub(super) peak: u64,
}

impl HeapUse {
    /// The bytes that the call allocated and did not free: what its result owns, and what it left
    /// elsewhere.
    ///
    /// Negative if the call freed more than that of memory that was allocated before it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::Tracking;
    /// #[global_allocator]
    /// static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
    ///
    /// let (text, heap) = ALLOCATOR.measure(|| "x".repeat(1000));
    /// assert_eq!(heap.retained(), 1000);
    /// let (_, heap) = ALLOCATOR.measure(|| drop(text));
    /// assert_eq!(heap.retained(), -1000);
    /// ```
    #[must_use]
    pub const fn retained(&self) -> i64 {
        self.retained
    }

    /// The highest number of net bytes at any time in the call.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::Tracking;
    /// #[global_allocator]
    /// static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
    ///
    /// let (_, heap) = ALLOCATOR.measure(|| "x".repeat(1000).len());
    /// assert_eq!((heap.retained(), heap.peak()), (0, 1000));
    /// ```
    #[must_use]
    pub const fn peak(&self) -> u64 {
        self.peak
    }
}

impl fmt::Display for HeapUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.retained < 0 { "-" } else { "" };
        let retained = ByteSize::new(self.retained.unsigned_abs());
        write!(f, "{sign}{retained} retained, {} at the peak", ByteSize::new(self.peak))
    }
}

/// True if a frame is open on this thread.
pub(crate) fn is_open() -> bool {
    HERE.try_with(|here| here.open.get()).unwrap_or(false)
}

/// Adds bytes of a run's calls to the frame that is open on this thread or, if none is, to the
/// stray bytes, without counting them as the worker's own.
pub(crate) fn settle(bytes: i64) {
    if !pass_on(bytes, bytes.max(0)) {
        add_settled(bytes);
    }
}

/// A call's bytes on this thread, from [`begin`](Self::begin) to [`end`](Self::end). It is
/// isolated: its bytes count neither for the frame around it nor as stray. A drop by unwinding
/// forgets them.
#[must_use = "bytes are counted until it ends"]
pub(crate) struct Frame {
    outer: Counts,
    /// A frame restores the counters of its own thread.
    not_send: PhantomData<*mut ()>,
}

impl Frame {
    #[inline]
    pub(crate) fn begin() -> Self {
        let outer = HERE.try_with(|here| here.replace(&Counts { open: true, net: 0, peak: 0 }));
        Self { outer: outer.unwrap_or_default(), not_send: PhantomData }
    }

    #[inline]
    pub(crate) fn end(self) -> HeapUse {
        let heap = self.close();
        forget(self);
        heap
    }

    /// Restores the frame around this one; called once.
    #[inline]
    fn close(&self) -> HeapUse {
        // A thread that has no counters has none to restore.
        HERE.try_with(|here| {
            let counts = here.replace(&self.outer);
            // The peak starts at zero and only rises.
            HeapUse { retained: counts.net, peak: counts.peak as u64 }
        })
        .unwrap_or_default()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.close();
    }
}

/// A frame that passes its bytes on to the frame around it, also when it unwinds.
pub(super) struct Nested(ManuallyDrop<Frame>);

impl Nested {
    #[inline]
    pub(super) fn begin() -> Self {
        Self(ManuallyDrop::new(Frame::begin()))
    }

    /// Closes the frame; called once.
    #[inline]
    pub(super) fn close(&self) -> HeapUse {
        let heap = self.0.close();
        if !pass_on(heap.retained, heap.peak as i64) {
            add_stray(heap.retained);
        }
        heap
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        self.close();
    }
}

/// Adds bytes that were counted elsewhere to the frame that is open on this thread. Returns false
/// if none is.
#[inline]
fn pass_on(net: i64, peak: i64) -> bool {
    HERE.try_with(|here| {
        let open = here.open.get();
        if open {
            let before = here.net.get();
            here.net.set(before.wrapping_add(net));
            here.peak.set(here.peak.get().max(before.wrapping_add(peak)));
        }
        open
    })
    .unwrap_or(false)
}

/// The counters of one frame.
#[derive(Clone, Copy, Default)]
struct Counts {
    open: bool,
    net: i64,
    peak: i64,
}

impl Here {
    #[inline]
    fn replace(&self, counts: &Counts) -> Counts {
        Counts {
            open: self.open.replace(counts.open),
            net: self.net.replace(counts.net),
            peak: self.peak.replace(counts.peak),
        }
    }
}

// Every addition wraps instead of panicking: an allocator must not unwind, and 64 bits are enough
// for all bytes that exist.

#[inline]
pub(super) fn count_more(bytes: usize) {
    // A size is at most `isize::MAX`.
    let bytes = bytes as i64;
    let there = HERE.try_with(|here| {
        if here.open.get() {
            let net = here.net.get().wrapping_add(bytes);
            here.net.set(net);
            here.peak.set(here.peak.get().max(net));
        } else {
            here.add_stray(bytes);
        }
    });
    if there.is_err() {
        add_ended(bytes);
    }
}

#[inline]
pub(super) fn count_less(bytes: usize) {
    let bytes = (bytes as i64).wrapping_neg();
    let there = HERE.try_with(|here| {
        if here.open.get() {
            here.net.set(here.net.get().wrapping_add(bytes));
        } else {
            here.add_stray(bytes);
        }
    });
    if there.is_err() {
        add_ended(bytes);
    }
}
