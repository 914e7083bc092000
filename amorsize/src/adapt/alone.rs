//! Decides if the calling thread alone is faster than threads. It can be, with calls that do little
//! but allocate memory or fill it.
//!
//! A thread that drops its own results gets the same memory again, which is in its cache and needs
//! no new pages. Results that cross from thread to thread come from more memory, and from caches
//! that are further away: filling 1 MiB took 12 us alone, and 20 to 80 us on two threads (`cargo
//! bench --bench peers -- large`). Where a result is many small allocations, the thread that frees
//! them waits for the locks of those that allocate (rows `json` and `words`). The allocator, the
//! sink and the machine decide, so the run tries it. First it hands over a few results one by one.
//! Then it goes on threads and watches their pace. If they are slower, it goes back to the calling
//! thread, compares, and stays there as long as that is better. If the first few results come
//! faster than the threads can write to memory at all, threads are tried later only.

use super::learned::Learned;
use super::sizes::{CHUNK_SECONDS, FRESH_BYTE};
use super::waits::{VARIES, WINDOW};
use crate::memory::budget::Counted;
use crate::system::page_faults::PAGE;
use crate::units::measured_by::MeasuredBy;

/// Limits the bytes of results that the calling thread makes before it hands them over, unless it
/// is a single one. From this size on (`M_TRIM_THRESHOLD`) glibc gives free memory at the end of
/// its heap back to the system, and asks for it again for the next results.
const AT_ONCE: u64 = 128 << 10;
/// Limits the seconds of the calls whose results are handed over together: the fewer results are
/// there, the more of their memory the allocator has at hand for the next ones. Handing over takes
/// some 0.5 us. 300,000 parsed documents of 8 us took 3.8 s where only `AT_ONCE` bounded them, and
/// 3.4 s with this; 2,000,000 lines of words 2.3 s and 1.9 s (with 3 us 2.5 s; `cargo bench
/// --bench peers -- json words`).
const AT_ONCE_SECONDS: f64 = 10e-6;
/// The most items that may own memory and are pulled before their calls: a call that frees its item
/// gives the memory to the next ones. A loop that pulled two million lines of 53 bytes one by one
/// was faster than one that pulled 128 at a time (1.06 of its time) or 512 (1.18).
pub(crate) const OWNING_ITEMS: usize = 128;
/// From this size of a block on, in bytes, glibc gives its memory back to the system whenever it is
/// freed (`DEFAULT_MMAP_THRESHOLD_MAX`).
const GIVEN_BACK: u64 = 32 << 20;
/// Calls that spend less than this part of their time on filling fresh memory gain more by threads
/// than the memory costs them.
const FILLING_PART: f64 = 0.25;
/// The pace is learned in as many parts: one frees the sample's results, one makes the allocator
/// keep their memory, and one more shows that it is used again. The fastest one counts.
const PARTS: u32 = 3;
/// The least seconds of such a part: some tens of short calls, as the allocator makes some of them
/// wait, and all parts together take less than a chunk.
const PART_SECONDS: f64 = CHUNK_SECONDS / 10.0;
/// Seconds per byte of results that another thread takes: they leave the cache of their own thread.
/// It is the speed at which a core writes to buffers that are there already and fit no cache, by
/// the row `large` of the bench `peers`: 23 GB/s for each of two cores (AMD EPYC). Others write 10
/// to 30.
const SHARED_BYTE: f64 = 0.04e-9;
/// Threads that take more than this multiple of the calling thread's time are left after a single
/// window. Another program that had a core for 5 ms made them look 1.2 to 1.5 times as slow (row
/// `sink`); where they fill memory, they take 20 to 80 us for what takes 12 alone.
const CLEARLY: f64 = 2.0;
/// Seconds that the calling thread goes on alone before threads are tried again, in case they
/// became better. Then twice as long.
const STAY_SECONDS: f64 = 0.2;

/// The work done up to a moment: the seconds that it took, and the bytes of results that it made.
/// Where these are an estimate at best, as memory that is used again does not grow, it is the
/// number of results.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) seconds: f64,
    pub(crate) made: u64,
    /// The part of `made` that waits to be handed over.
    pub(crate) waiting: u64,
}

impl Done {
    /// Results that are `waiting` were made, and not handed over.
    pub(crate) fn new(seconds: f64, learned: &Learned, waiting: Counted, by: MeasuredBy) -> Self {
        let measure = |bytes, results: usize| if by.can_tell() { bytes } else { results as u64 };
        let made = measure(learned.bytes, learned.items);
        Self { seconds, made, waiting: measure(waiting.bytes, waiting.results) }
    }

