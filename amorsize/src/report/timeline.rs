//! The course of a run over time, for its report's picture.

use std::time::{Duration, Instant, SystemTime};

use super::extremes::Extremes;
use crate::memory::source::Source;
use crate::memory::watch::LOOK;
use crate::progress::Counts;
use crate::units::ByteSize;

/// The most moments of a timeline: a screen has about twice as many columns.
const MOST_MOMENTS: usize = 512;

/// The course of a run over time: the bytes held and the items done at moments, and the times at
/// which batches were with the sink.
///
/// A run that ends before its first decision, after about 50 microseconds, has none.
///
/// # Examples
///
/// ```
/// use std::{thread, time::Duration};
///
/// use amorsize::process_in_batches;
///
/// let work = |x: u64| {
///     thread::sleep(Duration::from_millis(1));
///     vec![x; 1000]
/// };
/// let report = process_in_batches(work, 0..40).batch_size(10).threads(2).for_each_batch(|_| ())?;
/// let timeline = report.timeline();
/// assert!(timeline.moments().iter().all(|moment| moment.held() <= report.budget()));
/// assert!(timeline.batches().iter().all(|batch| batch.items() <= 10));
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The date on which the run, or its reported part, began.
    #[cfg_attr(not(feature = "picture"), expect(dead_code, reason = "the picture alone tells it"))]
    pub(crate) began: Option<SystemTime>,
    #[cfg_attr(not(feature = "picture"), expect(dead_code, reason = "the picture alone tells it"))]
    pub(crate) extremes: Extremes,
    pub(crate) moments: Vec<Moment>,
    pub(crate) batches: Vec<BatchTime>,
}

impl Timeline {
    /// The moments of the run in order of time: up to 512, at least a millisecond apart.
    #[must_use]
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// The times at which batches were with the sink, in order: up to 512 entries, each for several
    /// batches if there were more.
    #[must_use]
    pub fn batches(&self) -> &[BatchTime] {
        &self.batches
    }
}

/// The state of a run at a moment: the items done and the bytes held.
///
/// # Examples
///
/// ```
/// use std::{thread, time::Duration};
///
/// use amorsize::process_in_batches;
///
/// let work = |_| thread::sleep(Duration::from_millis(1));
/// let report = process_in_batches(work, 0..40).threads(2).for_each_batch(|_| ())?;
/// for moment in report.timeline().moments() {
///     assert!(moment.seconds() <= report.seconds() && moment.items() <= 40);
///     println!("{} running, {} held", moment.running(), moment.held());
///     println!("{:?} resident", moment.resident());
/// }
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    pub(crate) seconds: f64,
    pub(crate) items: usize,
    pub(crate) held: u64,
    pub(crate) resident: Option<u64>,
    pub(crate) running: usize,
}

impl Moment {
    /// Seconds since the run began.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The number of items with calls that had ended.
    #[must_use]
    pub fn items(&self) -> usize {
        self.items
    }

    /// The bytes of the budget that were taken: by inputs, calls in flight, and results not handed
    /// over.
    #[must_use]
    pub fn held(&self) -> ByteSize {
        ByteSize::new(self.held)
    }

    /// The bytes by which the process's resident memory had grown, if the system tells it.
    #[must_use]
    pub fn resident(&self) -> Option<ByteSize> {
        self.resident.map(ByteSize::new)
    }

    /// The number of threads that were running items.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }
}

/// The time at which the sink had a batch, or several consecutive batches.
///
/// # Examples
///
/// ```
/// use std::{thread, time::Duration};
///
/// use amorsize::process_in_batches;
///
/// let work = |_| thread::sleep(Duration::from_millis(1));
/// let report = process_in_batches(work, 0..40).batch_size(10).for_each_batch(|_| ())?;
/// let batches = report.timeline().batches();
/// assert_eq!(batches.iter().map(|batch| batch.batches()).sum::<usize>(), 4);
/// for batch in batches {
///     assert!(batch.begun() <= batch.ended());
///     println!("{} items from {} on", batch.items(), batch.first_index());
///     println!("{:.6} seconds in the sink", batch.sink_seconds());
/// }
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchTime {
    pub(crate) first_index: usize,
    pub(crate) items: usize,
    pub(crate) batches: usize,
    pub(crate) begun: f64,
    pub(crate) ended: f64,
    pub(crate) sink: f64,
}

