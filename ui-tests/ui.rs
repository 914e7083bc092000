//! The compiler's messages for each mistake (`fail`, with the expected output beside it). And each
//! accepted form compiles and runs (`pass`).

use std::fs;
use std::path::Path;

// The expected output is that of one compiler. A pin such as `rust-toolchain` would bind everybody
// who only wants to build.
#[rustversion::attr(not(stable(1.95)), ignore = "the expected output is that of stable Rust 1.95")]
#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    for (directory, expected) in [("fail", Expected::Errors), ("pass", Expected::Success)] {
        let directory = Path::new(directory);
        // trybuild counts a pattern that matches nothing as a success.
        assert!(count(directory) > 0, "there are no cases in {}", directory.display());
        let pattern = directory.join("*.rs");
        match expected {
            Expected::Errors => cases.compile_fail(pattern),
            Expected::Success => cases.pass(pattern),
        }
    }
}

enum Expected {
    Errors,
    Success,
}

fn count(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension() == Some("rs".as_ref()))).count()
}
