//! How far a run is, told while it goes on.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::memory::Bytes;
use crate::stage::{StageCounts, StageReport};

/// A run tells its progress no more often: twenty times a second is as often as an eye follows a figure.
const STEP: Duration = Duration::from_millis(50);
/// The rate is that of so many seconds: long enough to be steady over batches, short enough to follow a change.
const RATE_SECONDS: f64 = 2.0;

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// The first items are run, on the calling thread but for the last ones of a plan's, to learn what they take.
    Sampling,
    /// The sample is done, by [`plan`](crate::Batched::plan), and the run waits to be started.
    Planned,
    /// The rest is run.
    Running,
    /// All items were run, and their results handed over.
    Done,
    /// The run ended before its input: by an error, a panic of the function, a cancel, or because the sink wanted no more.
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

/// How far a run is; what [`Batched::progress`](crate::Batched::progress) gives its callback.
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
/// assert_eq!((told[0].phase(), told[0].done(), told[0].total()), (Phase::Sampling, 0, Some(1000)));
/// let last = told.last().unwrap();
/// assert_eq!((last.phase(), last.done()), (Phase::Done, 1000));
/// assert!(told.iter().all(|progress| progress.bytes() <= progress.budget()));
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Progress {
    name: Option<&'static str>,
    phase: Phase,
    done: usize,
    total: Option<usize>,
    held: u64,
    result_bytes: u64,
    budget: Bytes,
    seconds: f64,
    rate: f64,
    stages: Vec<StageReport>,
    quiet: bool,
}

impl Progress {
    /// Name of the function, where it is annotated.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// What each stage of a pipeline has done so far, in their order; empty for a run of a single function. An item is counted by a stage
    /// when that is done with it, and for the whole run a little later, with others of its chunk.
    #[must_use]
    pub fn stages(&self) -> &[StageReport] {
        &self.stages
    }

    /// What the run is at.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Items whose calls have ended. Their results need not have been handed over.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done
    }

    /// Items in all, where the input knows how many it has.
    #[must_use]
    pub fn total(&self) -> Option<usize> {
        self.total
    }

    /// The part that is done, from 0 to 1, where the input knows how many items it has.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        self.total.map(|total| if total == 0 { 1.0 } else { self.done as f64 / total as f64 })
    }

    /// Bytes that the run holds of its budget now: inputs, calls in flight, and results that were not handed over.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        Bytes::new(self.held)
    }

    /// Bytes of all results so far, handed over or not.
    #[must_use]
    pub fn result_bytes(&self) -> Bytes {
        Bytes::new(self.result_bytes)
    }

    /// The memory budget of the run.
    #[must_use]
    pub fn budget(&self) -> Bytes {
        self.budget
    }

    /// Seconds since the run began.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Items per second of late: over the last two seconds or so, and over the whole run when it has ended.
    #[must_use]
    pub fn items_per_second(&self) -> f64 {
        self.rate
    }

    /// Seconds that the rest will take if it goes on like this, where the input knows how many items it has.
    #[must_use]
    pub fn remaining_seconds(&self) -> Option<f64> {
        let left = self.total?.saturating_sub(self.done);
        match self.phase {
            Phase::Sampling | Phase::Planned | Phase::Running if left > 0 => {
                (self.rate > 0.0).then(|| left as f64 / self.rate)
            }
            _ => Some(0.0),
        }
    }

    /// Whether the run prints what it does in another way, so that a bar would be in its way.
    #[cfg(feature = "progress")]
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }
}

/// What a run has done at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) done: usize,
    pub(crate) held: u64,
    pub(crate) result_bytes: u64,
}

/// What is called with a run's progress.
pub(crate) type Callback = Box<dyn FnMut(&Progress) + Send>;

/// Tells the progress of a run.
pub(crate) struct Teller {
    callback: Callback,
    progress: Progress,
    /// Seconds count from here.
    origin: Instant,
    next: Instant,
    /// Whether the run has begun.
    begun: bool,
    /// Items done, and when, as of the last time that it was told.
    last: (usize, Instant),
    /// Those of a pipeline.
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
            done: 0,
            total: None,
            held: 0,
            result_bytes: 0,
            budget: Bytes::ZERO,
            seconds: 0.0,
            rate: 0.0,
            stages: Vec::new(),
            quiet: false,
        };
        Self { callback, progress, origin: now, next: now, begun: false, last: (0, now), stages }
    }

    pub(crate) fn set_quiet(&mut self, quiet: bool) {
        self.progress.quiet = quiet;
    }

    /// Begins, or goes on: `origin` is when the run would have begun without pauses.
    pub(crate) fn begin(&mut self, origin: Instant, now: Instant, total: Option<usize>, budget: Bytes, counts: Counts) {
        self.origin = origin;
        (self.progress.total, self.progress.budget) = (total, budget);
        self.last = (counts.done, now);
        let phase = if self.begun { Phase::Running } else { Phase::Sampling };
        self.begun = true;
        self.tell(now, phase, counts);
    }

    /// The phase that was told last.
    pub(crate) fn phase(&self) -> Phase {
        self.progress.phase
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Tells where the run is, whether or not it is time to.
    pub(crate) fn tell(&mut self, now: Instant, phase: Phase, counts: Counts) {
        let progress = &mut self.progress;
        let seconds = now.saturating_duration_since(self.origin).as_secs_f64();
        let (done_before, before) = self.last;
        let passed = now.saturating_duration_since(before).as_secs_f64();
        if matches!(phase, Phase::Done | Phase::Stopped) {
            progress.rate = if seconds > 0.0 { counts.done as f64 / seconds } else { 0.0 };
        } else if passed > 0.0 {
            let rate = counts.done.saturating_sub(done_before) as f64 / passed;
            // The first second of a run says it all; after that, what is older than the time that the rate is of fades.
            let weight = if progress.rate == 0.0 { 1.0 } else { 1.0 - (-passed / RATE_SECONDS).exp() };
            progress.rate += weight * (rate - progress.rate);
            self.last = (counts.done, now);
        }
        progress.phase = phase;
        (progress.done, progress.held, progress.result_bytes) = (counts.done, counts.held, counts.result_bytes);
        progress.seconds = seconds;
        progress.stages.clear();
        progress.stages.extend(self.stages.iter().map(|stage| stage.report()));
        self.next = now + STEP;
        (self.callback)(&self.progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn the_rate_follows_and_tells_what_is_left() {
        let (told, progress) = mpsc::channel();
        let mut teller =
            Teller::new(Box::new(move |progress| told.send(progress.clone()).unwrap()), Some("f"), Vec::new());
        let begun = Instant::now();
        let counts = |done| Counts { done, held: 0, result_bytes: 0 };
        teller.begin(begun, begun, Some(1000), Bytes::mib(1), counts(0));
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
