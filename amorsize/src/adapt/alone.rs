//! Decides if the calling thread alone is faster than threads. It can be, with calls that do little
//! but fill memory.
//!
//! A thread that drops its own results gets the same memory again, which is in its cache and needs
//! no new pages. Results that cross from thread to thread come from more memory, and from caches
//! that are further away: filling 1 MiB took 12 us alone, and 20 to 80 us on two threads (`cargo
//! bench --bench peers -- large`). The allocator, the sink and the machine decide, so the run tries
//! it. First it hands over a few results one by one. Then it goes on threads and watches their
//! pace. If they are slower, it goes back to the calling thread, compares, and stays there as long
//! as that is better. If the first few results come faster than the threads can write to memory at
//! all, threads are tried later only.

use super::learned::Learned;
use super::sizes::{CHUNK_SECONDS, FRESH_BYTE};
use super::waits::{VARIES, WINDOW};
use crate::system::page_faults::PAGE;

/// Limits the bytes of results that the calling thread makes before it hands them over, unless it
/// is a single one. From this size on (`M_TRIM_THRESHOLD`) glibc gives free memory at the end of
/// its heap back to the system, and asks for it again for the next results.
const AT_ONCE: u64 = 128 << 10;
/// From this size of a block on, in bytes, glibc gives its memory back to the system whenever it is
/// freed (`DEFAULT_MMAP_THRESHOLD_MAX`).
const GIVEN_BACK: u64 = 32 << 20;
/// Calls that spend less than this part of their time on filling fresh memory gain more by threads
/// than the memory costs them.
pub(crate) const FILLING_PART: f64 = 0.25;
/// Stretches to learn the pace from: one frees the sample's results, one makes the allocator keep
/// their memory, and one counts.
const STRETCHES: u32 = 3;
/// Seconds per byte of results that another thread takes: they leave the cache of their own thread.
/// It is the speed at which a core writes to buffers that are there already and fit no cache, by
/// the row `large` of the bench `peers`: 23 GB/s for each of two cores (AMD EPYC). Others write 10
/// to 30.
const SHARED_BYTE: f64 = 0.04e-9;
/// Seconds that the calling thread goes on alone before threads are tried again, in case they
/// became better. Then twice as long.
const STAY_SECONDS: f64 = 0.2;

/// The work done up to a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
}

impl Done {
    /// The work done since `before`.
    fn since(self, before: Self) -> Self {
        Self { seconds: self.seconds - before.seconds, bytes: self.bytes.saturating_sub(before.bytes) }
    }

