//! How far resident memory goes above the budget: for several allocators, sizes of results, and sinks.
//!
//! Each row is some runs in fresh processes, and gives the highest of them: the peak of resident memory above what the process had
//! before the run, as a percentage of the budget; beside it the most that the run itself held, and the median time. A second table
//! has the higher figure of both sinks, by results and allocator. Below it is the highest of all with smaller budgets, of which what
//! an allocator keeps is a larger part.
//!
//! `cargo bench --bench peak_memory` makes the whole table, `-- --rounds N` changes the number of processes for each row, `-- TEXT ..`
//! leaves rows out that contain none of the texts; `-- --write-readme` writes the second table into the README.

use std::alloc::{GlobalAlloc, Layout, System};
use std::env;
use std::hint::black_box;
use std::process::Command;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use amorsize::{Bytes, batched};
use amorsize_bench::{Arguments, wrap};
use mimalloc::MiMalloc;
use tikv_jemallocator::Jemalloc;

const BUDGET: Bytes = Bytes::mib(256);
/// From the least one that a run looks at resident memory for.
const SMALLER: [Bytes; 3] = [Bytes::mib(32), Bytes::mib(64), Bytes::mib(128)];
/// So many budgets are the results of each run together, so that what an allocator keeps has time to pile up.
const TIMES: u64 = 12;

/// The allocators that one program can be measured with, by the name in an environment variable. A program has one global
/// allocator; this one passes everything on to that which was chosen before the first allocation.
struct Chosen;

const ALLOCATORS: [&str; 3] = ["glibc", "mimalloc", "jemalloc"];
/// jemalloc once more, with `set_trim`.
const PURGED: &str = "jemalloc, `set_trim`";
const VARIABLE: &std::ffi::CStr = c"AMORSIZE_BENCH_ALLOCATOR";

fn chosen() -> u8 {
    static CHOSEN: AtomicU8 = AtomicU8::new(u8::MAX);
    match CHOSEN.load(Ordering::Relaxed) {
        u8::MAX => {
            #[expect(unsafe_code, reason = "the standard library's way to read the environment allocates")]
            // SAFETY: the name ends with a zero, and nobody changes the environment before `main`.
            let first = unsafe {
                let value = libc::getenv(VARIABLE.as_ptr());
                if value.is_null() { 0 } else { *value.cast::<u8>() }
            };
            let chosen = ALLOCATORS.iter().position(|name| name.as_bytes()[0] == first).unwrap_or(0) as u8;
            CHOSEN.store(chosen, Ordering::Relaxed);
            chosen
        }
        chosen => chosen,
    }
}

macro_rules! pass_on {
    ($method:ident($($argument:expr),*)) => {
        // SAFETY: the caller's promises are passed on, always to the same allocator.
        unsafe {
            match chosen() {
                0 => System.$method($($argument),*),
                1 => MiMalloc.$method($($argument),*),
                _ => Jemalloc.$method($($argument),*),
            }
        }
    };
}

#[expect(unsafe_code, reason = "an allocator can't be written without")]
// SAFETY: every call is passed on to one and the same allocator as it is.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pass_on!(alloc(layout))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        pass_on!(alloc_zeroed(layout))
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        pass_on!(dealloc(place, layout));
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        pass_on!(realloc(place, layout, new_size))
    }
}

#[global_allocator]
static ALLOCATOR: Chosen = Chosen;

/// The size of a result, by the index of its item.
type Size = fn(u64) -> u64;

/// Sizes of results.
const SIZES: [(&str, Size); 8] = [
    ("4 KiB", |_| 4 << 10),
    ("64 KiB", |_| 64 << 10),
    ("1 MiB", |_| 1 << 20),
    ("mixed 256 B to 1 MiB", |i| 256 << (scrambled(i) % 13)),
    ("misleading: 1 KiB, then 1 MiB", |i| if i < 1000 { 1 << 10 } else { 1 << 20 }),
    ("growing to 4 MiB", |i| 2048 * (1 + i)),
    ("heavy tail: 1 % of 8 MiB", |i| if scrambled(i).is_multiple_of(100) { 8 << 20 } else { 16 << 10 }),
    ("bursts of 2 MiB", |i| if i % 1000 > 950 { 2 << 20 } else { 8 << 10 }),
];

const SINKS: [&str; 2] = ["fast", "slow"];

