//! A full disk, and results far larger than memory should hold.

use std::path::Path;
use std::process::Command;

use amorsize_array_tests::{BYTES, Folder, files, is_part, tested, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tested");

/// A file system in memory, removed when it is dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    /// Mounts one; `None` if this process may not.
    fn new(path: &'a Path, options: &str) -> Option<Self> {
        mount(path, options).then(|| Self(path))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn mount(path: &Path, options: &str) -> bool {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "amorsize"]).arg(path).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_is_told_and_what_was_written_is_kept() {
    let folder = Folder::new();
    let Some(disk) = Mounted::new(folder.path(), "size=1m") else {
        println!("skipped: this process may not mount a file system of 1 MiB");
        return;
    };
    let out = folder.file("out");
    let run = |task: Option<&str>| {
        let mut command = tested(PROGRAM, "large", &out, 1, 40);
        // A frame is written once it is 100 ms old, or has 1 MiB.
        command.env(BYTES, "100000").env("AMORSIZE_TEST_MICROS", "30000").env("AMORSIZE_THREADS", "1");
        told(&command.envs(task.map(|task| ("AMORSIZE_TASK", task))).output().unwrap())
    };
    let (code, _, stderr) = run(Some("0"));
    let part = files(&out).into_iter().find(|path| is_part(path)).unwrap();
    let says = format!(
        "error: {} could not be written: No space left on device (os error 28); what was written is kept, run it again",
        part.display()
    );
    assert_eq!((code, stderr), (75, says));

    // With more room the task goes on from what it has written.
    assert!(mount(folder.path(), "remount,size=64m"));
    let calls = folder.file("calls");
    let mut command = tested(PROGRAM, "large", &out, 1, 40);
    command.env(BYTES, "100000").env("AMORSIZE_TEST_CALLS", &calls);
    assert!(command.env("AMORSIZE_TASK", "0").output().unwrap().status.success());
    let called = std::fs::read_to_string(&calls).unwrap().lines().count();
    assert!((1..=36).contains(&called), "{called} calls");
    let (code, stdout, stderr) = run(None);
    assert!(code == 0 && stdout.starts_with("40 results, 4000000 bytes, "), "{stdout}{stderr}");
    drop(disk);
}

#[test]
fn gathering_a_gibibyte_takes_a_few_frames() {
    let folder = Folder::new();
    let out = folder.file("out");
    let mut command = tested(PROGRAM, "large", &out, 4, 1024);
    assert!(command.env("AMORSIZE_TASK", "all").output().unwrap().status.success());
    let (code, stdout, stderr) = told(&tested(PROGRAM, "large", &out, 4, 1024).output().unwrap());
    let peak =
        stdout.strip_prefix("1024 results, 1073741824 bytes, ").and_then(|rest| rest.strip_suffix(" KiB at most\n"));
    let peak: u64 = peak.unwrap_or_else(|| panic!("{code}: {stdout}{stderr}")).parse().unwrap();
    // A frame has 1 MiB.
    assert!(peak <= (4 + 8) << 10, "{peak} KiB");
}
