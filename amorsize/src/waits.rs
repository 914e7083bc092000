//! How much of their time a function's calls wait, and how many threads keep the cores busy then.

use crate::thread_time::Use;

/// A function that waits less than this part of its time is taken for one that doesn't wait: at most a third is to be gained, and
/// where other machines share a processor with this one, what they take looks the same.
const WAITS: f64 = 0.25;
/// What was measured last counts for a tenth. Measurements come every 10 ms, so a change is followed within a fifth of a second.
const LATEST: f64 = 0.1;
/// More than this a busy machine is not taken to stretch what runs: a thread that sleeps most of the time may be queued for long
/// after each of its short stretches, which says little of others.
const MOST_STRETCH: f64 = 8.0;
/// Other threads and child processes that run for more than this part of a call's time work for it,
/// or may: less is what a program does beside.
const OTHERS: f64 = 0.1;
/// From this many cores on, a call that is alone is taken for one that works on several: less may be the program's other threads.
const SEVERAL_CORES: f64 = 1.25;

/// To go to sleep and to wake takes this part of what it does on a core that idles meanwhile, where other threads keep the core awake: 4 us
/// rather than 17 us, with 70 threads that sleep 0.1 ms each on two cores of a virtual machine.
const BUSY_WAKE: f64 = 0.25;

/// What was seen of how calls spend their time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waits {
    /// Seconds in which calls ran and waited, in all.
    all: (f64, f64),
    /// The same, of late.
    late: (f64, f64),
    /// Seconds of late in which calls were queued for a core.
    queued: f64,
    /// The same, in all.
    queued_in_all: f64,
    /// Seconds of calls that were alone, and those that the process wanted of the cores meanwhile.
    alone: (f64, f64),
    /// Those that other threads and child processes ran.
    others: f64,
}

impl Waits {
    /// Adds what a thread did during calls; `alone` if no other thread ran calls meanwhile.
    pub(crate) fn add(&mut self, used: Use, alone: bool) {
        let (ran, waited) = (used.ran, used.waited());
        self.all = (self.all.0 + ran, self.all.1 + waited);
        let keep = 1.0 - LATEST;
        self.late = (keep * self.late.0 + ran, keep * self.late.1 + waited);
        self.queued = keep * self.queued + used.queued;
        self.queued_in_all += used.queued;
        if alone {
            // Its other threads were queued for the cores as well, as far as can be told.
            let stretch = 1.0 + used.queued / used.ran.max(1e-9);
            let others = (used.process_ran - used.ran).max(0.0);
            let wanted = used.ran + others * stretch.min(MOST_STRETCH);
            self.others += others;
            self.alone = (self.alone.0 + used.seconds, self.alone.1 + wanted);
        }
    }

