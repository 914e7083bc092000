//! Real Slurm: four nodes on this machine, started by `slurm-local.sh`, with tasks that are killed,
//! nodes that are lost, a controller that dies, and limits of memory.
//!
//! `.ci/run` installs it and runs these; elsewhere:
//! `cargo test -p amorsize-array-tests --test slurm -- --ignored`.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use amorsize_array_tests::{BYTES, Folder, MICROS, all, tested, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tested");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/slurm-local.sh");

/// The number of kills of tasks, and of losses of nodes: a few for each task and each node.
const TASK_KILLS: usize = 100;
const NODE_LOSSES: usize = 20;

/// A Slurm for this test, stopped when it is dropped. Its ports are fixed, so there is one at a
/// time.
struct Slurm {
    folder: Folder,
    _alone: MutexGuard<'static, ()>,
}

impl Slurm {
    fn start(option: &str) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());

        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let slurm = Self { folder: Folder::new(), _alone: alone };
        slurm.script("start", option);
        slurm
    }

    fn path(&self) -> PathBuf {
        self.folder.file("slurm")
    }

    fn script(&self, command: &str, option: &str) {
        let mut script = Command::new(SCRIPT);
        script.arg(command).arg(self.path()).arg(option).stdin(Stdio::null()).stdout(Stdio::null());
        let status = script.status().unwrap();
        assert!(status.success(), "{command} of a Slurm: {status}; are slurmctld, slurmd and munge installed?");
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let conf = self.path().join("slurm.conf");
        let output = Command::new(program).args(arguments).env("SLURM_CONF", conf).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same for a controller that may be away.
    fn try_run(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let conf = self.path().join("slurm.conf");
        let output = Command::new(program).args(arguments).env("SLURM_CONF", conf).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Submits all tasks, and returns the id of the job.
    fn submit(&self, tasks: usize, options: &[&str], command: &str) -> String {
        let array = format!("--array=0-{}", tasks - 1);
        let log = format!("--output={}", self.folder.file("log-%A-%a").display());
        let wrap = format!("exec {command}");
        let mut arguments = vec!["--parsable", &array, &log, "--requeue", "--wrap", &wrap];
        arguments.extend(options);
        self.run("sbatch", &arguments).trim().to_owned()
    }

    /// True while tasks wait or run.
    fn is_busy(&self) -> bool {
        // A controller that is away tells nothing.
        self.try_run("squeue", &["--noheader"]).is_none_or(|queue| !queue.trim().is_empty())
    }

    fn wait(&self) {
        let begun = Instant::now();
        while self.is_busy() {
            // Against a hang.
            assert!(begun.elapsed() < Duration::from_secs(600), "{}", self.run("squeue", &[]));
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The state of each task of a job.
    fn states(&self, job: &str) -> Vec<String> {
        let states = self.run("squeue", &["--noheader", "--states=all", "--array", "--job", job, "--format=%T"]);
        states.lines().map(str::to_owned).collect()
    }

    fn logs(&self) -> String {
        let is_log = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log"));
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(is_log).map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }

    fn pid(&self, name: &str) -> Option<u32> {
        fs::read_to_string(self.path().join("run").join(name)).ok()?.trim().parse().ok()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        _ = self.try_run("scancel", &["--me", "--quiet"]);
        self.script("stop", "");
    }
}

/// A task of this test that runs.
struct Running {
    pid: u32,
    parent: u32,
    node: String,
}

/// All processes that were started with this directory as an argument.
fn running(out: &Path) -> Vec<Running> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Some(running) = look(pid, out) else { continue };
        found.push(running);
    }
    found.sort_by_key(|running| running.pid);
    found
}

fn look(pid: u32, out: &Path) -> Option<Running> {
    let file = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
    let arguments = file("cmdline")?;
    let mut arguments = arguments.split(|&byte| byte == 0);
    if arguments.next()? != PROGRAM.as_bytes()
        || !arguments.any(|argument| argument == out.as_os_str().as_encoded_bytes())
    {
        return None;
    }
    let environment = file("environ")?;
    let node = environment.split(|&byte| byte == 0).find_map(|variable| variable.strip_prefix(b"SLURMD_NODENAME="))?;
    let stat = String::from_utf8(file("stat")?).ok()?;
    let parent = stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()?;
    Some(Running { pid, parent, node: String::from_utf8(node.to_vec()).ok()? })
}

fn kill(pid: u32) {
    // SAFETY: a system call on numbers. A moment ago the process was one of this test's.
    #[expect(unsafe_code, reason = "the standard library kills children alone")]
    unsafe {
        libc::kill(pid as libc::pid_t, libc::SIGKILL);
    }
}

/// The name of the program that a process runs.
fn name_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

#[test]
#[ignore = "needs Slurm, which .ci/run installs"]
fn each_result_is_there_once_however_tasks_and_nodes_and_the_controller_die() {
    const ITEMS: u64 = 20_000;
    const TASKS: usize = 16;

    let slurm = Slurm::start("");
    let out = slurm.folder.file("out");
    let command = format!("env {MICROS}=1500 {PROGRAM} sleeping {} {TASKS} {ITEMS}", out.display());
    let submit = || slurm.submit(TASKS, &["--mem=96M", "--cpus-per-task=1"], &command);
    let gather = || told(&tested(PROGRAM, "sleeping", &out, TASKS, ITEMS).output().unwrap());
    let (mut kills, mut losses, mut submissions) = (0, 0, 0);
    let mut controller_died = false;
    let begun = Instant::now();
    let mut submitted: Option<Instant> = None;
    loop {
        assert!(begun.elapsed() < Duration::from_secs(600), "{}\n{}", slurm.run("squeue", &[]), slurm.logs());
        let now = running(&out);
        let Some(task) = now.get((kills * 7 + losses) % now.len().max(1)) else {
            // Slurm gives lost tasks to another node after half a minute. A user who submits all
            // again meanwhile has two attempts at once, and still gets right results.
            if submitted.is_some_and(|at| at.elapsed() < Duration::from_secs(2)) {
                thread::sleep(Duration::from_millis(50));
                continue;
            }
            let (code, stdout, stderr) = gather();
            match code {
                0 => {
                    assert_eq!(stdout, all(ITEMS));
                    if kills == TASK_KILLS && losses == NODE_LOSSES {
                        break;
                    }
                    // All tasks finished before all kills were made, so this starts again.
                    fs::remove_dir_all(&out).unwrap();
                }
                _ => assert_eq!(code, 75, "{stderr}\n{}", slurm.logs()),
            }
            // Slurm gives no more tasks to a node that failed to start or end one.
            _ = slurm.try_run("scontrol", &["update", "nodename=n[1-4]", "state=resume"]);
            _ = slurm.try_run("scancel", &["--state=PENDING", "--me"]);
            submit();
            submissions += 1;
            submitted = Some(Instant::now());
            continue;
        };
        if kills >= TASK_KILLS / 2 && !controller_died {
            controller_died = true;
            kill(slurm.pid("slurmctld.pid").expect("the controller runs"));
            thread::sleep(Duration::from_millis(200));
            slurm.script("controller", "");
        } else if losses < NODE_LOSSES && losses * TASK_KILLS <= kills * NODE_LOSSES {
            // Kills the node's daemon and the process that watches the task; the task itself only
            // every other time.
            let daemon = format!("slurmd.{}.pid", task.node);
            slurm.pid(&daemon).into_iter().for_each(kill);
            if name_of(task.parent).starts_with("slurmstepd") {
                kill(task.parent);
            }
            if losses % 2 == 0 {
                kill(task.pid);
            }
            losses += 1;
            // Does what Slurm does by itself after SlurmdTimeout: all tasks of the node, even those
            // that still run, go to other nodes.
            let node = format!("nodename={}", task.node);
            _ = slurm.try_run("scontrol", &["update", &node, "state=down", "reason=lost"]);
            slurm.script("node", task.node.trim_start_matches('n'));
            _ = slurm.try_run("scontrol", &["update", &node, "state=resume"]);
        } else if kills < TASK_KILLS {
            kill(task.pid);
            kills += 1;
            thread::sleep(Duration::from_millis(150));
        } else {
            thread::sleep(Duration::from_millis(100));
        }
    }
    let seconds = begun.elapsed().as_secs();
    println!("{kills} kills of tasks, {losses} losses of nodes, {submissions} submissions, {seconds} s");
    assert!(controller_died);
    // No attempt has met a state that should not be there. Slurm's own lines begin with the name of
    // its daemon.
    assert!(!slurm.logs().lines().any(|line| line.starts_with("error: ")), "{}", slurm.logs());
}

/// Runs 8 tasks of 160 MiB each with 96 MiB: once with all results in memory, and once by this
/// library.
fn memory(option: &str) {
    let slurm = Slurm::start(option);
    let states = |way: &str| {
        let out = slurm.folder.file(way);
        let variables = format!("{BYTES}={} {MICROS}=20000", 4 << 20);
        let command = format!("env {variables} {PROGRAM} {way} {} 8 320", out.display());
        let job = slurm.submit(8, &["--mem=96M", "--cpus-per-task=1"], &command);
        slurm.wait();
        let states = slurm.states(&job);
        assert_eq!(states.len(), 8);
        states
    };
    let naive = states("naive");
    let conf = fs::read_to_string(slurm.path().join("slurm.conf")).unwrap();
    // A cgroup's kernel kills, and Slurm itself kills what it only looks at.
    let is_dead =
        |state: &str| if conf.contains("task/cgroup") { state == "OUT_OF_MEMORY" } else { state != "COMPLETED" };
    assert!(naive.iter().all(|state| is_dead(state)), "{naive:?}");
    let ours = states("large");
    assert!(ours.iter().all(|state| state == "COMPLETED"), "{ours:?}\n{}", slurm.logs());
    println!("naive {naive:?}, ours {ours:?}");
    let mut gather = tested(PROGRAM, "large", &slurm.folder.file("large"), 8, 320);
    let (code, stdout, stderr) = told(&gather.output().unwrap());
    let controller = || fs::read_to_string(slurm.path().join("log/slurmctld")).unwrap_or_default();
    let is_right = code == 0 && stdout.starts_with("320 results, 1342177280 bytes, ");
    assert!(is_right, "{stdout}{stderr}\n{}\n{}", slurm.logs(), controller());
}

#[test]
#[ignore = "needs Slurm, which .ci/run installs"]
fn tasks_keep_within_what_a_cgroup_grants() {
    memory("");
}

#[test]
#[ignore = "needs Slurm, which .ci/run installs"]
fn tasks_keep_within_what_slurm_says_where_nothing_else_limits_them() {
    memory("accounting");
}