/// Has jemalloc give back what it keeps.
fn purge() {
    #[expect(unsafe_code, reason = "jemalloc's controls are read and written by name")]
    // SAFETY: the name is one of jemalloc's, 4096 stands for all arenas, and purging takes no value and gives none.
    let error =
        unsafe { tikv_jemalloc_sys::mallctl(c"arena.4096.purge".as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
    assert_eq!(error, 0, "jemalloc purges when it is asked");
}

/// A number that looks random.
fn scrambled(i: u64) -> u64 {
    let x = (i ^ (i >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33
}

#[batched]
fn make(index: u64, size: &Size) -> Vec<u8> {
    vec![index as u8 | 1; size(index) as usize]
}

/// Items of a row, so that their results are so many bytes together.
fn items(size: Size, total: u64) -> u64 {
    let mut bytes = 0;
    (0..)
        .take_while(|&i| {
            bytes += size(i);
            bytes <= total
        })
        .count() as u64
}

fn child(size: &str, sink: &str, budget: u64) {
    let size = SIZES.iter().find(|(name, _)| *name == size).expect("a known size").1;
    let items = items(size, TIMES * budget);
    if env::var(VARIABLE.to_str().expect("plain letters")).is_ok_and(|allocator| allocator == PURGED) {
        amorsize::set_trim(purge);
    }
    // The pool's own memory is no part of the run's.
    rayon::broadcast(|_| ());
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak of resident memory is set back");
    let before = status("VmRSS:");
    let begun = Instant::now();
    let mut sum = 0u64;
    let report = make_batched(0..items, &size)
        .max_memory(Bytes::new(budget))
        .for_each_batch(|batch| {
            // A slow sink takes longer over the bytes than two threads take to make them, so that the budget is always full.
            let rounds = if sink == "slow" { 12 } else { 0 };
            for result in &batch {
                for round in 0..rounds {
                    sum += result.iter().step_by(8).map(|&byte| u64::from(byte ^ round)).sum::<u64>();
                }
            }
        })
        .expect("a sink keeps any budget");
    let nanos = begun.elapsed().as_nanos();
    black_box(sum);
    println!("{nanos} {} {}", status("VmHWM:").saturating_sub(before), report.peak_bytes().as_u64());
}

/// A figure of this process in bytes.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let kib = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("a figure in kB") * 1024
}

/// Nanoseconds, the peak of resident memory and that of what was held, of a run in a process of its own.
fn measure(allocator: &str, size: &str, sink: &str, budget: Bytes) -> [u64; 3] {
    let exe = env::current_exe().expect("this program");
    let variable = VARIABLE.to_str().expect("plain letters");
    let budget = budget.as_u64().to_string();
    let arguments = ["--child", size, sink, &budget];
    let output = Command::new(exe).args(arguments).env(variable, allocator).output().expect("a child");
    assert!(output.status.success(), "{allocator} {size}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("three numbers");
    let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    numbers.try_into().expect("three numbers")
}

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, size, sink, budget] = args.as_slice()
        && flag == "--child"
    {
        return child(size, sink, budget.parse().expect("bytes"));
    }
    let arguments = Arguments::of_process("peak_memory", 3);
    let rounds = arguments.rounds;
    let is_wanted = |row: &str| arguments.rows.is_empty() || arguments.rows.iter().any(|text| row.contains(text));
    println!("budget {BUDGET}, {} of results, {rounds} processes for each row\n", BUDGET * TIMES);
    println!("| results | allocator | sink | held, % of the budget | resident, % of the budget | s |");
    println!("| --- | --- | --- | ---: | ---: | ---: |");
    let percent = |bytes: u64, budget: Bytes| 100.0 * bytes as f64 / budget.as_u64() as f64;
    let allocators: Vec<_> = ALLOCATORS.into_iter().chain([PURGED]).collect();
    let mut summary = Vec::new();
    let (mut top, mut top_of_smaller) = ((0.0, "", ""), [(0, "", ""); SMALLER.len()]);
    for (size, _) in SIZES {
        let mut highest = vec![0.0f64; allocators.len()];
        for (allocator, highest) in allocators.iter().zip(&mut highest) {
            for sink in SINKS {
                let row = format!("| {size} | {allocator} | {sink} |");
                if !is_wanted(&row) {
                    continue;
                }
                let runs: Vec<_> = (0..rounds).map(|_| measure(allocator, size, sink, BUDGET)).collect();
                let most = |index: usize| runs.iter().map(|run| run[index]).max().unwrap_or(0);
                let mut nanos: Vec<_> = runs.iter().map(|run| run[0]).collect();
                nanos.sort_unstable();
                let seconds = nanos[nanos.len() / 2] as f64 / 1e9;
                println!("{row} {:.0} | {:.0} | {seconds:.2} |", percent(most(2), BUDGET), percent(most(1), BUDGET));
                *highest = highest.max(percent(most(1), BUDGET));
                for (budget, top) in SMALLER.into_iter().zip(&mut top_of_smaller) {
                    let most = (0..rounds).map(|_| measure(allocator, size, sink, budget)[1]).max().unwrap_or(0);
                    if most > top.0 {
                        *top = (most, *allocator, size);
                    }
                }
            }
            if *highest > top.0 {
                top = (*highest, *allocator, size);
            }
        }
        let figures: Vec<_> = highest.iter().map(|figure| format!("{figure:.0}")).collect();
        summary.push(format!("| {size} | {} |", figures.join(" | ")));
    }
    println!("\nHighest resident memory, % of the budget:\n");
    let head = format!("| results | {} |\n| --- |{}", allocators.join(" | "), " ---: |".repeat(allocators.len()));
    let table = format!("{head}\n{}", summary.join("\n"));
    println!("{table}");
    let smaller = SMALLER
        .into_iter()
        .zip(top_of_smaller)
        .map(|(budget, (most, allocator, size))| format!("{} of {budget} ({allocator}, \"{size}\")", Bytes::new(most)));
    let text = format!(
        "The highest of all is {:.0} %, of {} with results \"{}\". Each figure is the highest of {rounds} processes with a \
         sink that drops results at once and {rounds} with one that takes longer than the calls: a budget of {BUDGET}, {} of results. \
         Of smaller budgets what allocators keep is a larger part. With {TIMES} budgets of results the highest is {} ({}).",
        top.0,
        top.1,
        top.2,
        BUDGET * TIMES,
        smaller.collect::<Vec<_>>().join(", "),
        arguments.measured()
    );
    arguments.write("peak-memory", &format!("{table}\n\n{}", wrap(&text)));
}