    /// Seconds per byte, or infinity if no bytes were made.
    fn pace(self) -> f64 {
        if self.bytes > 0 { self.seconds / self.bytes as f64 } else { f64::INFINITY }
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

    /// At the end of a window: the work done in it.
    fn passed(&mut self, done: Done) -> Option<Done> {
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
        Some(done.since(before))
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
    /// Seconds per byte of the results on the calling thread.
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
    /// The pace is known after `left` more stretches. It is compared with that of `threads`
    /// threads.
    Learning {
        left: u32,
        before: Done,
        threads: usize,
    },
    OnThreads,
    /// Back from threads that took `threads` seconds per byte.
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
pub(crate) fn filling_part(learned: &Learned) -> f64 {
    learned.expected_bytes() as f64 * FRESH_BYTE / learned.recent_seconds()
}

/// True if calls take not much longer than writing their results into fresh memory, and the results
/// have a size at which memory is reused.
///
/// Smaller results fill less than a page: their memory comes from what the allocator has already.
pub(crate) fn fills_memory(learned: &Learned) -> bool {
    (PAGE..GIVEN_BACK).contains(&learned.expected_bytes()) && filling_part(learned) >= FILLING_PART
}

/// Items to hand over together, so that their memory is reused.
pub(crate) fn items_at_once(learned: &Learned) -> usize {
    usize::try_from(AT_ONCE / learned.expected_bytes().max(1)).unwrap_or(usize::MAX).max(1)
}

impl Alone {
    /// True if there is something to find out or to follow before the run goes on threads.
    pub(crate) fn is_at_it(&self) -> bool {
        !matches!(self.trial, Trial::Undecided | Trial::OnThreads)
    }

    /// True if the calling thread was found to be faster.
    pub(crate) fn is_faster(&self) -> bool {
        matches!(self.trial, Trial::Staying { .. })
    }

    /// Begins to learn the pace of the calling thread, if that matters to a run that should go on
    /// `threads` threads now.
    pub(crate) fn begin(&mut self, learned: &Learned, threads: usize, done: Done) -> Next {
        if !matches!(self.trial, Trial::Undecided) || !fills_memory(learned) {
            self.trial = Trial::OnThreads;
            return Next::Threads;
        }
        self.trial = Trial::Learning { left: STRETCHES, before: done, threads };
        Next::Alone
    }

    /// Says after a stretch how to go on.
    pub(crate) fn after_stretch(&mut self, done: Done) -> Next {
        match &mut self.trial {
            Trial::Undecided | Trial::OnThreads => {}
            Trial::Learning { left, before, threads } => {
                *left -= 1;
                if *left > 0 {
                    *before = done;
                    return Next::Alone;
                }
                self.pace = Some(done.since(*before).pace()).filter(|pace| pace.is_finite());
                let best_of_threads = SHARED_BYTE / *threads as f64;
                if self.pace.is_some_and(|pace| VARIES * pace <= best_of_threads) {
                    return self.stay(done);
                }
            }
            Trial::Comparing { threads, window } => {
                let Some(pace) = window.passed(done).map(Done::pace) else { return Next::Alone };
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
        let longer = f64::from(1u32 << self.times.min(4));
        self.pace.map(|alone| ThreadsPace { alone, window: PaceWindow::new(longer) })
    }

    /// Goes back to the calling thread, from threads that took `threads` seconds per byte.
    pub(crate) fn go_back(&mut self, threads: f64) {
        self.trial = Trial::Comparing { threads, window: PaceWindow::new(1.0) };
    }
}

/// The pace of a run on threads, beside that of the calling thread. Both are seconds per byte.
#[derive(Debug)]
pub(crate) struct ThreadsPace {
    alone: f64,
    window: PaceWindow,
}

impl ThreadsPace {
    /// The threads' seconds per byte, if they were slower than the calling thread.
    pub(crate) fn is_slower(&mut self, done: Done, learned: &Learned) -> Option<f64> {
        let pace = self.window.passed(done).map(Done::pace).filter(|pace| pace.is_finite())?;
        (pace > VARIES * self.alone && fills_memory(learned)).then_some(pace)
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
                    self.done.bytes += bytes;
                    next == Next::Threads
                })
                .unwrap_or(most)
        }
    }

    #[test]
    fn only_calls_that_fill_memory_are_tried() {
        assert!(fills_memory(&learned(0.5e-3, MIB)));
        assert!(fills_memory(&learned(12e-6, MIB)));
        assert!(!fills_memory(&learned(3e-3, MIB)));
        assert!(!fills_memory(&learned(10e-9, 8)));
        assert!(!fills_memory(&learned(0.1, 64 * MIB)));
        assert_eq!([64 << 10, 16 << 10, 4 * MIB].map(|bytes| items_at_once(&learned(1.0, bytes))), [2, 8, 1]);
        let mut alone = Alone::default();
        assert_eq!(alone.begin(&learned(3e-3, MIB), 2, Done::default()), Next::Threads);
        assert!(alone.watch().is_none() && !alone.is_at_it());
    }

    #[test]
    fn the_pace_is_that_of_the_last_stretch() {
        let mut caller = Caller::new();
        assert_eq!(caller.alone.begin(&learned(0.5e-3, MIB), 4, caller.done), Next::Alone);
        for (seconds, next) in [(0.5e-3, Next::Alone), (0.4e-3, Next::Alone), (12e-6, Next::Threads)] {
            caller.done.seconds += seconds;
            caller.done.bytes += MIB;
            assert_eq!(caller.alone.after_stretch(caller.done), next);
        }
        let pace = caller.alone.watch().unwrap().alone;
        assert!((pace * MIB as f64 - 12e-6).abs() < 1e-9);
        // One trial is enough.
        assert_eq!(caller.alone.begin(&learned(0.5e-3, MIB), 4, caller.done), Next::Threads);
    }

    #[test]
    fn threads_are_tried_later_where_they_can_hardly_be_faster() {
        // Two threads write less than 1 MiB in 12 us; four may write more.
        let mut caller = Caller::new();
        assert_eq!(caller.alone.begin(&learned(0.5e-3, MIB), 2, caller.done), Next::Alone);
        let alone = caller.goes_on(12e-6, MIB, 1_000_000) as f64 * 12e-6;
        assert!((alone - 0.2).abs() < 5e-3, "{alone}");
        assert_eq!(caller.alone.watch().unwrap().window.longer, 1.0);
    }

    #[test]
    fn threads_are_slower_only_over_a_whole_window() {
        let alone = Alone { pace: Some(12e-6 / MIB as f64), ..Alone::default() };
        let learned = learned(80e-6, MIB);
        let at = |milliseconds: u64, bytes| Done { seconds: milliseconds as f64 / 1e3, bytes };
        let mut slow = alone.watch().unwrap();
        assert_eq!(slow.is_slower(at(0, 0), &learned), None);
        assert_eq!(slow.is_slower(at(2, 10 * MIB), &learned), None);
        assert_eq!(slow.is_slower(at(5, 80 * MIB), &learned), None);
        let pace = slow.is_slower(at(7, 135 * MIB), &learned).unwrap();
        assert!((pace * MIB as f64 - 40e-6).abs() < 1e-9);

        let mut without = alone.watch().unwrap();
        assert_eq!([0, 2, 7, 12].map(|time| without.is_slower(at(time, 0), &learned)), [None; 4]);

        let mut fast = alone.watch().unwrap();
        let seen = [0, 2, 7, 12, 17].map(|time| fast.is_slower(at(time, 90 * MIB * time), &learned));
        assert_eq!(seen, [None; 5]);
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