    /// Seconds per byte or result since `before`, or infinity if none was made. What waits is done
    /// but for the `sink_part` of its work.
    fn pace_since(self, before: Self, sink_part: f64) -> f64 {
        let made = self.made as f64 - before.made as f64;
        let done = made - sink_part * (self.waiting as f64 - before.waiting as f64);
        if done > 0.0 { (self.seconds - before.seconds) / done } else { f64::INFINITY }
    }
}

/// Takes a pace over a window of time, and then over the next one.
#[derive(Clone, Copy, Debug)]
struct PaceWindow {
    /// The length of the window, as a multiple of the usual one.
    longer: f64,
    begun: Option<f64>,
    /// The work done when the window began. `None` while the beginning is left out.
    before: Option<Done>,
}

impl PaceWindow {
    fn new(longer: f64) -> Self {
        Self { longer, begun: None, before: None }
    }

    /// At the end of a window: the pace in it.
    fn passed(&mut self, done: Done, sink_part: f64) -> Option<f64> {
        let begun = *self.begun.get_or_insert(done.seconds);
        let Some(before) = self.before else {
            // The first chunk of each thread does not count: its memory is not reused yet.
            if done.seconds - begun >= self.longer * CHUNK_SECONDS {
                self.before = Some(done);
            }
            return None;
        };
        if done.seconds - before.seconds < self.longer * WINDOW.as_secs_f64() {
            return None;
        }
        self.before = Some(done);
        Some(done.pace_since(before, sink_part))
    }
}

/// The way to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// On the calling thread alone.
    Alone,
    /// On threads.
    Threads,
}

/// The findings so far.
#[derive(Debug, Default)]
pub(crate) struct Alone {
    /// The pace of the calling thread.
    pace: Option<f64>,
    trial: Trial,
    /// The number of times that threads were found to be slower.
    times: u32,
}

/// The trial of threads against the calling thread alone.
#[derive(Debug, Default)]
enum Trial {
    #[default]
    Undecided,
    /// The pace is known after `left` more parts. It is compared with that of `threads` threads.
    Learning {
        left: u32,
        before: Done,
        threads: usize,
    },
    OnThreads,
    /// Back from threads, which had the pace `threads`.
    Comparing {
        threads: f64,
        window: PaceWindow,
    },
    /// Alone until the seconds spent reach `until`.
    Staying {
        until: f64,
    },
}

/// The part of their time that calls take to write their results into fresh memory.
fn filling_part(learned: &Learned) -> f64 {
    learned.expected_bytes() as f64 * FRESH_BYTE / learned.recent_seconds()
}

/// True if calls take not much longer than writing their results into fresh memory, and the results
/// have a size at which memory is reused.
pub(crate) fn fills_memory(learned: &Learned) -> bool {
    (PAGE..GIVEN_BACK).contains(&learned.expected_bytes()) && filling_part(learned) >= FILLING_PART
}

/// True if it has to be found out whether the calling thread alone is faster: calls fill memory, or
/// are so short that finding out takes no longer than a chunk. Results that own nothing beside
/// their `own_size` come from no allocator, and fill a page only if they are as large. Items that
/// may own memory were allocated on the calling thread, and others would free them.
pub(crate) fn may_be_faster(learned: &Learned, own_size: usize, by: MeasuredBy, items_own: bool) -> bool {
    let bytes = learned.expected_bytes();
    let is_short = f64::from(PARTS) * learned.recent_seconds() <= CHUNK_SECONDS;
    let come_from_allocator = items_own || results_own(learned, own_size, by) || bytes >= PAGE;
    fills_memory(learned) || is_short && come_from_allocator && bytes < GIVEN_BACK
}

/// True if results may own memory beside their `own_size`.
pub(crate) fn results_own(learned: &Learned, own_size: usize, by: MeasuredBy) -> bool {
    !by.can_tell() || learned.expected_bytes() > own_size as u64
}

/// Items to hand over together, so that their memory is reused.
pub(crate) fn reused_items(learned: &Learned) -> usize {
    usize::try_from(AT_ONCE / learned.expected_bytes().max(1)).unwrap_or(usize::MAX).max(1)
}

/// The same where the calling thread is compared with threads. There a sink with a cost for each
/// batch shows in the comparison.
pub(crate) fn items_at_once(learned: &Learned) -> usize {
    let by_seconds = (AT_ONCE_SECONDS / learned.recent_seconds()) as usize;
    reused_items(learned).min(by_seconds).max(1)
}

