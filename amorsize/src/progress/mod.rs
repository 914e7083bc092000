//! The progress of a run, told while it goes on.

#[cfg(feature = "progress")]
pub(crate) mod bar;
pub(crate) mod stage;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::stage::{StageCounts, StageReport};
use crate::units::ByteSize;

/// The shortest time between two calls of the callback: twenty times a second is as fast as an eye
/// follows a figure.
const STEP: Duration = Duration::from_millis(50);
/// The rate is the one over this many seconds: steady over batches, and quick to follow a change.
const RATE_SECONDS: f64 = 2.0;

/// The present phase of a run.
///
/// # Examples
///
/// See [`Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// The first items run, to learn their cost; on the calling thread, except for the last ones of
    /// a plan's sample.
    Sampling,
    /// [`plan`](crate::Batched::plan) has run the sample, and the run waits for its start.
    Planned,
    /// The rest of the items run.
    Running,
    /// All items have run, and their results were handed over.
    Done,
    /// The run ended before its input: by an error, a panic of the function or a cancel, or because
    /// the sink wanted no more.
    Stopped,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sampling => "sampling",
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
        })
    }
}

/// The progress of a run, for the callback of [`Batched::progress`](crate::Batched::progress).
///
/// # Examples
///
/// ```
/// use std::sync::mpsc;
///
/// use amorsize::{Phase, process_in_batches};
///
/// let (told, progress) = mpsc::channel();
/// process_in_batches(|x: u64| x * x, 0..1000)
///     .progress(move |progress| told.send(progress.clone()).unwrap())
///     .for_each_batch(|_| ())?;
///
/// let told: Vec<_> = progress.iter().collect();
/// assert_eq!((told[0].phase(), told[0].done()), (Phase::Sampling, 0));
/// assert_eq!(told[0].total(), Some(1000));
/// let last = told.last().unwrap();
/// assert_eq!((last.phase(), last.done()), (Phase::Done, 1000));
/// assert!(told.iter().all(|progress| progress.bytes() <= progress.budget()));
/// assert_eq!((last.fraction(), last.result_bytes().as_u64()), (Some(1.0), 8000));
/// assert_eq!((last.name(), last.stages().len()), (None, 0));
/// println!("{:.0} items a second for {:.3} s", last.items_per_second(), last.seconds());
/// println!("{:?} seconds left", last.remaining_seconds());
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Progress {
    name: Option<&'static str>,
    phase: Phase,
    counts: Counts,
    total: Option<usize>,
    budget: ByteSize,
    seconds: f64,
    rate: f64,
    stages: Vec<StageReport>,
    quiet: bool,
}

impl Progress {
    /// The name of the function, if it is annotated.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// The figures of each stage of a pipeline so far, in order; empty for a run of a single
    /// function. A stage counts an item when it is done with it; the whole run counts it a little
    /// later, with others of its chunk.
    #[must_use]
    pub fn stages(&self) -> &[StageReport] {
        &self.stages
    }

    /// The present phase of the run.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The number of items with calls that have ended. Their results may not have been handed over
    /// yet.
    #[must_use]
    pub fn done(&self) -> usize {
        self.counts.done
    }

    /// The number of items in all, if the input knows it.
    #[must_use]
    pub fn total(&self) -> Option<usize> {
        self.total
    }

    /// The part that is done, from 0 to 1, if the input knows its length.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        // An empty input is done: of NaN and 1, `min` takes 1.
        self.total.map(|total| (self.counts.done as f64 / total as f64).min(1.0))
    }

    /// The bytes that the run holds of its budget now: inputs, calls in flight, and results not
    /// handed over.
    #[must_use]
    pub fn bytes(&self) -> ByteSize {
        ByteSize::new(self.counts.held)
    }

    /// The bytes of all results so far, handed over or not.
    #[must_use]
    pub fn result_bytes(&self) -> ByteSize {
        ByteSize::new(self.counts.result_bytes)
    }

    /// The memory budget of the run.
    #[must_use]
    pub fn budget(&self) -> ByteSize {
        self.budget
    }

    /// Seconds since the run began.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Items per second of late: over the last two seconds or so, and over the whole run when it
    /// has ended.
    #[must_use]
    pub fn items_per_second(&self) -> f64 {
        self.rate
    }

    /// Seconds that the rest will take at the present rate, if the input knows its length.
    #[must_use]
    pub fn remaining_seconds(&self) -> Option<f64> {
        let left = self.total?.saturating_sub(self.counts.done);
        match self.phase {
            Phase::Sampling | Phase::Planned | Phase::Running if left > 0 => {
                (self.rate > 0.0).then(|| left as f64 / self.rate)
            }
            _ => Some(0.0),
        }
    }

    /// True if the run prints messages, which a bar would disturb.
    #[cfg(feature = "progress")]
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }
}

/// The figures of a run at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Items with calls that have ended.
    pub(crate) done: usize,
    /// Threads that run items.
    pub(crate) running: usize,
    /// Bytes of the budget that are held.
    pub(crate) held: u64,
    /// Bytes of all results so far.
    pub(crate) result_bytes: u64,
}

/// A callback that gets a run's progress.
pub(crate) type Callback = Box<dyn FnMut(&Progress) + Send>;

