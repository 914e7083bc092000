//! The time for which a function's calls wait, and the number of threads that then keep the cores
//! busy.

use std::time::Duration;

use crate::system::thread_time::Use;

/// The speed of the same calls varies by this factor from one time to the next: by other programs,
/// the clock speed of the processor, and caches that threads share. A smaller gain or loss is none.
pub(crate) const VARIES: f64 = 1.1;
/// A rate is taken over at least this time: a shorter one depends on a scheduler's time slice of 3
/// ms.
pub(crate) const WINDOW: Duration = Duration::from_millis(5);

/// A function counts as waiting from this part of its time on: below it at most a third can be
/// gained, and the time that other machines take from a shared processor looks the same.
pub(crate) const WAITS: f64 = 0.25;
/// The weight of the latest measurement. Measurements come every 10 ms, so the mean follows a
/// change within a fifth of a second.
const LATEST: f64 = 0.1;
/// The most that a busy machine counts to stretch running time: a thread that mostly sleeps may
/// queue for long after each of its short stretches, which says little about other threads.
const MOST_STRETCH: f64 = 8.0;
/// Other threads and child processes may work for a call if they run for more than this part of its
/// time: a program runs less than that beside, also to start the threads of a run.
pub(crate) const OTHERS: f64 = 0.1;
/// A lone call counts as working on several cores from this number on: less may be the program's
/// other threads.
const SEVERAL_CORES: f64 = 1.25;

/// The cost of a sleep and a wake while other threads keep the core awake, relative to a core that
/// idles meanwhile: 4 us instead of 17 us, with 70 threads that sleep 0.1 ms each on two cores of a
/// virtual machine.
const BUSY_WAKE: f64 = 0.25;

/// Measurements of how calls spend their time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waits {
    /// Seconds for which calls ran and waited, in all.
    all: (f64, f64),
    /// The same two, of late.
    late: (f64, f64),
    /// Seconds of late for which calls were in the queue for a core.
    queued: f64,
    /// Seconds for which calls were in the queue, in all.
    queued_in_all: f64,
    /// Seconds of lone calls, and the seconds that the process wanted of the cores meanwhile.
    alone: (f64, f64),
    /// Seconds that other threads and child processes ran during lone calls.
    others: f64,
}

impl Waits {
    /// Adds the use of a thread's time during calls; `alone` if no other thread ran calls
    /// meanwhile.
    pub(crate) fn add(&mut self, used: Use, alone: bool) {
        let (ran, waited) = (used.ran, used.waited());
        self.all = (self.all.0 + ran, self.all.1 + waited);
        let keep = 1.0 - LATEST;
        self.late = (keep * self.late.0 + ran, keep * self.late.1 + waited);
        self.queued = keep * self.queued + used.queued;
        self.queued_in_all += used.queued;
        if alone {
            // As far as can be told, the process's other threads queued for the cores as well.
            let stretch = 1.0 + used.queued / used.ran.max(1e-9);
            let others = (used.process_ran - used.ran).max(0.0);
            let wanted = used.ran + others * stretch.min(MOST_STRETCH);
            self.others += others;
            self.alone = (self.alone.0 + used.seconds, self.alone.1 + wanted);
        }
    }

    /// The time of these calls and of those of the next run. Figures of late stay those of the next
    /// run.
    #[cfg(feature = "array")]
    pub(crate) fn and(&self, next: &Self) -> Self {
        Self {
            all: (self.all.0 + next.all.0, self.all.1 + next.all.1),
            queued_in_all: self.queued_in_all + next.queued_in_all,
            ..*next
        }
    }

