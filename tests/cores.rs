//! A run uses the cores that its process may use: by its affinity mask, its cgroup's quota, and
//! `RAYON_NUM_THREADS`. A function that waits still gets more threads.
#![cfg(target_os = "linux")]

#[path = "common/cgroups.rs"]
mod cgroups;
#[path = "common/child.rs"]
mod child;

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use amorsize::process_in_batches;
use child::{run_inside_by, this_program, told};

fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// Runs the test below in a process that `command` starts.
fn expect(threads: usize, command: &mut Command) {
    run_inside_by(command, "inside_a_run_finds_the_threads_that_there_are", &threads.to_string());
}

#[test]
#[ignore = "is run inside by the tests below"]
fn inside_a_run_finds_the_threads_that_there_are() {
    let Some(expected) = told() else { return };
    let expected: usize = expected.parse().unwrap();
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let call = |body: &dyn Fn()| {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        body();
        now.fetch_sub(1, Ordering::SeqCst);
    };
    let wait = |_| call(&|| std::thread::sleep(Duration::from_millis(5)));
    // In a call of another run there are no more threads than cores, even for a function that
    // waits.
    let inner = |_| process_in_batches(wait, 0..1000).plan().unwrap().threads();
    assert_eq!(process_in_batches(inner, 0..1).collect::<Vec<_>>().unwrap(), [expected]);

    // This may take long on a busy machine.
    let (begun, enough) = (Instant::now(), 2 * expected + 8);
    most.store(0, Ordering::SeqCst);
    let input = (0..).take_while(|_| {
        assert!(begun.elapsed() < Duration::from_secs(600), "{} at a time", most.load(Ordering::SeqCst));
        most.load(Ordering::SeqCst) < enough
    });
    process_in_batches(wait, input).for_each_batch(|_| ()).unwrap();
}

#[test]
fn those_of_the_affinity_mask() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let first = allowed.split([',', '-']).next().unwrap();
    if Command::new("taskset").args(["-c", first, "true"]).status().is_ok_and(|status| status.success()) {
        expect(1, Command::new("taskset").args(["-c", first]).arg(std::env::current_exe().unwrap()));
    } else {
        println!("skipped, there is no taskset");
    }
}

#[test]
fn those_that_rayon_is_told_but_no_more_than_there_are() {
    for (told, expected) in [(1, 1), (8 * cores(), cores())] {
        expect(expected, this_program().env("RAYON_NUM_THREADS", told.to_string()));
    }
}

/// A cgroup with a quota, and in it one for a process; both are removed when it is dropped.
struct Quota(PathBuf);

impl Quota {
    /// Makes one with the time of one core, or says why that is not possible.
    fn one_core() -> Result<Self, String> {
        let (parent, is_v2) = cgroups::parent("cpu")?;
        let (file, quota) = if is_v2 { ("cpu.max", "100000 100000") } else { ("cpu.cfs_quota_us", "100000") };
        let folder = parent.join(format!("amorsize-cores-{}", std::process::id()));
        let made = Self(folder);
        let folder = &made.0;
        fs::create_dir_all(folder.join("inner")).map_err(|error| format!("{}: {error}", folder.display()))?;
        fs::write(folder.join(file), quota).map_err(|error| format!("{}: {error}", folder.join(file).display()))?;
        let moved = made.command("true").output().map_err(|error| error.to_string())?;
        if moved.status.success() { Ok(made) } else { Err("no process can be moved there".to_owned()) }
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        cgroups::command(&self.0.join("inner"), program)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // A process that has ended may leave it a moment later.
        for _ in 0..1_000 {
            let _ = fs::remove_dir(self.0.join("inner"));
            if fs::remove_dir(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn those_that_the_quota_of_a_cgroup_above_its_own_pays_for() {
    let quota = match Quota::one_core() {
        Ok(quota) => quota,
        Err(reason) => return println!("skipped, no cgroup for it: {reason}"),
    };
    expect(1, &mut quota.command(std::env::current_exe().unwrap()));
    let folder = quota.0.clone();
    drop(quota);
    assert!(!folder.exists(), "{} is left", folder.display());
}
