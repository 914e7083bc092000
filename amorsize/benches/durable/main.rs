//! The cost of keeping what a run finishes, and how much of it a kill takes.
//!
//! Each measurement is a fresh process, and the ways of a row take turns. A figure is the processor
//! time of the process divided by that of the plain run in the same round, as the median of all
//! rounds. So other programs on the machine matter little.
//!
//! `cargo bench --bench durable` runs all rows, `-- --rounds N` changes the number of rounds, and
//! names choose rows: `small`, `large`, `bytes`, `memory`, `files`, `syncs`, `kills`. `syncs` needs
//! strace; with the feature `parquet` there is a row of Parquet among `files`.

mod files;
#[path = "../../../tests/common/folder.rs"]
mod folder;

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use amorsize::process_in_batches;
use amorsize_bench::{Arguments, Peak, calibrate, child, child_arguments, median, numbers, processor_time, work};
use folder::Folder;

/// Calls of 10 us, 2 s in all, so that a run's syncs, one a second, are among what is measured.
/// Beginning and ending a run that keeps its results takes some milliseconds whatever its length.
/// The resumed runs pass over the same number.
const ITEMS: u64 = 200_000;
/// Results of 1 MiB: 128 MiB on disk.
const LARGE_ITEMS: u64 = 128;
/// The calls of `LARGE_ITEMS` take 300 us, about the time that filling 1 MiB takes.
const LARGE_CALL: u32 = 30;
/// Results of the runs that measure memory: 64 times the part of the budget that may be held.
const MEMORY_ITEMS: u64 = 512 << 10;
const BUDGET: &str = "64MiB";
/// Calls of 10 us that take some seconds in all, so that syncs can be counted by the second.
const SYNC_ITEMS: u64 = 600_000;
const TRIALS: usize = 15;

/// A row: its name, its description, and its ways, each with the largest ratio that it may have.
/// The ways by hand have none: they write or read results of the plain run without this crate, in
/// one file without names, checksums and compression, and sync it once.
type Row = (&'static str, &'static str, &'static [(&'static str, Option<f64>)]);

const ROWS: [Row; 3] = [
    (
        "small",
        "calls of 10 us, results of 40 B",
        &[
            ("plain", None),
            ("by-hand", None),
            ("checkpoint", Some(1.03)),
            ("journal", Some(1.01)),
            ("read-by-hand", None),
            ("resumed", Some(0.01)),
            ("resumed-journal", Some(0.01)),
        ],
    ),
    (
        "large",
        "calls of 10 us, results of 1 KiB",
        &[
            ("plain", None),
            ("by-hand", None),
            ("checkpoint", Some(1.08)),
            ("read-by-hand", None),
            ("resumed", Some(0.03)),
        ],
    ),
    (
        "bytes",
        "calls of 300 us, results of 1 MiB as `Vec<u8>`",
        &[("plain", None), ("by-hand", None), ("checkpoint", Some(2.5))],
    ),
];

