//! The bytes outside of any frame, in a slot for each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::iter::successors;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, Ordering};

/// The net bytes of all threads outside of any frame, since the process started.
pub(crate) fn stray() -> i64 {
    slots().fold(ENDED.load(Ordering::Relaxed), |sum, slot| sum.wrapping_add(slot.net.load(Ordering::Relaxed)))
}

/// The net bytes that workers allocated outside of any frame since they were [marked](mark_worker):
/// idle workers run parts of calls that fork. Bytes of the program's other threads are not
/// contained.
pub(crate) fn workers_stray() -> i64 {
    let of_worker = |slot: &Slot| {
        // Acquire: the base was written before the mark.
        if slot.is_worker.load(Ordering::Acquire) {
            slot.net.load(Ordering::Relaxed).wrapping_sub(slot.worker_base.load(Ordering::Relaxed))
        } else {
            0
        }
    };
    slots().fold(FORMER_WORKERS.load(Ordering::Relaxed), |sum, slot| sum.wrapping_add(of_worker(slot)))
}

/// Marks this thread as a pool's worker, from now to its end.
#[inline]
pub(crate) fn mark_worker() {
    let _ = HERE.try_with(|here| {
        if here.slot.get().is_none() {
            here.add_first_stray(0);
        }
        if let Some(slot) = here.slot.get()
            && !slot.is_worker.load(Ordering::Relaxed)
        {
            slot.worker_base.store(slot.net.load(Ordering::Relaxed), Ordering::Relaxed);
            slot.is_worker.store(true, Ordering::Release);
        }
    });
}

/// Adds bytes to those outside of any frame.
#[inline]
pub(super) fn add_stray(bytes: i64) {
    let there = HERE.try_with(|here| here.add_stray(bytes));
    if there.is_err() {
        add_ended(bytes);
    }
}

/// Adds bytes of a run's calls to the stray bytes, without counting them as the worker's own.
pub(super) fn add_settled(bytes: i64) {
    add_stray(bytes);
    let _ = HERE.try_with(|here| {
        if let Some(slot) = here.slot.get() {
            slot.worker_base.store(slot.worker_base.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
        }
    });
}

/// A thread's counters. None of them has a destructor, so they work as long as the thread
/// allocates.
pub(super) struct Here {
    pub(super) net: Cell<i64>,
    /// The slot that takes stray bytes; `None` before the first ones and after the thread gave its
    /// slot back.
    slot: Cell<Option<&'static Slot>>,
    pub(super) peak: Cell<i64>,
    pub(super) open: Cell<bool>,
}

thread_local! {
    pub(super) static HERE: Here =
        const { Here { open: Cell::new(false), net: Cell::new(0), peak: Cell::new(0), slot: Cell::new(None) } };
    static LEASE: Lease = const { Lease(Cell::new(None)) };
}

impl Here {
    #[inline]
    pub(super) fn add_stray(&self, bytes: i64) {
        match self.slot.get() {
            Some(slot) => slot.add(bytes),
            None => self.add_first_stray(bytes),
        }
    }

    /// Takes a slot for this thread and adds the bytes to it. At the thread's end they go to
    /// [`ENDED`].
    #[cold]
    #[inline(never)]
    fn add_first_stray(&self, bytes: i64) {
        let Some(slot) = Slot::take() else { return add_ended(bytes) };
        // Set before the lease, since the first access to that may allocate, which is stray too.
        self.slot.set(Some(slot));
        if LEASE.try_with(|lease| lease.0.set(Some(slot))).is_ok() {
            slot.add(bytes);
        } else {
            // Other destructors of the thread run after the lease's.
            self.slot.set(None);
            slot.give_back();
            add_ended(bytes);
        }
    }
}

/// Gives the thread's slot back when the thread ends.
struct Lease(Cell<Option<&'static Slot>>);

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            // Without its counters the thread can't find the slot any more.
            let _ = HERE.try_with(|here| here.slot.set(None));
            slot.give_back();
        }
    }
}

/// Stray bytes of threads that are ending, and of threads that got no slot for lack of memory.
static ENDED: AtomicI64 = AtomicI64::new(0);

#[cold]
#[inline(never)]
pub(super) fn add_ended(bytes: i64) {
    ENDED.fetch_add(bytes, Ordering::Relaxed);
}

/// Stray bytes of one thread at a time. There are as many slots as threads existed at the same
/// time, and none is ever freed. A thread that ends leaves its bytes in its slot, and the next one
/// adds to them: only the sum is ever read.
///
/// Aligned to two cache lines, which processors fetch together, since each thread writes to its
/// slot all the time.
#[repr(align(128))]
pub(super) struct Slot {
    net: AtomicI64,
    /// True if the thread is a worker. `worker_base` is `net` as it was when it became one.
    is_worker: AtomicBool,
    worker_base: AtomicI64,
    taken: AtomicBool,
    next: AtomicPtr<Slot>,
}

/// Bytes that workers which have ended allocated outside of any frame.
static FORMER_WORKERS: AtomicI64 = AtomicI64::new(0);

/// The newest slot; each leads to the next older one.
static NEWEST: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());

/// All slots, newest first.
pub(super) fn slots() -> impl Iterator<Item = &'static Slot> {
    // SAFETY: the pointer is null or leads to a slot, which is never freed and changes only by its
    // atomics. Acquire pairs with the release that published the slot after it was written.
    let at = |place: &AtomicPtr<Slot>| unsafe { place.load(Ordering::Acquire).as_ref::<'static>() };
    successors(at(&NEWEST), move |slot| at(&slot.next))
}

impl Slot {
    /// Takes a slot for this thread alone, until it gives it back. `None` if there is no memory for
    /// one.
    fn take() -> Option<&'static Self> {
        // Acquire pairs with the release of the thread that gave it back: this one continues from
        // there.
        let take = |slot: &&Self| {
            !slot.taken.load(Ordering::Relaxed)
                && slot.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        slots().find(take).or_else(Self::new)
    }

    /// Allocates a further slot, taken.
    fn new() -> Option<&'static Self> {
        // SAFETY: the size is not zero.
        let place = unsafe { System.alloc(Layout::new::<Self>()) }.cast::<Self>();
        if place.is_null() {
            return None;
        }
        let slot = Self {
            net: AtomicI64::new(0),
            is_worker: AtomicBool::new(false),
            worker_base: AtomicI64::new(0),
            taken: AtomicBool::new(true),
            next: AtomicPtr::default(),
        };
        // SAFETY: the place was just allocated for a slot, and no other thread knows it.
        unsafe { place.write(slot) };
        // SAFETY: the place holds a slot now, which is never freed or moved.
        let slot: &'static Self = unsafe { &*place };
        let mut newest = NEWEST.load(Ordering::Relaxed);
        loop {
            slot.next.store(newest, Ordering::Relaxed);
            // Release: the slot is written before it can be found. The chain of exchanges carries
            // this over to the older slots.
            match NEWEST.compare_exchange_weak(newest, place, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Some(slot),
                Err(other) => newest = other,
            }
        }
    }

    /// Adds bytes. Only the thread that took the slot adds to it, so a load and a store are enough.
    #[inline]
    fn add(&self, bytes: i64) {
        self.net.store(self.net.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
    }

    fn give_back(&self) {
        if self.is_worker.swap(false, Ordering::Relaxed) {
            let net = self.net.load(Ordering::Relaxed).wrapping_sub(self.worker_base.load(Ordering::Relaxed));
            FORMER_WORKERS.fetch_add(net, Ordering::Relaxed);
        }
        self.taken.store(false, Ordering::Release);
    }
}
