//! Real GNU parallel: tasks that are killed are tried again.
//!
//! `.ci/run` installs it and runs this; elsewhere:
//! `cargo test -p amorsize-array-tests --test parallel -- --ignored`.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use amorsize_array_tests::{Folder, MICROS, all, tested, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tested");
const KILLS: usize = 10;

/// The processes that run tasks in this directory.
fn running(out: &Path) -> Vec<u32> {
    let is_task = |pid: &u32| {
        let Ok(arguments) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        let mut arguments = arguments.split(|&byte| byte == 0);
        arguments.next() == Some(PROGRAM.as_bytes())
            && arguments.any(|argument| argument == out.as_os_str().as_encoded_bytes())
    };
    let pids = fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).filter(is_task).collect()
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "needs GNU parallel, which .ci/run installs"]
fn killed_tasks_are_tried_again_and_each_result_is_there_once() {
    const ITEMS: u64 = 4_000;

    let folder = Folder::new();
    let out = folder.file("out");
    let task = format!("{PROGRAM} sleeping {} 8 {ITEMS}", out.display());
    // As in the guide: parallel itself numbers the tasks.
    let mut parallel = Command::new("parallel")
        .args(["--jobs", "4", "--retries", "5", "--joblog"])
        .arg(folder.file("joblog"))
        .args(["-n0", &task, ":::", "0", "1", "2", "3", "4", "5", "6", "7"])
        .env(MICROS, "1000")
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .spawn()
        .expect("parallel is installed");
    let mut kills = 0;
    while parallel.try_wait().unwrap().is_none() {
        let running = running(&out);
        if let Some(&pid) = running.get(kills % running.len().max(1)).filter(|_| kills < KILLS) {
            // SAFETY: a system call on numbers. A moment ago the process was one of this test's.
            #[expect(unsafe_code, reason = "the standard library kills children alone")]
            unsafe {
                libc::kill(pid as libc::pid_t, libc::SIGKILL);
            }
            kills += 1;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(parallel.wait().unwrap().success());
    // On a busy machine the tasks may be done before the last kills.
    assert!(kills > 0);
    let (code, stdout, stderr) = told(&tested(PROGRAM, "sleeping", &out, 8, ITEMS).output().unwrap());
    assert_eq!((code, stdout), (0, all(ITEMS)), "{stderr}");
}
