//! Writes on a thread of the run's own, so that neither workers nor the sink wait for a disk.
//!
//! Workers encode results and put them into a queue as their calls end, in any order. The thread
//! writes what is queued when it fills a frame, or is old enough. It never repeats a write or a
//! sync that failed: after a failed sync nobody knows what is on the disk.

use super::encoded::Encoded;
use std::fmt;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::frame::{FRAME, RUN, Run, Spot};
use super::identity::ItemsHash;
use super::pen::{Entry, Pen, RUNS};
use super::segment::Supply;
use crate::error::stored::storage;
use crate::error::{Error, ErrorKind};
use crate::memory::budget::Ledger;
use crate::memory::credit::Credit;
use crate::system::process::Maker;
use crate::system::sync::{Arc, AtomicU64, Clock, Condvar, Mutex, MutexGuard, Ordering, PoisonError, now};
use crate::system::thread_time::Helper;

/// A frame closes after this time, so that a kill loses little of functions that take long.
const FRAME_TIME: Duration = Duration::from_millis(100);
/// The time between two syncs. A sync takes a millisecond, and far more on a busy disk. A power cut
/// may lose what was done in this time.
const SYNC_TIME: Duration = Duration::from_secs(1);

/// The settings of a writer.
pub(crate) struct Settings {
    /// There is room for more results while fewer bytes than this are encoded and not written.
    pub(crate) most_held: u64,
    /// A segment closes before it has more bytes. A larger frame has a segment of its own.
    pub(crate) segment_bytes: u64,
    /// The most bytes that all segments may have, with their headers and their ends.
    pub(crate) max_disk: Option<u64>,
    /// The bytes of all segments, if a writer of this process told them.
    pub(crate) used: Option<u64>,
    /// Counts the bytes that are encoded and not written.
    pub(crate) ledger: Option<Ledger>,
    /// Set when writing failed.
    pub(crate) has_failed: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Settings {
    /// A file of up to 256 MiB: damage to one file loses little, and 4,000 of them are a TiB.
    pub(crate) const SEGMENT: u64 = 256 << 20;

    /// Settings without bounds of other kinds.
    pub(crate) fn new(most_held: u64) -> Self {
        let has_failed = std::sync::Arc::default();
        Self { most_held, segment_bytes: Self::SEGMENT, max_disk: None, used: None, ledger: None, has_failed }
    }
}

/// Bytes that are encoded and not written. They are given back when this is dropped.
pub(super) struct Held {
    bytes: u64,
    credit: Credit,
    shared: Arc<Shared>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let credit = self.credit.take_all();
        // A child made by `fork` may have copied a lock that is held.
        if !self.shared.maker.is_this_process() {
            return std::mem::forget(credit);
        }
        // Before those that wait for room wake up.
        drop(credit);
        self.shared.held.fetch_sub(self.bytes, Ordering::AcqRel);
        // With the lock: a thread that has just found no room then surely waits, and hears this.
        drop(self.shared.lock());
        self.shared.room.notify_all();
    }
}

struct Shared {
    settings: Settings,
    /// The process with the thread.
    maker: Maker,
    held: AtomicU64,
    queue: Mutex<Queue>,
    /// Wakes the thread.
    queued: Condvar,
    /// Wakes those that wait for room.
    room: Condvar,
}

#[derive(Default)]
struct Queue {
    entries: Vec<Entry<Held>>,
    /// The bytes of the results and of the runs of a journal in them.
    bytes: usize,
    /// The time at which the first of them came.
    since: Option<Instant>,
    is_over: bool,
    /// True if what is queued must be written at once.
    is_urgent: bool,
    failure: Option<Error>,
    /// True while the thread waits, for tests.
    #[cfg(test)]
    rests: bool,
}

