//! Tunes a run on threads: its threads, the items of a chunk and a batch, and how far the calls run
//! ahead of the sink.

use std::time::{Duration, Instant};

use super::climb::Climb;
use super::learned::Learned;
use super::situation::Situation;
use super::sizes::{BATCH_BYTES, CHUNK_SECONDS, HANDED_SECONDS, Sizes, batch_in_flight, chunk_items, chunk_seconds};
use super::waits::VARIES;
use crate::system::thread_time;
use crate::units::mean::follow;

/// Batches to be made while the calling thread is in the sink for long: one that is ready when it
/// comes back, and one more in case the sink is faster next time.
const BATCHES_AHEAD: usize = 2;
/// Chunks that wait for each worker, if a chunk takes about two milliseconds: a sleeping calling
/// thread can be kept off its core for a scheduler's time slice of 3 ms. Longer chunks are fewer,
/// so that they last as long.
const AHEAD: f64 = 4.0;

/// The numbers of threads that a run may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadLimits {
    /// Threads at the beginning.
    pub(crate) level: usize,
    /// Threads that can run at the same time.
    pub(crate) cores: usize,
    /// Threads that it may climb to.
    pub(crate) most: usize,
    /// True if threads beyond the cores are the run's own, rather than the pool's.
    pub(crate) own: bool,
}

/// The sizes of a run on threads, which follow what is learned of the calls and the sink.
#[derive(Debug)]
pub(crate) struct Tuner {
    /// The threads now, the items of the last chunk, and those of a full batch.
    sizes: Sizes,
    climb: Climb,
    /// True if threads beyond the cores are the run's own.
    has_own_threads: bool,
    /// Items per batch that batches have grown to so far.
    grown_batch: usize,
    /// Expected seconds in the sink for one hand-over, once known.
    sink_seconds: Option<f64>,
    /// Expected seconds in the sink for each item; 0 if unknown.
    sink_pace: f64,
    /// True if the input is asked for one item at a time.
    pub(crate) input_may_wait: bool,
}

impl Tuner {
    /// Begins with chunks of `known` items, which ran on the calling thread. `batches` are the
    /// items of a full batch and of the first one: a smaller batch lets the sink begin soon.
    pub(crate) fn new(threads: ThreadLimits, known: usize, (batch_items, first_batch): (usize, usize)) -> Self {
        Self {
            sizes: Sizes { threads: threads.level, chunk_items: known.max(1), batch_items },
            climb: Climb::new(threads.cores, threads.level, threads.most),
            has_own_threads: threads.own,
            grown_batch: first_batch,
            sink_seconds: None,
            sink_pace: 0.0,
            input_may_wait: false,
        }
    }

    /// The number of threads now.
    pub(crate) fn threads(&self) -> usize {
        self.sizes.threads
    }

    /// True if the run may get threads of its own.
    pub(crate) fn may_use_own_threads(&self) -> bool {
        self.has_own_threads && self.climb.is_possible()
    }

    /// True if the run is on threads of its own now.
    pub(crate) fn uses_own_threads(&self) -> bool {
        self.has_own_threads && self.climb.is_above_cores()
    }

    /// Goes on with `threads` threads.
    pub(crate) fn set_threads(&mut self, threads: usize, learned: &Learned, situation: &Situation) {
        self.sizes.threads = threads;
        self.sizes.batch_items = Sizes::new(learned, situation, threads).batch_items;
    }

    /// Goes on with at most `threads` threads, because no more can be had.
    pub(crate) fn limit_threads(&mut self, threads: usize, learned: &Learned, situation: &Situation) {
        let threads = self.climb.limit(threads);
        self.set_threads(threads, learned, situation);
    }

    /// Makes any climb end at `threads` threads.
    #[cfg(all(loom, test))]
    pub(crate) fn climb_to(&mut self, threads: usize, learned: &Learned, situation: &Situation) {
        self.climb = Climb::new(1, threads, threads);
        self.set_threads(threads, learned, situation);
    }