/// Bytes that compression makes no smaller.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut all = Vec::with_capacity(bytes + 8);
    while all.len() < bytes {
        state = (state ^ (state >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        all.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    all.truncate(bytes);
    all
}

/// A record of 40 bytes.
fn small(seed: u64, rounds: u32) -> (u64, f64, f64, u32, [u8; 12]) {
    let value = work(seed, rounds);
    (seed, value as f64, 1.0 / value as f64, value as u32, [value as u8; 12])
}

/// A text of 1 KiB that compression makes no smaller.
fn large(seed: u64, rounds: u32) -> String {
    let mut text = noise(work(2 * seed, rounds.saturating_sub(WRITES_TEXT)), 1 << 10);
    text.iter_mut().for_each(|byte| *byte = b'0' + (*byte >> 2));
    String::from_utf8(text).expect("ASCII")
}

/// Rounds of work that take as long as writing a text of 1 KiB.
const WRITES_TEXT: u32 = 1_500;

fn bytes(seed: u64, rounds: u32) -> Vec<u8> {
    let mut bytes = noise(2 * seed, 1 << 20);
    bytes[0] = work(seed, LARGE_CALL * rounds) as u8;
    bytes
}

/// Runs one way of a row.
fn run_row<R, F>(call: F, items: u64, way: &str, directory: &Path)
where
    R: Send + serde::Serialize + serde::de::DeserializeOwned,
    F: Fn(u64) -> R + Sync,
{
    if way == "read-by-hand" {
        return read_by_hand::<R>(items, directory);
    }
    let run = process_in_batches(call, 0..items).version(1);
    let mut run = match way {
        "plain" => run,
        "by-hand" => {
            let (mut run, mut file) = (run, File::create(directory).expect("a file"));
            run.for_each_batch(|batch| {
                let mut bytes = Vec::new();
                for result in batch {
                    bytes = postcard::to_extend(&result, bytes).expect("a result as bytes");
                }
                file.write_all(&bytes).expect("room");
            })
            .expect("nothing fails");
            return file.sync_data().expect("a disk");
        }
        "journal" | "resumed-journal" => run.journal(directory),
        _ => run.checkpoint(directory),
    };
    run.for_each_batch(|batch| drop(black_box(batch))).expect("nothing fails");
}

/// Reads results that were written by hand, a MiB at once.
fn read_by_hand<R: serde::de::DeserializeOwned>(items: u64, path: &Path) {
    let mut file = File::open(path).expect("the file");
    let (mut bytes, mut unread) = (vec![0; 1 << 20], 0..0);
    for _ in 0..items {
        // No result has more bytes than that.
        if unread.len() < 2 << 10 {
            bytes.copy_within(unread.clone(), 0);
            unread = 0..unread.len();
            unread.end += file.read(&mut bytes[unread.end..]).expect("what was written");
        }
        let (result, left) = postcard::take_from_bytes::<R>(&bytes[unread.clone()]).expect("a result");
        unread.start = unread.end - left.len();
        drop(black_box(result));
    }
}

/// A measurement, in a process of its own: prints processor time and resident memory.
fn run_child(row: &str, way: &str, rounds: u32, directory: &Path) {
    rayon::broadcast(|_| ());
    let peak = Peak::start();
    let (wall, before) = (Instant::now(), processor_time());
    match row {
        "small" => run_row(|x| small(x, rounds), ITEMS, way, directory),
        "large" => run_row(|x| large(x, rounds), ITEMS, way, directory),
        "bytes" => run_row(|x| bytes(x, rounds), LARGE_ITEMS, way, directory),
        "memory" => {
            let run = process_in_batches(|x| large(x, WRITES_TEXT), 0..MEMORY_ITEMS).version(1).max_memory(BUDGET);
            let mut run = if way == "plain" { run } else { run.checkpoint(directory) };
            drop(run.for_each_batch(|batch| drop(black_box(batch))).expect("nothing fails"));
        }
        "syncs" => run_row(|x| small(x, rounds), SYNC_ITEMS, way, directory),
        _ => panic!("there is no row {row}"),
    }
    println!("{} {} {}", processor_time() - before, peak.bytes(), wall.elapsed().as_nanos());
}

/// A child for one way of a row, or for one kind of calls that is killed.
fn of(row: &str, way: &str, number: u64, directory: &Path) -> Command {
    let mut command = child([row, way, &number.to_string()]);
    command.arg(directory);
    command
}

fn measured(command: &mut Command) -> [f64; 3] {
    numbers(command).unwrap_or_else(|why| panic!("{command:?}: {why}"))
}

fn measure(row: &str, way: &str, rounds: u32, directory: &Path) -> [f64; 3] {
    measured(&mut of(row, way, rounds.into(), directory))
}

fn ratios(row: &Row, rounds: usize, work_rounds: u32) {
    let (name, told, ways) = row;
    println!(
        "\n{told}\n\n| way | ms of processor time | of the plain run | from .. to | at most |\n| --- | ---: | ---: | --- | ---: |"
    );
    let mut times = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        let scratch = Folder::new(name);
        for ((way, _), times) in ways.iter().zip(&mut times) {
            // A run that is resumed finds the directory of the one before.
            let kept = ["journal", "by-hand"].into_iter().find(|kept| way.ends_with(kept));
            let directory = scratch.file(kept.unwrap_or("checkpoint"));
            times.push(measure(name, way, work_rounds, &directory)[0]);
        }
    }
    for ((way, most), of_way) in ways.iter().zip(&times) {
        let mut ratios: Vec<_> = of_way.iter().zip(&times[0]).map(|(time, plain)| time / plain).collect();
        let ratio = median(&mut ratios);
        let [low, high] = [ratios[0], ratios[ratios.len() - 1]];
        let time = median(&mut of_way.clone()) / 1e6;
        let most = most.map_or_else(|| "-".to_owned(), |most| most.to_string());
        println!("| {way} | {time:.2} | {ratio:.4} | {low:.4} .. {high:.4} | {most} |");
    }
}

/// Compares the resident memory with a checkpoint with that without one.
fn memory(rounds: usize) {
    let (mut plain, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let scratch = Folder::new("memory");
        plain.push(measure("memory", "plain", 0, scratch.path())[1]);
        kept.push(measure("memory", "checkpoint", 0, &scratch.file("run"))[1]);
    }
    let [plain, kept] = [plain, kept].map(|mut bytes| median(&mut bytes) / f64::from(1 << 20));
    println!(
        "\nhighest resident memory, budget of {BUDGET}, results of 1 KiB: {plain:.1} MiB plain, {kept:.1} MiB with a checkpoint (at most 8 more)"
    );
}

/// Counts the syncs in a second of a run with a checkpoint.
fn syncs(work_rounds: u32) {
    let scratch = Folder::new("syncs");
    let (log, directory) = (scratch.file("log"), scratch.file("run"));
    let mut command = Command::new("strace");
    let traced = of("syncs", "checkpoint", work_rounds.into(), &directory);
    command
        .args(["-f", "-e", "trace=fdatasync,fsync", "-o"])
        .arg(&log)
        .arg(traced.get_program())
        .args(traced.get_args());
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("\nsyncs: skipped, there is no strace");
        return;
    }
    let [_, _, wall] = measured(&mut command);
    let log = fs::read_to_string(&log).expect("strace's output");
    let count = |call: &str| log.lines().filter(|line| line.contains(call)).count();
    println!(
        "\nsyncs in {:.1} s: {} of data (at most one a second and one at the end), {} of names and the manifest",
        wall / 1e9,
        count("fdatasync("),
        count("fsync("),
    );
}

