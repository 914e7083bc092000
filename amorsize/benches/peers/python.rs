//! The same for Python: the cost of a call of 10 us beyond its work.

use std::env;
use std::process::Command;

pub(crate) const ITEMS: usize = 100_000;

/// A way, the module that it needs, and the number of batches that it is told to make.
pub(crate) const WAYS: [(&str, Option<&str>, Option<usize>); 4] = [
    ("loop", None, None),
    ("amorsize", Some("amorsize"), None),
    ("amorsize, 10 batches", Some("amorsize"), Some(10)),
    ("joblib", Some("joblib"), None),
];

pub(crate) fn name(way: &str) -> &str {
    match way {
        "loop" => "Python, plain loop",
        "amorsize" => "Python Amorsize `process_in_batches`",
        "amorsize, 10 batches" => "Python Amorsize `process_in_batches`, 10 batches",
        _ => "joblib `Parallel`",
    }
}

/// The output of the script, or nothing if Python or the module is missing.
pub(crate) fn ask(arguments: &[&str]) -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers.py");
    // In another folder, because Python would take the folder `amorsize` here for a module.
    let mut command = Command::new("python3");
    command.args(["-B", script]).args(arguments).current_dir(env::temp_dir());
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

pub(crate) fn version(module: &str) -> Option<String> {
    ask(&["version", module])
}