    /// Goes on after a pause.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.climb.resume(now, &thread_time::process_ran);
    }

    pub(crate) fn pause(&mut self, now: Instant) {
        self.climb.pause(now, &thread_time::process_ran);
    }

    /// Notes that a chunk of `items` ended, which took `seconds`. True if the number of threads
    /// changes. It rises only if memory `has_room` for more calls.
    pub(crate) fn chunk_ended(
        &mut self,
        now: Instant,
        ended: (usize, f64),
        has_room: bool,
        learned: &Learned,
        situation: &Situation,
    ) -> bool {
        let level = self.climb.chunk_ended(now, ended, &learned.waits, has_room, &thread_time::process_ran);
        let Some(threads) = level else { return false };
        self.set_threads(threads, learned, situation);
        true
    }

    /// Notes that the sink took `results` results in `time`.
    pub(crate) fn sink_took(&mut self, results: usize, time: Duration) {
        let seconds = time.as_secs_f64();
        let mut mean = self.sink_seconds.unwrap_or(0.0);
        follow(&mut mean, seconds);
        // If the sink's times are uneven, the longer ones count: results must be ready for those.
        self.sink_seconds = Some(seconds.max(mean));
        follow(&mut self.sink_pace, seconds / results as f64);
    }

    /// True if the sink takes about as long as the calls would on `others` threads, or longer. By
    /// clocks alone, a sink that takes as long would be slower at times and faster at others.
    pub(crate) fn is_bound_by_sink(&self, learned: &Learned, others: usize) -> bool {
        learned.recent_seconds() < VARIES * self.sink_pace * others as f64
    }

    /// The sink's part of the work on an item, which takes `input` seconds to get.
    pub(crate) fn sink_part(&self, learned: &Learned, input: f64) -> f64 {
        self.sink_pace / (self.sink_pace + learned.recent_seconds() + input).max(f64::MIN_POSITIVE)
    }

    /// Lets batches grow towards their size, after the sink took one. `ready` further results wait
    /// for it.
    ///
    /// Each batch is twice as large as the one before. But a sink that takes about as long as the
    /// calls would wait for the second half of it each time, and all these waits would delay the
    /// end. Such a sink gets no more than is ready when it comes back.
    pub(crate) fn grow_batches(&mut self, ready: usize, learned: &Learned) {
        if self.grown_batch >= self.sizes.batch_items {
            return;
        }
        let made = learned.recent_seconds() / self.threads() as f64;
        let most = if self.sink_pace < made { usize::MAX } else { ready.max(self.grown_batch) };
        self.grown_batch = self.grown_batch.saturating_mul(2).min(most);
    }

    /// The number of items per batch, as far as batches have grown.
    pub(crate) fn batch_now(&self) -> usize {
        self.sizes.batch_items.min(self.grown_batch)
    }

    /// The items of the next chunk, by what is known of the calls and the sink. Adapts batches to
    /// the same.
    pub(crate) fn next_chunk(&mut self, learned: &Learned, situation: &Situation) -> usize {
        let chunk_items = chunk_items(learned, situation, self.threads());
        // A sample can mislead, so chunks grow by steps.
        self.sizes.chunk_items = chunk_items.min(2 * self.sizes.chunk_items).max(1);
        self.adapt_batches(learned, situation);
        let handed_over = if self.sink_pace > 0.0 {
            (HANDED_SECONDS / self.sink_pace) as usize
        } else {
            // The first batches show how long the sink takes for batches of the stated size.
            situation.batch_items.filter(|_| situation.hands_over).unwrap_or(usize::MAX)
        };
        self.sizes.chunk_items.min(handed_over.max(1))
    }

    fn adapt_batches(&mut self, learned: &Learned, situation: &Situation) {
        let items = self.sizes.batches(learned, situation);
        // Small differences are left alone: a change costs a batch that does not fit the sink's
        // rhythm, and the clock's readings of a chunk vary.
        let before = self.sizes.batch_items;
        if items.saturating_mul(4) < before.saturating_mul(3) || items > before.saturating_mul(2) {
            self.sizes.batch_items = items;
        }
    }

    /// The most items of a chunk that starts now. One that was pulled when items seemed cheaper is
    /// larger.
    pub(crate) fn timely_chunk(&self, learned: &Learned, situation: &Situation) -> usize {
        2 * chunk_items(learned, situation, self.threads())
    }

    /// Seconds that a chunk should last.
    pub(crate) fn chunk_seconds(&self, situation: &Situation) -> f64 {
        chunk_seconds(situation.threads, self.threads())
    }

    /// The number of chunks that should wait for the workers.
    pub(crate) fn chunks_ahead(&self, situation: &Situation) -> usize {
        if self.input_may_wait {
            return self.threads();
        }
        (AHEAD * self.threads() as f64 * CHUNK_SECONDS / self.chunk_seconds(situation)) as usize
    }

    /// Items that the threads run while the calling thread is in the sink, up to those of the
    /// batches ahead. Results of `fitting` items have room.
    pub(crate) fn items_meanwhile(&self, learned: &Learned, situation: &Situation, fitting: usize) -> usize {
        let batch = situation.batch_items.unwrap_or(self.sizes.batch_items).min(fitting);
        match self.sink_seconds {
            // If there were more, workers would get them from memory rather than from a cache, and
            // cheap items would take twice as long.
            None => batch.min(BATCH_BYTES as usize / situation.item_size.max(1)),
            Some(seconds) => {
                let items = self.threads() as f64 * seconds / learned.recent_seconds().max(1e-10);
                BATCHES_AHEAD * (items as usize).min(batch)
            }
        }
    }

    /// The most chunks to pull before results are looked at again, if the threads run `meanwhile`
    /// items while the calling thread is in the sink.
    pub(crate) fn most_pulls(&self, situation: &Situation, meanwhile: usize) -> usize {
        self.chunks_ahead(situation) + meanwhile / self.sizes.chunk_items.max(1)
    }

    /// The most results that a calling thread waits for that wants `items`, if at most `in_flight`
    /// items may be between the input and the sink: otherwise the threads would have nothing to do
    /// until all of these results are there.
    pub(crate) fn wanted(&self, items: usize, in_flight: usize) -> usize {
        match in_flight {
            usize::MAX => items.max(1),
            most => items.min(batch_in_flight(most, self.threads())).max(1),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::adapt::learned::Stretch;
    use crate::plan::tests::situation;
    use crate::units::ByteSize;

    fn known(threads: usize) -> (Learned, Situation) {
        let mut learned = Learned::default();
        learned.add(Stretch { items: 1000, seconds: 10e-3, bytes: 8000, largest: 8, working: 0 });
        let situation =
            Situation { threads, most: threads, budget: ByteSize::mib(1), result_size: 8, ..situation(None) };
        (learned, situation)
    }

    /// A run on two threads. Its calls take 10 us, its sink `sink` seconds for each result. Its
    /// first batch had 100 items.
    fn tuner(sink: f64) -> Tuner {
        let limits = ThreadLimits { level: 2, cores: 2, most: 2, own: false };
        Tuner { sink_pace: sink, ..Tuner::new(limits, 100, (2000, 100)) }
    }

    #[test]
    fn a_sink_is_the_bottleneck_if_it_takes_as_long_as_the_other_threads_calls() {
        // Calls take 10 us.
        let (learned, _) = known(2);
        let is_bound = |others, sink| tuner(sink).is_bound_by_sink(&learned, others);
        assert_eq!([11e-6, 10e-6, 8e-6].map(|sink| is_bound(1, sink)), [true, true, false]);
        assert_eq!([4, 3, 2].map(|others| is_bound(others, 3.2e-6)), [true, true, false]);
        assert!(!is_bound(0, 1.0) && !is_bound(64, 0.0));

        let part = |sink, input| tuner(sink).sink_part(&learned, input);
        assert_eq!([part(0.0, 0.0), part(10e-6, 0.0), part(10e-6, 20e-6)], [0.0, 0.5, 0.25]);
    }

    #[test]
    fn batches_follow_the_threads_where_no_sink_takes_them() {
        let (mut tuner, (learned, situation)) = (tuner(0.0), known(64));
        tuner.grown_batch = usize::MAX;
        tuner.set_threads(64, &learned, &situation);
        assert_eq!(tuner.batch_now(), tuner.sizes.batch_items);
        assert!(tuner.sizes.batch_items >= 2 * 64);
    }

    #[test]
    fn a_caller_is_woken_before_all_that_may_be_in_flight_is_done() {
        let tuner = tuner(0.0);
        assert_eq!(tuner.wanted(usize::MAX, usize::MAX), usize::MAX);
        assert_eq!([usize::MAX, 20, 3, 0].map(|items| tuner.wanted(items, 66)), [16, 16, 3, 1]);
    }

    #[test]
    fn batches_of_a_fast_sink_double() {
        let (mut tuner, (learned, _)) = (tuner(1e-6), known(2));
        let sizes = [(); 6].map(|()| {
            tuner.grow_batches(0, &learned);
            tuner.batch_now()
        });
        assert_eq!(sizes, [200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn a_sink_as_slow_as_the_calls_waits_for_no_larger_batch() {
        for (ready, items) in [(0, 100), (90, 100), (150, 150), (500, 200)] {
            let (mut tuner, (learned, _)) = (tuner(10e-6), known(2));
            tuner.grow_batches(ready, &learned);
            assert_eq!(tuner.grown_batch, items, "{ready} ready");
        }
    }

    #[test]
    fn an_uneven_sink_is_expected_to_take_its_longer_times() {
        let mut tuner = tuner(0.0);
        tuner.sink_took(10, Duration::from_millis(10));
        assert_eq!((tuner.sink_seconds, tuner.sink_pace), (Some(10e-3), 1e-3));
        tuner.sink_took(10, Duration::from_millis(50));
        assert_eq!(tuner.sink_seconds, Some(50e-3));
        tuner.sink_took(10, Duration::from_millis(10));
        assert_eq!(tuner.sink_seconds, Some(40e-3));
    }
}
