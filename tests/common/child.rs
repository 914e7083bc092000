//! Runs tests in a process of their own: this program again, with one of its ignored tests.
#![allow(dead_code, reason = "each file uses a part of it")]

use std::env;
use std::process::Command;

/// Tells the process that it is a child, and what the test is told.
const INSIDE: &str = "AMORSIZE_TEST_INSIDE";

pub(crate) fn this_program() -> Command {
    Command::new(env::current_exe().unwrap())
}

/// Runs an ignored test in a child process, and shows its output if it failed.
pub(crate) fn run_inside(test: &str) {
    run_inside_by(&mut this_program(), test, "");
}

/// The same, with these environment variables.
pub(crate) fn run_inside_with(test: &str, variables: &[(&str, &str)]) {
    run_inside_by(this_program().envs(variables.iter().copied()), test, "");
}

/// The same, by a command that starts this program, and with a text for the test. Shows what the
/// test says after `inside:`.
pub(crate) fn run_inside_by(command: &mut Command, test: &str, told: &str) {
    let output = command
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, told)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}: {}\n{out}\n{err}", output.status);
    assert!(out.contains("1 passed"), "{test} did not run:\n{out}\n{err}");
    let said = out.lines().filter_map(|line| line.find("inside:").map(|at| &line[at..]));
    said.for_each(|line| println!("{line}"));
}

/// True if [`run_inside`] started this process, and not somebody who runs ignored tests.
pub(crate) fn is_inside() -> bool {
    told().is_some()
}

/// The text for the test, if [`run_inside_by`] started this process.
pub(crate) fn told() -> Option<String> {
    env::var(INSIDE).ok()
}