/// Tells the progress of a run to its callback.
pub(crate) struct Teller {
    callback: Callback,
    progress: Progress,
    /// The time from which seconds count.
    origin: Instant,
    next: Instant,
    /// True once the run has begun.
    begun: bool,
    /// The items done, and the time, at the last call of the callback.
    last: (usize, Instant),
    /// The stages of a pipeline.
    stages: Vec<Arc<StageCounts>>,
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Teller {
    pub(crate) fn new(callback: Callback, name: Option<&'static str>, stages: Vec<Arc<StageCounts>>) -> Self {
        let now = Instant::now();
        let progress = Progress {
            name,
            phase: Phase::Sampling,
            counts: Counts::default(),
            total: None,
            budget: ByteSize::ZERO,
            seconds: 0.0,
            rate: 0.0,
            stages: Vec::new(),
            quiet: false,
        };
        Self { callback, progress, origin: now, next: now, begun: false, last: (0, now), stages }
    }

    pub(crate) fn into_callback(self) -> Callback {
        self.callback
    }

    pub(crate) fn set_quiet(&mut self, quiet: bool) {
        self.progress.quiet = quiet;
    }

    /// Begins, or goes on. `origin` is the time at which the run would have begun without pauses. A
    /// run can get another teller when it `has_sampled` already.
    pub(crate) fn begin(
        &mut self,
        origin: Instant,
        now: Instant,
        total: Option<usize>,
        budget: ByteSize,
        counts: Counts,
        has_sampled: bool,
    ) {
        let pause = origin.saturating_duration_since(self.origin);
        self.origin = origin;
        (self.progress.total, self.progress.budget) = (total, budget);
        if self.begun && self.progress.phase == Phase::Running {
            // An iterator comes back for its next results. The time in between is its caller's.
            self.last.1 += pause;
            self.next += pause;
            if self.is_due(now) {
                self.tell(now, Phase::Running, counts);
            }
            return;
        }
        self.last = (counts.done, now);
        let phase = if self.begun || has_sampled { Phase::Running } else { Phase::Sampling };
        self.begun = true;
        self.tell(now, phase, counts);
    }

    /// The phase at the last call of the callback.
    pub(crate) fn phase(&self) -> Phase {
        self.progress.phase
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Tells the progress, even if it is not time to.
    pub(crate) fn tell(&mut self, now: Instant, phase: Phase, counts: Counts) {
        let progress = &mut self.progress;
        let seconds = now.saturating_duration_since(self.origin).as_secs_f64();
        let (done_before, before) = self.last;
        let passed = now.saturating_duration_since(before).as_secs_f64();
        if matches!(phase, Phase::Done | Phase::Stopped) {
            progress.rate = if seconds > 0.0 { counts.done as f64 / seconds } else { 0.0 };
        } else if passed > 0.0 {
            let rate = counts.done.saturating_sub(done_before) as f64 / passed;
            // The first rate counts alone; later, rates older than `RATE_SECONDS` fade.
            let weight = if progress.rate == 0.0 { 1.0 } else { 1.0 - (-passed / RATE_SECONDS).exp() };
            progress.rate += weight * (rate - progress.rate);
            self.last = (counts.done, now);
        }
        (progress.phase, progress.counts, progress.seconds) = (phase, counts, seconds);
        progress.stages.clear();
        progress.stages.extend(self.stages.iter().map(|stage| stage.so_far()));
        self.next = now + STEP;
        (self.callback)(&self.progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn no_input_is_done_by_more_than_all_of_it() {
        for (total, done, fraction) in [(4, 3, 0.75), (0, 0, 1.0), (2, 3, 1.0)] {
            let (told, progress) = mpsc::channel();
            let tell = move |progress: &Progress| told.send(progress.fraction()).unwrap();
            let now = Instant::now();
            let counts = Counts { done, ..Counts::default() };
            Teller::new(Box::new(tell), None, Vec::new()).begin(now, now, Some(total), ByteSize::mib(1), counts, false);
            assert_eq!(progress.recv().unwrap(), Some(fraction));
        }
    }

    #[test]
    fn the_rate_follows_and_tells_what_is_left() {
        let (told, progress) = mpsc::channel();
        let mut teller =
            Teller::new(Box::new(move |progress| told.send(progress.clone()).unwrap()), Some("f"), Vec::new());
        let begun = Instant::now();
        let counts = |done| Counts { done, ..Counts::default() };
        teller.begin(begun, begun, Some(1000), ByteSize::mib(1), counts(0), false);
        assert!(!teller.is_due(begun + STEP / 2) && teller.is_due(begun + STEP));
        for step in 1..=100 {
            teller.tell(begun + step * STEP, Phase::Running, counts(step as usize));
        }
        for step in 101..=300 {
            teller.tell(begun + step * STEP, Phase::Running, counts(100 + 4 * (step as usize - 100)));
        }
        teller.tell(begun + Duration::from_secs(20), Phase::Done, counts(1000));
        let told: Vec<_> = progress.try_iter().collect();
        assert_eq!((told[0].phase(), told[0].remaining_seconds()), (Phase::Sampling, None));
        assert!((told[100].items_per_second() - 20.0).abs() < 1e-6);
        assert!((told[100].remaining_seconds().unwrap() - 45.0).abs() < 1e-6);
        // Ten seconds after the change.
        assert!((told[300].items_per_second() - 80.0).abs() < 1.0);
        let last = told.last().unwrap();
        assert_eq!((last.items_per_second(), last.remaining_seconds(), last.fraction()), (50.0, Some(0.0), Some(1.0)));
    }
}
