//! A run inside a cgroup with a limit keeps to it: a real one, where the machine lets this test make one.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use amorsize::{Bytes, batched};

/// What the cgroup may hold. The test's own process needs a few MiB of it.
const LIMIT: Bytes = Bytes::mib(256);
/// Tells the process inside which cgroup it is in.
const INSIDE: &str = "AMORSIZE_TEST_CGROUP";
/// Moves the shell itself into a cgroup, so that all of what it then becomes is charged to it.
const MOVE: &str = "echo $$ > \"$0\"";

/// A memory cgroup with a limit, and one without a limit in it; gone with their owner.
struct Limited {
    folder: PathBuf,
    v2: bool,
}

impl Limited {
    fn new() -> Result<Self, String> {
        let outside = budget();
        if outside < Bytes::gib(1) {
            return Err(format!("with a budget of {outside} outside, a limit of {LIMIT} may not be what binds"));
        }
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
        let path_of = |is: fn(&str) -> bool| {
            own.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                is(parts.next()?).then(|| parts.next())?
            })
        };
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (parent, v2) = if let Some(path) = path_of(|names| names.split(',').any(|name| name == "memory")) {
            (v1.join(path.trim_start_matches('/')), false)
        } else {
            let path = path_of(str::is_empty).ok_or("no cgroup can limit memory")?;
            let own = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
            // Only where the controller is passed on to children can one of them have a limit.
            let passes_on = |folder: &&Path| {
                let passed_on = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
                passed_on.split_whitespace().any(|name| name == "memory")
            };
            (own.ancestors().find(passes_on).ok_or("no cgroup passes memory on")?.to_owned(), true)
        };
        let folder = parent.join(format!("amorsize-test-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let limited = Self { folder, v2 };
        let attempt = || {
            fs::write(limited.folder.join(limited.limit_file()), LIMIT.as_u64().to_string())?;
            fs::create_dir(limited.inner())?;
            // Not every kind of process may be moved by everybody.
            let moved = Command::new("sh").args(["-c", MOVE]).arg(limited.inner().join("cgroup.procs")).status()?;
            moved.success().then_some(()).ok_or_else(|| std::io::Error::other("no process can be moved"))
        };
        attempt().map_err(|error| format!("{}: {error}", limited.folder.display()))?;
        Ok(limited)
    }

    fn limit_file(&self) -> &'static str {
        if self.v2 { "memory.max" } else { "memory.limit_in_bytes" }
    }

    fn inner(&self) -> PathBuf {
        self.folder.join("inner")
    }

    /// Runs a test of this file in a process that is inside from its start.
    fn run(&self, test: &str) {
        let output = Command::new("sh")
            .args(["-c", &format!("{MOVE} && exec \"$@\"")])
            .arg(self.inner().join("cgroup.procs"))
            .arg(std::env::current_exe().unwrap())
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(INSIDE, &self.folder)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{test} inside: {}\n{out}\n{err}", output.status);
        assert!(out.contains("1 passed"), "{test} did not run:\n{out}");
        out.lines().filter(|line| line.starts_with("inside:")).for_each(|line| println!("{line}"));
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        for folder in [self.inner(), self.folder.clone()] {
            // A process that has ended may take a moment to be out of its cgroup.
            for _ in 0..100 {
                if !folder.exists() || fs::remove_dir(&folder).is_ok() {
                    break;
                }
                sleep(Duration::from_millis(20));
            }
        }
    }
}

/// One test for all, so that there is one cgroup at a time.
#[test]
fn a_run_keeps_to_the_limit_of_a_cgroup_above_its_own() {
    let limited = match Limited::new() {
        Ok(limited) => limited,
        Err(reason) => {
            println!("skipped, no cgroup for it: {reason}");
            return;
        }
    };
    limited.run("inside_the_budget_is_of_what_the_cgroup_leaves");
    limited.run("inside_page_cache_leaves_the_budget_as_it_is");
    limited.run("inside_batches_of_more_than_the_limit_finish");
    limited.run("inside_a_collection_of_more_than_the_limit_is_an_error");
    let folder = limited.folder.clone();
    drop(limited);
    assert!(!folder.exists(), "{} is left", folder.display());
}

// ---- what runs inside ----

/// The cgroup with the limit, for a test that was started inside.
fn inside() -> Option<PathBuf> {
    let folder = std::env::var_os(INSIDE).map(PathBuf::from);
    if folder.is_none() {
        println!("skipped, not started inside a cgroup");
    }
    folder
}

#[batched(max_memory = 0.5)]
fn make(index: usize) -> Vec<u8> {
    vec![index as u8; 1 << 20]
}

/// The budget that a run gets now.
fn budget() -> Bytes {
    make_batched(0..1).plan().unwrap().budget()
}

/// A figure of `memory.stat`, which v1 calls `total_..` where it is of all cgroups below.
fn stat(folder: &Path, name: &str) -> Bytes {
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap();
    let figure = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    Bytes::new(figure(&format!("total_{name}")).or_else(|| figure(name)).unwrap())
}

#[test]
#[ignore = "is run inside a cgroup by the test above"]
fn inside_the_budget_is_of_what_the_cgroup_leaves() {
    let Some(folder) = inside() else { return };
    let usage = ["memory.current", "memory.usage_in_bytes"].iter().find_map(|name| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse().ok().map(Bytes::new)
    });
    let budget = budget();
    println!("inside: budget {budget}, usage {}", usage.unwrap());
    assert!(budget <= Bytes::mib(128), "{budget}");
    // Half of what is left of 256 MiB beside a small process.
    assert!(budget > Bytes::mib(96), "{budget}");
}

#[test]
#[ignore = "is run inside a cgroup by the test above"]
fn inside_page_cache_leaves_the_budget_as_it_is() {
    let Some(folder) = inside() else { return };
    let before = budget();
    let shared = stat(&folder, "shmem");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cache-{}", std::process::id()));
    let mut file = fs::File::create(&path).unwrap();
    (0..150).try_for_each(|piece| file.write_all(&make(piece))).unwrap();
    let after = budget();
    let (shared, cache) = (stat(&folder, "shmem").saturating_sub(shared), stat(&folder, "inactive_file"));
    drop(file);
    fs::remove_file(&path).unwrap();
    if shared > Bytes::mib(100) {
        println!("inside: skipped page cache, {} is in memory itself", path.display());
        return;
    }
    println!("inside: budget {before}, then {after} with {cache} of page cache");
    // As usage the cache would take 75 MiB of the budget. A kernel may take all of it for active, of which half counts.
    assert!(after + Bytes::mib(40) >= before, "{before} then {after}");
}

#[test]
#[ignore = "is run inside a cgroup by the test above"]
fn inside_batches_of_more_than_the_limit_finish() {
    let Some(_) = inside() else { return };
    let mut handed_over = 0;
    let report = make_batched(0..1024).for_each_batch(|batch| handed_over += batch.len()).unwrap();
    println!("inside: 1 GiB in {} batches, budget {}", report.batches(), report.budget());
    assert_eq!(handed_over, 1024);
    assert!(report.budget() <= Bytes::mib(128), "{}", report.budget());
}

#[test]
#[ignore = "is run inside a cgroup by the test above"]
fn inside_a_collection_of_more_than_the_limit_is_an_error() {
    let Some(_) = inside() else { return };
    let error = make_batched(0..1024).collect::<Vec<_>>().unwrap_err();
    println!("inside: {}", error.to_string().lines().next().unwrap());
    assert!(error.is_over_budget(), "{error}");
}
