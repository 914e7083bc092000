//! A memory cgroup with a limit, for `tests/cgroup.rs` and `examples/oom.rs`.

#[path = "cgroups.rs"]
mod cgroups;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use amorsize::{ByteSize, process_in_batches};

/// Waits until the owner closes the pipe, when it is dropped or dies in any way, and then until the
/// cgroup is empty: a process that was just killed may take a moment to leave.
const REMOVE: &str = r#"
    read -r _
    for _ in 0 1 2 3 4 5 6 7 8 9; do
        for _ in 0 1 2 3 4 5 6 7 8 9; do
            rmdir "$0/inner" "$0"
            [ -d "$0" ] || exit 0
            sleep 0.1
        done
    done
"#;

/// A memory cgroup with a limit, and in it one without a limit for processes; both are removed when
/// it is dropped.
pub(crate) struct Limited {
    folder: PathBuf,
    remover: Child,
}

impl Limited {
    /// Makes one below the cgroup of this process, or says why that is not possible.
    pub(crate) fn new(limit: ByteSize) -> Result<Self, String> {
        let available = process_in_batches(|_: u8| (), 0..1).max_memory(1.0).plan()?.budget();
        if available.as_u64() < 2 * limit.as_u64() {
            return Err(format!("with {available} available outside, a limit of {limit} may not be what binds"));
        }
        let (parent, v2) = cgroups::parent("memory")?;
        let folder = parent.join(format!("amorsize-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut remover = Command::new("sh");
        remover.args(["-c", REMOVE]).arg(&folder);
        remover.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C should not end the remover too.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut remover, 0);
        let remover = remover.spawn().map_err(|error| {
            let _ = fs::remove_dir(&folder);
            format!("sh: {error}")
        })?;
        let limited = Self { folder, remover };
        limited.set(limit, v2).map_err(|error| format!("{}: {error}", limited.folder.display()))?;
        Ok(limited)
    }

    fn set(&self, limit: ByteSize, v2: bool) -> io::Result<()> {
        let limit = limit.as_u64().to_string();
        // Memory may not go to swap instead, and a process that exceeds the limit should be killed,
        // not wait for ever.
        let (needed, others): (_, &[_]) = if v2 {
            ("memory.max", &[("memory.swap.max", "0"), ("memory.oom.group", "0")])
        } else {
            (
                "memory.limit_in_bytes",
                &[("memory.memsw.limit_in_bytes", &*limit), ("memory.swappiness", "0"), ("memory.oom_control", "0")],
            )
        };
        fs::write(self.folder.join(needed), &limit)?;
        // Not every kernel has all these files.
        for (file, value) in others {
            let file = self.folder.join(file);
            if file.exists() {
                fs::write(file, value)?;
            }
        }
        fs::create_dir(self.inner())?;
        // Not every process may move every kind of process.
        let moved = self.command(Path::new("true")).status()?;
        moved.success().then_some(()).ok_or_else(|| io::Error::other("no process can be moved there"))
    }

    /// The cgroup with the limit.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The cgroup in it, where the processes are.
    pub(crate) fn inner(&self) -> PathBuf {
        self.folder.join("inner")
    }

    /// Prepares a start of a program that is inside from its start.
    pub(crate) fn command(&self, program: &Path) -> Command {
        cgroups::command(&self.inner(), program)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        let _ = self.remover.wait();
    }
}
