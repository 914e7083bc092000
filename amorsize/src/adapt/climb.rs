//! Chooses the number of threads for a run with a function that waits: more and more, as long as
//! that pays.
//!
//! The number rises by steps. After each step the items per second are compared with those before,
//! and a step without a gain is undone. So the climb ends at the limit that it meets: a device that
//! takes only a certain number of calls at a time, a lock that all calls take, or a budget without
//! room for more. The limit of the cores is known without a trial: calls that wait for four fifths
//! of their time keep a core busy on five threads.

use std::time::{Duration, Instant};

use super::waits::{VARIES, WINDOW, Waits};

/// A step multiplies the threads by this. From 2 threads to 256 it takes 7 steps of two, each as
/// long as two calls, and 4 steps of four. A step that proves too large is followed by one of half
/// its size.
pub(crate) const STEP: usize = 4;
/// A step that gains less than this part of its possible gain is undone: a smaller one would
/// do. With a fifth, a step of four times has to gain 1.6 times, and one of twice 1.2 times, so
/// that at most a sixth of what a device can do is left.
const WORTH_PART: f64 = 0.2;
/// A rate is taken over at least this many chunks, so that one slow chunk does not decide.
const CHUNKS: usize = 8;
/// After this time, one chunk for each thread is enough for a rate.
const LONG: Duration = Duration::from_millis(50);
/// If this part of the threads would do, there are enough. Then threads that would keep the cores
/// as busy are taken away, and threads without anything to run get no more: items, credit or the
/// sink limit the run.
const ENOUGH: f64 = 0.75;
/// Windows after which a step that did not pay is tried again, in case the device has changed. Each
/// further try comes after twice as many.
const PATIENCE: u32 = 16;

/// The measurements of a window of time with the same number of threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Items per second.
    pub(crate) rate: f64,
    /// The part of their time that the threads had something to run.
    pub(crate) occupied: f64,
    /// Threads that would keep the cores busy.
    pub(crate) wanted: f64,
    /// The ratio of `wanted` to the number for threads that take turns to wait.
    pub(crate) spare: f64,
    /// Cores that the process kept busy; 0 if the system does not tell.
    pub(crate) busy: f64,
    /// The part of `busy` that belongs to threads other than the run's.
    pub(crate) others: f64,
    /// The factor by which running code is slower because the cores have other work.
    pub(crate) slowdown: f64,
}

/// The level before a step that is on trial, and its measurements.
#[derive(Clone, Copy, Debug)]
struct Before {
    level: usize,
    seen: Measured,
}

impl Before {
    /// True if the step to `level` threads gained enough.
    fn was_worth_it(&self, now: &Measured, level: usize) -> bool {
        let most = level as f64 / self.level as f64;
        now.rate >= self.seen.rate * VARIES.max(1.0 + WORTH_PART * (most - 1.0))
    }

    /// True if the calls' own threads do the work, and wanted all cores before the step already.
    /// Then their time has grown with the items, unlike that of other work of the program. On a
    /// busy machine such a step gains all the same, at the expense of other programs.
    fn was_enough(&self, now: &Measured, level: usize, cores: usize) -> bool {
        let wanted = self.seen.others * self.seen.slowdown;
        // Other work would fall for each item, to a quarter if four times as many share it.
        let between = (1.0 + self.level as f64 / level as f64) / 2.0;
        VARIES * wanted >= cores as f64 && now.others / now.rate >= between * self.seen.others / self.seen.rate
    }
}

/// The number of threads of a run.
#[derive(Debug)]
pub(crate) struct Climb {
    /// Threads that keep the cores busy with calls that don't wait.
    cores: usize,
    most: usize,
    level: usize,
    /// The level before the last step, while that is on trial.
    before: Option<Before>,
    /// A number of threads that was tried and did not pay.
    ceiling: usize,
    patience: u32,
    /// Windows until the ceiling is forgotten.
    until_again: u32,
    window: Window,
}

