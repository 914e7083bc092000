//! A run inside a cgroup keeps to its limit. The cgroup is real, if the machine lets this test make
//! one.
#![cfg(target_os = "linux")]

#[path = "common/child.rs"]
mod child;
#[path = "common/limited.rs"]
mod limited;

use std::fs;
use std::io::Write;
use std::path::Path;

use amorsize::{ByteSize, batched};
use child::{run_inside_by, told};
use limited::Limited;

/// The limit of the cgroup. The test's own process needs a few MiB of it.
const LIMIT: ByteSize = ByteSize::mib(256);

/// One test for all, so that there is one cgroup at a time.
#[test]
fn a_run_keeps_to_the_limit_of_a_cgroup_above_its_own() {
    let limited = match Limited::new(LIMIT) {
        Ok(limited) => limited,
        Err(reason) => {
            println!("skipped, no cgroup for it: {reason}");
            return;
        }
    };
    let folder = limited.folder().to_owned();
    for test in [
        "inside_the_budget_is_of_what_the_cgroup_leaves",
        "inside_page_cache_leaves_the_budget_as_it_is",
        "inside_batches_of_more_than_the_limit_finish",
        "inside_a_collection_of_more_than_the_limit_is_an_error",
    ] {
        let mut command = limited.command(&std::env::current_exe().unwrap());
        run_inside_by(&mut command, test, &folder.display().to_string());
    }
    drop(limited);
    assert!(!folder.exists(), "{} is left", folder.display());
}

// ---- what runs inside ----

#[batched(max_memory = 0.5)]
fn make(index: usize) -> Vec<u8> {
    vec![index as u8; 1 << 20]
}

/// The budget that a run gets now.
fn budget() -> ByteSize {
    make_batched(0..1).plan().unwrap().budget()
}

/// A figure of `memory.stat`; v1 has `total_..` for the sum over all cgroups below.
fn stat(folder: &Path, name: &str) -> ByteSize {
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap();
    let figure = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    ByteSize::new(figure(&format!("total_{name}")).or_else(|| figure(name)).unwrap())
}

#[test]
#[ignore = "is run inside a cgroup by the test above"]
fn inside_the_budget_is_of_what_the_cgroup_leaves() {
    let Some(folder) = told() else { return };
    let usage = ["memory.current", "memory.usage_in_bytes"].iter().find_map(|name| {
        let text = fs::read_to_string(Path::new(&folder).join(name)).ok()?;
        text.trim().parse().ok().map(ByteSize::new)
    });
    let budget = budget();
    println!("inside: budget {budget}, usage {}", usage.unwrap());
    assert!(budget <= ByteSize::mib(128), "{budget}");
    // Half of what a small process leaves of 256 MiB.
    assert!(budget > ByteSize::mib(96), "{budget}");
}

#[test]
#[ignore = "is run inside a cgroup by the test above"]
fn inside_page_cache_leaves_the_budget_as_it_is() {
    let Some(folder) = told() else { return };
    let (folder, before) = (Path::new(&folder), budget());
    let shared = stat(folder, "shmem");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cache-{}", std::process::id()));
    let mut file = fs::File::create(&path).unwrap();
    (0..150).try_for_each(|piece| file.write_all(&make(piece))).unwrap();
    let after = budget();
    let (shared, cache) = (stat(folder, "shmem").saturating_sub(shared), stat(folder, "inactive_file"));
    drop(file);
    fs::remove_file(&path).unwrap();
    if shared > ByteSize::mib(100) {
        println!("inside: skipped page cache, {} is in memory itself", path.display());
        return;
    }
    println!("inside: budget {before}, then {after} with {cache} of page cache");
    // If the cache counted as usage, it would take 75 MiB of the budget. A kernel may call all of
    // it active, and half of active memory counts.
    assert!(after + ByteSize::mib(40) >= before, "{before} then {after}");
}

#[test]
#[ignore = "is run inside a cgroup by the test above"]
fn inside_batches_of_more_than_the_limit_finish() {
    let Some(_) = told() else { return };
    let mut handed_over = 0;
    let report = make_batched(0..1024).for_each_batch(|batch| handed_over += batch.len()).unwrap();
    println!("inside: 1 GiB in {} batches, budget {}", report.batches(), report.budget());
    assert_eq!(handed_over, 1024);
    assert!(report.budget() <= ByteSize::mib(128), "{}", report.budget());
}

#[test]
#[ignore = "is run inside a cgroup by the test above"]
fn inside_a_collection_of_more_than_the_limit_is_an_error() {
    let Some(_) = told() else { return };
    let error = make_batched(0..1024).collect::<Vec<_>>().unwrap_err();
    println!("inside: {}", error.to_string().lines().next().unwrap());
    assert!(error.is_over_budget(), "{error}");
}