impl Alone {
    /// True before the first decision for threads.
    pub(crate) fn is_undecided(&self) -> bool {
        matches!(self.trial, Trial::Undecided)
    }

    /// True if there is something to find out or to follow before the run goes on threads.
    pub(crate) fn is_at_it(&self) -> bool {
        !matches!(self.trial, Trial::Undecided | Trial::OnThreads)
    }

    /// True if the calling thread was found to be faster.
    pub(crate) fn is_faster(&self) -> bool {
        matches!(self.trial, Trial::Staying { .. })
    }

    /// Begins to learn the pace of the calling thread, if that matters to a run that should go on
    /// `threads` threads now and if its calls are such that this `may_be_faster`.
    pub(crate) fn begin(&mut self, may_be_faster: bool, threads: usize, done: Done) -> Next {
        if !self.is_undecided() || !may_be_faster {
            self.trial = Trial::OnThreads;
            return Next::Threads;
        }
        self.trial = Trial::Learning { left: PARTS, before: done, threads };
        Next::Alone
    }

    /// Says after a stretch how to go on.
    pub(crate) fn after_stretch(&mut self, done: Done) -> Next {
        match &mut self.trial {
            Trial::Undecided | Trial::OnThreads => {}
            Trial::Learning { left, before, threads } => {
                if done.seconds - before.seconds < PART_SECONDS {
                    return Next::Alone;
                }
                // Other programs disturb the fastest part least. If it was too fast to last, the
                // comparison after the threads shows that.
                let pace = done.pace_since(*before, 0.0).min(self.pace.unwrap_or(f64::INFINITY));
                self.pace = Some(pace).filter(|pace| pace.is_finite());
                *left -= 1;
                if *left > 0 {
                    *before = done;
                    return Next::Alone;
                }
                // For results that can't tell their bytes, the pace is that of results: none is so
                // fast.
                let best_of_threads = SHARED_BYTE / *threads as f64;
                if self.pace.is_some_and(|pace| VARIES * pace <= best_of_threads) {
                    return self.stay(done);
                }
            }
            Trial::Comparing { threads, window } => {
                let Some(pace) = window.passed(done, 0.0) else { return Next::Alone };
                self.pace = Some(pace);
                self.times += 1;
                if VARIES * pace <= *threads {
                    return self.stay(done);
                }
            }
            Trial::Staying { until } => {
                if done.seconds < *until {
                    return Next::Alone;
                }
            }
        }
        self.trial = Trial::OnThreads;
        Next::Threads
    }

    /// Lets the calling thread go on for a while.
    fn stay(&mut self, done: Done) -> Next {
        // Twice as long each time, so that trying threads again costs less and less of the run.
        let stay = STAY_SECONDS * f64::from(1u32 << self.times.saturating_sub(1).min(16));
        self.trial = Trial::Staying { until: done.seconds + stay };
        Next::Alone
    }

    /// Watches a run that goes on threads now, if there is a pace to compare with. Each time that
    /// threads were slower, the next trial is longer.
    pub(crate) fn watch(&self) -> Option<ThreadsPace> {
        let window = PaceWindow::new(f64::from(1u32 << self.times.min(4)));
        self.pace.map(|alone| ThreadsPace { alone, window, was_slower: self.times > 0 })
    }

    /// Goes back to the calling thread, from threads that had the pace `threads`.
    pub(crate) fn go_back(&mut self, threads: f64) {
        self.trial = Trial::Comparing { threads, window: PaceWindow::new(1.0) };
    }
}

/// The pace of a run on threads, beside that of the calling thread.
#[derive(Debug)]
pub(crate) struct ThreadsPace {
    alone: f64,
    window: PaceWindow,
    /// True if they were slower in the window before, or in an earlier trial.
    was_slower: bool,
}