/// Counts at one level.
#[derive(Debug, Default)]
struct Window {
    /// Chunks that began before the level changed, and so say nothing of it.
    leave_out: usize,
    /// The beginning of the count, and the time that the process had run by then. `None` before it
    /// begins and while the run pauses.
    since: Option<(Instant, Duration)>,
    /// Counts before the last pause.
    passed: Duration,
    ran: Duration,
    chunks: usize,
    items: usize,
    seconds: f64,
}

impl Window {
    fn leaving_out(leave_out: usize) -> Self {
        Self { leave_out, ..Self::default() }
    }

    fn begin(&mut self, now: Instant, process_ran: &dyn Fn() -> Option<Duration>) {
        self.since = Some((now, process_ran().unwrap_or_default()));
    }

    fn pause(&mut self, now: Instant, process_ran: &dyn Fn() -> Option<Duration>) {
        if let Some((since, ran)) = self.since.take() {
            self.passed += now.saturating_duration_since(since);
            self.ran += process_ran().unwrap_or_default().saturating_sub(ran);
        }
    }
}

impl Climb {
    /// A run on `level` threads. `cores` threads keep the cores busy with calls that don't wait,
    /// and `most` is the limit.
    pub(crate) fn new(cores: usize, level: usize, most: usize) -> Self {
        let most = most.max(cores);
        Self {
            cores,
            most,
            level: level.clamp(cores, most),
            before: None,
            ceiling: usize::MAX,
            patience: PATIENCE,
            until_again: 0,
            window: Window::default(),
        }
    }

    /// The next level on the way from `level` to `wanted` threads. A climb begins at the one that
    /// comes after the number of cores.
    pub(crate) fn next(level: usize, wanted: usize) -> usize {
        wanted.min(STEP * level)
    }

    /// True if there are more threads than cores.
    pub(crate) fn is_above_cores(&self) -> bool {
        self.level > self.cores
    }

    /// True if there may be more threads than cores.
    pub(crate) fn is_possible(&self) -> bool {
        self.most > self.cores
    }

    /// Goes on after a pause. Pauses do not count: an iterator's run pauses after each batch.
    pub(crate) fn resume(&mut self, now: Instant, process_ran: &dyn Fn() -> Option<Duration>) {
        if self.window.leave_out == 0 && self.counts() {
            self.window.begin(now, process_ran);
        }
    }

    pub(crate) fn pause(&mut self, now: Instant, process_ran: &dyn Fn() -> Option<Duration>) {
        self.window.pause(now, process_ran);
    }

    /// True if a window has begun, paused or not.
    fn counts(&self) -> bool {
        self.window.since.is_some() || self.window.passed > Duration::ZERO
    }

    /// Limits the threads to `most`, because no more can be had. Gives the level.
    pub(crate) fn limit(&mut self, most: usize) -> usize {
        self.most = most.max(self.cores);
        self.before = None;
        self.go_to(self.level.min(self.most));
        self.level
    }

    fn go_to(&mut self, level: usize) {
        self.level = level;
        self.window = Window::leaving_out(level);
    }

