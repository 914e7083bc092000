//! The most resident memory that a process had.

use std::fs;

/// The peak of this process's resident memory from [`Peak::start`] on, above what it had then.
#[derive(Debug)]
pub struct Peak {
    before: u64,
}

impl Peak {
    /// Sets the peak back to what the process has now, where the system lets it.
    #[must_use]
    pub fn start() -> Self {
        // Where it can't be set back, what the process had at most before is what counts as its own.
        let before = if fs::write("/proc/self/clear_refs", "5").is_ok() { status("VmRSS:") } else { status("VmHWM:") };
        Self { before }
    }

    /// Bytes; 0 on systems without `/proc`.
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
