//! Runs with working memory inside a cgroup with a limit little above their budget, and the number
//! of them that finish.
//!
//! The limit is 1.25 times the budget of 256 MiB, plus the memory of a process of this program
//! before its run. Each run is a fresh process in a cgroup of its own.
//! `cargo bench --bench within_limit` makes 10 runs for each row, `-- --rounds N` changes that,
//! `-- TEXT ..` makes only rows that contain one of the texts. Only Linux has cgroups, and not
//! every process may make one; if that fails, the bench says so.

#[path = "common/chosen.rs"]
mod chosen;
#[path = "../../common/limited.rs"]
mod limited;
#[allow(dead_code, reason = "a part of it is for another bench")]
#[path = "common/rows.rs"]
mod rows;

use std::env;
use std::fs;

use amorsize::ByteSize;
use amorsize_bench::{Arguments, numbers};
use chosen::ALLOCATORS;
use limited::Limited;
use rows::{Measured, RAYON, Row};

/// The numbers of threads: those that the run finds, and more than the cores of most machines.
const ROWS: [(&str, [usize; 2]); 3] = [
    ("32 MiB, 30 ms, returns 8 bytes", [0, 16]),
    ("8, 30, 90, 15 MiB in turn, returns 1 MiB", [0, 16]),
    ("72 MiB, 20 ms, returns 2 MiB", [0, 16]),
];

/// The most MiB of the process and of its cgroup, and the seconds; or the way in which the process
/// ended.
struct Outcome {
    finished: Result<(u64, f64), String>,
    charged: Option<u64>,
}

fn outcome(limited: &Limited, row: &Row, allocator: &str, threads: usize) -> Outcome {
    let mut command = limited.command(&env::current_exe().expect("this program"));
    command.args(["--child", row.name, allocator, &threads.to_string()]);
    let finished = numbers(&mut chosen::serve(command, allocator)).map(|numbers| {
        let measured = Measured::from_numbers(numbers);
        (measured.peak >> 20, measured.nanos as f64 / 1e9)
    });
    let files = ["memory.max_usage_in_bytes", "memory.peak"].map(|name| limited.folder().join(name));
    let text = files.iter().find_map(|file| fs::read_to_string(file).ok());
    let charged = text.and_then(|text| text.trim().parse::<u64>().ok()).map(|bytes| bytes >> 20);
    Outcome { finished, charged }
}

/// Resident memory of this process. A child has as much before its run.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

fn main() {
    if rows::was_child(chosen::set_trim) {
        return;
    }
    let arguments = Arguments::of_process("within_limit", 10);
    let base = resident();
    println!("limit: 1.25 budgets, and {} that a process has before\n", ByteSize::new(base));
    println!("| calls | allocator | threads | finished | peak, MiB | charged, MiB | s | how others ended |");
    println!("| --- | --- | --- | ---: | ---: | ---: | ---: | --- |");
    let (mut finished, mut all) = (0, 0);
    for (name, threads) in ROWS {
        let row = Row::find(name);
        let limit = ByteSize::new(row.budget.as_u64() / 4 * 5 + base);
        for allocator in ALLOCATORS.into_iter().chain([RAYON]) {
            for threads in threads {
                let asked = if threads > 0 { threads.to_string() } else { "found".to_owned() };
                let head = format!("| {name} | {allocator} | {asked} |");
                if !arguments.wants(&head) {
                    continue;
                }
                let mut outcomes = Vec::new();
                for _ in 0..arguments.rounds {
                    // A new cgroup each time, so that its figures are of that process alone.
                    match Limited::new(limit) {
                        Ok(limited) => outcomes.push(outcome(&limited, row, allocator, threads)),
                        Err(reason) => {
                            return println!("\nno cgroup with a limit of {limit} could be made: {reason}");
                        }
                    }
                }
                let good: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.finished.as_ref().ok()).collect();
                let peak = good.iter().map(|run| run.0).max().map_or("-".to_owned(), |peak| peak.to_string());
                let seconds = good.iter().map(|run| run.1).fold(0.0, f64::max);
                let charged = outcomes.iter().filter_map(|outcome| outcome.charged).max().unwrap_or(0);
                let end = outcomes.iter().find_map(|outcome| outcome.finished.as_ref().err());
                let (of, end) = (outcomes.len(), end.map_or("", String::as_str));
                println!("{head} {} of {of} | {peak} | {charged} | {seconds:.2} | {end} |", good.len());
                if allocator != RAYON {
                    finished += good.len();
                    all += of;
                }
            }
        }
    }
    println!("\n{finished} of {all} runs with a budget finished ({}).", arguments.measured());
}