impl BatchTime {
    /// The index in the input of the first result's item.
    #[must_use]
    pub fn first_index(&self) -> usize {
        self.first_index
    }

    /// The number of results that were handed over.
    #[must_use]
    pub fn items(&self) -> usize {
        self.items
    }

    /// The number of batches that this stands for.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// Seconds from the run's start until the sink got the first of them.
    #[must_use]
    pub fn begun(&self) -> f64 {
        self.begun
    }

    /// Seconds from the run's start until the sink was done with the last of them.
    #[must_use]
    pub fn ended(&self) -> f64 {
        self.ended
    }

    /// Seconds that the sink took for them.
    #[must_use]
    pub fn sink_seconds(&self) -> f64 {
        self.sink
    }

    /// Adds the next batches. In place: a copy takes each batch 24 instructions more.
    fn join(&mut self, next: &Self) {
        self.items += next.items;
        self.batches += next.batches;
        self.ended = next.ended;
        self.sink += next.sink;
    }
}

/// Records moments of a run while it goes on.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// The time from which seconds count.
    origin: Instant,
    began: SystemTime,
    source: Source,
    /// Resident memory that does not belong to the run.
    base: Option<u64>,
    step: Duration,
    next: Instant,
    moments: Vec<Moment>,
    /// Items with calls that had ended before this part of the run.
    items_before: usize,
    /// The largest growth of resident memory.
    pub(crate) peak_resident: Option<u64>,
}

impl Recorder {
    /// Begins at `now`, with `held` bytes held.
    pub(crate) fn start(source: Source, origin: Instant, now: Instant, held: u64) -> Self {
        let base = source.resident().map(|resident| resident.as_u64().saturating_sub(held));
        Self {
            origin,
            began: SystemTime::now(),
            source,
            base,
            step: LOOK,
            next: now,
            moments: Vec::new(),
            items_before: 0,
            peak_resident: None,
        }
    }

    /// Forgets all moments, and begins at `now`, when `counts` are the run's figures.
    pub(crate) fn begin_part(&mut self, now: Instant, counts: Counts) {
        *self = Self { items_before: counts.done, ..Self::start(self.source.clone(), now, now, counts.held) };
    }

    /// Makes seconds count from another time, so that a pause is left out.
    pub(crate) fn set_origin(&mut self, origin: Instant) {
        self.next += origin - self.origin;
        self.origin = origin;
    }

    /// True if it is time for another moment.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Records a moment, with its seconds and its resident memory.
    pub(crate) fn note(&mut self, now: Instant, counts: Counts) {
        let resident = self.source.resident().zip(self.base);
        let resident = resident.map(|(resident, base)| resident.as_u64().saturating_sub(base));
        self.peak_resident = self.peak_resident.max(resident);
        if self.moments.len() == MOST_MOMENTS {
            // In place, since another list would be allocated while the run goes on.
            let mut place = 0;
            self.moments.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            // As far apart as those that are kept, which may be further apart than the step asks
            // for.
            let elapsed = now.saturating_duration_since(self.origin);
            self.step = (self.step * 2).max(elapsed / (MOST_MOMENTS / 2) as u32);
        }
        let seconds = now.saturating_duration_since(self.origin).as_secs_f64();
        let items = counts.done.saturating_sub(self.items_before);
        self.moments.push(Moment { seconds, items, held: counts.held, resident, running: counts.running });
        self.next = now + self.step;
    }

    /// Takes out what was recorded, for the report of a part that has ended.
    pub(crate) fn take_timeline(&mut self) -> Timeline {
        let moments = std::mem::take(&mut self.moments);
        Timeline { began: Some(self.began), moments, ..Timeline::default() }
    }
}

/// Records the times at which batches are with the sink.
#[derive(Clone, Debug)]
pub(crate) struct BatchTimes {
    origin: Instant,
    pub(crate) times: Vec<BatchTime>,
    /// The number of batches in each entry.
    each: usize,
    /// Seconds that the sink took in all.
    pub(crate) sink_seconds: f64,
}

impl BatchTimes {
    pub(crate) fn new(origin: Instant) -> Self {
        Self { origin, times: Vec::new(), each: 1, sink_seconds: 0.0 }
    }