    /// What calls spent since then; what is known of late is of all.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let less = |now: f64, before: f64| (now - before).max(0.0);
        Self {
            all: (less(self.all.0, before.all.0), less(self.all.1, before.all.1)),
            queued_in_all: less(self.queued_in_all, before.queued_in_all),
            ..*self
        }
    }

    /// Whether anything was measured.
    pub(crate) fn is_known(&self) -> bool {
        self.all != (0.0, 0.0)
    }

    /// Takes off what calls ran only because they were alone: each went to sleep and woke so many times, which took `wake` seconds then.
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

    /// The part of its time that a call has a core, with what other threads run for it; 1 for calls that don't wait.
    pub(crate) fn on_cores(&self) -> f64 {
        let (seconds, _) = self.alone;
        let waits = self.share_of_all().filter(|&share| share >= WAITS);
        waits.map_or(1.0, |share| 1.0 - share + self.others / seconds.max(f64::MIN_POSITIVE))
    }

    fn share((ran, waited): (f64, f64)) -> Option<f64> {
        (ran + waited > 0.0).then(|| waited / (ran + waited))
    }

    /// The part of their time that calls wait. Time in which they wait for a core is not counted at all.
    pub(crate) fn share_of_all(&self) -> Option<f64> {
        Self::share(self.all)
    }

    /// The part of their time that calls were queued for a core; 0 where it is not known.
    pub(crate) fn queued_share(&self) -> f64 {
        let (ran, waited) = self.all;
        self.queued_in_all / (ran + waited + self.queued_in_all).max(f64::MIN_POSITIVE)
    }

    /// The same, of late; 0 where it is not known.
    pub(crate) fn share_of_late(&self) -> f64 {
        Self::share(self.late).unwrap_or(0.0)
    }

    /// Whether calls wait so much that more threads than cores may help.
    pub(crate) fn are_long(&self) -> bool {
        self.share_of_late() >= WAITS
    }

    /// The part of their time that calls were on a core of late.
    pub(crate) fn runs_of_late(&self) -> f64 {
        let (ran, waited) = self.late;
        ran / (ran + waited + self.queued).max(f64::MIN_POSITIVE)
    }

    /// How many times as long calls took over what they ran because they were queued for a core, of late.
    pub(crate) fn stretch_of_late(&self) -> f64 {
        1.0 + self.queued / self.late.0.max(f64::MIN_POSITIVE)
    }

    /// How many of so many cores a call would keep busy that is alone, itself and by other threads, where it is more than one.
    pub(crate) fn cores_of_a_call(&self, cores: usize) -> Option<f64> {
        let (seconds, wanted) = self.alone;
        let busy = (wanted / seconds.max(f64::MIN_POSITIVE)).min(cores as f64);
        (busy >= SEVERAL_CORES).then_some(busy)
    }

    /// How many threads keep so many cores busy, as far as it is known from what they wait.
    pub(crate) fn threads(&self, cores: usize) -> f64 {
        let runs = if self.are_long() { 1.0 - self.share_of_late() } else { 1.0 };
        self.spare(cores) * cores as f64 / runs.max(1e-6)
    }

    /// So many times the threads are needed that would do if calls took turns to wait.
    ///
    /// They don't: of `n` threads that each run for a part `r` of their time, as many want a core as a binomial distribution says, `nr` on
    /// average, with a standard deviation of the root of `nr(1 - r)`. Where `nr` is one deviation more than there are cores, few of them
    /// are ever idle.
    pub(crate) fn spare(&self, cores: usize) -> f64 {
        if self.are_long() { 1.0 + (self.share_of_late() / cores as f64).sqrt() } else { 1.0 }
    }

    /// The same where calls were alone. A call that other threads work for, be they its own or of a
    /// pool or of a child process, gets no more than the cores to begin with: on threads of that
    /// pool it may not wait at all.
    pub(crate) fn threads_if_alone(&self, cores: usize) -> f64 {
        if self.is_worked_for() { cores as f64 } else { self.threads(cores) }
    }

    /// Says if other threads or child processes run for calls.
    pub(crate) fn is_worked_for(&self) -> bool {
        self.others > OTHERS * self.alone.0
    }

    /// Forgets what was seen on the calling thread alone, if it may be otherwise on a pool's thread.
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
        Use { seconds, ran, queued, process_ran, closely: true }
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
        // A busy machine changes nothing in what a mixed function needs.
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
        // A child process that computes on one core, and is waited for.
        let mut waits = Waits::default();
        waits.add(used(5.5e-3, 0.3e-3, 0.0, 5.3e-3), true);
        assert!(waits.are_long() && waits.is_worked_for());
        assert_eq!((waits.threads_if_alone(2), waits.cores_of_a_call(2)), (2.0, None));
        // One that sleeps itself, or waits for the network.
        let mut waits = Waits::default();
        waits.add(used(5.5e-3, 0.3e-3, 0.0, 0.5e-3), true);
        assert!(!waits.is_worked_for() && waits.threads_if_alone(2) > 32.0);
        // On threads others' calls run meanwhile, which says nothing of one call.
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
        // Of 20 us 8 are left.
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