impl ThreadsPace {
    /// The threads' pace, if they were slower than the calling thread, in two windows or clearly:
    /// another program may have had the cores in one. The sink has the `sink_part` of the work on
    /// an item.
    ///
    /// So what waits for the sink is not done in full. Calls run ahead of the sink in one window,
    /// and in the next one the calling thread catches up, with fewer calls beside it. Where calls
    /// alone counted, a run of 490 ms left its threads in every second process, and took 610 to 750
    /// ms (`cargo bench --bench peers -- sink`).
    pub(crate) fn is_slower(&mut self, done: Done, sink_part: f64) -> Option<f64> {
        let pace = self.window.passed(done, sink_part).filter(|pace| pace.is_finite())?;
        let is_slower = pace > VARIES * self.alone;
        let was_slower = std::mem::replace(&mut self.was_slower, is_slower);
        (is_slower && was_slower || pace > CLEARLY * self.alone).then_some(pace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapt::learned::Stretch;

    const MIB: u64 = 1 << 20;

    /// The facts after one item that took `seconds` and gave `bytes`.
    fn learned(seconds: f64, bytes: u64) -> Learned {
        let mut learned = Learned::default();
        learned.add(Stretch { items: 1, seconds, bytes, largest: bytes, working: 0 });
        learned
    }

    /// A calling thread with a fixed time per MiB.
    struct Caller {
        alone: Alone,
        done: Done,
    }

    impl Caller {
        fn new() -> Self {
            Self { alone: Alone::default(), done: Done::default() }
        }

        /// Makes results of `bytes` each until threads should be used or there are `most`. Gives
        /// their number.
        fn goes_on(&mut self, seconds: f64, bytes: u64, most: usize) -> usize {
            (0..most)
                .find(|_| {
                    let next = self.alone.after_stretch(self.done);
                    self.done.seconds += seconds;
                    self.done.made += bytes;
                    next == Next::Threads
                })
                .unwrap_or(most)
        }
    }

    #[test]
    fn calls_that_fill_memory_are_tried_and_short_ones_whose_results_own_some() {
        let are_tried = |seconds, bytes| may_be_faster(&learned(seconds, bytes), 24, MeasuredBy::DeepSize, false);
        assert!(are_tried(0.5e-3, MIB) && are_tried(12e-6, MIB) && are_tried(8e-3, 16 * MIB));
        // A parsed document, and a line of words.
        assert!(are_tried(40e-6, 9000) && are_tried(0.5e-6, 430));
        assert!(!are_tried(3e-3, MIB) && !are_tried(3e-3, 9000) && !are_tried(0.1, 64 * MIB));
        assert!(!are_tried(10e-9, 24) && !are_tried(0.1e-3, 24));
        // A closure's result, of which nothing is seen where memory is used again.
        assert!(may_be_faster(&learned(12e-6, 24), 24, MeasuredBy::Resident, false));
        // A line, of which a number is left.
        assert!(may_be_faster(&learned(0.1e-6, 24), 24, MeasuredBy::DeepSize, true));
        let mut alone = Alone::default();
        assert_eq!(alone.begin(false, 2, Done::default()), Next::Threads);
        assert!(alone.watch().is_none() && !alone.is_at_it());
    }

    #[test]
    fn few_results_are_there_at_a_time() {
        let at_once = |seconds, bytes| items_at_once(&learned(seconds, bytes));
        assert_eq!([64 << 10, 16 << 10, 4 * MIB].map(|bytes| at_once(0.1e-6, bytes)), [2, 8, 1]);
        assert_eq!([20e-6, 3e-6, 0.5e-6].map(|seconds| at_once(seconds, 430)), [1, 3, 20]);
    }

    #[test]
    fn the_pace_is_that_of_the_fastest_part() {
        let mut caller = Caller::new();
        let begin = |caller: &mut Caller| caller.alone.begin(true, 4, caller.done);
        assert_eq!(begin(&mut caller), Next::Alone);
        for (seconds, stretches, last) in
            [(0.5e-3, 1, Next::Alone), (12e-6, 17, Next::Alone), (41e-6, 5, Next::Threads)]
        {
            for left in (0..stretches).rev() {
                caller.done.seconds += seconds;
                caller.done.made += MIB;
                let next = if left > 0 { Next::Alone } else { last };
                assert_eq!(caller.alone.after_stretch(caller.done), next);
            }
        }
        let pace = caller.alone.watch().unwrap().alone;
        assert!((pace * MIB as f64 - 12e-6).abs() < 1e-9);
        // One trial is enough.
        assert_eq!(begin(&mut caller), Next::Threads);
    }

    #[test]
    fn threads_are_tried_later_where_they_can_hardly_be_faster() {
        // Two threads write less than 1 MiB in 12 us; four may write more.
        let mut caller = Caller::new();
        assert_eq!(caller.alone.begin(true, 2, caller.done), Next::Alone);
        let alone = caller.goes_on(12e-6, MIB, 1_000_000) as f64 * 12e-6;
        assert!((alone - 0.2).abs() < 5e-3, "{alone}");
        assert_eq!(caller.alone.watch().unwrap().window.longer, 1.0);
    }

    #[test]
    fn threads_are_slower_only_over_a_whole_window() {
        let alone = Alone { pace: Some(12e-6 / MIB as f64), ..Alone::default() };
        let at = |milliseconds: u64, bytes| Done { seconds: milliseconds as f64 / 1e3, made: bytes, waiting: 0 };
        let mut slow = alone.watch().unwrap();
        assert_eq!(slow.is_slower(at(0, 0), 0.0), None);
        assert_eq!(slow.is_slower(at(2, 10 * MIB), 0.0), None);
        assert_eq!(slow.is_slower(at(5, 80 * MIB), 0.0), None);
        let pace = slow.is_slower(at(7, 135 * MIB), 0.0).unwrap();
        assert!((pace * MIB as f64 - 40e-6).abs() < 1e-9);

        let mut without = alone.watch().unwrap();
        assert_eq!([0, 2, 7, 12].map(|time| without.is_slower(at(time, 0), 0.0)), [None; 4]);

        let mut fast = alone.watch().unwrap();
        let seen = [0, 2, 7, 12, 17].map(|time| fast.is_slower(at(time, 90 * MIB * time), 0.0));
        assert_eq!(seen, [None; 5]);
    }

    #[test]
    fn threads_that_are_a_little_slower_get_a_second_window() {
        let mut alone = Alone { pace: Some(12e-6 / MIB as f64), ..Alone::default() };
        // 300 MiB in 6 ms are 20 us each, and 600 are 10 us.
        let windows = |alone: &Alone, made: [u64; 4]| {
            let (mut pace, mut done) = (alone.watch().unwrap(), Done::default());
            let mut pass = |seconds: f64, made: u64| {
                done = Done { seconds: done.seconds + seconds, made: done.made + made * MIB, waiting: 0 };
                pace.is_slower(done, 0.0).is_some()
            };
            assert!(!pass(0.0, 0) && !pass(12e-3, 600));
            made.map(|made| pass(24e-3, 4 * made))
        };
        assert_eq!(windows(&alone, [300, 600, 300, 600]), [false; 4]);
        assert_eq!(windows(&alone, [300, 300, 600, 600]), [false, true, false, false]);
        alone.times = 1;
        assert_eq!(windows(&alone, [300, 600, 300, 600]), [true, false, false, false]);
    }

    #[test]
    fn threads_that_catch_up_with_a_sink_are_not_slower() {
        // Making 1 MiB takes 6 us, and so does handing it over.
        let alone = Alone { pace: Some(12e-6 / MIB as f64), ..Alone::default() };
        let mut pace = alone.watch().unwrap();
        let mut is_slower = |milliseconds: u64, made: u64, waiting: u64| {
            let done = Done { seconds: milliseconds as f64 / 1e3, made: made * MIB, waiting: waiting * MIB };
            pace.is_slower(done, 0.5).is_some()
        };
        // Two threads make results. Then one hands them over, and the other waits for items.
        assert!(!is_slower(0, 0, 0) && !is_slower(4, 1200, 1200) && !is_slower(15, 4800, 4800));
        assert!(!is_slower(26, 5200, 3600) && !is_slower(37, 5600, 2400));
        // Both are slow.
        assert!(is_slower(48, 6000, 2400));
    }

    #[test]
    fn the_run_stays_where_it_is_faster() {
        let mut caller = Caller::new();
        caller.alone.go_back(40e-6 / MIB as f64);
        // Staying takes 0.2 s, then twice as long. Both begin with the comparison.
        let stays = |caller: &mut Caller| caller.goes_on(20e-6, MIB, 1_000_000) as f64 * 20e-6;
        assert!((stays(&mut caller) - 0.207).abs() < 5e-3);
        assert!(!caller.alone.is_at_it());
        caller.alone.go_back(40e-6 / MIB as f64);
        assert!((stays(&mut caller) - 0.407).abs() < 5e-3);
        // Threads also get longer to show their pace.
        assert_eq!(caller.alone.watch().unwrap().window.longer, 4.0);
    }

    #[test]
    fn the_run_leaves_when_it_is_not_faster() {
        let mut caller = Caller::new();
        caller.alone.go_back(40e-6 / MIB as f64);
        assert_eq!(caller.goes_on(38e-6, MIB, 1000), ((2e-3_f64 / 38e-6).ceil() + (5e-3_f64 / 38e-6).ceil()) as usize);
    }
}
