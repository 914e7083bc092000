//! The compiler's messages for each mistake (`fail`, with the expected output beside it). And each
//! accepted form compiles and runs (`pass`).

use std::fs;

// The expected output is that of one compiler. A pin such as `rust-toolchain` would bind everybody
// who only wants to build.
#[rustversion::attr(not(stable(1.95)), ignore = "the expected output is that of stable Rust 1.95")]
#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail(cases_in("fail"));
    cases.pass(cases_in("pass"));
}

/// The pattern of a folder's cases. trybuild counts a pattern that matches nothing as a success.
fn cases_in(folder: &str) -> String {
    let mut entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let has_cases = entries.any(|entry| entry.is_ok_and(|entry| entry.path().extension() == Some("rs".as_ref())));
    assert!(has_cases, "there are no cases in {folder}");
    format!("{folder}/*.rs")
}
