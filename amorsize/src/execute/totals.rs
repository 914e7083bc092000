//! The facts of a run for its report.

use crate::report::totals::Totals;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::engine::{Before, Engine};
use super::workers::OnThreads;
use crate::memory::source::{self, Source};
use crate::output::batches::HandedOver;
use crate::report::extremes::Extremes;
use crate::report::time_use::TimeUse;
use crate::report::timeline::{Recorder, Timeline};
use crate::units::ByteSize;

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
            books.learned.part_working = 0;
            if let Some(extremes) = &mut books.extremes {
                **extremes = Extremes::default();
            }
            let before = Before {
                learned: books.learned.clone(),
                chunks: books.chunks,
                panicked: books.panics.count,
                restored_bytes: books.restored_bytes,
                beside_calls,
                elapsed,
            };
            (before, books.panics.take_kept())
        });
        if let Some(workers) = &self.workers {
            workers.control.begin_part();
            self.parted = Some((elapsed, 0.0));
        }
        let counts = self.counts();
        self.with_observer(|observer, _| {
            if let Some(recorder) = &mut observer.recorder {
                recorder.begin_part(Instant::now(), counts);
            }
        });
        self.before = Some(Box::new(before));
    }

    /// The facts of the run, or of its reported part. Takes out the kept panics and what was
    /// recorded.
    pub(crate) fn totals(&mut self, handed_over: HandedOver) -> Totals {
        let HandedOver { sink_seconds, times, .. } = handed_over;
        let (mut learned, extremes, mut chunks, mut panicked, mut restored_bytes, panics) = self.with_books(|books| {
            (
                books.learned.clone(),
                books.extremes.as_deref().copied(),
                books.chunks,
                books.panics.count,
                books.restored_bytes,
                books.panics.take_kept(),
            )
        });
        let mut beside_calls = self.beside_calls;
        if let Some(before) = &self.before {
            learned = learned.since(&before.learned);
            chunks -= before.chunks;
            panicked -= before.panicked;
            restored_bytes -= before.restored_bytes;
            beside_calls = (beside_calls - before.beside_calls).max(0.0);
        }
        let on_threads = match &self.workers {
            Some(workers) => self.all_on_threads(&workers.control, self.elapsed, sink_seconds),
            None => self.on_threads,
        };
        let (threads, cores) = (on_threads.threads.max(1), on_threads.cores.max(1));
        let elapsed = self.elapsed_in_part();
        let seconds = elapsed.as_secs_f64();
        let budget = self.budget.as_ref().map_or_else(OnceLock::new, |budget| budget.bytes.into());
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
        let (recorded, peak_resident, is_read) = self.with_observer(|observer, _| {
            let recorder = observer.recorder.as_mut();
            let peak_resident = recorder.as_ref().and_then(|recorder| recorder.peak_resident);
            let is_read = observer.watch.as_ref().map(|watch| watch.reads_resident());
            (recorder.map_or_else(Timeline::default, Recorder::take_timeline), peak_resident, is_read)
        });
        let extremes = extremes.unwrap_or_default();
        let timeline = Timeline { extremes, batches: times, ..recorded };
        // The caller's source is dropped with the run, unless the report has something to ask.
        let is_known = budget.get().is_some() && is_read.is_some();
        let source = if is_known { Source::default() } else { source::current() };
        let was_noted = !timeline.moments.is_empty() || !timeline.batches.is_empty();
        Totals {
            name: self.options.name(),
            sampled_seconds: if self.sampled_seconds > 0.0 { self.sampled_seconds } else { learned.seconds_per_item() },
            beside_calls: beside_calls + input_seconds + on_threads.sink_seconds,
            inline_seconds,
            input_seconds,
            sink_seconds,
            time_use,
            credit_waits,
            peak_resident: peak_resident.map(ByteSize::new),
            last: timeline.moments.last().copied(),
            timeline: was_noted.then(|| Arc::new(timeline)),
            learned,
            restored_bytes,
            peak: self.ledger.peak(),
            budget,
            max_memory: self.options.limit(),
            source,
            reads_resident: is_read.map_or_else(OnceLock::new, OnceLock::from),
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
