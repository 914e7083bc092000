//! Systems other than Linux, asked through sysinfo.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

use super::Started;
use crate::system::calls::max_resident;
use crate::system::process::PerProcess;
use crate::units::ByteSize;

/// The bytes that the process may still take: those that the machine has.
pub(crate) fn available() -> Option<ByteSize> {
    let mut system = kept();
    system.refresh_memory();
    Some(ByteSize::new(system.available_memory())).filter(|&bytes| bytes > ByteSize::ZERO)
}

/// The machine's memory.
#[cfg(any(test, feature = "picture"))]
pub(crate) fn installed() -> Option<ByteSize> {
    let mut system = kept();
    system.refresh_memory();
    Some(ByteSize::new(system.total_memory())).filter(|&bytes| bytes > ByteSize::ZERO)
}

/// The process's resident memory; if that can't be read, the peak so far. A read takes tens of
/// microseconds, so a run does not ask often.
pub(crate) fn resident() -> Option<ByteSize> {
    resident_now().or_else(max_resident)
}

/// The peak of the process's resident memory so far.
pub(crate) fn peak_resident() -> Option<ByteSize> {
    max_resident()
}

fn resident_now() -> Option<ByteSize> {
    let own = sysinfo::get_current_pid().ok()?;
    let mut system = kept();
    let memory = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, memory);
    Some(ByteSize::new(system.process(own)?.memory())).filter(|&bytes| bytes > ByteSize::ZERO)
}

/// `None`: these systems don't tell it.
pub(crate) fn stalled() -> Option<Duration> {
    None
}

/// The threads that the limits of the process allow: `enough`, as far as they are known. macOS
/// counts processes against `RLIMIT_NPROC`, not threads, and does not enforce `RLIMIT_AS`.
pub(crate) fn most_threads(_started: Started, enough: usize) -> usize {
    enough
}

fn kept() -> MutexGuard<'static, System> {
    // A child made by `fork` has one of its own, and a lock that no thread of its parent holds.
    static KEPT: PerProcess<Mutex<System>> = PerProcess::new();
    let (kept, _) = KEPT.get(|| Mutex::new(System::new()));
    // Every read replaces all figures, so a panic leaves nothing half done.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
