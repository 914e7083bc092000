//! The peak of a process's resident memory.

use std::fs;

/// The peak of this process's resident memory from [`Peak::start`] on, above the amount at that
/// moment.
#[derive(Debug)]
pub struct Peak {
    before: u64,
}

impl Peak {
    /// Sets the peak back to the present resident memory, if the system allows it.
    #[must_use]
    pub fn start() -> Self {
        // If the peak can't be set back, this takes the earlier peak as the amount before.
        let before = if fs::write("/proc/self/clear_refs", "5").is_ok() { status("VmRSS:") } else { status("VmHWM:") };
        Self { before }
    }

    /// The peak in bytes; 0 on systems without `/proc`.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        status("VmHWM:").saturating_sub(self.before)
    }
}

fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