impl Queue {
    /// All that is queued.
    fn take(&mut self) -> Vec<Entry<Held>> {
        self.bytes = 0;
        self.since = None;
        std::mem::take(&mut self.entries)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the queue must be written at once: it fills a frame, or all room is taken, and
    /// threads that wait for room must not wait for a clock.
    fn is_full(&self, queue: &Queue) -> bool {
        let room = self.held.load(Ordering::Acquire) < self.settings.most_held;
        let waits = !room || queue.is_urgent;
        queue.bytes >= FRAME || queue.entries.len() >= RUNS || waits && !queue.entries.is_empty()
    }

    /// Queues something, unless writing has failed.
    fn add(&self, bytes: usize, entry: Entry<Held>) {
        if !self.maker.is_this_process() {
            return drop(entry);
        }
        let mut queue = self.lock();
        if queue.failure.is_some() {
            drop(queue);
            // Gives back the bytes that it holds, which takes the lock.
            return drop(entry);
        }
        let was_empty = queue.entries.is_empty();
        if was_empty {
            queue.since = Some(now());
        }
        queue.bytes += bytes;
        queue.entries.push(entry);
        let wakes = was_empty || self.is_full(&queue);
        drop(queue);
        if wakes {
            self.queued.notify_one();
        }
    }
}

/// Writes the finished items of a run, by a thread.
pub(crate) struct Writer {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Pen<Held>>>,
}

impl Writer {
    /// Starts the thread. Nothing is made on disk before there is something to write. The segments
    /// on disk have `used` bytes already. At the end of the input all that is `damaged` is noted.
    pub(crate) fn start(
        supply: Box<dyn Supply>,
        settings: Settings,
        used: u64,
        damaged: Vec<Spot>,
    ) -> Result<Self, Error> {
        let path = supply.path().to_owned();
        let used = settings.used.unwrap_or(used);
        let pen = Pen::new(supply, settings.segment_bytes, settings.max_disk, used, damaged);
        let shared = Arc::new(Shared {
            settings,
            maker: Maker::this_process(),
            held: AtomicU64::new(0),
            queue: Mutex::default(),
            queued: Condvar::new(),
            room: Condvar::new(),
        });
        let (clock, theirs) = (Clock::of_this_thread(), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("amorsize-store".into()).spawn(move || {
            let _clock = clock.enter();
            let _helper = Helper::this_thread();
            work(&theirs, pen)
        });
        let thread = thread.map_err(|error| storage(&path, "written to by a thread", &error, None, None))?;
        Ok(Self { path, shared, thread: Some(thread) })
    }

    /// Takes results. They count as held until they are written.
    pub(crate) fn put(&self, encoded: Encoded) {
        if encoded.is_empty() {
            return;
        }
        let held = self.hold(encoded.memory());
        self.shared.add(encoded.bytes.len(), Entry::Results(encoded, held));
    }

    /// Counts bytes until they are written.
    fn hold(&self, bytes: u64) -> Held {
        let credit = self.shared.settings.ledger.as_ref().map_or(Credit::NONE, |ledger| Credit::take(ledger, bytes));
        self.shared.held.fetch_add(bytes, Ordering::AcqRel);
        Held { bytes, credit, shared: Arc::clone(&self.shared) }
    }

    /// The error of a run with a result that [`Encoded::push`] could not serialize.
    pub(crate) fn not_serialized(&self, item: usize, cause: String) -> Error {
        let path = self.path.clone();
        Error::new(ErrorKind::Unwritable { path, item: Some(item), column: None, cause })
    }

    /// Notes that a sink has the results of these items: of each run the first, their number and
    /// their hash. `place` is the sink's place after all of them, if it has places; a power cut
    /// must take nothing before it.
    ///
    /// A place is found with all of its runs or not at all, so that a kill can't part them. Hence
    /// one call gives all that the sink had got since the place before.
    pub(crate) fn done(&self, runs: impl IntoIterator<Item = (u64, u32, ItemsHash)>, place: Option<u64>) {
        let run = |(first, items, hash): (_, _, ItemsHash)| Run { first, items, bytes: 0, hash: hash.0 };
        let runs: Vec<_> = runs.into_iter().map(run).collect();
        // A frame with a place and without runs would say that the sink went back.
        if !runs.is_empty() {
            self.shared.add(RUN * runs.len(), Entry::Done(runs, place));
        }
    }

    /// Notes that the sink has gone back to a place. A run with a sink that has places begins with
    /// this.
    pub(crate) fn go_on_from(&self, place: u64) {
        let held = self.hold(size_of_val(&place) as u64);
        self.shared.add(0, Entry::GoOnFrom(place, held));
    }

    /// Notes that the input ended after `items` items.
    pub(crate) fn end_of_input(&self, items: u64) {
        self.shared.add(0, Entry::End(items));
    }

    /// The bytes in memory that are encoded and not written.
    pub(crate) fn held(&self) -> u64 {
        self.shared.held.load(Ordering::Acquire)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.held() < self.shared.settings.most_held
    }

    /// Returns when there is room, or writing has failed.
    pub(crate) fn wait_for_room(&self) {
        if !self.shared.maker.is_this_process() {
            return;
        }
        let mut queue = self.shared.lock();
        while !self.has_room() && queue.failure.is_none() {
            queue = self.shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns when all results are written, with a place to which the sink went back, or writing
    /// has failed.
    pub(crate) fn wait_until_written(&self) {
        if !self.shared.maker.is_this_process() {
            return;
        }
        let mut queue = self.shared.lock();
        queue.is_urgent = true;
        self.shared.queued.notify_one();
        while self.held() > 0 && queue.failure.is_none() {
            queue = self.shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.is_urgent = false;
    }

    /// Fails in a child made by `fork`, which has no such thread.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        self.shared.maker.check().map_err(|error| storage(&self.path, "written to", &error, None, None))
    }

    /// The error that stopped the thread. It takes nothing more then.
    pub(crate) fn failure(&self) -> Option<Error> {
        if let Err(error) = self.check_process() {
            return Some(error);
        }
        self.shared.lock().failure.as_ref().map(|error| Error::new(error.kind().clone()))
    }

    /// Writes all that is queued, syncs, closes the segment, and gives the bytes of all segments.
    #[cfg(test)]
    pub(crate) fn finish(self) -> Result<u64, Error> {
        let (bytes, failure) = self.stop();
        failure.map_or(Ok(bytes), Err)
    }

    /// Writes all that is queued, syncs and closes the segment, unless writing fails or has failed.
    /// Gives the bytes of all segments, and the error.
    pub(crate) fn stop(mut self) -> (u64, Option<Error>) {
        let bytes = match self.end() {
            Some(Ok(pen)) => pen.bytes(),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => 0,
        };
        (bytes, self.failure())
    }

    /// Lets the thread look at the clock and at the queue, and returns when it waits again or has
    /// ended.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        let mut queue = self.shared.lock();
        queue.rests = false;
        self.shared.queued.notify_one();
        while !queue.rests && queue.failure.is_none() {
            queue = self.shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&mut self) -> Option<std::thread::Result<Pen<Held>>> {
        if !self.shared.maker.is_this_process() {
            // Waiting for the parent's thread would never end.
            std::mem::forget(self.thread.take());
            return None;
        }
        self.shared.lock().is_over = true;
        self.shared.queued.notify_one();
        self.thread.take().map(JoinHandle::join)
    }
}

/// Keeps the finished items of a run that ends by a panic.
impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("held", &self.held()).finish_non_exhaustive()
    }
}

/// The next step of the thread.
enum Next {
    Write(Vec<Entry<Held>>),
    Sync,
    Close(Vec<Entry<Held>>),
}

fn work(shared: &Shared, mut pen: Pen<Held>) -> Pen<Held> {
    let mut synced = now();
    loop {
        let next = next(shared, pen.is_dirty().then_some(synced));
        let is_last = matches!(next, Next::Close(_));
        let outcome = match next {
            Next::Write(entries) => pen.write(entries),
            Next::Sync => {
                synced = now();
                pen.sync()
            }
            Next::Close(entries) => pen.write(entries).and_then(|()| pen.close()),
        };
        if let Err(failure) = outcome {
            let mut queue = shared.lock();
            queue.failure = Some(failure);
            let left = queue.take();
            drop(queue);
            drop(left);
            shared.room.notify_all();
            shared.settings.has_failed.store(true, Ordering::Relaxed);
            return pen;
        }
        if is_last {
            return pen;
        }
    }
}

/// Waits for something to do. Writes since `synced` still need a sync.
fn next(shared: &Shared, synced: Option<Instant>) -> Next {
    let mut queue = shared.lock();
    loop {
        if queue.is_over {
            return Next::Close(queue.take());
        }
        let now = now();
        let sync_at = synced.map(|synced| synced + SYNC_TIME);
        let write_at = queue.since.map(|since| since + FRAME_TIME);
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(sync_at) {
            return Next::Sync;
        }
        if is_due(write_at) || shared.is_full(&queue) {
            return Next::Write(queue.take());
        }
        let until = [sync_at, write_at].into_iter().flatten().min();
        #[cfg(test)]
        {
            queue.rests = true;
            shared.room.notify_all();
        }
        queue = match until {
            // The thread that moves the clock wakes this one.
            Some(until) if !Clock::of_this_thread().is_moved() => {
                let waited = shared.queued.wait_timeout(queue, until - now);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            _ => shared.queued.wait(queue).unwrap_or_else(PoisonError::into_inner),
        };
        #[cfg(test)]
        {
            queue.rests = false;
        }
    }
}
