//! The facts of a run for its report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Engine;
use super::pool::Refused;
use super::threads::OnThreads;
use crate::failure::Failure;
use crate::handover::HandedOver;
use crate::memory::ByteSize;
use crate::memory::budget::Budget;
use crate::memory::deep_size::features::Unasked;
use crate::memory::measure::MeasuredBy;
use crate::options::MaxMemory;
use crate::sample::Learned;
use crate::time_use::TimeUse;
use crate::timeline::{Moment, Recorder, Timeline};

/// The facts of a run for its report.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    pub(crate) name: Option<&'static str>,
    pub(crate) learned: Learned,
    pub(crate) peak: ByteSize,
    /// The budget, if the run was long enough to need it.
    pub(crate) budget: Option<Budget>,
    pub(crate) max_memory: MaxMemory,
    pub(crate) seconds: f64,
    pub(crate) threads: usize,
    /// Threads that could run at the same time.
    pub(crate) cores: usize,
    pub(crate) chunks: usize,
    /// True if the run left its threads because the calling thread alone was faster.
    pub(crate) went_back: bool,
    pub(crate) measured_by: MeasuredBy,
    pub(crate) unasked: Unasked,
    /// Threads that the system refused, if it did.
    pub(crate) refused: Option<Refused>,
    /// Items without a result because the function panicked.
    pub(crate) panicked: usize,
    /// The panics that were kept.
    pub(crate) panics: Arc<[Failure]>,
    /// Seconds per item as sampled, before the run went on threads.
    pub(crate) sampled_seconds: f64,
    /// Seconds in the input and in the sink. A plain loop would spend them in addition to its
    /// calls.
    pub(crate) beside_calls: f64,
    /// Seconds on the calling thread alone.
    pub(crate) inline_seconds: f64,
    /// Seconds in the input's iterator.
    pub(crate) input_seconds: f64,
    pub(crate) sink_seconds: f64,
    pub(crate) time_use: TimeUse,
    /// The number of times that a thread found no credit for the next item.
    pub(crate) credit_waits: usize,
    /// The largest growth of resident memory.
    pub(crate) peak_resident: Option<ByteSize>,
    /// The growth of resident memory at the end.
    pub(crate) last_resident: Option<ByteSize>,
    /// Bytes that the run held when resident memory was last read.
    pub(crate) last_held: ByteSize,
    /// `None` for a run that was over before the first record.
    pub(crate) timeline: Option<Arc<Timeline>>,
}

#[cfg(feature = "array")]
impl Totals {
    /// The facts of this run and of the next one. What is not a sum or a peak is that of the next.
    pub(crate) fn and(self, next: Self) -> Self {
        Self {
            learned: self.learned.and(&next.learned),
            peak: self.peak.max(next.peak),
            seconds: self.seconds + next.seconds,
            threads: self.threads.max(next.threads),
            chunks: self.chunks + next.chunks,
            panicked: self.panicked + next.panicked,
            panics: self.panics.iter().chain(&*next.panics).map(Failure::told).collect(),
            beside_calls: self.beside_calls + next.beside_calls,
            inline_seconds: self.inline_seconds + next.inline_seconds,
            input_seconds: self.input_seconds + next.input_seconds,
            sink_seconds: self.sink_seconds + next.sink_seconds,
            time_use: self.time_use.and(next.time_use),
            credit_waits: self.credit_waits + next.credit_waits,
            peak_resident: self.peak_resident.max(next.peak_resident),
            timeline: None,
            ..next
        }
    }
}

/// The facts up to the early end of a run that goes on.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) learned: Learned,
    pub(super) chunks: usize,
    pub(super) panicked: usize,
    pub(super) beside_calls: f64,
    pub(super) elapsed: Duration,
}

impl Engine {
    /// The duration of the reported part.
    pub(super) fn elapsed_in_part(&self) -> Duration {
        self.elapsed.saturating_sub(self.before.as_ref().map_or(Duration::ZERO, |before| before.elapsed))
    }

