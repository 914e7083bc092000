//! The use of a thread's time: it runs on a core, is in the queue for one, or waits for something
//! else.
//!
//! The system's clock of a thread tells how long it ran. Only Linux tells, in
//! `/proc/thread-self/schedstat`, how long the thread was in the queue because other threads had
//! the cores; elsewhere this time can't be told from waiting. The file's own figure of time on a
//! core is not used: it lags behind by up to a tick of the scheduler (4 ms).
//!
//! Measured on Linux 6.18: a look at the clock takes 0.5 us, opening the file and reading it twice
//! 5.8 us. It is opened anew each time, because a file kept open for each thread would be one of
//! the 1024 that a process may have by default.

use std::sync::Mutex;
#[cfg(feature = "durable")]
use std::sync::PoisonError;
use std::time::Duration;

use super::calls;
use super::sync::Clock;

/// The shortest call that is timed alone: reading the clock twice takes about 46 ns, more than a
/// twentieth of a shorter one.
pub(crate) const TIMED_ALONE: Duration = Duration::from_micros(1);

/// The shortest time, in seconds, for which the use of a thread's time is judged: measuring it
/// takes a twentieth of this, and to lose the core and get it back as much again.
pub(crate) const SHORTEST: f64 = 100e-6;

/// A look at three clocks must not take longer than this, or their figures don't fit each other. It
/// takes 1.5 us. Two figures can be wrong by half of it each, and are to show that a thread ran for
/// 5 us: the least that was measured of one that was woken for an answer and slept again.
#[cfg(target_os = "linux")]
const EXACT: Duration = Duration::from_micros(3);

/// True if this system tells how long a thread ran. A model's threads are no threads of the system.
pub(crate) const IS_TOLD: bool = cfg!(all(any(target_os = "linux", target_vendor = "apple"), not(all(loom, test))));

/// The use of a thread's time, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Use {
    /// Seconds from the beginning to the end.
    pub(crate) seconds: f64,
    /// Seconds on a core.
    pub(crate) ran: f64,
    /// Seconds ready to run while others had the cores; 0 if the system does not tell.
    pub(crate) queued: f64,
    /// Seconds on cores, over all threads of the process and the child processes that it waited for
    /// meanwhile.
    pub(crate) process_ran: f64,
}

impl Use {
    /// Seconds neither on a core nor in the queue for one.
    pub(crate) fn waited(&self) -> f64 {
        (self.seconds - self.ran - self.queued).max(0.0)
    }
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
mod system {
    #[cfg(target_os = "linux")]
    use std::sync::PoisonError;
    use std::time::{Duration, Instant};

    #[cfg(target_os = "linux")]
    use super::EXACT;
    use super::{Queue, SHORTEST, Use};
    use crate::system::calls::{self, children_ran, thread_ran};

