//! What the system says of memory: how much the process may still take, how much it has, how long
//! it waited for some; and how many threads its limits bear.
//!
//! On Linux the kernel's files are read directly: that sees every cgroup from the process's own up to the root, and counts page
//! cache that can be dropped as available. sysinfo sees the first only through its list of processes, and the second not at all.
//! Other systems are asked through sysinfo.

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

#[cfg(target_os = "linux")]
pub(crate) use linux::{available, peak_resident, resident, stalled};
#[cfg(not(target_os = "linux"))]
pub(crate) use other_systems::{available, most_threads, peak_resident, resident, stalled};
#[cfg(target_os = "linux")]
pub(crate) use tasks::most_threads;

/// Threads of runs, which the figures of the limits contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) now: usize,
    /// At most so far: what was reserved for them stays.
    pub(crate) most: usize,
    /// Bytes of the stack of each, where they are not what the standard library gives.
    pub(crate) stack: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Bytes;

    #[test]
    fn there_is_memory() {
        assert!(available().unwrap() > Bytes::mib(1));
    }

    #[test]
    fn resident_memory_follows_what_is_touched() {
        let before = resident().unwrap();
        let touched = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = resident().unwrap();
        assert!(after.saturating_sub(before) > Bytes::mib(48), "{before} then {after}");
        drop(touched);
    }
}
