//! Calls that need memory beside their results: how far resident memory goes above the budget, for
//! several allocators and numbers of threads.
//!
//! Each row is some runs in fresh processes, and gives the highest peak of resident memory above what
//! the process had before. Allowed is the budget and what one call needs at most; `over` marks a row
//! that exceeds it. Beside it is what the run says of itself: the most that it held, the working memory
//! of a call, and its threads; and the median time. Rayon's `for_each` over the same calls, with glibc's
//! allocator, shows the peak of a program that keeps no budget. A second table has what runs with opaque
//! results believe of each.
//!
//! `cargo bench --bench working_memory` makes both tables, which takes some minutes; `-- --rounds N`
//! changes the number of processes for each row, `-- TEXT ..` leaves rows out that contain none of the
//! texts. A row is a text such as `| 64 MiB, even | jemalloc | 16 |`, and rayon's have `rayon` for the
//! allocator.

#[path = "common/chosen.rs"]
mod chosen;
#[path = "common/rows.rs"]
mod rows;

use std::env;

use amorsize_bench::Arguments;
use chosen::ALLOCATORS;
use rows::{Measured, RAYON, ROWS, Row};

fn measure(allocator: &str, row: &Row, threads: usize) -> Measured {
    Measured::from_numbers(chosen::numbers(allocator, &["--child", row.name, allocator, &threads.to_string()]))
}

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, row, allocator, threads] = args.as_slice()
        && flag == "--child"
    {
        chosen::set_trim();
        return Row::find(row).run(allocator, threads.parse().expect("a number")).print();
    }
    let arguments = Arguments::of_process("working_memory", 1);
    let rounds = arguments.rounds;
    let is_wanted = |row: &str| arguments.rows.is_empty() || arguments.rows.iter().any(|text| row.contains(text));
    println!("{rounds} processes for each row; all bytes in MiB\n");
    println!("| calls | allocator | threads | peak | allowed | | held | working | threads used | s |");
    println!("| --- | --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |");
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (mut over, mut all) = (0, 0);
    let mut believed = Vec::new();
    for row in &ROWS {
        let allowed = row.budget.as_u64() + row.need();
        for allocator in ALLOCATORS.into_iter().chain([RAYON]) {
            for &threads in row.threads {
                let asked = if threads > 0 { threads.to_string() } else { "found".to_owned() };
                let head = format!("| {} | {allocator} | {asked} |", row.name);
                if !is_wanted(&head) {
                    continue;
                }
                let mut runs: Vec<_> = (0..rounds).map(|_| measure(allocator, row, threads)).collect();
                runs.sort_unstable_by_key(|run| run.nanos);
                let seconds = runs[runs.len() / 2].nanos as f64 / 1e9;
                let most = |figure: fn(&Measured) -> u64| runs.iter().map(figure).max().unwrap_or(0);
                let peak = most(|run| run.peak);
                print!("{head} {:.0} | {:.0} |", mib(peak), mib(allowed));
                if allocator == RAYON {
                    println!(" | | | | {seconds:.2} |");
                    continue;
                }
                all += 1;
                over += usize::from(peak > allowed);
                let mark = if peak > allowed { " over" } else { "" };
                let (held, working) = (mib(most(|run| run.held)), mib(most(|run| run.working)));
                // A `collect` gives no report.
                let used = Some(most(|run| run.threads)).filter(|&used| used > 0);
                let used = used.map_or(String::new(), |used| format!(" {used}"));
                println!("{mark} | {held:.0} | {working:.1} |{used} | {seconds:.2} |");
                if let Some(truth) = row.opaque() {
                    let (planned, counted) = (mib(most(|run| run.planned)), mib(most(|run| run.counted)));
                    believed.push(format!("{head} {planned:.2} | {counted:.2} | {:.2} |", mib(truth)));
                }
            }
        }
    }
    println!("\n{over} of {all} rows are over what is allowed ({}).", arguments.measured());
    if !believed.is_empty() {
        println!("\nMiB of an opaque result, where several processes differ the most:\n");
        println!("| calls | allocator | threads | by the plan | counted in the end | in truth |");
        println!("| --- | --- | --- | ---: | ---: | ---: |\n{}", believed.join("\n"));
    }
}