    /// Makes reports cover only work from now on. For a run that goes on after an early end.
    pub(crate) fn begin_part(&mut self) {
        let (beside_calls, elapsed) = (self.beside_calls, self.elapsed);
        self.ledger.begin_part();
        self.on_threads = OnThreads::default();
        // The drop of these panics can run user code. That must not happen while the books are
        // lent.
        let (before, _panics) = self.with_books(|books| {
            books.learned.begin_part();
            let (learned, chunks, panicked) = (books.learned.clone(), books.chunks, books.panics.count);
            (Before { learned, chunks, panicked, beside_calls, elapsed }, books.panics.take_kept())
        });
        if let Some(workers) = &self.workers {
            workers.control.begin_part();
            self.parted = Some((elapsed, 0.0));
        }
        let seen = self.seen();
        self.with_observer(|observer, ledger| {
            if let Some(recorder) = &mut observer.recorder {
                recorder.begin_part(Instant::now(), seen.items, ledger.held().as_u64());
            }
        });
        self.before = Some(Box::new(before));
    }

    /// The facts of the run, or of its reported part. Takes the kept panics out.
    pub(crate) fn totals(&mut self, handed_over: HandedOver) -> Totals {
        let HandedOver { sink_seconds, times, .. } = handed_over;
        let (mut learned, mut chunks, mut panicked, panics) = self
            .with_books(|books| (books.learned.clone(), books.chunks, books.panics.count, books.panics.take_kept()));
        let mut beside_calls = self.beside_calls;
        if let Some(before) = &self.before {
            learned = learned.since(&before.learned);
            chunks -= before.chunks;
            panicked -= before.panicked;
            beside_calls = (beside_calls - before.beside_calls).max(0.0);
        }
        let on_threads = match &self.workers {
            Some(workers) => self.all_on_threads(&workers.control, self.elapsed, sink_seconds),
            None => self.on_threads,
        };
        let (threads, cores) = (on_threads.threads.max(1), on_threads.cores.max(1));
        let elapsed = self.elapsed_in_part();
        let seconds = elapsed.as_secs_f64();
        let (budget, max_memory) = (self.budget.clone(), self.options.limit());
        // An empty `Arc` made from a `Vec` would be an allocation.
        let panics = if panics.is_empty() { Arc::default() } else { Arc::from(panics) };
        let measured_by = self.measured_by;
        let OnThreads { input_seconds, waited, credit_waits, .. } = on_threads;
        let inline_seconds = elapsed.saturating_sub(on_threads.time).as_secs_f64();
        let sink_inline = sink_seconds - on_threads.sink_seconds;
        let time_use = TimeUse {
            total: inline_seconds + waited.total,
            calls: learned.seconds,
            sink: sink_inline + waited.sink,
            ..waited
        };
        let recorder = self.with_observer(|observer, _| observer.recorder.clone());
        let moments = recorder.as_ref().map_or_else(Vec::new, |recorder| recorder.moments().to_vec());
        let resident = |of: fn(&Recorder) -> Option<u64>| recorder.as_ref().and_then(of).map(ByteSize::new);
        let last_held = moments.last().map_or(ByteSize::ZERO, Moment::held);
        let noted = !moments.is_empty() || !times.is_empty();
        let timeline = noted.then(|| Arc::new(Timeline { moments, batches: times }));
        Totals {
            name: self.options.name(),
            sampled_seconds: if self.sampled_seconds > 0.0 { self.sampled_seconds } else { learned.seconds_per_item() },
            beside_calls: beside_calls + input_seconds + on_threads.sink_seconds,
            inline_seconds,
            input_seconds,
            sink_seconds,
            time_use,
            credit_waits,
            peak_resident: resident(|recorder| recorder.peak_resident),
            last_resident: resident(|recorder| recorder.last_resident),
            last_held,
            timeline,
            learned,
            peak: self.ledger.peak(),
            budget,
            max_memory,
            seconds,
            threads,
            cores,
            chunks,
            went_back: self.alone.is_faster(),
            measured_by,
            unasked: self.unasked,
            refused: self.refused,
            panicked,
            panics,
        }
    }
}
