//! Calls that need memory beside their results: the most that resident memory goes above the
//! budget, for several allocators and numbers of threads.
//!
//! Each row is some runs in fresh processes, and shows the highest peak of resident memory above
//! that before the run. The allowed memory is the budget and the most that one call needs; `over`
//! marks a row that exceeds it. Beside it are the run's own figures: the most that it held, the
//! working memory of a call, and its threads. The median time follows, for glibc's allocator also
//! as a multiple of that with `Tracking`. Rayon's `for_each` over the same calls, with glibc's
//! allocator, shows the peak of a program that keeps no budget. A second table has the bytes that
//! runs with opaque results assume for each result.
//!
//! `cargo bench --bench working_memory` makes both tables, which takes ten minutes; `-- --rounds N`
//! changes the number of processes for each row, `-- TEXT ..` makes only rows that contain one of
//! the texts. A row is a text such as `| 64 MiB, even | jemalloc | 16 |`, and rayon's have `rayon`
//! for the allocator.

#[path = "common/chosen.rs"]
mod chosen;
#[path = "common/rows.rs"]
mod rows;

use amorsize_bench::{Arguments, child, numbers};
use chosen::ALLOCATORS;
use rows::{Measured, RAYON, ROWS, Row};

const TRACKING: &str = ALLOCATORS[0];
const GLIBC: &str = ALLOCATORS[1];

fn measure(allocator: &str, row: &Row, threads: usize) -> Result<Measured, String> {
    let command = child([row.name, allocator, &threads.to_string()]);
    numbers(&mut chosen::serve(command, allocator)).map(Measured::from_numbers)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn main() {
    if rows::was_child(chosen::set_trim) {
        return;
    }
    let arguments = Arguments::of_process("working_memory", 1);
    let rounds = arguments.rounds;
    println!("{rounds} processes for each row; all bytes in MiB\n");
    println!("| calls | allocator | threads | peak | allowed | | held | working | threads used | s | of `Tracking` |");
    println!("| --- | --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |");
    let (mut over, mut failed, mut all) = (0, 0, 0);
    let mut believed = Vec::new();
    for row in &ROWS {
        let allowed = row.budget.as_u64() + row.need();
        let mut tracked = vec![None; row.threads.len()];
        for allocator in ALLOCATORS.into_iter().chain([RAYON]) {
            for (&threads, tracked) in row.threads.iter().zip(&mut tracked) {
                let asked = if threads > 0 { threads.to_string() } else { "found".to_owned() };
                let head = format!("| {} | {allocator} | {asked} |", row.name);
                if !arguments.wants(&head) {
                    continue;
                }
                let runs = (0..rounds).map(|_| measure(allocator, row, threads)).collect::<Result<Vec<_>, _>>();
                let mut runs = match runs {
                    Ok(runs) => runs,
                    Err(why) => {
                        all += 1;
                        failed += 1;
                        println!("{head} - | {:.0} | failed | | | | | |", mib(allowed));
                        eprintln!("{head} {why}");
                        continue;
                    }
                };
                runs.sort_unstable_by_key(|run| run.nanos);
                let seconds = runs[runs.len() / 2].nanos as f64 / 1e9;
                let most = |figure: fn(&Measured) -> u64| runs.iter().map(figure).max().unwrap_or(0);
                let peak = most(|run| run.peak);
                print!("{head} {:.0} | {:.0} |", mib(peak), mib(allowed));
                if allocator == RAYON {
                    println!(" | | | | {seconds:.2} | |");
                    continue;
                }
                all += 1;
                over += usize::from(peak > allowed);
                let mark = if peak > allowed { " over" } else { "" };
                let (held, working) = (mib(most(|run| run.held)), mib(most(|run| run.working)));
                // A `collect` gives no report.
                let used = Some(most(|run| run.threads)).filter(|&used| used > 0);
                let used = used.map_or(String::new(), |used| format!(" {used}"));
                if allocator == TRACKING {
                    *tracked = Some(seconds);
                }
                let multiple = tracked.filter(|_| allocator == GLIBC).map(|tracked| seconds / tracked);
                let multiple = multiple.map_or(String::new(), |multiple| format!(" {multiple:.2}"));
                println!("{mark} | {held:.0} | {working:.1} |{used} | {seconds:.2} |{multiple} |");
                if let Some(truth) = row.opaque() {
                    let (planned, counted) = (mib(most(|run| run.planned)), mib(most(|run| run.counted)));
                    believed.push(format!("{head} {planned:.2} | {counted:.2} | {:.2} |", mib(truth)));
                }
            }
        }
    }
    println!(
        "\nOf {all} rows with a budget {over} are over what is allowed, and {failed} failed ({}).",
        arguments.measured()
    );
    if !believed.is_empty() {
        println!("\nMiB of an opaque result, the most of all processes:\n");
        println!("| calls | allocator | threads | by the plan | counted in the end | in truth |");
        println!("| --- | --- | --- | ---: | ---: | ---: |\n{}", believed.join("\n"));
    }
}