    /// Takes back the last `items` of the last batch, or the `whole` batch.
    pub(crate) fn take_back(&mut self, items: usize, whole: bool) {
        if let Some(last) = self.times.last_mut() {
            last.items -= items;
            last.batches -= usize::from(whole);
        }
        self.times.pop_if(|last| last.batches == 0);
    }

    pub(crate) fn note(&mut self, first_index: usize, items: usize, begun: Instant, ended: Instant) {
        let since = |time: Instant| time.saturating_duration_since(self.origin).as_secs_f64();
        let (begun, ended) = (since(begun), since(ended));
        let sink = ended - begun;
        self.sink_seconds += sink;
        let next = BatchTime { first_index, items, batches: 1, begun, ended, sink };
        if let Some(last) = self.times.last_mut().filter(|last| last.batches < self.each) {
            return last.join(&next);
        }
        if self.times.len() == MOST_MOMENTS {
            for (place, time) in std::mem::take(&mut self.times).into_iter().enumerate() {
                match self.times.last_mut().filter(|_| place % 2 == 1) {
                    Some(last) => last.join(&time),
                    None => self.times.push(time),
                }
            }
            self.each *= 2;
        }
        self.times.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::source;

    #[test]
    fn a_long_run_is_shown_more_coarsely() {
        let begun = Instant::now();
        let mut recorder = Recorder::start(source::current(), begun, begun, 0);
        let mut noted = 0;
        for millisecond in 0..10_000 {
            let now = begun + Duration::from_millis(millisecond);
            if recorder.is_due(now) {
                recorder.note(now, Counts { done: millisecond as usize, ..Counts::default() });
                noted += 1;
            }
        }
        let moments = recorder.moments;
        assert!((MOST_MOMENTS / 2..=MOST_MOMENTS).contains(&moments.len()) && noted > moments.len());
        assert!(moments.windows(2).all(|pair| pair[0].seconds < pair[1].seconds));
        assert!(moments.iter().all(|moment| (moment.seconds * 1e3).round() as usize == moment.items));
        assert!(moments.last().unwrap().seconds > 9.9);
    }

    #[test]
    fn moments_that_come_seldom_are_as_far_apart_late_as_early() {
        let begun = Instant::now();
        let mut recorder = Recorder::start(source::current(), begun, begun, 0);
        for tick in 0..3000 {
            let now = begun + Duration::from_millis(100 * tick);
            if recorder.is_due(now) {
                recorder.note(now, Counts::default());
            }
        }
        let moments = recorder.moments;
        let apart = |at: usize| moments[at + 1].seconds - moments[at].seconds;
        assert!(moments.len() > MOST_MOMENTS / 2);
        assert!(apart(0) <= 2.0 * apart(moments.len() - 2), "{} and {}", apart(0), apart(moments.len() - 2));
    }

    #[test]
    fn many_batches_share_an_entry_and_none_is_lost() {
        let begun = Instant::now();
        let at = |millisecond| begun + Duration::from_millis(millisecond);
        let mut times = BatchTimes::new(begun);
        for batch in 0..5000 {
            times.note(batch as usize * 3, 3, at(2 * batch), at(2 * batch + 1));
        }
        assert!((times.sink_seconds - 5.0).abs() < 1e-6);
        let times = times.times;
        assert!((MOST_MOMENTS / 2..=MOST_MOMENTS).contains(&times.len()));
        assert_eq!(
            times.iter().map(|time| (time.batches, time.items)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
            (5000, 15_000)
        );
        let mut next = 0;
        for time in &times {
            assert_eq!(time.first_index, next);
            next += time.items;
            assert!((time.sink - 1e-3 * time.batches as f64).abs() < 1e-9);
        }
        assert!(times.windows(2).all(|pair| pair[0].ended < pair[1].begun));
    }

    #[test]
    fn a_pause_is_left_out() {
        let begun = Instant::now();
        let at = |millisecond| begun + Duration::from_millis(millisecond);
        let mut recorder = Recorder::start(source::current(), begun, begun, 0);
        recorder.note(at(3), Counts::default());
        recorder.set_origin(at(1000));
        assert!(!recorder.is_due(at(1003)) && recorder.is_due(at(1004)));
        recorder.note(at(1004), Counts::default());
        assert!((recorder.moments[1].seconds - 4e-3).abs() < 1e-9);
    }
}
