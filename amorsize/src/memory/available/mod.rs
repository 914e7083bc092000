//! The system's figures of memory: the bytes that the process may still take, those that it has,
//! and the time that it waited for some; and the number of threads that limits allow.
//!
//! On Linux they come directly from the kernel's files: these show every cgroup from the process's
//! own up to the root, and the page cache that can be dropped, which counts as available. sysinfo
//! shows the former only through its list of processes, and the latter not at all. Other systems
//! are asked through sysinfo.

#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod kept_file;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(not(target_os = "linux"))]
mod other_systems;
#[cfg(target_os = "linux")]
mod tasks;

#[cfg(all(target_os = "linux", any(test, feature = "picture")))]
pub(crate) use linux::installed;
#[cfg(target_os = "linux")]
pub(crate) use linux::{available, peak_resident, resident, stalled};
#[cfg(all(not(target_os = "linux"), any(test, feature = "picture")))]
pub(crate) use other_systems::installed;
#[cfg(not(target_os = "linux"))]
pub(crate) use other_systems::{available, most_threads, peak_resident, resident, stalled};
#[cfg(target_os = "linux")]
pub(crate) use tasks::most_threads;

/// Threads of runs, which the figures of the limits include.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) now: usize,
    /// The most at a time so far: memory that was reserved for a thread stays reserved.
    pub(crate) most: usize,
    /// The stack of each thread, in bytes, if it is not the standard library's.
    pub(crate) stack: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ByteSize;

    #[test]
    fn there_is_memory() {
        assert!(available().unwrap() > ByteSize::mib(1));
        assert!(installed().unwrap() > ByteSize::mib(1));
    }

    #[test]
    fn resident_memory_follows_what_is_touched() {
        let touch = || {
            let before = resident().unwrap();
            let touched = std::hint::black_box(vec![1u8; 64 << 20]);
            let after = resident().unwrap();
            drop(touched);
            (before, after)
        };
        // Other tests of this process may free memory meanwhile.
        let grows = |&(before, after): &(ByteSize, ByteSize)| after.saturating_sub(before) > ByteSize::mib(48);
        assert!((0..100).map(|_| touch()).any(|found| grows(&found)));
    }
}
