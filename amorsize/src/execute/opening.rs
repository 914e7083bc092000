//! The first calls of a run that begins on threads: do they compute, or do they only wait?

use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::adapt::waits::{OTHERS, WINDOW};

/// Tells from the time that the other threads of the process run whether calls only wait. Judged
/// anew for each window of time: calls may compute first and wait then.
///
/// The time of the thread that asks does not count. It is the calling thread, which looks at memory
/// every millisecond meanwhile; in a debug build that alone takes a tenth of a core.
#[derive(Debug)]
pub(super) struct Opening {
    /// The thread that began the window, the time of that, and how long the others had run by then.
    window: Option<(ThreadId, Instant, Duration)>,
    only_wait: bool,
    others_ran: fn() -> Option<Duration>,
}

impl Opening {
    /// Begins at `now`. `others_ran` tells how long the threads beside the asking one ran so far.
    pub(super) fn new(now: Instant, others_ran: fn() -> Option<Duration>) -> Self {
        let mut opening = Self { window: None, only_wait: false, others_ran };
        opening.begin_window(now);
        opening
    }

    fn begin_window(&mut self, now: Instant) {
        self.window = (self.others_ran)().map(|ran| (thread::current().id(), now, ran));
    }

    /// True if the calls in flight did nothing but wait in the last window. `false` for a system
    /// that does not tell.
    pub(super) fn only_wait(&mut self, now: Instant) -> bool {
        let Some((thread, begun, before)) = self.window else { return false };
        if thread != thread::current().id() {
            self.begin_window(now);
            return self.only_wait;
        }
        let elapsed = now.saturating_duration_since(begun);
        if elapsed >= WINDOW {
            let ran = (self.others_ran)().map(|ran| ran.saturating_sub(before));
            self.only_wait = ran.is_some_and(|ran| ran < elapsed.mul_f64(OTHERS));
            self.begin_window(now);
        }
        self.only_wait
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static OTHERS: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// Says after each millisecond whether calls only wait. The other threads ran for the given
    /// microseconds of each.
    fn after(ran: &[u64]) -> Vec<bool> {
        let begun = Instant::now();
        OTHERS.set(Duration::ZERO);
        let mut opening = Opening::new(begun, || Some(OTHERS.get()));
        let look = |(passed, &ran): (u64, &u64)| {
            OTHERS.set(OTHERS.get() + Duration::from_micros(ran));
            opening.only_wait(begun + Duration::from_millis(passed))
        };
        (1..).zip(ran).map(look).collect()
    }

    #[test]
    fn calls_are_judged_once_they_are_long() {
        assert_eq!(after(&[0; 7]), [false, false, false, false, true, true, true]);
        assert_eq!(after(&[99; 5])[4..], [true]);
        assert_eq!(after(&[101; 5])[4..], [false]);
    }

    #[test]
    fn calls_that_compute_first_are_seen_to_wait_one_window_later() {
        let ran: Vec<_> = [1000; 100].into_iter().chain([0; 6]).collect();
        let seen = after(&ran);
        assert!(seen[..104].iter().all(|&waits| !waits));
        assert!(seen[104]);
    }

    #[test]
    fn calls_that_wait_first_are_seen_to_compute() {
        assert_eq!(after(&[0, 0, 0, 0, 0, 900, 900, 900, 900, 900])[4..], [true, true, true, true, true, false]);
    }

    #[test]
    fn a_system_that_tells_nothing_has_no_calls_that_only_wait() {
        let begun = Instant::now();
        assert!(!Opening::new(begun, || None).only_wait(begun + Duration::from_secs(1)));
    }

    #[test]
    fn another_thread_begins_its_own_window() {
        let begun = Instant::now();
        let mut opening = Opening::new(begun, || Some(Duration::ZERO));
        let mut seen = |millis| {
            let at = begun + Duration::from_millis(millis);
            thread::scope(|scope| scope.spawn(|| opening.only_wait(at)).join().unwrap())
        };
        assert_eq!([seen(5), seen(20)], [false, false]);
        let at = begun + Duration::from_millis(30);
        assert!(!opening.only_wait(at));
        assert!(opening.only_wait(at + WINDOW));
    }
}
