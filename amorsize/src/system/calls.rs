//! System calls that no safe crate has, each behind a safe function.
#![cfg_attr(
    any(target_os = "linux", target_vendor = "apple"),
    expect(unsafe_code, reason = "the C library's functions have no safe form")
)]

use std::time::Duration;

use crate::units::ByteSize;

pub(crate) mod madvise;

/// The time for which the children ran that this process has waited for, with those that they
/// waited for.
///
/// A child's time is added as a whole when the process waits for it, as `Command::output` does. A
/// look takes a third of a look at the process's clock.
pub(crate) use system::children_ran;

/// The time for which the calling thread ran.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub(crate) fn thread_ran() -> Duration {
    system::clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The time for which the process ran, over all its threads.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub(crate) fn process_ran() -> Duration {
    system::clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Has the system add to [`process_ran`] what threads that run now ran since its last tick. `None`
/// if it can't.
#[cfg(target_os = "linux")]
pub(crate) use system::bring_threads_up_to_date;

#[cfg(target_os = "linux")]
pub(crate) use system::clock_of;

/// The number of the calling thread; `None` if the system has no clock by that.
#[cfg(feature = "durable")]
pub(crate) use system::thread_number;

/// The peak of the process's resident memory so far; takes 0.5 us. If a larger process started this
/// one, it begins with that one's figure.
pub(crate) use system::max_resident;

/// The number of times that the calling thread has slept to wait; takes 0.3 us. `None` if the
/// system counts that only for whole processes.
pub(crate) use system::voluntary_switches;

/// The number of times that the other threads of the process have slept to wait; takes 1 us, and
/// more if there are many. If nobody has slept, this thread sleeps for a moment: some sandboxes
/// count nothing. `None` if the system does not count that.
pub(crate) fn others_slept() -> Option<u64> {
    let count = || Some((voluntary_switches()?, system::voluntary_switches_of_all()?));
    let mut counts = count()?;
    if counts.1 == 0 {
        std::thread::sleep(Duration::from_nanos(1));
        counts = count()?;
    }
    let (own, all) = counts;
    if all == 0 { None } else { all.checked_sub(own) }
}

/// The columns of the terminal that a file is; `None` if it is none, or doesn't tell.
#[cfg(feature = "progress")]
pub(crate) fn terminal_columns(file: &std::io::Stderr) -> Option<usize> {
    system::terminal_columns(file).filter(|&columns| columns > 0)
}

/// The size of the calling thread's stack when it was made, in bytes; `None` on systems that don't
/// tell.
pub(crate) fn stack_size() -> Option<usize> {
    system::stack_size().filter(|&bytes| bytes > 0)
}

/// True if the process began with the calling thread. In a child made by `fork`, it began with the
/// one that called it. False if the system doesn't tell.
pub(crate) use system::is_first_thread;

/// Makes glibc's allocator give freed memory back to the system. Other C libraries have no such
/// function.
pub(crate) fn trim_glibc() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: any thread may call it at any time; allocations stay where they are.
    unsafe {
        libc::malloc_trim(0)
    };
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
mod system {
    use std::mem::MaybeUninit;

    use super::*;

    /// macOS gives resident memory in bytes, Linux in KiB.
    const MAX_RESIDENT_UNIT: ByteSize = if cfg!(target_vendor = "apple") { ByteSize::new(1) } else { ByteSize::kib(1) };

    /// The clock's time; 0 if the system has no such clock.
    pub(super) fn clock(id: libc::clockid_t) -> Duration {
        // On some systems it has private fields, too.
        let mut time = MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: the pointer leads to a time of this function, and the call writes nowhere else.
        unsafe { libc::clock_gettime(id, time.as_mut_ptr()) };
        // SAFETY: it consists of integers, which are 0 unless the call wrote them.
        let time = unsafe { time.assume_init() };
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    /// Linux adds the time of a running thread when the thread's own clock is read.
    #[cfg(target_os = "linux")]
    pub(crate) fn bring_threads_up_to_date() -> Option<()> {
        let own = thread_number()?;
        let mut is_own_listed = false;
        for thread in std::fs::read_dir("/proc/self/task").ok()? {
            let thread = thread.ok()?.file_name().to_str()?.parse().ok()?;
            // One that has just ended has no clock.
            is_own_listed |= clock_of(thread).is_some() && thread == own;
        }
        // Where another container's `/proc` is mounted, threads have other numbers there.
        is_own_listed.then_some(())
    }

    /// The time for which a thread of the process ran so far; `None` if it has ended.
    #[cfg(target_os = "linux")]
    pub(crate) fn clock_of(thread: i32) -> Option<Duration> {
        // The number of its clock, as glibc's `pthread_getcpuclockid` makes it: bit 2 stands for a
        // thread, and 2 for time on cores.
        Some(clock((!thread << 3) | 6)).filter(|ran| !ran.is_zero())
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn thread_number() -> Option<i32> {
        // SAFETY: it takes no arguments and can't fail.
        Some(unsafe { libc::gettid() })
    }

    #[cfg(all(target_vendor = "apple", feature = "durable"))]
    pub(crate) fn thread_number() -> Option<i32> {
        None
    }

    pub(crate) fn children_ran() -> Option<Duration> {
        let usage = usage(libc::RUSAGE_CHILDREN)?;
        Some(duration(usage.ru_utime) + duration(usage.ru_stime))
    }

    pub(crate) fn max_resident() -> Option<ByteSize> {
        let units = u64::try_from(usage(libc::RUSAGE_SELF)?.ru_maxrss).ok()?;
        // Some sandboxes answer with zeros only.
        Some(MAX_RESIDENT_UNIT * units).filter(|&bytes| bytes > ByteSize::ZERO)
    }

    pub(crate) fn voluntary_switches() -> Option<u64> {
        #[cfg(target_os = "linux")]
        return u64::try_from(usage(libc::RUSAGE_THREAD)?.ru_nvcsw).ok();
        #[cfg(not(target_os = "linux"))]
        return None;
    }

    pub(super) fn voluntary_switches_of_all() -> Option<u64> {
        u64::try_from(usage(libc::RUSAGE_SELF)?.ru_nvcsw).ok()
    }

    #[cfg(feature = "progress")]
    pub(super) fn terminal_columns(file: &impl std::os::fd::AsRawFd) -> Option<usize> {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: this request writes a `winsize` and nothing else, and the pointer leads to one of
        // this function. The file is open while it is borrowed.
        let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
        (answer == 0).then_some(size.ws_col.into())
    }

    #[cfg(target_os = "linux")]
    pub(super) fn stack_size() -> Option<usize> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the handle belongs to the calling thread, which is alive; the pointer leads to
        // attributes of this function, and the call writes nowhere else.
        let answer = unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) };
        if answer != 0 {
            return None;
        }
        // SAFETY: the answer 0 says that they are initialized.
        let mut attributes = unsafe { attributes.assume_init() };
        let mut bytes = 0;
        // SAFETY: the attributes are initialized, and the pointer leads to a number of this
        // function.
        let answer = unsafe { libc::pthread_attr_getstacksize(&raw const attributes, &raw mut bytes) };
        // SAFETY: they are initialized, and nothing uses them afterwards.
        unsafe { libc::pthread_attr_destroy(&raw mut attributes) };
        (answer == 0).then_some(bytes)
    }

    #[cfg(target_vendor = "apple")]
    pub(super) fn stack_size() -> Option<usize> {
        // SAFETY: the handle belongs to the calling thread, which is alive.
        Some(unsafe { libc::pthread_get_stacksize_np(libc::pthread_self()) })
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn is_first_thread() -> bool {
        thread_number().and_then(|thread| u32::try_from(thread).ok()) == Some(std::process::id())
    }

    #[cfg(target_vendor = "apple")]
    pub(crate) fn is_first_thread() -> bool {
        // SAFETY: it takes no arguments and can't fail.
        unsafe { libc::pthread_main_np() != 0 }
    }

    fn usage(of: libc::c_int) -> Option<libc::rusage> {
        let mut usage = MaybeUninit::uninit();
        // SAFETY: the pointer leads to a `rusage` of this function, and the call writes nowhere
        // else.
        let answer = unsafe { libc::getrusage(of, usage.as_mut_ptr()) };
        // SAFETY: the answer 0 says that all of it is written.
        (answer == 0).then(|| unsafe { usage.assume_init() })
    }

    fn duration(time: libc::timeval) -> Duration {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
mod system {
    use super::*;

    pub(crate) fn children_ran() -> Option<Duration> {
        None
    }

    pub(crate) fn max_resident() -> Option<ByteSize> {
        None
    }

    pub(crate) fn voluntary_switches() -> Option<u64> {
        None
    }

    pub(super) fn voluntary_switches_of_all() -> Option<u64> {
        None
    }

    #[cfg(feature = "progress")]
    pub(super) fn terminal_columns(_: &std::io::Stderr) -> Option<usize> {
        None
    }

    #[cfg(feature = "durable")]
    pub(crate) fn thread_number() -> Option<i32> {
        None
    }

    pub(super) fn stack_size() -> Option<usize> {
        None
    }

    pub(crate) fn is_first_thread() -> bool {
        false
    }
}

#[cfg(all(test, any(target_os = "linux", target_vendor = "apple"), not(loom)))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_child_counts_when_it_was_waited_for() {
        // It ends when its input does.
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        drop(child.stdin.take());
        let before = children_ran().unwrap();
        child.wait().unwrap();
        // Other tests can only add to it.
        assert!(children_ran().unwrap() > before);
    }

    #[test]
    fn a_thread_and_its_process_run_while_they_work_alone() {
        let before = (thread_ran(), process_ran());
        std::thread::sleep(Duration::from_millis(20));
        // The system counts at once what a thread runs.
        assert!(thread_ran() - before.0 < Duration::from_millis(10));
        let until = thread_ran() + Duration::from_millis(10);
        while thread_ran() < until {}
        assert!(process_ran() - before.1 >= Duration::from_millis(10));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_time_of_a_thread_that_runs_now_is_counted_when_all_are_brought_up_to_date() {
        use std::sync::atomic::{AtomicU64, Ordering};

        // The time of other tests is counted too. It can hide a fault, but makes none. The thread
        // tells how long it ran before the other one asks.
        const DONE: u64 = u64::MAX;
        let told = AtomicU64::new(0);
        let others = || process_ran().saturating_sub(thread_ran());
        let base = others();
        let missed = std::thread::scope(|scope| {
            scope.spawn(|| {
                let next = |before| (before != DONE).then(|| thread_ran().as_nanos() as u64);
                while told.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok() {}
            });
            let missed = (0..2_000).filter(|_| {
                let least = Duration::from_nanos(told.load(Ordering::SeqCst));
                let is_brought = bring_threads_up_to_date().is_some();
                // This thread's own time between the two looks is taken off, too.
                let late = Duration::from_micros(500);
                !is_brought || others() + late < base + least
            });
            let missed = missed.count();
            told.store(DONE, Ordering::SeqCst);
            missed
        });
        // A pause of the whole machine between two looks counts as this thread's own time.
        assert!(missed < 200, "{missed}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_has_a_clock_by_its_number() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let ended = std::thread::spawn(move || sender.send((system::thread_number(), thread_ran())).unwrap());
        let (number, ran) = receiver.recv().unwrap();
        assert!(clock_of(number.unwrap()).is_none_or(|clock| clock >= ran));
        ended.join().unwrap();
        let own = thread_ran();
        assert!(clock_of(system::thread_number().unwrap()).unwrap() >= own);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_that_sleeps_counts_it_and_others_do_not() {
        let before = voluntary_switches().unwrap();
        std::thread::spawn(|| std::thread::sleep(Duration::from_millis(1))).join().unwrap();
        std::thread::sleep(Duration::from_millis(1));
        let after = voluntary_switches().unwrap();
        assert!(after > before);
        // A new thread's count begins anew.
        let fresh = std::thread::spawn(|| voluntary_switches().unwrap()).join().unwrap();
        assert!(fresh < 100, "{fresh}");
    }

    #[test]
    #[cfg(feature = "progress")]
    fn a_terminal_tells_its_columns_and_a_file_none() {
        use std::os::fd::{FromRawFd, OwnedFd};

        let size = libc::winsize { ws_row: 24, ws_col: 97, ws_xpixel: 0, ws_ypixel: 0 };
        let mut files = [-1; 2];
        let [leader, terminal] = &mut files;
        // SAFETY: all pointers lead to values of this function or are null, which the call allows.
        let answer = unsafe {
            libc::openpty(leader, terminal, std::ptr::null_mut(), std::ptr::null_mut(), (&raw const size).cast_mut())
        };
        assert_eq!(answer, 0);
        // SAFETY: the call opened both, and nothing else closes them.
        let [_leader, terminal] = files.map(|file| unsafe { OwnedFd::from_raw_fd(file) });
        assert_eq!(system::terminal_columns(&terminal), Some(97));
        assert_eq!(system::terminal_columns(&std::fs::File::open("/dev/null").unwrap()), None);
    }

    #[test]
    fn a_thread_tells_the_size_of_its_stack() {
        let told = [3, 40].map(|mib| {
            let thread = std::thread::Builder::new().stack_size(mib << 20);
            let told = thread.spawn(|| (stack_size().unwrap(), is_first_thread())).unwrap().join().unwrap();
            // With or without its guard page, of at most 64 KiB. A thread may get the larger stack
            // of one that has ended.
            assert!(told.0 + (64 << 10) >= mib << 20 && !told.1, "{told:?}");
            told.0
        });
        assert!(told[0] < told[1], "{told:?}");
    }

    #[test]
    fn memory_that_was_touched_stays_in_the_most() {
        drop(std::hint::black_box(vec![1u8; 64 << 20]));
        let most = max_resident().unwrap();
        assert!(most > ByteSize::mib(64), "{most}");
        // In the wrong unit it would be a thousand times as much.
        assert!(most < ByteSize::gib(64), "{most}");
    }
}
