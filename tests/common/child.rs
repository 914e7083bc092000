//! Runs tests in a process of their own: this program again, with one of its ignored tests.

use std::process::Command;

/// Tells the process that it is a child.
const INSIDE: &str = "AMORSIZE_TEST_INSIDE";

/// Runs an ignored test in a child process, and shows its output if it failed.
#[allow(dead_code, reason = "some files state variables for all of theirs")]
pub(crate) fn run_inside(test: &str) {
    run_inside_with(test, &[]);
}

/// The same, with these environment variables.
#[allow(dead_code, reason = "few tests need any")]
pub(crate) fn run_inside_with(test: &str, variables: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}: {}\n{out}\n{err}", output.status);
    assert!(out.contains("1 passed"), "{test} did not run:\n{out}\n{err}");
}

/// True if [`run_inside`] started this process, and not somebody who runs ignored tests.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}