    /// The time of calls since `before`; figures of late stay those of the whole run.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let less = |now: f64, before: f64| (now - before).max(0.0);
        Self {
            all: (less(self.all.0, before.all.0), less(self.all.1, before.all.1)),
            queued_in_all: less(self.queued_in_all, before.queued_in_all),
            ..*self
        }
    }

    /// True if anything was measured.
    pub(crate) fn is_known(&self) -> bool {
        self.all != (0.0, 0.0)
    }

    /// Takes off the running time that calls had only because they were alone: each of `calls`
    /// slept and woke `wakes` times, at `wake` seconds.
    pub(crate) fn take_off_wakes(&mut self, calls: f64, wakes: f64, wake: f64) {
        let (ran, _) = self.all;
        if ran <= 0.0 {
            return;
        }
        let idle = (calls * wakes * wake).min(ran);
        let part = (ran - (1.0 - BUSY_WAKE) * idle) / ran;
        self.all.0 *= part;
        self.late.0 *= part;
        // Threads that answer a call sleep meanwhile, and wake as it does.
        self.others *= part;
    }

    /// The part of its time for which a call keeps a core busy, itself and by other threads; 1 for
    /// calls that don't wait.
    pub(crate) fn on_cores(&self) -> f64 {
        let (seconds, _) = self.alone;
        let waits = self.share_of_all().filter(|&share| share >= WAITS);
        waits.map_or(1.0, |share| 1.0 - share + self.others / seconds.max(f64::MIN_POSITIVE))
    }

    fn share((ran, waited): (f64, f64)) -> Option<f64> {
        (ran + waited > 0.0).then(|| waited / (ran + waited))
    }

    /// The part of their time for which calls wait. Time in the queue for a core does not count at
    /// all.
    pub(crate) fn share_of_all(&self) -> Option<f64> {
        Self::share(self.all)
    }

    /// The part of their time for which calls were in the queue for a core; 0 if unknown.
    pub(crate) fn queued_share(&self) -> f64 {
        let (ran, waited) = self.all;
        self.queued_in_all / (ran + waited + self.queued_in_all).max(f64::MIN_POSITIVE)
    }

    /// The part of their time for which calls wait, of late; 0 if unknown.
    pub(crate) fn share_of_late(&self) -> f64 {
        Self::share(self.late).unwrap_or(0.0)
    }

    /// True if calls wait long enough that more threads than cores may help.
    pub(crate) fn are_long(&self) -> bool {
        self.share_of_late() >= WAITS
    }

    /// The part of their time for which calls were on a core of late.
    pub(crate) fn runs_of_late(&self) -> f64 {
        let (ran, waited) = self.late;
        ran / (ran + waited + self.queued).max(f64::MIN_POSITIVE)
    }

    /// The factor by which time in the queue for a core made calls longer than their running time,
    /// of late.
    pub(crate) fn stretch_of_late(&self) -> f64 {
        1.0 + self.queued / self.late.0.max(f64::MIN_POSITIVE)
    }

    /// The number of `cores` that a lone call keeps busy, itself and by other threads, if it is
    /// more than one.
    pub(crate) fn cores_of_a_call(&self, cores: usize) -> Option<f64> {
        let (seconds, wanted) = self.alone;
        let busy = (wanted / seconds.max(f64::MIN_POSITIVE)).min(cores as f64);
        (busy >= SEVERAL_CORES).then_some(busy)
    }

    /// The number of threads that keep `cores` cores busy, by the known waiting time.
    pub(crate) fn threads(&self, cores: usize) -> f64 {
        let runs = if self.are_long() { 1.0 - self.share_of_late() } else { 1.0 };
        self.spare(cores) * cores as f64 / runs.max(1e-6)
    }

    /// The factor between the number of threads needed and the number that would be enough if calls
    /// took turns to wait.
    ///
    /// They don't take turns. If `n` threads each run for a part `r` of their time, the number that
    /// want a core follows a binomial distribution with a mean of `nr` and a standard deviation of
    /// the root of `nr(1 - r)`. If `nr` is one deviation more than the number of cores, few of them
    /// are ever idle.
    pub(crate) fn spare(&self, cores: usize) -> f64 {
        if self.are_long() { 1.0 + (self.share_of_late() / cores as f64).sqrt() } else { 1.0 }
    }

    /// The number of threads that keep the cores busy, by lone calls. If other threads work for a
    /// call (its own, a pool's or a child process's), it begins with as many threads as cores: on
    /// threads of that pool it may not wait at all.
    pub(crate) fn threads_if_alone(&self, cores: usize) -> f64 {
        if self.is_worked_for() { cores as f64 } else { self.threads(cores) }
    }

    /// True if other threads or child processes run for calls.
    pub(crate) fn is_worked_for(&self) -> bool {
        self.others > OTHERS * self.alone.0
    }

    /// Forgets measurements on the calling thread alone, if they may differ on a pool's thread.
    pub(crate) fn begin_on_threads(&mut self) {
        if self.is_worked_for() {
            (self.late, self.queued) = ((0.0, 0.0), 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(seconds: f64, ran: f64, queued: f64, process_ran: f64) -> Use {
        Use { seconds, ran, queued, process_ran }
    }

    #[test]
    fn threads_keep_the_cores_busy_while_others_wait() {
        let mut waits = Waits::default();
        assert_eq!((waits.share_of_all(), waits.threads(4)), (None, 4.0));
        waits.add(used(5e-3, 1e-3, 0.0, 1e-3), true);
        assert!((waits.share_of_late() - 0.8).abs() < 1e-9 && waits.are_long());
        assert!((waits.threads(2) - (2.0 + 1.6_f64.sqrt()) / 0.2).abs() < 1e-9);
    }

    #[test]
    fn a_thread_that_is_queued_for_a_core_does_not_wait() {
        let mut waits = Waits::default();
        waits.add(used(60e-3, 10e-3, 50e-3, 10e-3), true);
        assert!(!waits.are_long());
        assert_eq!((waits.threads(2), waits.share_of_all()), (2.0, Some(0.0)));
        assert!((waits.queued_share() - 5.0 / 6.0).abs() < 1e-9);
        // A busy machine doesn't change the threads that a mixed function needs.
        let mut waits = Waits::default();
        waits.add(used(20e-3, 1e-3, 15e-3, 1e-3), true);
        assert!((waits.threads(2) - (2.0 + 1.6_f64.sqrt()) / 0.2).abs() < 1e-9);
        assert!((waits.runs_of_late() - 0.05).abs() < 1e-9 && (waits.stretch_of_late() - 16.0).abs() < 1e-9);
    }

    #[test]
    fn a_call_that_keeps_cores_busy_by_other_threads_is_not_multiplied() {
        let mut waits = Waits::default();
        // It waits for two threads that compute.
        waits.add(used(10e-3, 0.1e-3, 0.0, 19e-3), true);
        assert!(waits.are_long());
        assert_eq!(waits.threads_if_alone(2), 2.0);
        assert!((waits.cores_of_a_call(4).unwrap() - 1.9).abs() < 1e-9);
        assert_eq!(waits.cores_of_a_call(1), None);
        waits.begin_on_threads();
        assert!(!waits.are_long() && waits.share_of_all().unwrap() > 0.9);
        // The same where the machine's other work has two thirds of the cores.
        let mut waits = Waits::default();
        waits.add(used(30e-3, 0.1e-3, 0.2e-3, 19e-3), true);
        assert_eq!(waits.threads_if_alone(2), 2.0);
        assert!((waits.cores_of_a_call(4).unwrap() - 1.9).abs() < 0.02);
        // It waits for a child process that computes on one core.
        let mut waits = Waits::default();
        waits.add(used(5.5e-3, 0.3e-3, 0.0, 5.3e-3), true);
        assert!(waits.are_long() && waits.is_worked_for());
        assert_eq!((waits.threads_if_alone(2), waits.cores_of_a_call(2)), (2.0, None));
        // A child process that itself sleeps, or waits for the network.
        let mut waits = Waits::default();
        waits.add(used(5.5e-3, 0.3e-3, 0.0, 0.5e-3), true);
        assert!(!waits.is_worked_for() && waits.threads_if_alone(2) > 32.0);
        // On threads, others' calls run meanwhile, so this says nothing about one call.
        let mut waits = Waits::default();
        waits.add(used(10e-3, 10e-3, 0.0, 20e-3), false);
        assert_eq!(waits.cores_of_a_call(4), None);
    }

    #[test]
    fn a_sleeper_that_is_alone_takes_longer_to_wake() {
        let mut waits = Waits::default();
        assert!(!waits.is_known());
        (0..4).for_each(|_| waits.add(used(170e-6, 20e-6, 0.0, 20e-6), true));
        assert!(waits.is_known());
        waits.take_off_wakes(4.0, 1.0, 16e-6);
        // 8 of 20 us are left.
        let share = waits.share_of_all().unwrap();
        assert!((share - 150.0 / 158.0).abs() < 1e-9 && (waits.share_of_late() - share).abs() < 1e-9, "{share}");
        // Never more than they ran.
        waits.take_off_wakes(4.0, 100.0, 16e-6);
        assert!((waits.share_of_all().unwrap() - 150.0 / 152.0).abs() < 1e-9);
    }

    #[test]
    fn what_other_threads_run_for_a_call_takes_cores_too() {
        let mut waits = Waits::default();
        waits.add(used(1e-3, 1e-3, 0.0, 1e-3), true);
        assert_eq!(waits.on_cores(), 1.0);
        let mut waits = Waits::default();
        waits.add(used(1e-3, 0.1e-3, 0.0, 0.15e-3), true);
        assert!((waits.on_cores() - 0.15).abs() < 1e-9, "{}", waits.on_cores());
    }

    #[test]
    fn a_change_is_followed() {
        let mut waits = Waits::default();
        (0..100).for_each(|_| waits.add(used(1e-3, 0.0, 0.0, 0.0), false));
        assert!(waits.are_long());
        (0..20).for_each(|_| waits.add(used(1e-3, 1e-3, 0.0, 0.0), false));
        assert!(!waits.are_long());
        assert!(waits.share_of_all().unwrap() > 0.8);
    }
}
