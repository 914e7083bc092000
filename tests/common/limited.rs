//! A memory cgroup with a limit, for `tests/cgroup.rs` and `examples/oom.rs`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use amorsize::{ByteSize, process_in_batches};

/// Moves the shell itself into a cgroup, so that the program that it then becomes is charged to it
/// from the start.
const MOVE: &str = "echo $$ > \"$0\"";

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
        let (parent, v2) = parent()?;
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
        let moved = Command::new("sh").args(["-c", MOVE]).arg(self.inner().join("cgroup.procs")).status()?;
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
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{MOVE} && exec \"$@\"")]).arg(self.inner().join("cgroup.procs")).arg(program);
        command
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        let _ = self.remover.wait();
    }
}

/// The cgroup to make one in, and true if it is of v2.
fn parent() -> Result<(PathBuf, bool), String> {
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
    let path_of = |is: fn(&str) -> bool| {
        own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            is(parts.next()?).then(|| parts.next())?
        })
    };
    if let Some(path) = path_of(|names| names.split(',').any(|name| name == "memory")) {
        return Ok((Path::new("/sys/fs/cgroup/memory").join(path.trim_start_matches('/')), false));
    }
    let path = path_of(str::is_empty).ok_or("no cgroup can limit memory")?;
    let own = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
    // A child can have a limit only if its parent passes the controller on.
    let passes_on = |folder: &&Path| {
        let passed_on = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
        passed_on.split_whitespace().any(|name| name == "memory")
    };
    let parent = own.ancestors().find(passes_on).ok_or("no cgroup passes the limiting of memory on")?;
    Ok((parent.to_owned(), true))
}
