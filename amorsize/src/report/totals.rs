//! The facts from which a run's report is made.

use std::sync::{Arc, OnceLock};

use super::time_use::TimeUse;
use super::timeline::{Moment, Timeline};
use crate::adapt::learned::Learned;
use crate::error::failure::Failure;
use crate::memory::deep_size::features::Unasked;
use crate::memory::max_memory::MaxMemory;
use crate::memory::source::Source;
use crate::system::refused::Refused;
use crate::units::ByteSize;
use crate::units::measured_by::MeasuredBy;

/// The facts of a run for its report.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    pub(crate) name: Option<&'static str>,
    pub(crate) learned: Learned,
    /// The bytes of the results that a store had.
    pub(crate) restored_bytes: u64,
    pub(crate) peak: ByteSize,
    /// The budget; a run that is too short to need one leaves it open.
    pub(crate) budget: OnceLock<ByteSize>,
    pub(crate) max_memory: MaxMemory,
    /// The run's own source, asked for the figures that the run leaves open.
    pub(crate) source: Source,
    /// True if resident memory could be read; a run that did not look leaves it open.
    pub(crate) reads_resident: OnceLock<bool>,
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
    /// The last moment that was recorded.
    pub(crate) last: Option<Moment>,
    /// `None` for a run that was over before the first record.
    pub(crate) timeline: Option<Arc<Timeline>>,
}

/// The figures of a store for a report.
#[cfg(feature = "durable")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeptFigures {
    /// Items that were done before this process.
    pub(crate) restored: usize,
    /// Frames that were found damaged.
    pub(crate) damaged: usize,
    /// Bytes of all segments.
    pub(crate) bytes: u64,
}

#[cfg(test)]
impl Totals {
    /// The facts of a run of nothing on one thread, for tests that state others.
    pub(crate) fn example() -> Self {
        Self {
            name: None,
            learned: Learned::default(),
            restored_bytes: 0,
            peak: ByteSize::ZERO,
            budget: OnceLock::new(),
            max_memory: MaxMemory::default(),
            source: Source::default(),
            reads_resident: OnceLock::new(),
            seconds: 0.0,
            threads: 1,
            cores: 1,
            chunks: 0,
            went_back: false,
            measured_by: MeasuredBy::DeepSize,
            unasked: Unasked::default(),
            refused: None,
            panicked: 0,
            panics: Arc::default(),
            sampled_seconds: 0.0,
            beside_calls: 0.0,
            inline_seconds: 0.0,
            input_seconds: 0.0,
            sink_seconds: 0.0,
            time_use: TimeUse::default(),
            credit_waits: 0,
            peak_resident: None,
            last: None,
            timeline: None,
        }
    }
}

#[cfg(feature = "array")]
impl Totals {
    /// The facts of this run and of the next one. Figures that are neither a sum nor a peak are
    /// those of the next.
    pub(crate) fn and(self, next: Self) -> Self {
        Self {
            learned: self.learned.and(&next.learned),
            restored_bytes: self.restored_bytes + next.restored_bytes,
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

#[cfg(feature = "array")]
impl KeptFigures {
    /// The figures of two stores.
    pub(crate) fn and(self, next: Self) -> Self {
        Self {
            restored: self.restored + next.restored,
            damaged: self.damaged + next.damaged,
            bytes: self.bytes + next.bytes,
        }
    }
}
