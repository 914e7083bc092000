//! Memory on Linux, read from the kernel's files.
//!
//! The first read takes 85 us, of them 30 us for 20 mounts. Each later one takes 16 us, or 28 us
//! inside a cgroup with a limit, mostly for its `memory.stat`. Pressure takes 5 us and resident
//! memory 1.1 us. Measured on a 2-core AMD EPYC with Linux 6.18, with four cgroups of both versions
//! on the way up, by `cargo test --release -p amorsize --lib -- --ignored --nocapture how_long`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use once_cell::race::OnceBool;

use super::super::working::NOISE;
use super::cgroup::Cgroups;
use super::kept_file::{Buffer, KeptFile};
use super::machine::{self, ResourceLimits};
use crate::system::calls::max_resident;
use crate::system::process::PerProcess;
use crate::units::ByteSize;

/// The bytes that the process may still take: the least of those that the machine, each cgroup of
/// the process, and its resource limits leave.
pub(crate) fn available() -> Option<ByteSize> {
    kept().available()
}

/// The machine's memory, whatever the limits of the process.
#[cfg(any(test, feature = "picture"))]
pub(crate) fn installed() -> Option<ByteSize> {
    machine::total(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// The total time in which a task of the process's cgroup, or else of the machine, waited for
/// memory.
pub(crate) fn stalled() -> Option<Duration> {
    kept().stalled()
}

/// The process's resident memory; if `/proc` can't be read, the peak so far, which is never too
/// low.
///
/// Read apart from the rest and without a lock, because a run reads it often. The file stays open:
/// opening it each time would take six times as long.
pub(crate) fn resident() -> Option<ByteSize> {
    resident_now().or_else(max_resident)
}

fn resident_now() -> Option<ByteSize> {
    // In a child made by `fork`, a file that its parent opened would tell the parent's figure.
    static STATM: PerProcess<OnceLock<File>> = PerProcess::new();
    let (kept, _) = STATM.get(OnceLock::new);
    let file = match kept.get() {
        Some(file) => file,
        None => {
            let file = File::open("/proc/self/statm").ok()?;
            kept.get_or_init(|| file)
        }
    };
    let mut text = [0; 128];
    let read = file.read_at(&mut text, 0).ok()?;
    machine::resident(std::str::from_utf8(&text[..read]).ok()?)
}

/// The peak of the process's resident memory so far.
///
/// `getrusage` takes 0.5 us. But a process that a larger one started, as cargo does, gets the
/// larger one's figure. Then the peak comes from `/proc`, which takes 13 us.
pub(crate) fn peak_resident() -> Option<ByteSize> {
    static IS_OWN: PerProcess<OnceBool> = PerProcess::new();
    let read = || machine::peak_resident(&fs::read_to_string("/proc/self/status").ok()?);
    let told = max_resident();
    let is_own = IS_OWN.get(OnceBool::new).0.get_or_init(|| match (told, read()) {
        (Some(told), Some(own)) => told <= own + ByteSize::new(NOISE),
        (told, _) => told.is_some(),
    });
    if is_own { told } else { read() }
}

fn kept() -> MutexGuard<'static, SystemMemory> {
    // A child made by `fork` has files of its own, and a lock that no thread of its parent holds.
    static KEPT: PerProcess<Mutex<SystemMemory>> = PerProcess::new();
    let (kept, _) = KEPT.get(|| Mutex::new(SystemMemory::under(Path::new("/"))));
    // Every read replaces all figures, so a panic leaves nothing half done.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A system's memory, with all that later reads need not find again.
#[derive(Debug)]
struct SystemMemory {
    root: PathBuf,
    meminfo: KeptFile,
    limits: KeptFile,
    statm: KeptFile,
    pressure: KeptFile,
    own: KeptFile,
    /// The value of `own` when `cgroups` were found: a process can move to others while it runs.
    found_for: Option<Box<[u8]>>,
    cgroups: Cgroups,
    buffer: Buffer,
}

impl SystemMemory {
    /// A system with files under `root`.
    fn under(root: &Path) -> Self {
        let file = |path: &str| KeptFile::new(root.join(path));
        Self {
            root: root.to_owned(),
            meminfo: file("proc/meminfo"),
            limits: file("proc/self/limits"),
            statm: file("proc/self/statm"),
            pressure: file("proc/pressure/memory"),
            own: file("proc/self/cgroup"),
            found_for: None,
            cgroups: Cgroups::default(),
            buffer: Buffer::default(),
        }
    }

    fn available(&mut self) -> Option<ByteSize> {
        self.find_cgroups();
        let cgroups = self.cgroups.available(&mut self.buffer);
        let machine = self.meminfo.text(&mut self.buffer).and_then(machine::available);
        let limits = self.limits.text(&mut self.buffer).map(ResourceLimits::parse);
        let limits = limits.filter(|limits| *limits != ResourceLimits::default());
        let limits = limits.and_then(|limits| limits.left(self.statm.text(&mut self.buffer)));
        [cgroups, machine, limits].into_iter().flatten().min()
    }

    fn stalled(&mut self) -> Option<Duration> {
        self.find_cgroups();
        let own = self.cgroups.stalled(&mut self.buffer);
        own.or_else(|| machine::stalled(self.pressure.text(&mut self.buffer)?))
    }

    fn find_cgroups(&mut self) {
        let Some(own) = self.own.bytes(&mut self.buffer) else {
            (self.found_for, self.cgroups) = (None, Cgroups::default());
            return;
        };
        if self.found_for.as_deref() == Some(own) {
            return;
        }
        // A path may not be UTF-8. Its replacement text finds no cgroup, but finds those above.
        let mountinfo = fs::read(self.root.join("proc/self/mountinfo")).ok();
        let mountinfo = mountinfo.as_deref().map(String::from_utf8_lossy);
        self.cgroups = Cgroups::find(&String::from_utf8_lossy(own), mountinfo.as_deref(), &self.root);
        self.found_for = Some(own.into());
    }
}

#[cfg(test)]
mod tests;