// ---- kills ----

/// The kinds of calls in a process that is killed, with their items.
const WORKS: [(&str, u64); 3] = [("even", 40_000), ("heavy tail", 40_000), ("waiting", 60_000)];

fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Runs in the process that is killed. Each call writes a byte to a file.
fn killed(kind: &str, items: u64, folder: &Path) {
    let calls = File::options().append(true).create(true).open(folder.join("calls")).expect("a file");
    let call = |x: u64| {
        (&calls).write_all(b"x").expect("a byte");
        match kind {
            "even" => spin(Duration::from_micros(50)),
            "heavy tail" if x % 100 == 37 => spin(Duration::from_millis(2)),
            "heavy tail" => spin(Duration::from_micros(30)),
            _ => thread::sleep(Duration::from_millis(3)),
        }
        x.to_string()
    };
    let run = process_in_batches(call, 0..items).version(1);
    let report =
        run.checkpoint(folder.join("run")).for_each_batch(|batch| drop(black_box(batch))).expect("nothing fails");
    println!("0 {} 0", report.restored());
}

fn called(folder: &Path) -> u64 {
    fs::metadata(folder.join("calls")).map_or(0, |file| file.len())
}

/// Counts the calls that the next process makes again after a kill at a random time, for each kind
/// of calls.
fn kills(trials: usize) {
    println!("\n| calls | kills | called before | called again, median | most | ms of calls, median | most |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut seed = 0x2545_F491_4F6C_DD1D_u64 ^ u64::from(std::process::id());
    for (kind, items) in WORKS {
        let (mut before, mut again, mut time) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..trials {
            let scratch = Folder::new("kills");
            seed = work(seed, 3);
            let mut child =
                of("killed", kind, items, scratch.path()).stdout(Stdio::null()).spawn().expect("a child process");
            while called(scratch.path()) == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            let begun = Instant::now();
            thread::sleep(Duration::from_millis(100 + seed % 500));
            child.kill().expect("a kill");
            let seconds = begun.elapsed().as_secs_f64();
            child.wait().expect("its end");
            let had = called(scratch.path()) as f64;
            let [_, restored, _] = measured(&mut of("killed", kind, items, scratch.path()));
            before.push(had);
            again.push(had - restored);
            // The time that the killed process spent on these calls.
            time.push((had - restored) / had * seconds * 1e3);
        }
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let [most_again, most_time] = [most(&again), most(&time)];
        let [before, again, time] = [before, again, time].map(|mut values| median(&mut values));
        println!("| {kind} | {trials} | {before:.0} | {again:.0} | {most_again:.0} | {time:.0} | {most_time:.0} |");
    }
}

fn main() {
    if let Some([row, way, number, directory]) = child_arguments() {
        let (number, directory) = (number.parse().expect("a number"), Path::new(&directory));
        return match row.as_str() {
            "killed" => killed(&way, number, directory),
            row if files::ROWS.iter().any(|known| known.0 == row) => files::child(row, &way, number, directory),
            row => run_child(row, &way, number as u32, directory),
        };
    }
    let names = ROWS.iter().map(|row| row.0).chain(["memory", "files", "syncs", "kills"]);
    let arguments = Arguments::of_process("durable", 11).among(names);
    let work_rounds = calibrate();
    println!("{} rounds, each a fresh process; {}", arguments.rounds, arguments.measured());
    for row in ROWS.iter().filter(|row| arguments.wants(row.0)) {
        ratios(row, arguments.rounds, work_rounds);
    }
    if arguments.wants("files") {
        println!(
            "\n| results | MB/s written | of `write` | at least | MB/s read | of `read` | at least |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
        );
        files::ROWS.iter().for_each(|row| files::throughput(row, arguments.rounds));
    }
    if arguments.wants("memory") {
        memory(arguments.rounds.min(5));
    }
    if arguments.wants("syncs") {
        syncs(work_rounds);
    }
    if arguments.wants("kills") {
        kills(TRIALS);
    }
}
