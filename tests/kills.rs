//! Processes that are killed at a hundred points. The same call goes on, and gives in the end the
//! same as without a kill, byte for byte.

#![cfg(unix)]

#[path = "common/folder.rs"]
mod folder;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use amorsize::on_error::Skip;
use amorsize::process_in_batches;
use amorsize::sink::JsonLines;
use folder::Folder;

const ITEMS: u64 = 3_000;
const FOLDER: &str = "AMORSIZE_TEST_KILLED_FOLDER";
const WORK: &str = "AMORSIZE_TEST_KILLED_WORK";

/// The end of a line that no kill has cut.
const WHOLE: &str = " whole";

/// A file to which threads and processes append whole lines.
fn log(folder: &Path, name: &str) -> File {
    OpenOptions::new().append(true).create(true).open(folder.join(name)).unwrap()
}

fn spin(micros: u64) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(micros) {
        std::hint::spin_loop();
    }
}

fn result(x: u64) -> String {
    format!("{x} {}", "x".repeat((x * x % 300) as usize))
}

fn call(x: u64, work: &str, mut calls: &File) -> Result<String, String> {
    // Lines of eight bytes: a kill cuts a write only between two pages, and so never such a line.
    calls.write_all(format!("{x:07}\n").as_bytes()).unwrap();
    match work {
        "even" => spin(30),
        "heavy" => spin(if x % 500 == 77 { 5_000 } else { 10 }),
        "waiting" => thread::sleep(Duration::from_micros(300)),
        "failing" if x % 10 == 3 => return Err(format!("{x} fails")),
        _ => spin(20),
    }
    Ok(result(x))
}

/// Runs in the process that is killed.
#[test]
#[ignore = "run by the other tests, in processes of their own"]
fn inside() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let (folder, work) = (Path::new(&folder), env::var(WORK).unwrap());
    let calls = log(folder, "calls");
    let (way, work) = work.split_once(' ').unwrap();
    let run_of = |items| process_in_batches(|x| call(x, work, &calls), 0..items).version(1).on_error(Skip);
    let run = run_of(ITEMS);
    let mut out = String::new();
    let report = match way {
        "checkpoint" => run.checkpoint(folder.join("run")).for_each_batch(|batch| {
            batch.into_iter().for_each(|result| out += &format!("{result}\n"));
        }),
        "sink" => run.journal(folder.join("run")).batch_size(64).write_to(JsonLines::new(folder.join("lines"))),
        "grown" => {
            let write = |items| {
                let mut run = run_of(items).journal(folder.join("run")).batch_size(64);
                run.write_to(JsonLines::new(folder.join("lines")))
            };
            // The file of the first run stays until that of the second one takes its place.
            if !folder.join("lines").exists() {
                write(ITEMS / 2).unwrap();
            }
            write(ITEMS)
        }
        _ => run.journal(folder.join("run")).batch_size(64).for_each_batch(|batch| {
            // The kernel may end a write between two pages at a kill, so each line has an end of
            // its own, and the next batch never goes on with a line that was cut.
            let lines = batch.indices().zip(&batch).map(|(index, line)| format!("{index} {line}{WHOLE}\n"));
            log(folder, "sunk").write_all(format!("\n{}", lines.collect::<String>()).as_bytes()).unwrap();
        }),
    };
    report.unwrap();
    fs::write(folder.join("result"), out).unwrap();
}