    /// The time for which the process ran so far, over all its threads and the children that it
    /// waited for.
    pub(crate) fn process_ran() -> Option<Duration> {
        Some(processes_ran())
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn others_ran(exactly: bool) -> Option<Duration> {
        let helpers = super::HELPERS.lock().unwrap_or_else(PoisonError::into_inner);
        let helpers_ran = || helpers.iter().filter_map(|&thread| calls::clock_of(thread)).sum::<Duration>();
        if !exactly {
            // This thread runs between two looks, too.
            let all = calls::process_ran();
            return Some(all.saturating_sub(thread_ran() + helpers_ran()));
        }
        calls::bring_threads_up_to_date()?;
        let look = |_| {
            let (before, all, after) = (thread_ran(), calls::process_ran(), thread_ran());
            let width = after.checked_sub(before).filter(|width| !width.is_zero())?;
            Some((width, all.saturating_sub(before + width / 2)))
        };
        let (width, ran) = (0..3).filter_map(look).min()?;
        Some(ran.saturating_sub(helpers_ran())).filter(|_| width <= EXACT)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn others_ran(exactly: bool) -> Option<Duration> {
        calls::process_ran().checked_sub(thread_ran()).filter(|_| !exactly)
    }

    // Inlined into each look, this would be most of a measurement's code.
    #[inline(never)]
    fn processes_ran() -> Duration {
        calls::process_ran() + children_ran().unwrap_or_default()
    }

    /// Seconds that a thread runs to sleep and wake, on cores that have nothing else to do: takes
    /// three times 60 us.
    pub(crate) fn seconds_of_a_wake() -> Option<f64> {
        let once = |_| {
            let begun = thread_ran();
            std::thread::sleep(Duration::from_nanos(1));
            thread_ran().saturating_sub(begun).as_secs_f64()
        };
        (0..3).map(once).min_by(f64::total_cmp)
    }

    /// A measurement that has begun, to be ended on the same thread.
    #[derive(Debug)]
    pub(crate) struct Begun {
        queue: Option<Queue>,
        process_ran: Duration,
        ran: Duration,
        at: Instant,
    }

    /// Begins to measure the calling thread.
    #[inline(never)]
    pub(crate) fn begin() -> Option<Begun> {
        let queue = Queue::open();
        let (process_ran, ran) = (processes_ran(), thread_ran());
        Some(Begun { queue, process_ran, ran, at: Instant::now() })
    }

    impl Begun {
        /// The use of the thread's time meanwhile, or `None` if it was too short to be judged.
        #[inline(never)]
        pub(crate) fn end(self) -> Option<Use> {
            if self.at.elapsed().as_secs_f64() < SHORTEST {
                return None;
            }
            // Linux's lazy preemption takes the core of a thread that has computed for some time at
            // its next system call. It is this one, so that all figures contain that time in the
            // queue. The process's time ends last, and so contains the thread's.
            let _ = thread_ran();
            let queued = self.queue.as_ref().and_then(Queue::so_far).map_or(0.0, |(seconds, _)| seconds);
            let ran = thread_ran().saturating_sub(self.ran).as_secs_f64();
            let process_ran = processes_ran().saturating_sub(self.process_ran).as_secs_f64();
            let seconds = self.at.elapsed().as_secs_f64();
            // Looking at the clocks takes time too.
            Some(Use { seconds, ran: ran.min(seconds), queued, process_ran })
        }
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
mod system {
    use std::time::Duration;

    use super::Use;

    pub(crate) fn others_ran(_exactly: bool) -> Option<Duration> {
        None
    }

    pub(crate) fn process_ran() -> Option<Duration> {
        None
    }

    pub(crate) fn seconds_of_a_wake() -> Option<f64> {
        None
    }

    #[derive(Debug)]
    pub(crate) struct Begun;

    pub(crate) fn begin() -> Option<Begun> {
        None
    }

    impl Begun {
        pub(crate) fn end(self) -> Option<Use> {
            None
        }
    }
}

#[cfg(target_os = "linux")]
mod queue {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    /// The time for which the calling thread was ready to run while others had the cores, and the
    /// number of times that it got one.
    #[derive(Debug)]
    pub(crate) struct Queue {
        file: File,
        before: (u64, u64),
    }

    impl Queue {
        pub(crate) fn open() -> Option<Self> {
            let file = File::open("/proc/thread-self/schedstat").ok()?;
            let before = read(&file)?;
            Some(Self { file, before })
        }

        /// Seconds since it was opened, and the number of times that the thread got a core.
        pub(crate) fn so_far(&self) -> Option<(f64, u64)> {
            let (queued, turns) = read(&self.file)?;
            Some((queued.saturating_sub(self.before.0) as f64 / 1e9, turns.saturating_sub(self.before.1)))
        }
    }

    fn read(file: &File) -> Option<(u64, u64)> {
        let mut text = [0; 96];
        let length = file.read_at(&mut text, 0).ok()?;
        super::queued(std::str::from_utf8(&text[..length]).ok()?)
    }
}

#[cfg(not(target_os = "linux"))]
mod queue {
    /// No other system tells the queue.
    #[derive(Debug)]
    pub(crate) struct Queue;

    impl Queue {
        pub(crate) fn open() -> Option<Self> {
            None
        }

        pub(crate) fn so_far(&self) -> Option<(f64, u64)> {
            None
        }
    }
}

pub(crate) use queue::Queue;

/// True if the system's figures fit the clock that the calling thread looks at.
fn tells() -> bool {
    IS_TOLD && !Clock::of_this_thread().is_moved()
}

/// Begins to count the time for which the calling thread is ready to run while others have the
/// cores, if the system tells it. This takes 5 us, and each look 0.7 us.
pub(crate) fn queue() -> Option<Queue> {
    if tells() { Queue::open() } else { None }
}

/// Measures the use of the calling thread's time from now on.
#[derive(Debug)]
pub(crate) enum Measuring {
    System(system::Begun),
    #[cfg(all(test, not(loom)))]
    Moved(moved::Begun),
}

impl Measuring {
    /// Begins, if the system tells these times. This and the end take some 6 us.
    pub(crate) fn begin() -> Option<Self> {
        #[cfg(all(test, not(loom)))]
        if Clock::of_this_thread().is_moved() {
            return Some(Self::Moved(moved::begin()));
        }
        if !tells() {
            return None;
        }
        system::begin().map(Self::System)
    }

    /// Ends, on the same thread; `None` if the time was too short to be judged.
    pub(crate) fn end(self) -> Option<Use> {
        match self {
            Self::System(begun) => begun.end(),
            #[cfg(all(test, not(loom)))]
            Self::Moved(begun) => Some(begun.end()),
        }
    }
}

/// Measures by a clock that a test moves.
#[cfg(all(test, not(loom)))]
mod moved {
    use std::time::{Duration, Instant};

    use super::Use;
    use crate::system::sync::{now, spent};

    #[derive(Debug)]
    pub(crate) struct Begun(Instant, (Duration, Duration));

    pub(super) fn begin() -> Begun {
        Begun(now(), spent())
    }

    impl Begun {
        pub(super) fn end(self) -> Use {
            let (ran, waited) = spent();
            let (all, ran, waited) = (now() - self.0, ran - self.1.0, waited - self.1.1);
            let queued = all.saturating_sub(ran + waited).as_secs_f64();
            let (seconds, ran) = (all.as_secs_f64(), ran.as_secs_f64());
            Use { seconds, ran, queued, process_ran: ran }
        }
    }
}

/// Seconds that a thread runs to sleep and wake while no other thread does; takes 0.2 ms.
pub(crate) fn seconds_of_a_wake() -> Option<f64> {
    if tells() { system::seconds_of_a_wake() } else { None }
}

/// The time for which the process ran so far, over all its threads and the children that it waited
/// for.
///
/// It takes 0.7 us, and 2.6 us if there are 256 threads.
pub(crate) fn process_ran() -> Option<Duration> {
    if tells() { system::process_ran() } else { None }
}

/// The time for which the other threads of the process ran so far, but for that of [`HELPERS`].
///
/// This is what they ran at least: the system adds the time of a thread that has a core when it
/// loses it, and at its own ticks, up to 4 ms late. If `exactly`, that time is contained; asking
/// takes 15 us then, and 1 us more for each thread. `None` on other systems than Linux, and where a
/// look was disturbed.
pub(crate) fn others_ran(exactly: bool) -> Option<Duration> {
    if tells() { system::others_ran(exactly) } else { None }
}

/// True if [`others_ran`] tells the exact time, if not each time; asking takes 15 us.
pub(crate) fn others_are_told() -> bool {
    (0..8).any(|_| others_ran(true).is_some())
}

/// The number of times that the other threads of the process slept so far; takes 1 us, and more if
/// there are many threads.
pub(crate) fn others_slept() -> Option<u64> {
    if tells() { calls::others_slept() } else { None }
}

/// The numbers of the threads of this library that hand no result on. Their time is not counted as
/// that of others.
static HELPERS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Makes a thread one of [`HELPERS`] until it is dropped.
#[derive(Debug)]
#[cfg(feature = "durable")]
pub(crate) struct Helper(Option<i32>);

#[cfg(feature = "durable")]
impl Helper {
    /// The calling thread is one.
    pub(crate) fn this_thread() -> Self {
        let number = calls::thread_number();
        HELPERS.lock().unwrap_or_else(PoisonError::into_inner).extend(number);
        Self(number)
    }
}

#[cfg(feature = "durable")]
impl Drop for Helper {
    fn drop(&mut self) {
        HELPERS.lock().unwrap_or_else(PoisonError::into_inner).retain(|&number| Some(number) != self.0);
    }
}

/// Nanoseconds in the queue, and the number of times that a thread got a core, from a file
/// `schedstat`. Its first figure is the time on a core.
#[cfg(target_os = "linux")]
fn queued(schedstat: &str) -> Option<(u64, u64)> {
    let mut figures = schedstat.split_whitespace().skip(1);
    Some((figures.next()?.parse().ok()?, figures.next()?.parse().ok()?))
}

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// Runs on a core for `time`, however long that takes.
    fn run_for(time: Duration) {
        let begun = crate::system::calls::thread_ran();
        while crate::system::calls::thread_ran() - begun < time {}
    }

    #[test]
    fn the_queue_is_the_second_figure() {
        assert_eq!(queued("2117381 3287901 15\n"), Some((3_287_901, 15)));
        assert_eq!(queued(""), None);
        assert_eq!((queued("1 x 2"), queued("1 2")), (None, None));
    }

    #[test]
    fn to_sleep_takes_a_thread_some_time() {
        let seconds = seconds_of_a_wake().unwrap();
        assert!(seconds > 0.0 && seconds < 1.0, "{seconds}");
        let queue = queue().unwrap();
        (0..5).for_each(|_| thread::sleep(Duration::from_millis(1)));
        let (_, turns) = queue.so_far().unwrap();
        assert!(turns >= 5, "{turns}");
    }

    #[test]
    fn a_thread_that_sleeps_waits() {
        let measuring = Measuring::begin().unwrap();
        thread::sleep(Duration::from_millis(20));
        let used = measuring.end().unwrap();
        // Its time in the queue after it woke depends on the machine's other work.
        assert!(used.seconds >= 0.02 && used.ran < 0.005, "{used:?}");
        let used = Use { seconds: 0.02, ran: 1e-3, queued: 0.0, ..used };
        assert!((used.waited() - 0.019).abs() < 1e-9);
    }

    #[test]
    fn a_thread_that_runs_does_not_wait_however_many_others_do() {
        // 50 ms on a core, and twice as long in the queue for it.
        let used = Use { seconds: 0.15, ran: 0.05, queued: 0.1, process_ran: 0.15 };
        assert!(used.waited() < 1e-9);
        let measuring = Measuring::begin().unwrap();
        let begun = Instant::now();
        run_for(Duration::from_millis(50));
        let used = measuring.end().unwrap();
        // The system's clock may be made faster or slower meanwhile, by less than a hundredth.
        assert!(used.ran >= 0.0495 && used.process_ran >= used.ran, "{used:?}");
        assert!(used.seconds <= begun.elapsed().as_secs_f64(), "{used:?}");
    }

    #[test]
    fn a_clock_that_is_moved_tells_what_a_thread_does() {
        let clock = crate::system::sync::Clock::standing();
        let _moved = clock.enter();
        let measuring = Measuring::begin().unwrap();
        let millisecond = Duration::from_millis(1);
        clock.run(millisecond);
        clock.wait(2 * millisecond);
        clock.pass(4 * millisecond);
        let used = measuring.end().unwrap();
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
        assert!(near(used.seconds, 7e-3) && near(used.ran, 1e-3) && near(used.waited(), 2e-3), "{used:?}");
        assert!(queue().is_none() && process_ran().is_none() && seconds_of_a_wake().is_none());
        assert!(others_ran(false).is_none() && others_slept().is_none() && !others_are_told());
    }

    #[test]
    #[cfg(feature = "durable")]
    fn the_time_of_a_helper_is_not_that_of_others() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let helper = Helper::this_thread();
            run_for(Duration::from_millis(5));
            sender.send(helper.0).unwrap();
            _ = is_done.recv();
        });
        let number = receiver.recv().unwrap();
        assert!(number.is_some() && HELPERS.lock().unwrap().contains(&number.unwrap()));
        // The time of other tests until the last look can hide a fault, but makes none.
        let less = calls::thread_ran() + calls::clock_of(number.unwrap()).unwrap();
        let others = others_ran(false).unwrap();
        assert!(others <= calls::process_ran() - less, "{others:?}");
        drop(done);
        thread.join().unwrap();
        assert!(!HELPERS.lock().unwrap().contains(&number.unwrap()));
    }

    #[test]
    fn what_a_child_ran_counts_when_it_is_waited_for() {
        use std::process::Command;

        use crate::system::calls::children_ran;

        let measuring = Measuring::begin().unwrap();
        let before = (process_ran().unwrap(), children_ran().unwrap());
        let counts = Command::new("sh").args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done"]).status();
        assert!(counts.unwrap().success());
        let child = children_ran().unwrap() - before.1;
        let process = process_ran().unwrap() - before.0;
        let used = measuring.end().unwrap();
        assert!(child > Duration::ZERO);
        assert!(process >= child, "{process:?} with a child of {child:?}");
        assert!(used.process_ran >= child.as_secs_f64(), "{used:?} with a child of {child:?}");
    }

    #[test]
    fn what_is_too_short_is_not_judged() {
        // The thread may lose its core in between.
        assert!((0..100).any(|_| Measuring::begin().unwrap().end().is_none()));
    }
}
