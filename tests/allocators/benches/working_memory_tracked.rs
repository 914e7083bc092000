//! The runs of `working_memory` in a program with `Tracking` over the system's allocator, which measures
//! working memory itself: how long they take, and how much memory.
//!
//! `cargo bench --bench working_memory_tracked` measures the calls of 72 MiB, `-- TEXT ..` all rows that
//! contain one of the texts. The same rows without `Tracking` are those of
//! `cargo bench --bench working_memory -- "72 MiB, 20 ms, returns 2 MiB | glibc"`.

#[path = "common/rows.rs"]
mod rows;

use std::alloc::System;
use std::env;
use std::process::Command;

use amorsize::Tracking;
use amorsize_bench::Arguments;
use rows::{Measured, ROWS, Row};

#[global_allocator]
static ALLOCATOR: Tracking<System> = Tracking::new(System);

fn measure(row: &Row, threads: usize) -> Measured {
    let exe = env::current_exe().expect("this program");
    let output = Command::new(exe).args(["--child", row.name, &threads.to_string()]).output().expect("a child");
    assert!(output.status.success(), "{}: {}", row.name, String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("numbers");
    let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    Measured::from_numbers(numbers.try_into().expect("seven numbers"))
}

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, row, threads] = args.as_slice()
        && flag == "--child"
    {
        return Row::find(row).run("Tracking", threads.parse().expect("a number")).print();
    }
    let mut arguments = Arguments::of_process("working_memory_tracked", 1);
    if arguments.rows.is_empty() {
        arguments.rows.push("72 MiB".to_owned());
    }
    println!("| calls | threads | peak, MiB | allowed, MiB | | held | working | threads used | s |");
    println!("| --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |");
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for row in &ROWS {
        let allowed = row.budget.as_u64() + row.need();
        for &threads in row.threads {
            let asked = if threads > 0 { threads.to_string() } else { "found".to_owned() };
            let head = format!("| {} | {asked} |", row.name);
            if !arguments.rows.iter().any(|text| head.contains(text)) {
                continue;
            }
            let mut runs: Vec<_> = (0..arguments.rounds).map(|_| measure(row, threads)).collect();
            runs.sort_unstable_by_key(|run| run.nanos);
            let seconds = runs[runs.len() / 2].nanos as f64 / 1e9;
            let most = |figure: fn(&Measured) -> u64| runs.iter().map(figure).max().unwrap_or(0);
            let (peak, held, working) = (most(|run| run.peak), most(|run| run.held), most(|run| run.working));
            let mark = if peak > allowed { " over" } else { "" };
            let threads = most(|run| run.threads);
            println!(
                "{head} {:.0} | {:.0} |{mark} | {:.0} | {:.1} | {threads} | {seconds:.2} |",
                mib(peak),
                mib(allowed),
                mib(held),
                mib(working)
            );
        }
    }
}