fn start(folder: &Path, work: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["inside", "--exact", "--ignored", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(WORK, work)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn lines(folder: &Path, name: &str) -> Vec<String> {
    fs::read_to_string(folder.join(name)).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Numbers that look random, and are the same in each run of the test.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// Kills processes at `kills` points, starts each again until it has ended, and passes what they
/// leave to `check`.
fn kill(work: &str, kills: usize, check: fn(&Path)) {
    let (mut numbers, mut hits, mut rounds) = (Numbers(work.len() as u64 * 977), 0, 0);
    while hits < kills {
        rounds += 1;
        let folder = Folder::new(&format!("killed-{}-{rounds}", work.replace(' ', "-")));
        let mut kills_here = 0;
        loop {
            let before = lines(folder.path(), "calls").len() as u64;
            let mut child = start(folder.path(), work);
            // Every fifth kill comes while the process starts, and the others after some more
            // calls.
            let in_startup = hits % 5 == 0;
            let calls = before + 1 + numbers.below(ITEMS / 3);
            let pause = Duration::from_micros(numbers.below(4_000));
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Some(status);
                }
                if hits < kills && (in_startup || lines(folder.path(), "calls").len() as u64 >= calls) {
                    thread::sleep(pause);
                    child.kill().unwrap();
                    // The process may have ended by itself before the kill.
                    break Some(child.wait().unwrap()).filter(|status| status.code().is_some());
                }
                thread::sleep(Duration::from_micros(200));
            };
            match ended {
                Some(status) => {
                    let mut text = String::new();
                    _ = std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut text);
                    assert!(status.success(), "{work}: {text}");
                    break;
                }
                None => {
                    hits += 1;
                    kills_here += 1;
                }
            }
        }
        let mut calls = BTreeMap::<String, usize>::new();
        lines(folder.path(), "calls").into_iter().for_each(|item| *calls.entry(item).or_default() += 1);
        assert_eq!(calls.len() as u64, ITEMS, "{work}: every item is called");
        assert!(calls.values().all(|&calls| calls <= kills_here + 1), "{work}: once for each process");
        check(folder.path());
    }
    println!("{work}: {hits} kills in {rounds} rounds");
}

fn expected(work: &str) -> impl Iterator<Item = u64> {
    let fails = work == "failing";
    (0..ITEMS).filter(move |x| !fails || x % 10 != 3)
}

fn check_results(folder: &Path, work: &str) {
    let all: String = expected(work).map(|x| result(x) + "\n").collect();
    assert!(fs::read_to_string(folder.join("result")).unwrap() == all);
}

/// Each result is there, in order except for the batches that the sink held at a kill.
fn check_sunk(folder: &Path, work: &str) {
    let mut seen = BTreeMap::<u64, usize>::new();
    for line in lines(folder, "sunk") {
        let Some(line) = line.strip_suffix(WHOLE) else { continue };
        let (index, line) = line.split_once(' ').unwrap();
        let index: u64 = index.parse().unwrap();
        assert_eq!(line, result(index));
        *seen.entry(index).or_default() += 1;
    }
    assert!(seen.keys().copied().eq(expected(work)));
}

/// Each result is in the file exactly once, and in order.
fn check_lines(folder: &Path, work: &str) {
    let all: String = expected(work).map(|x| format!("\"{}\"\n", result(x))).collect();
    assert!(fs::read_to_string(folder.join("lines")).unwrap() == all);
}

#[test]
fn a_journal_and_a_sink_with_places() {
    kill("sink even", 14, |folder| check_lines(folder, "even"));
}

#[test]
fn a_journal_and_a_sink_with_places_of_calls_that_fail() {
    kill("sink failing", 14, |folder| check_lines(folder, "failing"));
}

#[test]
fn a_journal_and_a_finished_file_that_grows() {
    kill("grown even", 14, |folder| check_lines(folder, "even"));
}

#[test]
fn a_checkpoint_of_even_calls() {
    kill("checkpoint even", 12, |folder| check_results(folder, "even"));
}

#[test]
fn a_checkpoint_of_calls_of_which_some_take_long() {
    kill("checkpoint heavy", 12, |folder| check_results(folder, "heavy"));
}

#[test]
fn a_checkpoint_of_calls_that_wait() {
    kill("checkpoint waiting", 12, |folder| check_results(folder, "waiting"));
}

#[test]
fn a_checkpoint_of_calls_that_fail() {
    kill("checkpoint failing", 12, |folder| check_results(folder, "failing"));
}

#[test]
fn a_journal_of_even_calls() {
    kill("journal even", 12, |folder| check_sunk(folder, "even"));
}

#[test]
fn a_journal_of_calls_that_fail() {
    kill("journal failing", 12, |folder| check_sunk(folder, "failing"));
}