    /// Notes that a chunk ended. Gives the level if it changes. It rises only if memory `has_room`
    /// for more calls.
    pub(crate) fn chunk_ended(
        &mut self,
        now: Instant,
        (items, seconds): (usize, f64),
        waits: &Waits,
        has_room: bool,
        process_ran: &dyn Fn() -> Option<Duration>,
    ) -> Option<usize> {
        if !self.is_possible() || !(waits.are_long() || self.is_above_cores()) {
            return None;
        }
        let window = &mut self.window;
        if window.since.is_none() {
            if window.leave_out > 1 {
                window.leave_out -= 1;
            } else {
                window.leave_out = 0;
                window.begin(now, process_ran);
            }
            return None;
        }
        window.chunks += 1;
        window.items += items;
        window.seconds += seconds;
        // Threads that begin together end together, so a window ends with a whole round of them.
        let passed =
            window.passed + window.since.map_or(Duration::ZERO, |(since, _)| now.saturating_duration_since(since));
        let enough = window.chunks >= CHUNKS || passed >= LONG;
        if !window.chunks.is_multiple_of(self.level) || !enough || passed < WINDOW {
            return None;
        }
        window.pause(now, process_ran);
        let passed = passed.as_secs_f64();
        let busy = window.ran.as_secs_f64() / passed;
        let seen = Measured {
            rate: window.items as f64 / passed,
            occupied: window.seconds / (passed * self.level as f64),
            wanted: waits.threads(self.cores),
            spare: waits.spare(self.cores),
            busy,
            others: (busy - window.seconds / passed * waits.runs_of_late()).max(0.0),
            slowdown: waits.stretch_of_late(),
        };
        let before = self.level;
        let level = self.step(seen, has_room);
        if level == before {
            // The next window begins at the end of this one.
            self.window = Window::default();
            self.window.begin(now, process_ran);
            return None;
        }
        self.go_to(level);
        Some(level)
    }

