//! How the four ways of the example `oom` end, for the README: the example itself runs, and its table is taken as it prints it.
//!
//! `cargo bench --bench oom` goes each way 20 times, `-- --rounds N` another number of times, `-- --write-readme` writes the table and
//! its summary into the README. It needs what the example needs: Linux, and the right to make a cgroup.

use std::env;
use std::process::{Command, Stdio};

use amorsize_bench::{Arguments, wrap};

/// What the example says of one way, by its columns.
struct Row<'text> {
    as_expected: &'text str,
    peak: &'text str,
}

fn main() {
    let arguments = Arguments::of_process("oom", 20);
    let shown = example(arguments.rounds);
    println!("{shown}");
    let table = table(&shown);
    let measured = format!("{} runs of each way; {}", arguments.rounds, arguments.measured());
    arguments.write("oom", &format!("```text\n{table}\n```\n\n{}", wrap(&format!("{measured}."))));
    arguments.write("oom-summary", &format!("{}\n\n{}", summary(&table), wrap(&format!("({measured}.)"))));
}

/// What the example shows, which fails where a way ends in another manner than it should.
fn example(rounds: usize) -> String {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["run", "--quiet", "--release", "--example", "oom", "--", "--runs", &rounds.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo");
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "the example failed, {}:\n{shown}", output.status);
    shown
}

/// The table with its head, in lines that the README has room for.
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

/// What the README begins with.
fn summary(table: &str) -> String {
    // How each ends is what the example expects of it, and it fails otherwise.
    let [rayon, sink, collect] = ["rayon", "sink", "collect"].map(|way| row(table, way));
    format!(
        "| 4 GiB of results on a machine of 1 GiB | `par_iter().map(f).collect()` | `f_batched(items)` |\n\
         | --- | --- | --- |\n\
         | batch by batch | killed by the kernel, {} | finishes, {}, in {} MiB |\n\
         | collected | killed by the kernel, {} | an error in time, {} |",
        rayon.as_expected,
        sink.as_expected,
        sink.peak.replace('-', " to "),
        rayon.as_expected,
        collect.as_expected,
    )
}

fn row<'text>(table: &'text str, way: &str) -> Row<'text> {
    let line = table.lines().find(|line| line.split(' ').next() == Some(way));
    let line = line.unwrap_or_else(|| panic!("the example shows no row of `{way}`"));
    // Columns are two spaces apart or more, and words of a column one.
    let columns: Vec<&str> = line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
    let [_, as_expected, _, peak, ..] = columns[..] else { panic!("columns are missing: {line}") };
    Row { as_expected, peak }
}
