//! Cgroups of tests: where one can be made, and how a program is started in it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Moves the shell itself into a cgroup, so that the program that it then becomes is charged to it
/// from the start.
const MOVE: &str = "echo $$ > \"$0\" && exec \"$@\"";

/// Prepares a start of a program that is in a cgroup from its start.
pub(crate) fn command(cgroup: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", MOVE]).arg(cgroup.join("cgroup.procs")).arg(program);
    command
}

/// The cgroup in which one with a limit of this controller can be made, and true if it is of v2.
pub(crate) fn parent(controller: &str) -> Result<(PathBuf, bool), String> {
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
    // A line has a number, the names of controllers, and the path.
    let path_of = |is: &dyn Fn(&str) -> bool| {
        own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            is(parts.next()?).then(|| parts.next())?
        })
    };
    let root = Path::new("/sys/fs/cgroup");
    if let Some(path) = path_of(&|names| names.split(',').any(|name| name == controller)) {
        return Ok((root.join(controller).join(path.trim_start_matches('/')), false));
    }
    let path = path_of(&str::is_empty).ok_or_else(|| format!("no cgroup has the controller `{controller}`"))?;
    let own = root.join(path.trim_start_matches('/'));
    // A child can have a limit only if its parent passes the controller on.
    let passes_on = |folder: &&Path| {
        let passed_on = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
        passed_on.split_whitespace().any(|name| name == controller)
    };
    let parent = own.ancestors().find(passes_on).ok_or_else(|| format!("no cgroup passes `{controller}` on"))?;
    Ok((parent.to_owned(), true))
}