    /// Decides after a window.
    fn step(&mut self, seen: Measured, has_room: bool) -> usize {
        let level = self.level;
        // The process can be busy with more than the calls' own threads.
        let idle = self.cores as f64 / seen.busy;
        let by_process = if idle > VARIES { level as f64 * idle * seen.spare } else { level as f64 };
        let wanted = (seen.wanted.ceil() as usize).clamp(self.cores, self.most);
        if level > self.cores && (wanted as f64) < ENOUGH * level as f64 {
            self.before = None;
            (self.ceiling, self.patience) = (usize::MAX, PATIENCE);
            return wanted;
        }
        if let Some(before) = self.before.take()
            && (!before.was_worth_it(&seen, level) || before.was_enough(&seen, level, self.cores))
        {
            self.ceiling = level;
            self.until_again = self.patience;
            self.patience = self.patience.saturating_mul(2);
            return before.level;
        }
        if self.ceiling != usize::MAX {
            self.until_again = self.until_again.saturating_sub(1);
            if self.until_again == 0 {
                self.ceiling = usize::MAX;
            }
        }
        let wanted = seen.wanted.min(by_process).min(self.most as f64);
        let step = STEP * level;
        // Half of the step that did not pay may pay.
        let step = if step < self.ceiling { step } else { STEP / 2 * level };
        let next = step.min(wanted.ceil() as usize);
        // Not even the best use of the cores would make a smaller step pay.
        let is_too_small = wanted < VARIES * level as f64;
        if !has_room || seen.occupied < ENOUGH || next >= self.ceiling || is_too_small {
            return level;
        }
        self.before = Some(Before { level, seen });
        next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Calls that run for `ran` seconds on a core and wait for `waited`. Only `permits` of them may
    /// wait at a time.
    #[derive(Clone, Copy, Debug)]
    struct Calls {
        ran: f64,
        waited: f64,
        permits: usize,
    }

    impl Calls {
        fn rate(&self, cores: usize, threads: usize) -> f64 {
            let alone = threads as f64 / (self.ran + self.waited);
            let device = if self.waited > 0.0 { self.permits as f64 / self.waited } else { f64::INFINITY };
            alone.min(cores as f64 / self.ran.max(1e-9)).min(device)
        }

        fn seen(&self, cores: usize, threads: usize) -> Measured {
            let rate = self.rate(cores, threads);
            // A call without a permit waits too.
            let waited = (threads as f64 / rate - self.ran).max(0.0);
            // A call without a core does not.
            let bound_by_cores = rate >= 0.999 * cores as f64 / self.ran.max(1e-9);
            let share = if bound_by_cores { self.waited } else { waited };
            let wanted = cores as f64 * (self.ran + share) / self.ran.max(1e-9);
            let wanted = if share < 0.25 * (self.ran + share) { cores as f64 } else { wanted };
            Measured { rate, occupied: 1.0, wanted, spare: 1.0, busy: rate * self.ran, others: 0.0, slowdown: 1.0 }
        }
    }

    fn climb(cores: usize, most: usize, calls: Calls, windows: usize) -> (Climb, Vec<usize>) {
        let mut climb = Climb::new(cores, cores, most);
        let levels = (0..windows).map(|_| {
            climb.level = climb.step(calls.seen(cores, climb.level), true);
            climb.level
        });
        let levels = levels.collect();
        (climb, levels)
    }

    const MANY: usize = usize::MAX >> 8;

    #[test]
    fn calls_that_only_wait_get_all_threads() {
        let calls = Calls { ran: 10e-6, waited: 5e-3, permits: MANY };
        let (_, levels) = climb(2, 256, calls, 6);
        assert_eq!(levels, [8, 32, 128, 256, 256, 256]);
    }

    #[test]
    fn calls_that_don_t_wait_get_no_more_threads_than_cores() {
        for cores in [1, 2, 16] {
            let (_, levels) = climb(cores, 256, Calls { ran: 1e-3, waited: 0.2e-3, permits: MANY }, 20);
            assert!(levels.iter().all(|&level| level == cores), "{levels:?}");
        }
    }

    #[test]
    fn mixed_calls_get_what_keeps_the_cores_busy() {
        let (_, levels) = climb(2, 256, Calls { ran: 1e-3, waited: 4e-3, permits: MANY }, 20);
        assert_eq!(levels[..2], [8, 10]);
        assert!(levels[2..].iter().all(|&level| level == 10), "{levels:?}");
    }

    #[test]
    fn what_a_device_does_not_bear_is_undone() {
        let (_, levels) = climb(2, 256, Calls { ran: 10e-6, waited: 5e-3, permits: 8 }, 10);
        assert_eq!(levels, [8, 32, 8, 16, 8, 8, 8, 8, 8, 8]);
        // A lock that all calls take.
        let (_, levels) = climb(2, 256, Calls { ran: 10e-6, waited: 5e-3, permits: 1 }, 6);
        assert_eq!(levels, [8, 2, 4, 2, 2, 2]);
    }

    #[test]
    fn it_is_tried_again_less_and_less_often() {
        let (mut climb, levels) = climb(2, 256, Calls { ran: 10e-6, waited: 5e-3, permits: 8 }, 4000);
        let above = levels.iter().filter(|&&level| level > 8).count();
        assert!((4..40).contains(&above), "{above}");
        // A better device is noticed.
        let calls = Calls { ran: 10e-6, waited: 5e-3, permits: 200 };
        (0..8000).for_each(|_| climb.level = climb.step(calls.seen(2, climb.level), true));
        assert!(climb.level >= 128, "{}", climb.level);
    }

    #[test]
    fn calls_that_begin_to_compute_get_threads_taken_away() {
        let (mut climb, _) = climb(2, 256, Calls { ran: 10e-6, waited: 5e-3, permits: MANY }, 10);
        assert_eq!(climb.level, 256);
        climb.level = climb.step(Calls { ran: 1e-3, waited: 1e-3, permits: MANY }.seen(2, 256), true);
        assert_eq!(climb.level, 4);
        climb.level = climb.step(Calls { ran: 1e-3, waited: 0.0, permits: MANY }.seen(2, 4), true);
        assert_eq!(climb.level, 2);
    }

    #[test]
    fn threads_that_have_nothing_to_run_are_enough() {
        let mut climb = Climb::new(2, 2, 256);
        let seen = Calls { ran: 10e-6, waited: 5e-3, permits: MANY }.seen(2, 2);
        assert_eq!(climb.step(Measured { occupied: 0.5, ..seen }, true), 2);
        assert_eq!(climb.step(seen, true), 8);
    }

    #[test]
    fn there_are_no_more_threads_while_memory_has_no_room_for_their_calls() {
        let mut climb = Climb::new(2, 2, 256);
        let calls = Calls { ran: 10e-6, waited: 5e-3, permits: MANY };
        assert_eq!(climb.step(calls.seen(2, 2), false), 2);
        climb.level = climb.step(calls.seen(2, 2), true);
        assert_eq!(climb.level, 8);
        // A gain stays, and a step that does not pay is undone all the same.
        assert_eq!(climb.step(calls.seen(2, 8), false), 8);
        climb.level = climb.step(calls.seen(2, 8), true);
        assert_eq!((climb.level, climb.step(calls.seen(2, 8), false)), (32, 8));
    }

    #[test]
    fn a_function_whose_child_processes_keep_the_cores_busy_gets_no_more() {
        // Each call waits for a child that computes for 5 ms.
        let mut waits = Waits::default();
        let child = crate::system::thread_time::Use { seconds: 5.5e-3, ran: 0.3e-3, queued: 0.0, process_ran: 5.3e-3 };
        waits.add(child, true);
        assert_eq!(waits.threads_if_alone(2), 2.0);
        let mut climb = Climb::new(2, 2, 256);
        let begun = Instant::now();
        let mut seconds = Duration::ZERO;
        for round in 1..=100 {
            seconds += Duration::from_secs_f64(2.0 * child.process_ran);
            let at = begun + Duration::from_secs_f64(f64::from(round) * child.seconds);
            for _ in 0..2 {
                waits.add(child, false);
                assert_eq!(climb.chunk_ended(at, (1, child.seconds), &waits, true, &|| Some(seconds)), None);
            }
        }
        // Children that sleep leave the cores to others.
        let sleeps = crate::system::thread_time::Use { process_ran: 0.3e-3, ..child };
        let mut waits = Waits::default();
        waits.add(sleeps, true);
        assert!(waits.threads_if_alone(2) > 32.0);
        let mut climb = Climb::new(2, 2, 256);
        let levels = (1..=20).flat_map(|round| {
            let at = begun + Duration::from_secs_f64(f64::from(round) * sleeps.seconds);
            let ran = Duration::from_secs_f64(2.0 * f64::from(round) * sleeps.process_ran);
            let mut ended = || climb.chunk_ended(at, (1, sleeps.seconds), &waits, true, &|| Some(ran));
            [ended(), ended()]
        });
        assert_eq!(levels.flatten().next(), Some(8));
    }

    #[test]
    fn a_function_whose_own_threads_keep_the_cores_busy_gets_no_more() {
        let mut climb = Climb::new(2, 2, 256);
        // The calls' threads wait for other threads, which have both cores.
        let seen =
            Measured { rate: 100.0, occupied: 1.0, wanted: 200.0, spare: 1.0, busy: 1.9, others: 1.9, slowdown: 1.0 };
        assert_eq!(climb.step(seen, true), 2);
        // One core of four is busy: there is room for three more calls.
        let mut climb = Climb::new(4, 4, 256);
        climb.level = climb.step(Measured { busy: 1.0, others: 1.0, ..seen }, true);
        assert_eq!(climb.level, 16);
        assert_eq!(climb.step(Measured { rate: 400.0, busy: 4.0, others: 4.0, ..seen }, true), 16);
    }

    #[test]
    fn nor_does_it_on_a_busy_machine_where_it_would_get_more_of_the_cores() {
        let mut climb = Climb::new(2, 2, 256);
        // One core of two, because other programs have half of the machine.
        let seen =
            Measured { rate: 100.0, occupied: 1.0, wanted: 200.0, spare: 1.0, busy: 1.0, others: 1.0, slowdown: 2.0 };
        climb.level = climb.step(seen, true);
        assert_eq!(climb.level, 4);
        climb.level = climb.step(Measured { rate: 150.0, busy: 1.5, others: 1.5, ..seen }, true);
        assert_eq!(climb.level, 2);
        // The program's other threads do not get more work from more items.
        let mut climb = Climb::new(2, 2, 256);
        climb.level = climb.step(seen, true);
        climb.level = climb.step(Measured { rate: 200.0, ..seen }, true);
        assert_eq!(climb.level, 8);
    }

    #[test]
    fn a_pause_does_not_count() {
        let mut waits = Waits::default();
        let used = crate::system::thread_time::Use { seconds: 5e-3, ran: 0.0, queued: 0.0, process_ran: 0.0 };
        waits.add(used, false);
        let mut climb = Climb::new(2, 2, 8);
        let begun = Instant::now();
        let mut seconds = 0u64;
        let mut levels = Vec::new();
        // Batches of four that take 10 ms, and a second in which the caller looks at the results.
        while seconds < 12 {
            let at = |milliseconds| begun + Duration::from_millis(1000 * seconds + milliseconds);
            climb.resume(at(0), &|| None);
            for round in 1..=2 {
                for _ in 0..2 {
                    levels.extend(climb.chunk_ended(at(5 * round), (1, 5e-3), &waits, true, &|| None));
                }
            }
            climb.pause(at(10), &|| None);
            if levels == [8] {
                // Eight items in some 20 ms, not in a second each.
                let rate = climb.before.unwrap().seen.rate;
                assert!((300.0..600.0).contains(&rate), "{rate}");
                return;
            }
            seconds += 1;
        }
        panic!("{levels:?}");
    }

    #[test]
    fn a_window_leaves_out_what_was_under_way() {
        let mut waits = Waits::default();
        let used = crate::system::thread_time::Use { seconds: 5e-3, ran: 0.0, queued: 0.0, process_ran: 0.0 };
        waits.add(used, false);
        let mut climb = Climb::new(2, 2, 256);
        let begun = Instant::now();
        let mut levels = Vec::new();
        // Two threads, then eight, that take 5 ms over each item.
        for round in 0..8 {
            for _ in 0..climb.level {
                let now = begun + Duration::from_millis(5 * round);
                levels.extend(climb.chunk_ended(now, (1, 5e-3), &waits, true, &|| None).map(|level| (round, level)));
            }
        }
        // One chunk to begin with and eight that count; then a round that is left out, and one that
        // counts.
        assert_eq!(levels, [(4, 8), (6, 32)]);
        assert_eq!(climb.limit(20), 20);
        assert_eq!(climb.limit(1), 2);
        // Nothing is counted for a function that doesn't wait.
        assert_eq!(Climb::new(2, 2, 2).chunk_ended(begun, (1, 5e-3), &waits, true, &|| None), None);
        assert_eq!(Climb::new(2, 2, 9).chunk_ended(begun, (1, 5e-3), &Waits::default(), true, &|| None), None);
    }

    proptest! {
        #[test]
        fn it_comes_near_the_best_rate_and_stays_within_bounds(
            cores in 1usize..64,
            ran in 1e-6..10e-3f64,
            waited in 0.0..0.1f64,
            permits in 1usize..500,
            most in 1usize..512,
        ) {
            let calls = Calls { ran, waited, permits };
            let most = most.max(cores);
            let (_, levels) = climb(cores, most, calls, 40);
            prop_assert!(levels.iter().all(|level| (cores..=most).contains(level)), "{levels:?}");
            if waited < 0.25 * (ran + waited) && permits >= cores {
                prop_assert!(levels.iter().all(|&level| level == cores), "{levels:?}");
            }
            let best = (cores..=most).map(|threads| calls.rate(cores, threads)).fold(0.0, f64::max);
            let reached = levels[8..].iter().map(|&threads| calls.rate(cores, threads)).fold(f64::INFINITY, f64::min);
            // A step of twice that gains less than a fifth is undone, and one of less than a fifth
            // is not made. Waits of less than a quarter are ignored.
            prop_assert!(reached >= 0.7 * best, "{reached} of {best} by {levels:?}");
        }
    }
}
