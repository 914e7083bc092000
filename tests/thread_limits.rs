//! A run adds threads only if the limits of the process leave room for them, and goes on if it gets
//! none. A function that waits for a child process that computes gets no threads beyond the cores.
//!
//! The limits are those of a child process: this program again, with one of the ignored tests
//! below.
#![cfg(target_os = "linux")]

#[path = "common/cgroups.rs"]
mod cgroups;
#[path = "common/child.rs"]
mod child;
#[path = "common/serial.rs"]
mod serial;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use amorsize::{Report, Warning, process_in_batches};
use child::{run_inside, run_inside_by, told};
use serial::alone;

/// A user who has no other process.
const USER: &str = "--reuid=54321";
/// Tasks that a limit leaves, half of them for the run.
const LEFT: usize = 20;

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// A cgroup that limits tasks, removed when it is dropped.
struct Tasks(PathBuf);

impl Tasks {
    /// Makes one below the cgroup of this process, or says why that is not possible.
    fn new(name: &str) -> Result<Self, String> {
        let (parent, _) = cgroups::parent("pids")?;
        let tasks = Self(parent.join(format!("amorsize-{name}-{}", std::process::id())));
        let says = |error: io::Error| format!("{}: {error}", tasks.0.display());
        fs::create_dir(&tasks.0).map_err(says)?;
        fs::write(tasks.0.join("pids.max"), "10000").map_err(says)?;
        let moved = cgroups::command(&tasks.0, "true").status().map_err(says)?;
        moved.success().then_some(()).ok_or_else(|| says(io::Error::other("no process can be moved there")))?;
        Ok(tasks)
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn in_cgroup(test: &str) {
    let _alone = alone();
    match Tasks::new(test) {
        Ok(Tasks(ref folder)) => {
            let mut command = cgroups::command(folder, std::env::current_exe().unwrap());
            run_inside_by(&mut command, test, &folder.display().to_string());
        }
        Err(reason) => println!("skipped, no cgroup for it: {reason}"),
    }
}

#[test]
fn a_cgroups_tasks_are_left_half() {
    in_cgroup("inside_a_cgroup_half_of_the_tasks_are_left");
}

#[test]
fn a_run_that_gets_no_thread_of_its_own_goes_on_with_the_pool() {
    in_cgroup("inside_a_cgroup_without_further_tasks_the_pool_goes_on");
}

#[test]
fn a_run_that_is_refused_a_thread_goes_on_with_those_that_there_are() {
    in_cgroup("inside_a_cgroup_that_refuses_threads_those_go_on_that_there_are");
}

#[test]
fn a_run_that_gets_no_thread_at_all_goes_on_alone() {
    in_cgroup("inside_a_cgroup_without_any_tasks_the_caller_goes_on");
}

#[test]
fn the_address_space_is_left_half() {
    let _alone = alone();
    if prlimit("--as=unlimited:").is_err() {
        println!("skipped, there is no prlimit");
        return;
    }
    run_inside("inside_half_of_the_address_space_is_left");
}

#[test]
fn a_users_tasks_are_left_half() {
    let _alone = alone();
    let other_user = || {
        let mut command = Command::new("setpriv");
        command.args([USER, "--clear-groups"]).arg(std::env::current_exe().unwrap());
        command
    };
    // Only root may become another user, and not every user may read this program.
    let can = other_user().arg("--list").output();
    if !can.is_ok_and(|output| output.status.success()) || prlimit("--nproc=10000:").is_err() {
        println!("skipped, no other user can run this program");
        return;
    }
    run_inside_by(&mut other_user(), "inside_half_of_a_users_tasks_are_left", "");
}

/// Sets a limit of this process, which applies to it from then on.
fn prlimit(limit: &str) -> Result<(), String> {
    let own = std::process::id().to_string();
    let output = Command::new("prlimit").args(["--pid", &own, limit]).output().map_err(|error| error.to_string())?;
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

// ---- what runs inside ----

/// Lets the cgroup have a number of further tasks.
fn leave(folder: &str, tasks: usize) {
    let now: usize = fs::read_to_string(format!("{folder}/pids.current")).unwrap().trim().parse().unwrap();
    fs::write(format!("{folder}/pids.max"), (now + tasks).to_string()).unwrap();
}

/// Makes a run that would use hundreds of threads, with a sink that does something meanwhile. The
/// pool's threads count as well until the run has left them.
fn wait_much(meanwhile: impl Fn()) -> Report {
    let wait = |item: usize| {
        thread::sleep(Duration::from_millis(3));
        item
    };
    let mut next = 0;
    let report = process_in_batches(wait, 0..600).for_each_batch(|batch| {
        meanwhile();
        for item in batch {
            assert_eq!(item, next);
            next += 1;
        }
    });
    assert_eq!(next, 600);
    report.unwrap()
}

/// Others still get some of the tasks that are left.
fn starts_threads() {
    let start = || thread::Builder::new().spawn(|| ());
    (0..LEFT / 4).map(|_| start().unwrap()).collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
#[ignore = "is run inside a cgroup by a test above"]
fn inside_a_cgroup_half_of_the_tasks_are_left() {
    let Some(folder) = told() else { return };
    // This starts the pool's threads.
    assert!(rayon::current_num_threads() >= 1);
    leave(&folder, LEFT);
    for _ in 0..3 {
        let report = wait_much(starts_threads);
        println!("inside: {} threads of {LEFT} tasks", report.threads());
        assert!(report.threads() <= cores() + LEFT / 2, "{report}");
    }
}

#[test]
#[ignore = "is run inside a cgroup by a test above"]
fn inside_a_cgroup_without_further_tasks_the_pool_goes_on() {
    let Some(folder) = told() else { return };
    let threads = rayon::current_num_threads();
    leave(&folder, 0);
    let report = wait_much(|| ());
    println!("inside: {} threads", report.threads());
    assert!(report.threads() <= threads, "{report}");
}

#[test]
#[ignore = "is run inside a cgroup by a test above"]
fn inside_a_cgroup_that_refuses_threads_those_go_on_that_there_are() {
    let Some(folder) = told() else { return };
    assert!(rayon::current_num_threads() >= 1);
    leave(&folder, 400);
    // The first own thread of the run removes the tasks that the run counts on.
    let lowered = AtomicBool::new(false);
    let wait = |item: usize| {
        let is_own = thread::current().name().is_some_and(|name| name.starts_with("amorsize-own-"));
        if is_own && !lowered.swap(true, Ordering::Relaxed) {
            leave(&folder, 0);
        }
        thread::sleep(Duration::from_millis(3));
        item
    };
    let all: Vec<_> = process_in_batches(wait, 0..600).collect().unwrap();
    assert!(all.into_iter().eq(0..600));
    println!("inside: threads were refused: {}", lowered.into_inner());
}

#[test]
#[ignore = "is run inside a cgroup by a test above"]
fn inside_a_cgroup_without_any_tasks_the_caller_goes_on() {
    let Some(folder) = told() else { return };
    leave(&folder, 0);
    let report = wait_much(|| ());
    assert_eq!(report.threads(), 1, "{report}");
    let run = || process_in_batches(|item: u64| thread::sleep(Duration::from_millis(item)), [1; 50]);
    let mut planned = run();
    let plan = planned.plan().unwrap();
    assert_eq!(plan.threads(), 1);
    // The plan and the report say so.
    let is_told = |warnings: &[Warning]| {
        let told = warnings.iter().find(|warning| warning.code() == Warning::THREADS_REFUSED);
        told.is_some_and(|told| told.message().contains("the run is on the calling thread alone"))
    };
    assert!(is_told(plan.warnings()) && is_told(&report.warnings()), "{plan}\n{report}");
    assert!(report.explain().contains(Warning::THREADS_REFUSED), "{}", report.explain());
    // A stated number is not replaced by another.
    let error = run().threads(4).for_each_batch(|_| ()).unwrap_err().to_string();
    assert!(error.contains('4'), "{error}");
    // Nor is a number that no system allows.
    for threads in [usize::MAX, usize::MAX / 2, 1 << 40, 1 << 16] {
        let error = run().threads(threads).collect::<Vec<_>>().unwrap_err().to_string();
        assert!(error.contains("threads"), "{error}");
        let endless = process_in_batches(|x| thread::sleep(Duration::from_millis(x)), std::iter::repeat(1));
        assert!(endless.threads(threads).for_each_batch(|_| ()).is_err());
    }
    assert_eq!(run().into_iter().count(), 50);
}

#[test]
#[ignore = "is run in a child process by a test above"]
fn inside_half_of_the_address_space_is_left() {
    let Some(_) = told() else { return };
    // Each thread reserves its arena with its first allocation.
    rayon::broadcast(|_| drop(std::hint::black_box(vec![0_u8; 64])));
    const LEFT: u64 = 1 << 30;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB")).unwrap();
    prlimit(&format!("--as={}:", (size.parse::<u64>().unwrap() << 10) + LEFT)).unwrap();
    for _ in 0..3 {
        let report = wait_much(|| {
            let others = Vec::<u8>::with_capacity(LEFT as usize / 4);
            assert!(std::hint::black_box(others).capacity() > 0);
        });
        println!("inside: {} threads of 1 GiB", report.threads());
        // Stacks and arenas take 66 MiB for each thread. Counting stacks alone, there would be 256
        // threads.
        assert!(report.threads() <= cores() + LEFT as usize / 2 / (66 << 20), "{report}");
    }
}

#[test]
#[ignore = "is run in a child process by a test above"]
fn inside_half_of_a_users_tasks_are_left() {
    let Some(_) = told() else { return };
    assert!(rayon::current_num_threads() >= 1);
    let own = fs::read_dir("/proc/self/task").unwrap().count();
    prlimit(&format!("--nproc={}:", own + LEFT)).unwrap();
    let report = wait_much(starts_threads);
    println!("inside: {} threads of {LEFT} tasks", report.threads());
    assert!(report.threads() <= cores() + LEFT / 2, "{report}");
}

// ---- child processes ----

fn child(script: &str) -> usize {
    Command::new("sh").args(["-c", script]).output().unwrap().stdout.len()
}

#[test]
fn a_function_that_waits_for_children_that_sleep_gets_more() {
    let _alone = alone();
    // Long enough that the cost of starting one is small beside it.
    let mut run = process_in_batches(|_| child("sleep 0.5"), 0..200);
    let plan = run.plan().unwrap();
    assert!(plan.waiting_share().unwrap() > 0.5 && plan.threads() > cores(), "{plan}");
}
