//! A run uses the cores that its process may use: by its affinity mask, its cgroup's quota, and
//! `RAYON_NUM_THREADS`. A function that waits still gets more threads.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use amorsize::process_in_batches;

/// Tells the process inside the number of threads that it should find.
const EXPECTED: &str = "AMORSIZE_TEST_CORES";

fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// Runs the test below in a process that `command` starts.
fn expect(threads: usize, mut command: Command) {
    let output = command.env(EXPECTED, threads.to_string()).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{}\n{out}\n{err}", output.status);
}

/// This program, started by the command `words`.
fn after(words: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap();
    let inside = ["inside_a_run_finds_the_threads_that_there_are", "--exact", "--ignored", "--nocapture"];
    let mut command = match words {
        [] => Command::new(program),
        [first, others @ ..] => {
            let mut command = Command::new(first);
            command.args(others).arg(program);
            command
        }
    };
    command.args(inside);
    command
}

#[test]
#[ignore = "is run inside by the tests below"]
fn inside_a_run_finds_the_threads_that_there_are() {
    let Ok(expected) = std::env::var(EXPECTED) else { return };
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
        expect(1, after(&["taskset", "-c", first]));
    } else {
        println!("skipped, there is no taskset");
    }
}

#[test]
fn those_that_rayon_is_told_but_no_more_than_there_are() {
    for (told, expected) in [(1, 1), (8 * cores(), cores())] {
        let mut command = after(&[]);
        command.env("RAYON_NUM_THREADS", told.to_string());
        expect(expected, command);
    }
}

/// A cgroup with a quota, and in it one for a process; both are removed when it is dropped.
struct Quota(PathBuf);

impl Quota {
    /// Makes one with the time of one core, or says why that is not possible.
    fn one_core() -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let path_of = |is: fn(&str) -> bool| {
            own.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                is(parts.next()?).then(|| parts.next())?
            })
        };
        let (parent, file, quota) = if let Some(path) = path_of(|names| names.split(',').any(|name| name == "cpu")) {
            (Path::new("/sys/fs/cgroup/cpu").join(path.trim_start_matches('/')), "cpu.cfs_quota_us", "100000")
        } else {
            let path = path_of(str::is_empty).ok_or("no cgroup can limit the time on cores")?;
            let own = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
            let passes_on = |folder: &&Path| {
                let passed_on = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
                passed_on.split_whitespace().any(|name| name == "cpu")
            };
            (own.ancestors().find(passes_on).ok_or("no cgroup passes it on")?.to_owned(), "cpu.max", "100000 100000")
        };
        let folder = parent.join(format!("amorsize-cores-{}", std::process::id()));
        let made = Self(folder);
        let folder = &made.0;
        fs::create_dir_all(folder.join("inner")).map_err(|error| format!("{}: {error}", folder.display()))?;
        fs::write(folder.join(file), quota).map_err(|error| format!("{}: {error}", folder.join(file).display()))?;
        Ok(made)
    }

    fn procs(&self) -> String {
        self.0.join("inner/cgroup.procs").display().to_string()
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
    let moved = "echo $$ > \"$0\" && exec \"$@\"";
    let may = Command::new("sh").args(["-c", moved, &quota.procs(), "true"]).output().unwrap();
    if !may.status.success() {
        return println!("skipped, no process can be moved there");
    }
    expect(1, after(&["sh", "-c", moved, &quota.procs()]));
    let folder = quota.0.clone();
    drop(quota);
    assert!(!folder.exists(), "{} is left", folder.display());
}
