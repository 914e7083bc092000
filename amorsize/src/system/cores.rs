//! The number of physical cores behind the threads that a processor shows.
//!
//! Two threads that share a core by simultaneous multithreading (SMT) are two processors to the
//! system, and to rayon, but gain far less than two cores. Linux tells in `/sys/devices/system/cpu`
//! which of them share a core; other systems are not asked, and each of their processors counts as
//! a core.

use std::num::NonZeroUsize;

use once_cell::race::OnceNonZeroUsize;

/// The number of threads of this process that can run at a time, by its affinity mask and its
/// cgroup's quota.
pub(crate) fn usable() -> usize {
    /// Kept, because asking takes 26 us to read files in /proc and /sys.
    static USABLE: OnceNonZeroUsize = OnceNonZeroUsize::new();

    USABLE.get_or_init(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)).get()
}

/// The processors that this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    /// Threads that can run at a time, by the process's part of the processors' time.
    pub(crate) threads: usize,
    /// Cores that these threads share.
    pub(crate) physical: usize,
}

impl Cores {
    /// The cores of this process. The first call takes 33 us if no core is shared, otherwise 14 us
    /// and another 7 us for each core.
    pub(crate) fn of_this_process() -> Self {
        static PHYSICAL: OnceNonZeroUsize = OnceNonZeroUsize::new();

        let threads = usable();
        let physical = PHYSICAL.get_or_init(|| {
            let cores = physical().map_or(threads, |cores| cores.min(threads));
            NonZeroUsize::new(cores).unwrap_or(NonZeroUsize::MIN)
        });
        Self { threads, physical: physical.get() }
    }

    /// The effective number of cores of `threads` busy threads, if the second thread of a core
    /// counts as `gain` of a core.
    pub(crate) fn capacity(&self, threads: usize, gain: f64) -> f64 {
        let busy = threads.min(self.threads);
        // The system gives each thread a core of its own while there are some.
        let alone = busy.min(self.physical);
        alone as f64 + gain * (busy - alone) as f64
    }
}

#[cfg(not(target_os = "linux"))]
fn physical() -> Option<usize> {
    None
}

#[cfg(target_os = "linux")]
fn physical() -> Option<usize> {
    linux::physical(std::path::Path::new("/"))
}

#[cfg(target_os = "linux")]
pub(crate) use linux::online;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::path::Path;

    /// The physical cores of the processors that this process may use, by the files under `root`;
    /// `None` if the files don't tell.
    pub(super) fn physical(root: &Path) -> Option<usize> {
        let system = root.join("sys/devices/system/cpu");
        // If no core is shared, this single file says so, without one for each processor.
        if fs::read_to_string(system.join("smt/active")).is_ok_and(|active| active.trim_ascii() == "0") {
            return None;
        }
        let status = fs::read_to_string(root.join("proc/self/status")).ok()?;
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let mut left = list(allowed)?;
        let mut cores = 0;
        while let Some(&processor) = left.first() {
            let topology = system.join(format!("cpu{processor}/topology"));
            // The second is the older name, of kernels before 5.3.
            let siblings = ["core_cpus_list", "thread_siblings_list"]
                .iter()
                .find_map(|name| list(&fs::read_to_string(topology.join(name)).ok()?))?;
            left.retain(|other| *other != processor && !siblings.contains(other));
            cores += 1;
        }
        (cores > 0).then_some(cores)
    }

    /// The number of processors that the system uses, by the files under `root`.
    pub(crate) fn online(root: &Path) -> Option<usize> {
        let online = fs::read_to_string(root.join("sys/devices/system/cpu/online")).ok()?;
        list(&online).map(|processors| processors.len())
    }

    /// The numbers of a list as the kernel writes it, such as `0-3,8`.
    fn list(text: &str) -> Option<Vec<usize>> {
        let mut numbers = Vec::new();
        for part in text.trim_ascii().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            // No kernel has more processors; a longer list is not one of them.
            if last >= 1 << 16 {
                return None;
            }
            numbers.extend(first..=last);
        }
        Some(numbers)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn lists_are_numbers_and_ranges() {
            assert_eq!(list("0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
            assert_eq!(list("\t7"), Some(vec![7]));
            assert_eq!((list(""), list("a-b"), list("0-99999999")), (None, None, None));
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::system::recorded::Recorded;

    /// A machine: the processors that the process may use, and for each one those that share its
    /// core.
    fn machine(allowed: &str, siblings: &[&str], name: &str) -> Recorded {
        let machine = Recorded::new();
        machine.write("proc/self/status", &format!("Name:\tcat\nCpus_allowed:\tff\nCpus_allowed_list:\t{allowed}\n"));
        for (processor, siblings) in siblings.iter().enumerate() {
            let path = format!("sys/devices/system/cpu/cpu{processor}/topology/{name}");
            machine.write(&path, &format!("{siblings}\n"));
        }
        machine
    }

    fn physical(allowed: &str, siblings: &[&str], name: &str) -> Option<usize> {
        linux::physical(machine(allowed, siblings, name).root())
    }

    /// Four cores with two threads each, numbered as on Intel's and AMD's processors.
    const SMT: [&str; 8] = ["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"];

    #[test]
    fn siblings_are_one_core() {
        assert_eq!(physical("0-7", &SMT, "core_cpus_list"), Some(4));
        // A kernel of 2018.
        assert_eq!(physical("0-7", &SMT, "thread_siblings_list"), Some(4));
        // Virtual machines, and POWER with four threads for each core, number them one after the
        // other.
        assert_eq!(physical("0-3", &["0-1", "0-1", "2-3", "2-3"], "core_cpus_list"), Some(2));
        let power = ["0-3", "0-3", "0-3", "0-3", "4-7", "4-7", "4-7", "4-7"];
        assert_eq!(physical("0-7", &power, "core_cpus_list"), Some(2));
    }

    #[test]
    fn only_processors_count_that_the_process_may_use() {
        // `taskset -c 0-3` has four cores for itself, `taskset -c 0,4,1` two.
        assert_eq!(physical("0-3", &SMT, "core_cpus_list"), Some(4));
        assert_eq!(physical("0-1,4", &SMT, "core_cpus_list"), Some(2));
    }

    #[test]
    fn what_the_system_does_not_say_is_not_guessed() {
        let tree = machine("0-7", &SMT, "core_cpus_list");
        tree.write("sys/devices/system/cpu/smt/active", "1\n");
        assert_eq!(linux::physical(tree.root()), Some(4));
        tree.write("sys/devices/system/cpu/smt/active", "0\n");
        assert_eq!(linux::physical(tree.root()), None);
        // A sandbox without the folder, or with a part of it.
        assert_eq!(physical("0-7", &[], "core_cpus_list"), None);
        assert_eq!(physical("0-7", &SMT[..2], "core_cpus_list"), None);
        assert_eq!(physical("", &SMT, "core_cpus_list"), None);
    }

    #[test]
    fn this_process_has_some() {
        let cores = Cores::of_this_process();
        assert!(cores.physical >= 1 && cores.physical <= cores.threads, "{cores:?}");
    }

    #[test]
    fn a_sibling_adds_its_gain() {
        let cores = Cores { threads: 8, physical: 4 };
        assert_eq!((cores.capacity(3, 0.25), cores.capacity(4, 0.25)), (3.0, 4.0));
        assert_eq!((cores.capacity(6, 0.25), cores.capacity(8, 0.25)), (4.5, 5.0));
        // More threads than can run gain nothing.
        assert_eq!((cores.capacity(64, 0.25), cores.capacity(64, 1.0)), (5.0, 8.0));
    }
}
