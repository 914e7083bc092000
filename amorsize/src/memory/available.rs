//! How much memory the process may still take, and how much it has.

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::Bytes;

/// Taken as available where nothing can be read. Amorsize assumes the same; it is small enough for any machine of today.
const ASSUMED: Bytes = Bytes::gib(1);

/// What the process may still take: the least of what the machine has and what the cgroups of the process leave.
pub(crate) fn available() -> Bytes {
    let Ok(mut system) = System::new() else { return ASSUMED };
    system.refresh_memory();
    let machine = match system.available_memory() {
        0 => ASSUMED,
        bytes => Bytes::new(bytes),
    };
    cgroup(&mut system).map_or(machine, |cgroup| cgroup.min(machine))
}

fn cgroup(system: &mut System) -> Option<Bytes> {
    let own = Pid::from_u32(std::process::id());
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, ProcessRefreshKind::nothing());
    system.process(own)?.cgroup_limits().map(|limits| Bytes::new(limits.free_memory))
}

/// The process's resident memory, or `None` where it can't be read cheaply.
///
/// The file is kept open: reading it again costs under a microsecond, opening it five times that.
#[cfg(target_os = "linux")]
pub(crate) fn resident() -> Option<Bytes> {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::sync::OnceLock;

    static STATM: OnceLock<Option<(File, u64)>> = OnceLock::new();
    let (file, page) = STATM.get_or_init(|| Some((File::open("/proc/self/statm").ok()?, page_size()?))).as_ref()?;
    let mut text = [0; 128];
    let read = file.read_at(&mut text, 0).ok()?;
    let pages: u64 = std::str::from_utf8(&text[..read]).ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(Bytes::new(pages * page))
}

/// The size of a page, from the one line of `smaps` that tells it without a system call of one's own.
#[cfg(target_os = "linux")]
fn page_size() -> Option<u64> {
    use std::io::{BufRead, BufReader};

    let smaps = BufReader::new(std::fs::File::open("/proc/self/smaps").ok()?);
    smaps.lines().map_while(Result::ok).find_map(|line| {
        let kilobytes = line.strip_prefix("KernelPageSize:")?.trim().strip_suffix(" kB")?;
        kilobytes.parse::<u64>().ok().map(|size| size * 1024)
    })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn resident() -> Option<Bytes> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_memory() {
        assert!(available() > Bytes::mib(1));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn resident_memory_follows_what_is_touched() {
        let before = resident().unwrap();
        let touched = vec![1u8; 64 << 20];
        let after = resident().unwrap();
        assert!(after.saturating_sub(before) > Bytes::mib(48), "{before} then {after}");
        drop(touched);
    }
}
