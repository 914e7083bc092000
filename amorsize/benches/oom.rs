//! Runs the example `oom`, which shows how its four ways end, and takes its table as it prints it,
//! for `FIGURES.md`.
//!
//! `cargo bench --bench oom` goes each way 20 times, `-- --rounds N` another number of times,
//! `-- --write` writes the table there, and its summary into the README. It needs what
//! the example needs: Linux, and the right to make a cgroup.

use std::env;
use std::process::{Command, Stdio};

use amorsize_bench::{Arguments, wrap};

fn main() {
    let arguments = Arguments::of_process("oom", 20);
    let shown = example(arguments.rounds);
    println!("{shown}");
    let table = table(&shown);
    let measured = format!("{} runs of each way; {}", arguments.rounds, arguments.measured());
    arguments.write("oom", &format!("```text\n{table}\n```\n\n{}", wrap(&format!("{measured}."))));
}

/// The output of the example, which fails if a way does not end as it should.
fn example(rounds: usize) -> String {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args([
            "run",
            "--quiet",
            "--release",
            "-p",
            "amorsize-examples",
            "--example",
            "oom",
            "--",
            "--runs",
            &rounds.to_string(),
        ])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo");
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "the example failed, {}:\n{shown}", output.status);
    shown
}

/// The table with its head, in lines that fit a page.
fn table(shown: &str) -> String {
    let lines = shown.lines().skip_while(|line| !line.starts_with("way ")).take_while(|line| !line.is_empty());
    let table = lines.map(shortened).collect::<Vec<_>>().join("\n");
    assert!(!table.is_empty(), "the example shows no table");
    table
}

/// A line of at most 120 columns, cut after a word.
fn shortened(line: &str) -> String {
    if line.len() <= 120 {
        return line.to_owned();
    }
    let kept = line.char_indices().take_while(|(at, _)| *at <= 117).filter(|(_, letter)| *letter == ' ').last();
    format!("{} ..", kept.map_or(line, |(at, _)| &line[..at]))
}
