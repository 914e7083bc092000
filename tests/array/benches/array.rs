//! The cost of an array, as ratios in alternating rounds, each in a fresh process:
//! `cargo bench -p amorsize-array-tests --bench array [-- ROUNDS]`.
//!
//! | ratio | target |
//! | --- | --- |
//! | a task against the same run that writes postcard to a plain file and syncs it | 1.05 |
//! | gathering against reading and decoding that file | 1.1 |
//! | 16 tasks one after another against one task of all items; calls of 10 s in all | 1.05 |
//! | a task that was done before, in milliseconds | 5 |

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use amorsize::array::Array;
use amorsize::batched;
use amorsize_array_tests::Folder;

/// Calls of 10 us: two seconds on one core. The run then has its usual sizes.
const ITEMS: usize = 200_000;
const CALL: Duration = Duration::from_micros(10);
/// Ten seconds for the ratio of 16 tasks, since real tasks take longer: each syncs a few files.
const LONG_CALL: Duration = Duration::from_micros(50);
/// Says that calls are long.
const LONG: &str = "AMORSIZE_BENCH_LONG";

#[batched(version = 1)]
fn row(x: usize) -> (usize, Vec<f32>, String) {
    let begun = Instant::now();
    while begun.elapsed() < call() {
        std::hint::spin_loop();
    }
    (x, vec![x as f32; 64], format!("row {x}"))
}

fn call() -> Duration {
    static LENGTH: LazyLock<Duration> = LazyLock::new(|| if env::var_os(LONG).is_some() { LONG_CALL } else { CALL });

    *LENGTH
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [way, path] = arguments.as_slice() {
        let begun = Instant::now();
        child(way, path)?;
        println!("{}", begun.elapsed().as_secs_f64());
        return Ok(());
    }
    let rounds = arguments.first().map_or(Ok(11), |rounds| rounds.parse())?;
    let mut ratios: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds {
        let folder = Folder::new();
        let path = |name| folder.file(name).display().to_string();
        let (file, one, long, sixteen) = (path("file"), path("one"), path("long"), path("sixteen"));
        let written = timed("write", &file, &[])?;
        let task = timed("one", &one, &[TASK])?;
        let again = timed("one", &one, &[TASK])?;
        let read = timed("read", &file, &[])?;
        let gathered = timed("one", &one, &[])?;
        let long = timed("one", &long, &[TASK, (LONG, "")])?;
        let all = timed("sixteen", &sixteen, &[("AMORSIZE_TASK", "all"), (LONG, "")])?;
        for (ratios, ratio) in ratios.iter_mut().zip([task / written, gathered / read, all / long, 1000.0 * again]) {
            ratios.push(ratio);
        }
    }
    let names = ["task / plain file", "gather / plain read", "16 tasks / 1 task", "task done before, ms"];
    for (name, mut ratios) in names.into_iter().zip(ratios) {
        ratios.sort_by(f64::total_cmp);
        let (least, median, most) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
        println!("{name:22} {median:7.3} ({least:.3} to {most:.3})");
    }
    Ok(())
}

/// Starts the only task.
const TASK: (&str, &str) = ("AMORSIZE_TASK", "0");

/// The seconds of a process for one way, without its start.
fn timed(way: &str, path: &str, variables: &[(&str, &str)]) -> Result<f64, Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    let output = command.args([way, path]).envs(variables.iter().copied()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr)?.into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn child(way: &str, path: &str) -> Result<(), Box<dyn Error>> {
    let tasks = if way == "sixteen" { 16 } else { 1 };
    match way {
        "write" => {
            let mut file = BufWriter::new(File::create(path)?);
            row_batched(0..ITEMS).try_for_each_batch(|batch| -> Result<(), Box<dyn Error>> {
                for row in batch {
                    file.write_all(&postcard::to_stdvec(&row)?)?;
                }
                Ok(())
            })?;
            file.into_inner()?.sync_all()?;
        }
        "read" => {
            let bytes = fs::read(path)?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (row, behind) = postcard::take_from_bytes::<(usize, Vec<f32>, String)>(rest)?;
                black_box(row);
                rest = behind;
            }
        }
        _ => {
            if let Array::Results(all) = row_batched(0..ITEMS).array(path, tasks)? {
                for row in all {
                    black_box(row?);
                }
            }
        }
    }
    Ok(())
}
